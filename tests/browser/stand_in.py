"""A stand-in for the gateway's API: a seeded fleet, folded by the real fold, in the shapes that the page reads.

The page's tests need a gateway that falls silent, is cut off and comes back at their word, within one process.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from projections.gateway import pages
from streams.events import Event
from streams.fold.merge import FieldReading, merge
from streams.fold.rules import DEFAULT_RULES
from streams.fold.shard import Shard
from streams.fold.view import view
from streams.simulate import Fleet, Item, items
from streams.wire import to_plain

MINUTE_MS = 60_000
KEPT = 60_000
LISTS = ("rooms", "pairs")


class StandIn:
    """``silent``: nothing is told and every answer is old. ``cut``: no answer at all, and open streams end."""

    def __init__(self, devices: int = 60, rate: float = 20.0, seed: int = 7, past_s: float = 300.0) -> None:
        self.silent = False
        self.cut = False
        self.opted: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self._shard = Shard(0, 0, 1, DEFAULT_RULES)
        self._log: list[tuple[int, Event]] = []
        self._fleet: Iterator[Item] = items(Fleet(devices, rate, seed, int(time.time() * 1000 - past_s * 1000)))
        self._next = next(self._fleet)
        self._reading = self._fold()

    def _fold(self) -> FieldReading:
        now = int(time.time() * 1000)
        while self._next.at <= now:
            event = self._next.event
            assert isinstance(event, Event)
            self._shard.fold(event)
            self._log.append((self._next.at, event))
            self._next = next(self._fleet)
        del self._log[:-KEPT]
        self._shard.settle()
        self._shard.dirty.clear()
        return merge([view(self._shard)], now)

    async def run(self) -> None:
        """Goes on with the fleet until cancelled."""
        while True:
            await asyncio.sleep(0.1)
            if not self.silent:
                self._reading = self._fold()

    def reflects(self) -> dict[str, Any]:
        age = int(time.time() * 1000) - self._reading.at
        tier = "database" if self.silent else "redis"
        return {"tier": tier, "positions": {"0": len(self._log)}, "at": self._reading.at, "age_ms": age,
                "generation": "live", "stale": self.silent}  # fmt: skip

    def answer(self, data: Any) -> Response:
        return JSONResponse({"data": data, "reflects": self.reflects(), "performance": {}})

    def whole(self) -> dict[str, Any]:
        plain: dict[str, Any] = msgspec.to_builtins(self._reading)
        return plain | {"rooms_open": len(self._reading.rooms), "positions": {"0": len(self._log)}}

    def brief(self) -> dict[str, Any]:
        whole = self.whole()
        counts = {name: len(whole[name]) for name in ("particles", "quantum_fields")}
        return {name: value for name, value in whole.items() if name not in LISTS} | counts

    def points(self, begin: int, until: int) -> list[dict[str, Any]]:
        buckets: dict[int, dict[str, Any]] = {}
        for at, event in self._log:
            if begin <= at < until:
                start = at - at % MINUTE_MS
                point = buckets.setdefault(
                    start, {"bucket": start, "events": 0, "sum": 0.0, "weighed": 0, "who": set(), "counts": {}}
                )
                point["events"] += 1
                point["weighed"] += event.type in self._shard.weights
                point["sum"] += event.intensity / 1e6 * self._shard.weights.get(event.type, 0)
                point["who"].add(event.device_id)
                point["counts"][event.type] = point["counts"].get(event.type, 0) + 1
        return [
            {"bucket": p["bucket"], "events": p["events"], "active_nodes": len(p["who"]), "centre": None,
             "resonance": p["sum"] / max(1, p["weighed"]), "counts": p["counts"]}
            for p in buckets.values()
        ]  # fmt: skip

    def between(self, begin: int, until: int) -> list[tuple[int, Event]]:
        return [(at, event) for at, event in self._log if begin <= at < until]

    async def stream(self, begin: int | None, speed: float) -> AsyncIterator[bytes]:
        """As /stream: the past at ``speed`` when asked for, then what comes."""
        at = int(time.time() * 1000) if begin is None else begin
        joined, started, first = begin is None, time.time() * 1000, at
        while not self.cut:
            now = int(time.time() * 1000)
            until = now if joined else min(now, int(first + (now - started) * speed))
            if self.silent:
                yield b": heartbeat\n\n"
            else:
                if found := self.between(at, until):
                    yield message("events", {"events": [said(*one) for one in found]}, f"0:{until}")
                at = until
                if not joined and until >= now - 150:
                    joined = True
                    yield message("live", {})
                yield message("field", self.brief() | {"reflects": self.reflects()})
            await asyncio.sleep(0.25)


def said(at: int, event: Event) -> dict[str, Any]:
    """As /stream and /archaeology say an event."""
    return to_plain(event) | {"received": at, "log": {"partition": 0, "offset": at, "index": 0}}


def message(kind: str, data: Any, identity: str = "") -> bytes:
    head = f"id: {identity}\n" if identity else ""
    return f"{head}event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def moment(text: str) -> int:
    return int(text) if text.isdigit() else int(1000 * datetime.fromisoformat(text).timestamp())


def create_app(field: StandIn) -> Starlette:
    """The API of ``field`` and the real routes of the page."""

    async def snapshot(request: Request) -> Response:
        return field.answer(field.whole())

    async def room(request: Request) -> Response:
        found = [one for one in field.whole()["rooms"] if one["room_id"] == request.path_params["room"]]
        return field.answer(found[0]) if found else problem(404, "not_found")

    async def history(request: Request) -> Response:
        query = request.query_params
        points = field.points(moment(query["from"]), moment(query["until"]))
        return field.answer({"resolution": "1min", "points": points, "next": None})

    async def archaeology(request: Request) -> Response:
        query = request.query_params
        kinds = query.get("type", "").split(",") if query.get("type") else None
        found = field.between(moment(query["from"]), moment(query["until"]))
        events = [said(*one) for one in found if kinds is None or one[1].type in kinds]
        return field.answer({"events": events[: int(query["limit"])], "next": None})

    async def opt(request: Request) -> Response:
        body = await request.json()
        out = request.url.path.endswith("out")
        field.opted.append({"device_id": body["device_id"], "out": out})
        return JSONResponse({"device_id": body["device_id"], "out": out, "positions": {"0": 1}})

    async def stream(request: Request) -> Response:
        query = request.query_params
        begin = moment(query["from"]) if "from" in query else None
        return StreamingResponse(field.stream(begin, float(query.get("speed", 1))), media_type="text/event-stream")

    def open_(handler: Any) -> Any:
        async def guarded(request: Request) -> Response:
            field.asked.append(f"{request.method} {request.url.path}?{request.url.query}")
            del field.asked[:-500]
            answered: Response = problem(503, "away") if field.cut else await handler(request)
            return answered

        return guarded

    root = "/api/consciousness"
    return Starlette(
        routes=[
            Route(f"{root}/snapshot", open_(snapshot)),
            Route(f"{root}/rooms/{{room}}", open_(room)),
            Route(f"{root}/history", open_(history)),
            Route(f"{root}/archaeology", open_(archaeology)),
            Route(f"{root}/stream", open_(stream)),
            Route(f"{root}/opt-out", open_(opt), methods=["POST"]),
            Route(f"{root}/opt-in", open_(opt), methods=["POST"]),
            *pages.routes(),
        ]
    )


def problem(status: int, code: str) -> Response:
    return JSONResponse({"status": status, "code": code, "detail": "as the test wishes"}, status)
