"""What is served here, and how all parts are: alive and ready apart."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from projections.gateway.answers import About
from projections.gateway.context import Gateway, gateway_of
from projections.gateway.parameters import Parameters
from projections.gateway.problems import Problem, answer

LINKS: Final = {
    "self": "/api/",
    "health": "/api/health",
    "openapi": "/api/openapi.json",
    "state": "/api/consciousness/state",
    "snapshot": "/api/consciousness/snapshot",
    "metrics": "/api/consciousness/metrics",
    "history": "/api/consciousness/history",
    "rooms": "/api/consciousness/rooms",
    "room": "/api/consciousness/rooms/{room_id}",
    "entanglements": "/api/consciousness/entanglements",
    "particles": "/api/consciousness/particles",
    "field": "/api/consciousness/field",
    "archaeology": "/api/consciousness/archaeology",
    "patterns": "/api/consciousness/archaeology/patterns",
    "sync": "/api/consciousness/sync",
    "opt-out": "/api/consciousness/opt-out",
    "opt-in": "/api/consciousness/opt-in",
    "stream": "/api/consciousness/stream",
    "ws": "/api/consciousness/ws",
    "trpc": "/api/trpc/",
}
UNCACHED: Final = {"Cache-Control": "no-store"}


def _version() -> str:
    try:
        return version("the-field")
    except PackageNotFoundError:  # run from its folder, without being installed
        return "0"


async def about(request: Request) -> Response:
    Parameters(request)
    settings = gateway_of(request).settings
    found = About("the field", _version(), LINKS, bool(settings.gateway_key), bool(settings.pseudonym_key))
    return answer(found, headers={"Cache-Control": "no-cache"})


async def health(request: Request) -> Response:
    Parameters(request)
    gateway = gateway_of(request)
    return answer(gateway.watch.health(await ready(gateway)), headers=UNCACHED)


async def is_alive(request: Request) -> Response:
    Parameters(request)
    return answer({"alive": True}, headers=UNCACHED)


async def is_ready(request: Request) -> Response:
    Parameters(request)
    if not await ready(gateway_of(request)):
        raise Problem(503, "not_ready", "no tier has the field now", retry_after_s=1, headers=UNCACHED)
    return answer({"ready": True}, headers=UNCACHED)


async def ready(gateway: Gateway) -> bool:
    """Whether it can say what the field is. What it cannot take in it refuses by itself, with Retry-After."""
    try:
        await gateway.reader.read()
    except Problem:
        return False
    return True


def routes() -> Sequence[BaseRoute]:
    return (
        Route("/api/", about),
        Route("/api/health", health),
        Route("/api/health/live", is_alive),
        Route("/api/health/ready", is_ready),
    )
