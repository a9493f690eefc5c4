"""What a stack writes into its logs while all goes wrong: lines of JSON with known fields, and no word of anybody's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
import uuid
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from deploy import context
from deploy.local import parts
from streams.logs.fields import FIELDS
from tests.acceptance.stack import Stack, until

CANARY: Final = "canary9c41"
"""In every id, phrase, token, password and bad event of this test."""
FORGED: Final = f'\r\n{{"message":"{CANARY}","log.level":"INFO"}}\x1b[2J\x1b]0;{CANARY}\x07'
ROLES: Final = ("worker", "projector", "publisher", "gateway", "supervisor")
SECRETS: Final = {
    "gateway_key": f"key-{CANARY}-{'k' * 32}",
    "redis_password": f"redis-{CANARY}",
    "database_password": f"database-{CANARY}",
}


@pytest.mark.parametrize("own_stack", [SECRETS], indirect=True, ids=["canary"])
def test_no_payload_no_id_no_secret_and_no_forged_line(own_stack: Stack) -> None:
    stack = own_stack
    token = stack.field("token", f"device-{CANARY}").strip()
    asyncio.run(speak(stack, token))
    bad = stack.home.parent / "bad.jsonl"
    bad.write_bytes(b"".join(line + b"\n" for line in bad_lines()))
    stack.run("publish", str(bad))
    until(lambda: "a record was rejected" in log(stack, "worker"), "the worker says what it has rejected")
    for name in ("redis", "postgres", "kafka"):
        assert parts.stop_part(stack.settings, name, signal.SIGKILL)
        asyncio.run(speak(stack, token))
        if name != "kafka":
            until(lambda name=name: f"{name} does not answer" in everything(stack), f"somebody misses {name}")
        parts.start_part(stack.settings, name)
    until(lambda: stack.process("worker") is not None, "the worker runs")
    bad.write_bytes(b"".join(line + b"\n" for line in bad_lines() * 120))
    until(lambda: stack.run("publish", str(bad)).returncode == 0, "bad events are published")
    until(lambda: "FloodError" in log(stack, "worker"), "the worker ends by too many bad records")
    until(lambda: "stays down" in log(stack, "supervisor"), "the supervisor says so")
    stack.field("down")
    look(stack.home / "logs", token)


def look(folder: Path, token: str) -> None:
    """Every line of ours is one object with fields of the list; no log at all has a canary."""
    kinds = {field.name: {"string": str, "number": int}[field.kind] for field in FIELDS}
    always = {field.name for field in FIELDS if field.always}
    for role in ROLES:
        raw = (folder / f"{role}.log").read_bytes()
        assert raw.endswith(b"\n")
        for line in raw.decode().split("\n")[:-1]:
            found: dict[str, Any] = json.loads(line)
            assert always <= set(found) <= set(kinds), line
            assert all(isinstance(value, kinds[name]) for name, value in found.items()), line
            assert found["service.node.role"] == role
            assert found["message"].isprintable(), line
    for path in sorted(folder.iterdir()):
        text = path.read_text(errors="replace")
        at = max(text.find(CANARY), text.find(token))
        assert at < 0, f"{path.name}: {text[max(0, at - 300) : at + 100]}"


async def speak(stack: Stack, token: str) -> None:
    """Everything that may be said to a gateway, good and bad; what it answers is no matter here."""
    settings = context.load(stack.environ)
    base = f"http://127.0.0.1:{settings.gateway_port}"
    bearer = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=base, timeout=20) as client:
        sync = "/api/consciousness/sync"
        calls = [client.post(sync, json=event, headers=bearer) for event in events()]
        calls += [client.post(sync, content=line, headers=bearer) for line in bad_lines()]
        calls += [client.post(sync, json=events(), headers={"authorization": f"Bearer {CANARY}.{CANARY}"})]
        calls += [client.get(path) for path in paths(token)]
        await asyncio.gather(*calls, return_exceptions=True)
    for query in (f"?token={token}", f"?token={CANARY}", f"?devices={CANARY}"):
        with contextlib.suppress(OSError, TimeoutError, WebSocketException):
            async with connect(f"ws://127.0.0.1:{settings.gateway_port}/api/consciousness/ws{query}") as socket:
                for said in (json.dumps({"type": "subscribe", "rooms": [f"room-{CANARY}"]}), CANARY, "{" + FORGED):
                    await socket.send(said)
                await asyncio.wait_for(socket.recv(), 5)
    _, writer = await asyncio.open_connection("127.0.0.1", settings.gateway_port)
    writer.write(f"GET /{CANARY} HTTP/1.1\r\nbad header {FORGED}\r\n\r\n".encode())
    await writer.drain()
    writer.close()


def paths(token: str) -> list[str]:
    api = "/api/consciousness"
    return [
        f"{api}/rooms/room-{CANARY}", f"{api}/rooms/{CANARY}%0d%0a%1b[2J", f"/{CANARY}", f"{api}/state?token={token}",
        f"{api}/archaeology?device_id=device-{CANARY}", f"{api}/history?resolution={CANARY}",
        f"{api}/stream?rooms={CANARY}&last_event_id={CANARY}", f"/api/trpc/consciousness.room64?input={CANARY}",
        f"/api/trpc/{CANARY}?input=%7B%22{CANARY}%0d%0a",
    ]  # fmt: skip


def events() -> list[dict[str, Any]]:
    base = {
        "device_id": f"device-{CANARY}", "user_id": f"user-{CANARY}", "room_id": f"room-{CANARY}", "intensity": 0.5,
        "timestamp": int(time.time() * 1000), "v": 1,
    }  # fmt: skip
    said = [
        ("BREATH", {"phase": 1.0}), ("TOUCH", {"target_device": f"target-{CANARY}"}),
        ("SACRED_PHRASE", {"phrase": CANARY}), ("SACRED_PHRASE", {"phrase": "a" * 64, "language": CANARY}),
        ("SPIRAL", {CANARY: CANARY}), (CANARY, {}),
    ]  # fmt: skip
    return [{**base, "id": str(uuid.uuid4()), "type": kind, "data": data} for kind, data in said]


def bad_lines() -> list[bytes]:
    good = events()[0]
    odd = [{**good, "device_id": FORGED}, {**good, "timestamp": CANARY}, {**good, "type": FORGED}]
    odd += [{**good, "intensity": CANARY}, {**good, "room_id": f"{CANARY} \x1b[2J"}]
    plain = [b"{" + CANARY.encode(), b'"\\ud800' + CANARY.encode(), b"\xff\xfe" + CANARY.encode()]
    return [json.dumps(event).encode() for event in odd] + plain + [FORGED.replace("\n", "").encode()]


def log(stack: Stack, role: str) -> str:
    path = stack.home / "logs" / f"{role}.log"
    return path.read_text() if path.exists() else ""


def everything(stack: Stack) -> str:
    return "".join(log(stack, role) for role in ROLES)
