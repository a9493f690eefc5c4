"""One event over HTTP, and its trace from publish to push, in a collector that speaks OTLP/HTTP."""

from __future__ import annotations

import json
import time
import urllib.request
import uuid
from dataclasses import replace

from deploy import context
from streams.settings import Settings
from tests.acceptance.stack import Stack, until
from tests.fixtures.collector import Collector

CANARY = "canary52"


def test_an_event_from_publish_to_push(settings: Settings, collector: Collector) -> None:
    traced = replace(settings, traces_endpoint=collector.url, traces_share=1.0)
    trace, span = uuid.uuid4().hex, "b7ad6b7169203331"
    with Stack(traced) as stack:
        publish(stack, f"00-{trace}-{span}-01")
        names = {"publish", "fold", "project raw", "push"}
        until(lambda: names <= set(collector.of(trace)), f"all of {sorted(names)} come; seen {collector.spans}")
        publish(stack, "")
    found = collector.of(trace)
    assert {name: found[name].service for name in names} == {
        "publish": "field-gateway", "fold": "field-worker", "project raw": "field-projector", "push": "field-gateway",
    }  # fmt: skip
    assert found["publish"].parent == span
    assert {found[name].parent for name in names - {"publish"}} == {found["publish"].span}
    assert CANARY not in "".join(one.text for one in collector.spans)
    logs = "".join(path.read_text() for path in (stack.home / "logs").glob("*.log"))
    assert "opentelemetry" not in logs, "the exporter has nothing to complain about"


def publish(stack: Stack, traceparent: str) -> None:
    event = {
        "id": str(uuid.uuid4()), "type": "BREATH", "device_id": CANARY, "room_id": f"room-{CANARY}", "intensity": 0.5,
        "timestamp": int(time.time() * 1000), "data": {"phase": 1.0}, "v": 1,
    }  # fmt: skip
    port = context.load(stack.environ).gateway_port
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/consciousness/sync", json.dumps(event).encode(),
        {"content-type": "application/json", **({"traceparent": traceparent} if traceparent else {})},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
