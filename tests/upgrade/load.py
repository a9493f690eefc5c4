"""Clients that never stop: devices that send and dashboards that read, at whatever gateways are in the service."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

DEVICES: Final = 20
EVERY_S: Final = 0.2
READERS: Final = 4
ROOMS: Final = ("hall", "garden", "well")
PATHS: Final = ("/state", "/rooms", "/entanglements")


@dataclass
class Clients:
    """``service``: addresses of gateways, as a Service of Kubernetes would have those that are ready."""

    service: list[str]
    seed: int
    statuses: Counter[str] = field(default_factory=Counter)
    """answers by status; ``none``: a connection that was refused or cut"""
    acknowledged: set[str] = field(default_factory=set)
    """ids of events that a gateway has said are stored"""
    longest_s: float = 0.0
    """that an event waited for its acknowledgement, with all tries"""
    _over: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Clients:
        self._client = httpx.AsyncClient(timeout=30)
        self._tasks = [asyncio.create_task(self._device(number)) for number in range(DEVICES)]
        self._tasks += [asyncio.create_task(self._reader(number)) for number in range(READERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)
        await self._client.aclose()

    @property
    def failed(self) -> dict[str, int]:
        """Everything that was not answered well."""
        return {status: count for status, count in sorted(self.statuses.items()) if status != "200"}

    async def _device(self, number: int) -> None:
        chance = random.Random(f"{self.seed}/{number}")
        for seq in itertools.count(1):
            if self._over:
                return
            event = self._event(chance, f"phone-{number}", seq)
            began = time.monotonic()
            stored = False
            while not stored:
                stored = await self._stored(event)
                await asyncio.sleep(0 if stored else 0.05)
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            await asyncio.sleep(EVERY_S)

    async def _stored(self, event: dict[str, Any]) -> bool:
        answer = await self._ask("POST", "/sync", json=[event])
        if answer is None or answer.status_code != 200 or answer.json()["accepted"] != 1:
            return False
        self.acknowledged.add(event["id"])
        return True

    async def _reader(self, number: int) -> None:
        for turn in itertools.count(number):
            if self._over:
                return
            await self._ask("GET", PATHS[turn % len(PATHS)])
            await asyncio.sleep(EVERY_S)

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        try:
            where = random.choice(self.service)
            answer = await self._client.request(method, f"{where}/api/consciousness{path}", **more)
        except httpx.HTTPError:
            self.statuses["none"] += 1
            return None
        self.statuses[str(answer.status_code)] += 1
        return answer

    @staticmethod
    def _event(chance: random.Random, device: str, seq: int) -> dict[str, Any]:
        return {
            "id": str(uuid.UUID(int=chance.getrandbits(128), version=4)), "type": "BREATH", "device_id": device,
            "room_id": chance.choice(ROOMS), "timestamp": int(time.time() * 1000), "seq": seq, "v": 1,
            "intensity": round(chance.random(), 3), "data": {"phase": round(chance.random() * 6, 3), "rate": 12},
        }  # fmt: skip
