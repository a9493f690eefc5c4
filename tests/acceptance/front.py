"""nginx in front of two gateways, and people behind it: devices that publish, listeners that come back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import ssl
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from deploy.local import loopback, nginx
from deploy.nginx.render import render

STREAM, SOCKET, SYNC = "/api/consciousness/stream", "/api/consciousness/ws", "/api/consciousness/sync"
Place = tuple[int, int, int]
"""(partition, offset, index) in the log."""


class Front:
    """A running nginx: ``port`` for HTTPS, ``plain`` for HTTP, ``status`` for the machine itself."""

    def __init__(self, folder: Path, gateways: list[int], **over: str) -> None:
        self.folder = folder
        self.port, self.plain, self.status = loopback.free(), loopback.free(), loopback.free()
        folder.mkdir()
        self.certificate = folder / "front.pem"
        _certify(folder)
        servers = " ".join(f"server 127.0.0.1:{port} max_fails=1 fail_timeout=3s;" for port in gateways)
        self.configuration = folder / "nginx.conf"
        self.configuration.write_text(render({
            "FRONT_RUN": str(folder), "FRONT_HTTP": f"127.0.0.1:{self.plain}", "FRONT_HTTPS": f"127.0.0.1:{self.port}",
            "FRONT_STATUS": f"127.0.0.1:{self.status}", "FRONT_NAME": "localhost", "FRONT_GATEWAYS": servers,
            "FRONT_CERTIFICATE": str(self.certificate), "FRONT_CERTIFICATE_KEY": str(folder / "front.key"), **over,
        }))  # fmt: skip

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def trust(self) -> ssl.SSLContext:
        """Of a client that knows the certificate."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def log(self) -> list[dict[str, Any]]:
        """A line for each request that is over."""
        lines = (self.folder / "access").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def names(self, count: int, token: Callable[[str], str]) -> list[str]:
        """Devices of which each gateway serves as many."""
        by_gateway: dict[str, list[str]] = {}
        with httpx.Client(base_url=self.url, verify=self.trust()) as client:
            for number in itertools.count():
                name, before = f"d{number}", len(self.log())
                client.get("/api/health/live", headers={"Authorization": f"Bearer {token(name)}"})
                while len(self.log()) == before:
                    time.sleep(0.01)
                by_gateway.setdefault(self.log()[-1]["field.gateway"], []).append(name)
                if len(by_gateway) > 1 and all(len(some) >= count for some in by_gateway.values()):
                    break
        return [name for some in by_gateway.values() for name in some[:count]]

    @contextlib.contextmanager
    def running(self) -> Iterator[Front]:
        command = nginx.command(nginx.bring(print), self.configuration)
        with (self.folder / "access").open("w") as out, (self.folder / "errors").open("w") as errors:
            process = subprocess.Popen(command, stdout=out, stderr=errors)
            try:
                self._wait(process)
                yield self
            finally:
                process.terminate()
                process.wait()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + 30
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{self.status}/alive").text == "alive\n":
                    return
            assert process.poll() is None, (self.folder / "errors").read_text()
            assert time.monotonic() < end, "nginx does not come up"
            time.sleep(0.05)


def _certify(folder: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(folder / "front.key"),
         "-out", str(folder / "front.pem")],
        check=True, capture_output=True,
    )  # fmt: skip


class Device:
    """Publishes one event after the other; each is sent again until it is answered."""

    def __init__(self, name: str, token: str, client: httpx.AsyncClient) -> None:
        self.name = name
        self._headers = {"Authorization": f"Bearer {token}"}
        self._client = client
        self.stored: dict[str, Place] = {}
        self.again: set[str] = set()
        self.answers: Counter[str] = Counter()
        self.gap_s = 0.0
        self.stopping = False

    async def publish(self) -> None:
        """Until ``stopping``; what was begun is ended."""
        answered_s = time.monotonic()
        while not self.stopping:
            event = {
                "id": str(uuid.uuid4()), "type": "BREATH", "device_id": self.name, "room_id": f"room-{self.name}",
                "timestamp": int(time.time() * 1000), "intensity": 0.5, "data": {"phase": 1.0}, "v": 1,
            }  # fmt: skip
            while not await self._send(event):
                self.again.add(str(event["id"]))
                await asyncio.sleep(0.1)
            self.gap_s = max(self.gap_s, time.monotonic() - answered_s)
            answered_s = time.monotonic()
            await asyncio.sleep(0.02)

    async def _send(self, event: dict[str, Any]) -> bool:
        try:
            answer = await self._client.post(SYNC, json=event, headers=self._headers)
        except httpx.HTTPError as error:
            self.answers[type(error).__name__] += 1
            return False
        self.answers[str(answer.status_code)] += 1
        if answer.status_code != 200:
            return False
        (verdict,) = answer.json()["events"]
        place = verdict["position"]
        self.stored[verdict["id"]] = place["partition"], place["offset"], place["index"]
        return True


class Listener:
    """Hears the whole log over SSE or a WebSocket, from its beginning; where it is cut it goes on by its last id."""

    def __init__(self, front: Front, token: str, kind: str, start: str) -> None:
        self.kind = kind
        self.heard: list[Place] = []
        self.id = start
        self.lines = 0
        self.silent_s = 0.0
        self._front = front
        self._token = token
        self._heard_s = time.monotonic()

    async def listen(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(httpx.HTTPError, WebSocketException, OSError):
                await (self._sse() if self.kind == "sse" else self._ws())
            await asyncio.sleep(0.1)

    async def _sse(self) -> None:
        headers = {"Last-Event-ID": self.id, "Authorization": f"Bearer {self._token}"}
        timeout = httpx.Timeout(30, read=60)
        async with (
            httpx.AsyncClient(base_url=self._front.url, verify=self._front.trust(), timeout=timeout) as client,
            client.stream("GET", STREAM, headers=headers) as answer,
        ):
            self.lines += answer.status_code == 200
            fields: dict[str, str] = {}
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if line:
                    fields[name] = value
                    continue
                if fields.get("event") == "events":  # whole only now
                    self._take(json.loads(fields["data"]))
                self.id = fields.get("id") or self.id
                fields = {}

    async def _ws(self) -> None:
        url = f"wss://localhost:{self._front.port}{SOCKET}?token={self._token}"
        async with connect(url, ssl=self._front.trust(), max_size=None) as line:
            self.lines += 1
            await line.send(json.dumps({"type": "subscribe", "last_id": self.id}))
            async for text in line:
                message = json.loads(text)
                if message["type"] == "events":
                    self._take(message)
                self.id = message.get("id") or self.id

    def _take(self, message: dict[str, Any]) -> None:
        self.silent_s = max(self.silent_s, time.monotonic() - self._heard_s)
        self._heard_s = time.monotonic()
        logs = [event["log"] for event in message["events"]]
        self.heard += [(log["partition"], log["offset"], log["index"]) for log in logs]
