"""Devices and dashboards as cheap as they can be, in processes apart from what is measured; a bare line to Kafka.

    python -m tests.benchmarks.push_clients speak|listen|probe JSON

Each takes what it should do as JSON, says ``ready`` when all its connections are there, begins (or ends) with a line on
standard input and prints one line of JSON. The time of sending travels in each event's id, whose first 16 digits are
nanoseconds; all processes share the machine's clock. Nothing here decodes JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import sys
import time
from array import array
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

STAMP: Final = re.compile(rb'"id":"([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-[^{}]*')
RECEIVED: Final = re.compile(rb'"received":(\d{13})')
BUFFER_BYTES: Final = 1 << 18
KINDS: Final = (
    '"type":"BREATH","data":{"phase":1.57,"rate":12}', '"type":"BREATH","data":{"phase":-0.5}',
    '"type":"TOUCH","data":{"pressure":0.4}', '"type":"SPIRAL","data":{"angle":1.2,"turns":3}',
    '"type":"BREATH","data":{"phase":3.05,"rate":11}', '"type":"BLOOM","data":{"petals":8}',
)  # fmt: skip


class Task(msgspec.Struct):
    """What a process does: ``count`` connections; ``rate`` events a second of all, ``batch`` in a request."""

    host: str
    port: int
    count: int
    rate: float = 0.0
    batch: int = 10
    seconds: float = 0.0
    over: str = "sse"
    """what listeners come over: sse, ws, both"""
    sample: int = 1
    """listeners look at the times in one of so many chunks"""
    brokers: str = ""
    topic: str = ""


def delays(found: Sequence[float]) -> dict[str, float]:
    """Milliseconds, and how many they are of."""
    if not len(found):
        return {"count": 0}
    p50, p95, p99 = np.percentile(found, (50, 95, 99))
    return {"count": len(found), "p50_ms": round(p50, 1), "p95_ms": round(p95, 1), "p99_ms": round(p99, 1)}


def events(number: int, batch: int, now_ns: int, seq: int, epoch: int) -> bytes:
    """A request's body: one device's ``batch`` events, half of the devices in 20 rooms."""
    room = f'"room_id":"hall-{number % 20}",' if number % 2 else ""
    stamp = f"{now_ns:016x}"
    head = f'{{"id":"{stamp[:8]}-{stamp[8:12]}-{stamp[12:]}-'
    rest = (
        f'"device_id":"bench-{number}",{room}"epoch":{epoch},"intensity":0.5,"v":1,"timestamp":{now_ns // 1_000_000},'
    )
    place = f'"position":{{"x":{number % 10}.5,"y":{number // 10}.25}},'
    return (
        "["
        + ",".join(
            f'{head}{number:04x}-{seq + at:012x}",{rest}{place}"seq":{seq + at},{KINDS[(seq + at) % len(KINDS)]}}}'
            for at in range(batch)
        )
        + "]"
    ).encode()


class Device(asyncio.Protocol):
    """One connection that is kept; one request at a time, as an HTTP client of a device does."""

    def __init__(self, number: int, task: Task, answered: array[float]) -> None:
        self.refused = 0
        self.late: float = 0.0
        self.sent = 0
        self.free = asyncio.Event()
        self.free.set()
        self._number = number
        self._task = task
        self._answered = answered
        self._left_ns = 0
        self._had = bytearray()
        self._transport: Any = None
        self._head = (
            f"POST /api/consciousness/sync HTTP/1.1\r\nHost: {task.host}:{task.port}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    async def run(self, epoch: int) -> None:
        """Requests at an even pace from now on, each device's own share of a round later than the one before."""
        every_s = self._task.batch * self._task.count / self._task.rate
        due = time.monotonic() + every_s * self._number / self._task.count
        end = due + self._task.seconds
        while due < end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self.free.wait()
            self.late = max(self.late, time.monotonic() - due)
            self.free.clear()
            self._left_ns = time.time_ns()
            body = events(self._number, self._task.batch, self._left_ns, self.sent, epoch)
            self.sent += self._task.batch
            self._transport.write(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
            due += every_s
        async with asyncio.timeout(30):
            await self.free.wait()

    def data_received(self, data: bytes) -> None:
        now_ns = time.time_ns()
        self._had += data
        end = self._had.find(b"\r\n\r\n")
        if end < 0:
            return
        length = re.search(rb"(?i)content-length: (\d+)", self._had[:end])
        assert length is not None
        if len(self._had) < end + 4 + int(length[1]):
            return
        if self._had.startswith(b"HTTP/1.1 200") and b'"rejected":0' in self._had:
            self._answered.append((now_ns - self._left_ns) / 1e6)
        else:
            self.refused += 1
        self._had.clear()
        self.free.set()


class Ear(asyncio.BufferedProtocol):
    """One listener. ``whole``: it counts what it hears; every ``sample``-th chunk of all ears is looked into."""

    buffer = bytearray(BUFFER_BYTES)
    chunks = 0
    bytes = 0
    pushed: array[float] = array("d")
    logged: array[float] = array("d")

    def __init__(self, task: Task, socket: bool, whole: bool) -> None:
        self.heard = 0
        self.ready = asyncio.get_running_loop().create_future()
        self.bye = b""
        self.lost = False
        self._task = task
        self._socket = socket
        self._whole = whole
        self._rest = b""
        self._begun = False
        self._skip = 0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        path = "ws HTTP/1.1" if self._socket else "stream?include=events HTTP/1.1"
        lines = [f"GET /api/consciousness/{path}", f"Host: {self._task.host}:{self._task.port}"]
        if self._socket:
            key = b64encode(os.urandom(16)).decode()
            lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
            lines += [f"Sec-WebSocket-Key: {key}"]
        self._transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def get_buffer(self, sizehint: int) -> bytearray:
        return Ear.buffer

    def buffer_updated(self, count: int) -> None:
        now_ns = time.time_ns()
        Ear.chunks += 1
        Ear.bytes += count
        look = Ear.chunks % self._task.sample == 0
        if not self._begun:
            self._begin(bytes(Ear.buffer[:count]))
        elif self._socket:
            self._frames(memoryview(Ear.buffer)[:count])
        if look or self._whole or count < 200:
            chunk = bytes(Ear.buffer[:count])
            if look:
                self._times(chunk, now_ns)
            if self._whole:
                chunk = self._rest + chunk
                self.heard += chunk.count(b'"received":')
                self._rest = chunk[-10:]
            if count < 200 and b"reason" in chunk:
                self.bye = chunk

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(f"not let in: {error}"))

    def _begin(self, chunk: bytes) -> None:
        self._rest += chunk
        if b"\r\n\r\n" not in self._rest:
            return
        if self._socket:
            assert b" 101 " in self._rest, self._rest
            said = b'{"type":"subscribe","filters":{"include":["events"]}}'
            self._transport.write(bytes([0x81, 0x80 | len(said), 0, 0, 0, 0]) + said)  # a mask of zeros
        else:
            assert b" 200 " in self._rest, self._rest
        self._begun, self._rest = True, b""
        self.ready.set_result(None)

    def _frames(self, data: memoryview) -> None:
        """Walk over WebSocket frames to find the pings among them; headers cut in two are put together."""
        at = self._skip
        if self._rest and not self._whole:
            data = memoryview(self._rest + data)
            self._rest, at = b"", 0
        while at < len(data):
            short = data[at + 1] if at + 1 < len(data) else 0
            size = 2 + (2 if short == 126 else 8 if short == 127 else 0)
            if len(data) - at < size:
                self._rest, at = bytes(data[at:]), len(data)
                break
            length = short if size == 2 else int.from_bytes(data[at + 2 : at + size], "big")
            if data[at] == 0x89:
                self._transport.write(bytes([0x8A, 0x80 | length, 0, 0, 0, 0]) + data[at + 2 : at + 2 + length])
            at += size + length
        self._skip = at - len(data)

    def _times(self, chunk: bytes, now_ns: int) -> None:
        for found in STAMP.finditer(chunk):
            sent_ns = int(b"".join(found.groups()), 16)
            Ear.pushed.append((now_ns - sent_ns) / 1e6)
        for found in RECEIVED.finditer(chunk):
            Ear.logged.append(now_ns / 1e6 - int(found[1]))


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def line() -> None:
    await asyncio.to_thread(sys.stdin.readline)


