"""The field as it is: state, the whole snapshot, rooms, entanglements and particles."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from projections.gateway import cursors
from projections.gateway.answers import Brief, Pairs, Particles, Reflects, Rooms, brief
from projections.gateway.at_least import at_least
from projections.gateway.cache_headers import respond
from projections.gateway.context import Gateway, gateway_of
from projections.gateway.parameters import Parameters, checked_id
from projections.gateway.positions import Positions, reached
from projections.gateway.problems import Problem
from projections.gateway.written import Box
from streams.fold.reading import RoomReading

ROOMS: Final = (100, 500)
PAIRS: Final = (200, 1_000)
PARTICLES: Final = (200, 1_000)
"""Rows of a page: where nothing is said, and at most."""


async def read_state(gateway: Gateway, at_least: Positions) -> tuple[Brief, Reflects]:
    """The brief."""
    held = await gateway.reader.read(at_least)
    return brief(held.field), gateway.reader.reflects(held)


async def read_rooms(
    gateway: Gateway, limit: int = ROOMS[0], cursor: str | None = None, at_least: Positions | None = None
) -> tuple[Rooms, Reflects]:
    """Open rooms by name; where the snapshot does not have all of them, as of their last events from the database."""
    after = cursors.read(cursor, "rooms", str)
    held = await gateway.reader.read(at_least, "rooms")
    field, reflects = held.field, gateway.reader.reflects(held, "rooms")
    rooms = [room for room in field.rooms if after is None or room.room_id > after[0]]
    truncated = field.rooms_open > len(field.rooms)
    if truncated:
        told = await gateway.reader.cold.rooms(field.generation, field.at, after[0] if after else "", limit + 1)
        if told is not None and (not at_least or reached(told[0], at_least)):
            truncated, rooms, reflects = False, told[1], gateway.reader.from_lists(reflects, told[0])
    page, more = rooms[:limit], len(rooms) > limit
    following = cursors.make("rooms", page[-1].room_id) if more else None
    return Rooms(page, field.rooms_open, following, truncated), reflects


async def read_room(gateway: Gateway, room: str, at_least: Positions | None = None) -> tuple[RoomReading, Reflects]:
    """One room, open or over; raises Problem: 404, or 503 when only the database could tell."""
    held = await gateway.reader.read(at_least, "rooms")
    reflects = gateway.reader.reflects(held, "rooms")
    for found in held.field.rooms:
        if found.room_id == room:
            return found, reflects
    told = await gateway.reader.cold.room(held.field.generation, room, held.field.at)
    if told is None:
        raise Problem(503, "database_away", f"{room} is not open, and the database does not answer", retry_after_s=2)
    positions, stored = told
    if stored is None or (at_least and not reached(positions, at_least)):
        raise Problem(404, "no_such_room", f"nobody was ever in {room}, as far as is known")
    return stored, gateway.reader.from_lists(reflects, positions)


async def read_pairs(
    gateway: Gateway,
    device: str | None = None,
    limit: int = PAIRS[0],
    cursor: str | None = None,
    at_least: Positions | None = None,
) -> tuple[Pairs, Reflects]:
    """Living entanglements by name, of all or of one device; where the snapshot lacks some, from the database."""
    after = cursors.read(cursor, "pairs", str, str)
    held = await gateway.reader.read(at_least, "pairs")
    field, reflects = held.field, gateway.reader.reflects(held, "pairs")
    pairs = [
        pair
        for pair in field.pairs
        if (device is None or device in (pair.low, pair.high)) and (after is None or (pair.low, pair.high) > after)
    ]
    truncated = field.entanglements_living > len(field.pairs)
    if truncated:
        low, high = after or ("", "")
        told = await gateway.reader.cold.pairs(field.generation, field.at, (low, high), limit + 1, device)
        if told is not None and (not at_least or reached(told[0], at_least)):
            truncated, pairs, reflects = False, told[1], gateway.reader.from_lists(reflects, told[0])
    page, more = pairs[:limit], len(pairs) > limit
    following = cursors.make("pairs", page[-1].low, page[-1].high) if more else None
    return Pairs(page, field.entanglements_living, following, truncated), reflects


async def read_particles(
    gateway: Gateway,
    box: Box | None = None,
    limit: int = PARTICLES[0],
    cursor: str | None = None,
    at_least: Positions | None = None,
) -> tuple[Particles, Reflects]:
    """Memory particles, newest first."""
    after = cursors.read(cursor, "particles", int, str, str)
    held = await gateway.reader.read(at_least, "particles")
    found = [
        one
        for one in reversed(held.field.particles)
        if (after is None or (one.timestamp, one.id, one.device_id) < after) and (box is None or box.has(one.x, one.y))
    ]
    page, more = found[:limit], len(found) > limit
    following = cursors.make("particles", page[-1].timestamp, page[-1].id, page[-1].device_id) if more else None
    total = brief(held.field).particles
    return Particles(page, total, following), gateway.reader.reflects(held, "particles")


async def state(request: Request) -> Response:
    started_s, gateway = time.perf_counter(), gateway_of(request)
    given = Parameters(request, "at_least")
    data, reflects = await read_state(gateway, await at_least(gateway, given))
    content = msgspec.structs.replace(data, at=0)
    return respond(request, data, reflects, gateway.reader.performance, started_s, content)


async def snapshot(request: Request) -> Response:
    started_s, gateway = time.perf_counter(), gateway_of(request)
    given = Parameters(request, "at_least")
    held = await gateway.reader.read(await at_least(gateway, given), "all")
    raw, content = gateway.reader.encoded(held)
    reflects = gateway.reader.reflects(held, "all")
    return respond(request, raw, reflects, gateway.reader.performance, started_s, content)


async def rooms(request: Request) -> Response:
    started_s, gateway = time.perf_counter(), gateway_of(request)
    given = Parameters(request, "limit", "cursor", "at_least")
    wanted = await at_least(gateway, given)
    data, reflects = await read_rooms(gateway, given.limit(*ROOMS), given.text("cursor"), wanted)
    return respond(request, data, reflects, gateway.reader.performance, started_s)


async def room(request: Request) -> Response:
    started_s, gateway = time.perf_counter(), gateway_of(request)
    given = Parameters(request, "at_least")
    name = checked_id("room_id", request.path_params["room_id"])
    data, reflects = await read_room(gateway, name, await at_least(gateway, given))
    return respond(request, data, reflects, gateway.reader.performance, started_s)


async def entanglements(request: Request) -> Response:
    started_s, gateway = time.perf_counter(), gateway_of(request)
    given = Parameters(request, "device", "limit", "cursor", "at_least")
    wanted = await at_least(gateway, given)
    device, limit = given.id("device"), given.limit(*PAIRS)
    data, reflects = await read_pairs(gateway, device, limit, given.text("cursor"), wanted)
    return respond(request, data, reflects, gateway.reader.performance, started_s)


async def particles(request: Request) -> Response:
    started_s, gateway = time.perf_counter(), gateway_of(request)
    given = Parameters(request, "box", "limit", "cursor", "at_least")
    wanted = await at_least(gateway, given)
    box, limit = given.box(), given.limit(*PARTICLES)
    data, reflects = await read_particles(gateway, box, limit, given.text("cursor"), wanted)
    return respond(request, data, reflects, gateway.reader.performance, started_s)


def routes() -> Sequence[BaseRoute]:
    return (
        Route("/api/consciousness/state", state),
        Route("/api/consciousness/snapshot", snapshot),
        Route("/api/consciousness/rooms", rooms),
        Route("/api/consciousness/rooms/{room_id}", room),
        Route("/api/consciousness/entanglements", entanglements),
        Route("/api/consciousness/particles", particles),
    )
