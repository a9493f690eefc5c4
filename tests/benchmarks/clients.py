"""The clients of the gateway's benchmarks, each kind a process of its own: listeners, senders, a bare producer.

An event's id holds the time at which its request was sent, in nanoseconds of the clock that all processes share.
A child says "ready" or why it is not; then it works until its time is over or its standard input ends, and says what
it has found as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import uvloop
from aiokafka import AIOKafkaProducer

READY_S = 60.0
DEVICES = 2_000
ID = re.compile(rb'"id":"([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-beef-')
ID_BYTES = 30
SUBSCRIBE = b'{"type":"subscribe","filters":{"include":["events"]}}'
SOCKET = (
    "GET /api/consciousness/ws HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
MARKS = {"warm": "0000", "counted": "beef"}
FLOOR_TOPIC = "bench.floor"
FLOOR_PARTITIONS = 4


def delays(found: list[float]) -> dict[str, float]:
    """Percentiles in milliseconds, and how many they are of."""
    if not found:
        return {"count": 0}
    p50, p95, p99 = np.percentile(found, (50, 95, 99))
    most = round(max(found), 1)
    return {"count": len(found), "p50": round(p50, 1), "p95": round(p95, 1), "p99": round(p99, 1), "max": most}


class Ear(asyncio.Protocol):
    """One listener. ``heard`` None: it takes all and looks at nothing; ``slow``: it takes nothing more.

    ``path`` "": over WebSocket. It answers no ping: after FIELD_PUSH_STALE_S the gateway lets it go.
    """

    def __init__(self, path: str, heard: list[float] | None, slow: bool, ready: Callable[[str], None]) -> None:
        self._path = path
        self._heard = heard
        self._slow = slow
        self._ready = ready
        self._known = False
        self._rest = b""
        self.bytes = 0
        self.bye = b""
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        plain = f"GET {self._path} HTTP/1.1\r\nHost: bench\r\n\r\n"
        self._transport.write((plain if self._path else SOCKET).encode())

    def data_received(self, data: bytes) -> None:
        now = time.time_ns()
        self.bytes += len(data)
        if not self._known:
            self._known = True
            status = data.split(b"\r\n", 1)[0]
            good = (b" 200 " if self._path else b" 101 ") in status + b" "
            self._ready("" if good else f"a listener was answered {status!r}")
            if not self._path:
                self._transport.write(bytes((0x81, 0x80 | len(SUBSCRIBE), 0, 0, 0, 0)) + SUBSCRIBE)  # a mask of zeros
            if self._slow:
                self._transport.pause_reading()
        if b"event: bye" in data:
            self.bye = data[data.index(b"event: bye") :]
        if self._heard is None:
            return
        data = self._rest + data
        end = 0
        for found in ID.finditer(data):
            self._heard.append((now - int(found[1] + found[2] + found[3], 16)) / 1e6)
            end = found.end()
        self._rest = data[max(end, len(data) - ID_BYTES) :]

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        if not self._known:
            self._ready(f"a listener was cut off: {error!r}")


async def listen(given: dict[str, Any]) -> dict[str, Any]:
    """``count`` listeners of ``path``, of which ``slow`` take nothing and ``look`` others measure all they hear.

    ``sockets`` of ten listen over WebSocket instead.
    """
    loop = asyncio.get_running_loop()
    heard: list[float] = []
    answered: asyncio.Queue[str] = asyncio.Queue()
    ears = []
    for number in range(given["count"]):
        slow = number < given["slow"]
        looks = given["slow"] <= number < given["slow"] + given["look"]
        path = "" if number % 10 < given.get("sockets", 0) else given["path"]
        ear = Ear(path, heard if looks else None, slow, answered.put_nowait)
        ears.append(ear)
        await loop.create_connection(lambda ear=ear: ear, given["host"], given["port"])  # type: ignore[misc]
    for _ in ears:
        if why := await asyncio.wait_for(answered.get(), READY_S):
            raise SystemExit(why)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    takers = ears[given["slow"] :]
    return {
        "pushed_ms": delays(heard),
        "takers_lost": sum(ear.lost for ear in takers),
        "bytes": sum(ear.bytes for ear in takers),
        "byes": sorted({ear.bye.decode() for ear in takers if ear.bye}),
    }


class Sender(asyncio.Protocol):
    """One connection that is kept, with one request at a time."""

    def __init__(self) -> None:
        self._got = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def post(self, body: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """(status, body) of the answer."""
        self._answer = asyncio.get_running_loop().create_future()
        head = f"Host: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        self._transport.write(b"POST /api/consciousness/sync HTTP/1.1\r\n" + head + body)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, gap, body = self._got.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if gap and length and len(body) >= int(length[1]) and self._answer is not None:
            self._got = b""
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"a sender was cut off: {error!r}"))


def body_of(batch: int, first: int, mark: str, now_ns: int) -> bytes:
    """A request of ``batch`` events, all sent at ``now_ns``."""
    stamp = f"{now_ns:016x}"
    head = f"{stamp[:8]}-{stamp[8:12]}-{stamp[12:]}-{mark}"
    return json.dumps(
        [
            {
                "id": f"{head}-{(first + n) % (1 << 48):012x}", "type": "TOUCH", "intensity": 0.5, "v": 1,
                "device_id": f"bench-{(first + n) * 7919 % DEVICES}", "timestamp": now_ns // 1_000_000,
            }
            for n in range(batch)
        ]
    ).encode()  # fmt: skip


async def send(given: dict[str, Any]) -> dict[str, Any]:
    """``rate`` events a second in requests of ``batch``, evenly, over ``count`` connections; first ``warm_s``.

    When its time is over it stops, however far behind it is.

    Beside it a bare producer sends ``probe`` records a second to the same broker: the floor under the same load.
    """
    loop = asyncio.get_running_loop()
    free: asyncio.Queue[Sender] = asyncio.Queue()
    for _ in range(given["count"]):
        free.put_nowait((await loop.create_connection(Sender, given["host"], given["port"]))[1])
    answered: list[float] = []
    late: list[float] = []
    statuses: dict[int, int] = {}
    print("ready", flush=True)

    async def one(sender: Sender, number: int, counted: bool) -> None:
        now = time.time_ns()
        mark = MARKS["counted" if counted else "warm"]
        status, body = await sender.post(body_of(given["batch"], number * given["batch"], mark, now))
        if counted:
            answered.append((time.time_ns() - now) / 1e6)
            good = status == 200 and b'"accepted":%d,' % given["batch"] in body
            statuses[status if good or status != 200 else 207] = statuses.get(status, 0) + 1
        free.put_nowait(sender)

    pause = given["batch"] / given["rate"]
    total_s = given["warm_s"] + given["seconds"]
    probing = asyncio.create_task(produce(given["kafka"], given["probe"], given["batch"], total_s, given["warm_s"]))
    async with asyncio.TaskGroup() as tasks:
        began = time.perf_counter()
        sent = 0
        for number in range(int(total_s / pause)):
            due = began + number * pause
            if time.perf_counter() - began > total_s:
                break
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sender = await free.get()
            counted = time.perf_counter() - began >= given["warm_s"]
            if counted:
                late.append((time.perf_counter() - due) * 1e3)
            tasks.create_task(one(sender, number, counted))
            sent += 1
    took_s = time.perf_counter() - began
    return {
        "acknowledged_ms": delays(answered),
        "sent_late_ms": delays(late),
        "probe_ms": await probing,
        "statuses": statuses,
        "events_per_s": round(sent * given["batch"] / took_s),
    }


async def produce(brokers: str, rate: float, batch: int, seconds: float, warm_s: float) -> dict[str, float]:
    """A bare producer, all replicas, no lingering: milliseconds from a record sent until it is acknowledged."""
    found: list[float] = []

    async def one(number: int, counted: bool) -> None:
        now = time.time_ns()
        value = body_of(batch, number * batch, MARKS["warm"], now)
        await producer.send_and_wait(FLOOR_TOPIC, value, partition=number % FLOOR_PARTITIONS)
        if counted:
            found.append((time.time_ns() - now) / 1e6)

    producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all", linger_ms=0)
    await producer.start()
    try:
        async with asyncio.TaskGroup() as tasks:
            began = time.perf_counter()
            for number in range(int(seconds * rate)):
                await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
                tasks.create_task(one(number, number / rate >= warm_s))
    finally:
        await producer.stop()
    return delays(found)


async def floor(given: dict[str, Any]) -> dict[str, Any]:
    """The bare producer alone, with as many records as there would be requests."""
    print("ready", flush=True)
    rate = given["rate"] / given["batch"]
    return {"floor_ms": await produce(given["kafka"], rate, given["batch"], given["seconds"] + 1, 1.0)}


class Child:
    """One of these kinds as a process; ``start`` returns when it is ready, ``end`` gives what it has found."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    @classmethod
    async def start(cls, kind: str, **given: Any) -> Child:
        """Raises SystemExit with what it says instead of being ready."""
        pipe = asyncio.subprocess.PIPE
        words = (sys.executable, "-m", "tests.benchmarks.clients", kind, json.dumps(given))
        child = cls(await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, limit=1 << 22))
        assert child._process.stdout is not None
        said = await asyncio.wait_for(child._process.stdout.readline(), READY_S)
        if said != b"ready\n":
            await child._process.wait()
            raise SystemExit(f"{kind}: {said.decode().strip() or 'it ended; the lines above say why'}")
        return child

    async def end(self) -> dict[str, Any]:
        """Closes its standard input and waits for it."""
        said, _ = await self._process.communicate(b"")  # without input it would leave the pipe open
        if self._process.returncode:
            raise SystemExit("a client failed; the lines above say why")
        return dict(json.loads(said.splitlines()[-1]))

    def kill(self) -> None:
        """Where it is not over yet."""
        if self._process.returncode is None:
            self._process.kill()


if __name__ == "__main__":
    kinds = {"listen": listen, "send": send, "floor": floor}
    print(json.dumps(uvloop.run(kinds[sys.argv[1]](json.loads(sys.argv[2])))))
