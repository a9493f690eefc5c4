"""What a real nginx does by itself: who is sent where, how many at a time, and what its log does not have."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from deploy.local import loopback
from streams.logs.fields import FIELDS
from streams.logs.lines import ECS_VERSION
from tests.acceptance.front import SYNC, Front
from tests.acceptance.stack import REPOSITORY, until

CALLERS = [f"Bearer token-{number}" for number in range(24)]
CANARY = "canary-7c1f"


class Behind:
    """Answers everything, and remembers who asked."""

    def __init__(self) -> None:
        heard = self.heard = list[str]()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                time.sleep(float(self.headers.get("x-seconds", "0")))
                heard.append(self.headers.get("authorization", ""))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def three() -> Iterator[list[Behind]]:
    servers = [Behind() for _ in range(3)]
    try:
        yield servers
    finally:
        for one in servers:
            one.close()


def test_a_caller_stays_at_one_gateway(tmp_path: Path) -> None:
    with (
        three() as servers,
        Front(tmp_path / "front", [one.port for one in servers]).running() as front,
        httpx.Client(base_url=front.url, verify=front.trust()) as client,
    ):
        for _ in range(3):
            for caller in CALLERS:
                client.get("/api/consciousness/state", headers={"Authorization": caller}).raise_for_status()
        at = {caller: sorted(one.heard.count(caller) for one in servers) for caller in CALLERS}
        assert set(map(tuple, at.values())) == {(0, 0, 3)}
        assert all(one.heard for one in servers), "they are shared out"
        before = [len(one.heard) for one in servers]
        for _ in range(4):
            client.get("/api/health/live").raise_for_status()
        grown = sorted(len(one.heard) - was for one, was in zip(servers, before, strict=True))
        assert grown == [0, 0, 4], "who has no token is known by the address"


def test_a_token_of_the_query_leads_where_the_header_does(tmp_path: Path) -> None:
    with three() as servers, Front(tmp_path / "front", [one.port for one in servers]).running() as front:
        with httpx.Client(base_url=front.url, verify=front.trust()) as client:
            for number in range(12):
                client.get("/", headers={"Authorization": f"Bearer token-{number}"})
                client.get(f"/?token=token-{number}")
        gateways = [line["field.gateway"] for line in front.log()]
    assert gateways[::2] == gateways[1::2]
    assert len(set(gateways)) > 1


def test_so_many_connections_of_one_address_at_a_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        front = Front(tmp_path / "front", [silent.getsockname()[1]], FRONT_CONNECTIONS="2")
        with front.running(), asked(front), asked(front):
            waiting = [silent.accept()[0] for _ in range(2)]
            with httpx.Client(base_url=front.url, verify=front.trust()) as client:
                third = client.get("/api/health/live")
            for one in waiting:
                one.close()
    assert (third.status_code, third.json()["code"], third.headers["retry-after"]) == (429, "too_often", "1")


@contextmanager
def asked(front: Front) -> Iterator[ssl.SSLSocket]:
    """A connection whose request waits for its answer."""
    with (
        socket.create_connection(("127.0.0.1", front.port)) as line,
        front.trust().wrap_socket(line, server_hostname="localhost") as secure,
    ):
        secure.sendall(b"GET /api/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield secure


def test_its_lines_have_the_fields_of_all_logs_and_a_few_of_its_own(tmp_path: Path) -> None:
    waits = (0.0, 0.03, 0.25, 1.02)
    behind = Behind()
    with Front(tmp_path / "front", [behind.port]).running() as front:
        with httpx.Client(base_url=front.url, verify=front.trust()) as client:
            for seconds in waits:
                client.get("/api/health/live", headers={"x-seconds": str(seconds)}).raise_for_status()
            until(lambda: len(front.log()) == len(waits), "all are in the log")
        lines = front.log()
    behind.close()
    page = (REPOSITORY / "deploy" / "LOGS.md").read_text()
    own = dict(re.findall(r"^\| `([\w.]+)` \| (string|number) \|", page.partition("## nginx")[2], re.MULTILINE))
    known = {one.name: one.kind for one in FIELDS} | own
    for line, seconds in zip(lines, waits, strict=True):
        always = {one.name for one in FIELDS if one.always} - {"field.generation"}
        assert always | own.keys() <= line.keys() <= known.keys()
        assert {name: "number" if isinstance(line[name], int) else "string" for name in line} == {
            name: known[name] for name in line
        }
        assert datetime.fromisoformat(line["@timestamp"]).tzinfo is not None
        assert seconds <= line["event.duration"] / 1e9 < 60, "nanoseconds, not microseconds or less"
        assert line["message"] == "GET /api/health/live 200"
        assert line["ecs.version"] == ECS_VERSION


def test_no_log_has_an_id_a_token_or_an_address(tmp_path: Path) -> None:
    """With gateways that are away and limits that are hit: that is when nginx quotes what was asked."""
    front = Front(tmp_path / "front", [loopback.free(), loopback.free()], FRONT_REQUESTS="1", FRONT_BURST="60")
    paths = list(json.loads((REPOSITORY / "schema" / "openapi.json").read_text())["paths"])
    paths += ["/", "/static/{name}"]
    names = {"{room_id}", "{procedure}", "{name}"}
    agent = {"Authorization": f"Bearer {CANARY}", "User-Agent": CANARY, "X-Forwarded-For": "9.9.9.9"}
    with front.running(), httpx.Client(base_url=front.url, verify=front.trust(), headers=agent) as client:
        for path in paths:
            for name in names:
                path = path.replace(name, quote(f"{CANARY}/é"))
            client.get(path, params={"device_id": CANARY, "token": CANARY})
        client.get(f"/{CANARY}")
        client.post(SYNC, content=CANARY)
        client.post(SYNC, content=CANARY + " " * 4_194_304)
        codes = {client.get(f"/api/consciousness/rooms/{CANARY}?n={number}").status_code for number in range(60)}
        assert codes == {503, 429}
        until(lambda: len(front.log()) >= len(paths) + 63, "all are in the log")
    lines = front.log()
    assert [line["http.route"] for line in lines[: len(paths)]] == paths, "a route for each path, as the gateway has it"
    assert lines[len(paths)]["http.route"] == "other"
    text = (front.folder / "access").read_text() + (front.folder / "errors").read_text()
    assert CANARY not in text
    assert '127.0.0.1"' not in text
    assert "9.9.9.9" not in text