async def speak(task: Task) -> dict[str, Any]:
    """All requests, then what became of them."""
    answered = array("d")
    loop = asyncio.get_running_loop()
    devices = []
    for number in range(task.count):
        device = Device(number, task, answered)
        await loop.create_connection(lambda device=device: device, task.host, task.port)  # type: ignore[misc]
        devices.append(device)
    print("ready", flush=True)
    await line()
    began, cpu = time.monotonic(), cpu_s()
    await asyncio.gather(*(device.run(time.time_ns() // 1_000_000) for device in devices))
    took_s = time.monotonic() - began
    return {
        "acknowledged": delays(answered),
        "events": len(answered) * task.batch,
        "events_per_s": round(sum(device.sent for device in devices) / task.seconds),
        "refused_requests": sum(device.refused for device in devices),
        "late_ms_max": round(1e3 * max(device.late for device in devices), 1),
        "cores": round((cpu_s() - cpu) / took_s, 2),
    }


async def listen(task: Task) -> dict[str, Any]:
    """Hear until told to end. Of WebSockets none is whole: the walk over frames has its own rest."""
    loop = asyncio.get_running_loop()
    ears = []
    for number in range(task.count):
        socket = task.over == "ws" or (task.over == "both" and number % 2 == 1)
        ear = Ear(task, socket, number == 0 and not socket)
        await loop.create_connection(lambda ear=ear: ear, task.host, task.port)  # type: ignore[misc]
        await ear.ready
        ears.append(ear)
    print("ready", flush=True)
    began, cpu = time.monotonic(), cpu_s()
    await line()
    took_s = time.monotonic() - began
    return {
        "pushed": delays(Ear.pushed),
        "from_log": delays(Ear.logged),
        "heard_by_one": ears[0].heard,
        "let_go": sum(bool(ear.bye) for ear in ears),
        "chunks_per_s": round(Ear.chunks / took_s),
        "mb_per_s": round(Ear.bytes / took_s / 1e6, 1),
        "cores": round((cpu_s() - cpu) / took_s, 2),
    }


async def probe(task: Task) -> dict[str, Any]:
    """The floor: ``rate`` records a second of ``batch`` events by aiokafka, acknowledged by all, and read again."""
    acked, read = array("d"), array("d")
    producer = AIOKafkaProducer(bootstrap_servers=task.brokers, acks="all", enable_idempotence=True, linger_ms=0)
    consumer = AIOKafkaConsumer(task.topic, bootstrap_servers=task.brokers, auto_offset_reset="latest")
    await producer.start()
    await consumer.start()
    over = asyncio.Event()

    async def hear() -> None:
        async for record in consumer:
            read.append((time.time_ns() - int(record.key)) / 1e6)

    async def send(number: int) -> None:
        now_ns = time.time_ns()
        body = events(number % 100, task.batch, now_ns, number, 1)
        await producer.send_and_wait(task.topic, body, key=b"%d" % now_ns)
        acked.append((time.time_ns() - now_ns) / 1e6)

    try:
        await send(0)
        hearing = asyncio.create_task(hear())
        print("ready", flush=True)
        ending = asyncio.create_task(line())
        ending.add_done_callback(lambda _: over.set())
        acked, read, sends = array("d"), array("d"), set[asyncio.Task[None]]()
        began, cpu, number = time.monotonic(), cpu_s(), 0
        while not over.is_set() and (not task.seconds or time.monotonic() - began < task.seconds):
            number += 1
            sends.add(one := asyncio.create_task(send(number)))
            one.add_done_callback(sends.discard)
            await asyncio.sleep(max(0.0, began + number / task.rate - time.monotonic()))
        await asyncio.gather(*sends)
        cores = (cpu_s() - cpu) / (time.monotonic() - began)
        await asyncio.sleep(0.1)
        hearing.cancel()
        return {"acknowledged": delays(acked), "read": delays(read), "cores": round(cores, 2)}
    finally:
        await consumer.stop()
        await producer.stop()


def main() -> None:
    role, task = sys.argv[1], msgspec.json.decode(sys.argv[2], type=Task)
    roles = {"speak": speak, "listen": listen, "probe": probe}

    async def whole() -> None:
        print(json.dumps(await roles[role](task)), flush=True)
        os._exit(0)  # connections that are still open would be closed one by one, and a thread waits for a line

    uvloop.run(whole())


if __name__ == "__main__":
    main()
