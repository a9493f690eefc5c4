"""A gateway to test clients against: a process of its own that stores durably, answers like ours, and can be killed.

``python -m tests.gateway.fake PORT FOLDER``. Every request reads ``FOLDER/orders.json``: how to behave (``Orders``).
Accepted events go to ``FOLDER/log.jsonl``, one a line, synced before the answer; requests to ``FOLDER/requests.jsonl``.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from streams.events import Event
from streams.validate import read_record

LOG, REQUESTS, ORDERS = "log.jsonl", "requests.jsonl", "orders.json"


@dataclass(frozen=True)
class Orders:
    """How to behave. ``die``: the share of requests that kill the process, before or after it stored."""

    status: int = 0
    retry_after: str = ""
    token: str = ""
    events_max: int = 1_000_000
    refuse_type: str = ""
    say: str = ""
    die: float = 0.0
    seed: int = 0


def orders_of(folder: Path) -> Orders:
    path = folder / ORDERS
    return msgspec.json.decode(path.read_bytes(), type=Orders) if path.exists() else Orders()


class Log:
    """Lines that are on disk when ``append`` returns; a line that was cut off by a kill is taken away."""

    def __init__(self, path: Path) -> None:
        found = path.read_bytes() if path.exists() else b""
        path.write_bytes(found[: found.rfind(b"\n") + 1])
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()

    def append(self, lines: list[dict[str, Any]]) -> None:
        with self._lock:
            self._file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            os.fsync(self._file.fileno())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: ClassVar[Path]
    log: ClassVar[Log]
    requests: ClassVar[Log]
    chance: ClassVar[random.Random]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        zipped = self.headers.get("Content-Encoding") == "gzip"
        events = json.loads(gzip.decompress(body) if zipped else body)
        orders = orders_of(self.folder)
        status, content, headers = self.verdict(events, orders)
        told = {"at": time.monotonic(), "events": len(events), "status": status, "gzip": zipped}
        self.requests.append([told | {"token": self.headers.get("Authorization")}])
        self.answer(status, content, headers)

    def verdict(self, events: list[dict[str, Any]], orders: Orders) -> tuple[int, Any, dict[str, str]]:
        if orders.status:
            headers = {"Retry-After": orders.retry_after} if orders.retry_after else {}
            return orders.status, orders.say or problem(orders.status, "ordered"), headers
        if orders.token and self.headers.get("Authorization") != f"Bearer {orders.token}":
            return 401, problem(401, "no_token"), {}
        if len(events) > orders.events_max:
            return 413, problem(413, "too_large"), {}
        self.maybe_die(orders)
        found = [read_record(json.dumps(event).encode(), time.time_ns() // 1_000_000)[0] for event in events]
        good, verdicts = [], []
        for index, (event, item) in enumerate(zip(events, found, strict=True)):
            if isinstance(item, Event) and event["type"] != orders.refuse_type:
                good.append(event)
                verdicts.append({"index": index, "id": item.id, "verdict": "accepted", "position": {}})
            else:
                reason = "forbidden" if isinstance(item, Event) else item.reason
                verdicts.append({"index": index, "id": None, "verdict": "rejected", "reason": reason, "detail": "no"})
        if good:
            self.log.append(good)
        self.maybe_die(orders)
        told = {"accepted": len(good), "rejected": len(events) - len(good), "events": verdicts, "positions": {}}
        return 200 if good else 422, told, {}

    def maybe_die(self, orders: Orders) -> None:
        if self.chance.random() < orders.die:
            os.kill(os.getpid(), signal.SIGKILL)

    def answer(self, status: int, content: Any, headers: dict[str, str]) -> None:
        body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        own = isinstance(content, dict) and "code" in content
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/problem+json" if own else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


def problem(status: int, code: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": "no", "status": status, "code": code, "detail": "as ordered"}


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients are killed in the middle of requests here."""


def main(port: int, folder: Path) -> None:
    Handler.folder = folder
    Handler.log = Log(folder / LOG)
    Handler.requests = Log(folder / REQUESTS)
    Handler.chance = random.Random(orders_of(folder).seed * 1_000 + len((folder / REQUESTS).read_bytes()))
    server = Server(("127.0.0.1", port), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
