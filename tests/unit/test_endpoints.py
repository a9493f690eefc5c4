"""Processes elsewhere: their addresses, what they say they are, and how ``field status`` shows them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from deploy import endpoints, observe
from deploy.commands import status
from deploy.endpoints import Answer, Endpoint
from streams.errors import SettingError
from streams.settings import Settings, read
from tests.commands import valid


@contextmanager
def process(role: str, events: int) -> Iterator[str]:
    """Something that shows metrics as a process of ours does."""
    registry = CollectorRegistry()
    if role:
        Gauge("field_process_info", "", ["role"], registry=registry).labels(role).set(1)
    Counter("field_events", "", registry=registry).inc(events)
    Counter("field_events_rejected", "", ["reason"], registry=registry).labels("too_large").inc(events)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_status_asks_them_and_adds_up_the_workers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with process("worker", 3) as one, process("worker", 4) as two, process("gateway", 9) as gateway:
        found = asyncio.run(observe.look(nobody(tmp_path, f"{one}, {two},{gateway},127.0.0.1:1")))
    assert found.endpoints == [
        Endpoint(one, "worker", True), Endpoint(two, "worker", True), Endpoint(gateway, "gateway", True),
        Endpoint("127.0.0.1:1", "", False),
    ]  # fmt: skip
    assert (found.counts.events, found.counts.rejected) == (7, {"too_large": 7})
    shown = [" ".join(line.split()) for line in status.lines(found)]
    assert [f"worker {one} up", f"gateway {gateway} up", "? 127.0.0.1:1 does not answer"] == [
        line for line in shown if one in line or gateway in line or line.startswith("? ")
    ]
    status.print_json(found)
    valid("status", capsys.readouterr().out)


def test_the_worker_of_this_home_is_not_counted_twice(tmp_path: Path) -> None:
    """Where it stands in FIELD_ENDPOINTS, too."""
    with process("worker", 3) as place:
        port = int(place.rpartition(":")[2])
        found = asyncio.run(observe.look(replace(nobody(tmp_path, f"{place},{place}"), worker_metrics_port=port)))
    assert (found.counts.events, found.endpoints) == (3, [Endpoint(place, "worker", True)])


def test_what_answers_and_is_none_of_ours_is_not_up() -> None:
    with process("", 3) as stranger, process("oracle", 3) as other:
        found = endpoints.ask(Settings(), [stranger, other])
    assert [msgspec.structs.astuple(one.endpoint) for one in found] == [(stranger, "", False), (other, "", False)]
    assert [one.samples for one in found] == [None, None]


def test_a_name_stands_for_all_of_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"pods": ["10.0.0.10", "10.0.0.9"], "one": ["10.0.0.3"]}

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        six = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fd00::9", port, 0, 0))]
        return six + [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in names[host]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert endpoints.addresses("pods:9101") == ["10.0.0.9:9101", "10.0.0.10:9101"]
    assert endpoints.addresses("one:9102") == ["one:9102"]
    assert endpoints.addresses("away:9103") == ["away:9103"], "it is shown as one that does not answer"


def test_summed_is_nothing_where_nobody_answers() -> None:
    key = ("field_events_total", ())

    def answer(role: str, value: float | None) -> Answer:
        return Answer(Endpoint("h:1", role, value is not None), None if value is None else {key: value})

    assert endpoints.summed([answer("worker", None), answer("gateway", 7.0)], "worker") is None
    found = [answer("worker", 2.0), answer("worker", None), answer("gateway", 7.0), answer("worker", 3.0)]
    assert endpoints.summed(found, "worker") == {key: 5.0}


@pytest.mark.parametrize("text", ["worker", "worker:0", "worker:70000", "a:1,,b:2", ":9101", "a:x"])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="FIELD_ENDPOINTS"):
        read({"FIELD_ENDPOINTS": text})


def nobody(home: Path, places: str) -> Settings:
    return Settings(
        kafka_brokers="127.0.0.1:1", database_url="postgresql://u:secret@127.0.0.1:1/d", redis_port=1, endpoints=places,
        home=str(home), parts="none", worker_metrics_port=0, projector_metrics_port=0, publisher_metrics_port=0,
    )  # fmt: skip
