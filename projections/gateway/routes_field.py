"""Field calculation and archaeology: how strongly the field is felt where, and what was."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from projections import field
from projections.gateway.answers import Reflects
from projections.gateway.archaeology import FILTERS, ROWS, filters_of
from projections.gateway.at_least import at_least
from projections.gateway.cache_headers import respond
from projections.gateway.calculator import Asked, FieldStrength
from projections.gateway.context import Gateway, gateway_of
from projections.gateway.digging import KINDS
from projections.gateway.parameters import Parameters, refused
from projections.gateway.positions import Positions
from streams.envelope import ANGLE

_GRID: Final = re.compile(r"([0-9]{1,5})(?:x([0-9]{1,5}))?")


async def read_strength(
    gateway: Gateway, asked: Asked, at_least: Positions | None = None
) -> tuple[FieldStrength, Reflects]:
    """The strength of the field as it is now; raises Problem."""
    held = await gateway.reader.read(at_least, "particles")
    reflects = gateway.reader.reflects(held, "particles")
    return await gateway.calculator.strength(held.field, reflects.positions, asked), reflects


def asked_of(given: Parameters) -> Asked:
    """What a request asks for; raises Problem (400)."""
    points, box = given.points("points", field.POINTS_MAX), given.box()
    if points and (given.text("grid") is not None or box is not None):
        raise refused("points", "have no grid and no box")
    if box is not None and not (box.x0 < box.x1 and box.y0 < box.y1):
        raise refused("box", "has no area")
    columns, rows = grid_of(given.text("grid"))
    return Asked(
        columns,
        rows,
        None if box is None else field.Box(*box),
        points,
        given.number("phase", -ANGLE, ANGLE),
        given.number("resonance", 0, 1),
    )


def grid_of(text: str | None) -> tuple[int, int]:
    """Columns and rows of ``64`` or ``80x60``; raises Problem (400)."""
    if text is None:
        return Asked().columns, Asked().rows
    match = _GRID.fullmatch(text)
    if match is None:
        raise refused("grid", "is neither a number of rows and columns, nor COLUMNSxROWS")
    columns, rows = int(match[1]), int(match[2] or match[1])
    if not 1 <= columns * rows <= field.CELLS_MAX:
        raise refused("grid", f"has 1 to {field.CELLS_MAX} cells, not {columns * rows}")
    return columns, rows


async def strength(request: Request) -> Response:
    started_s, gateway = time.perf_counter(), gateway_of(request)
    given = Parameters(request, "grid", "box", "points", "phase", "resonance", "at_least")
    asked = asked_of(given)
    data, reflects = await read_strength(gateway, asked, await at_least(gateway, given))
    said: Any = {"cached": False}
    content = msgspec.structs.replace(data, **said)
    return respond(request, data, reflects, gateway.calculator.performance, started_s, content)


async def dug(request: Request) -> Response:
    started_s, gateway = time.perf_counter(), gateway_of(request)
    given = Parameters(request, *FILTERS, "limit", "cursor")
    page = await gateway.archaeology.events(filters_of(given), given.limit(*ROWS), given.text("cursor"))
    return respond(request, *page, gateway.reader.performance, started_s, page[0], _still(page[1]))


async def patterns(request: Request) -> Response:
    started_s, gateway = time.perf_counter(), gateway_of(request)
    given = Parameters(request, *FILTERS, "kind")
    data, reflects = await gateway.archaeology.patterns(filters_of(given), given.some("kind", KINDS) or KINDS)
    return respond(request, data, reflects, gateway.reader.performance, started_s, bytes(data), _still(reflects))


def _still(reflects: Reflects) -> Reflects:
    """For the ETag: which positions they reflect moves on while rows of long ago stay."""
    none: Any = {"positions": {}}
    return msgspec.structs.replace(reflects, **none)


def routes() -> Sequence[BaseRoute]:
    return (
        Route("/api/consciousness/field", strength),
        Route("/api/consciousness/archaeology", dug),
        Route("/api/consciousness/archaeology/patterns", patterns),
    )
