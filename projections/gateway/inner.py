"""A request within a request: the same routes, callers and limits as from outside, without the way over the network."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from projections.gateway.problems import on_http

KEPT: Final = frozenset(
    (b"authorization", b"user-agent", b"forwarded", b"x-forwarded-for", b"x-real-ip", b"origin", b"host")
)
"""Who asks. What says how to send or to keep an answer is the outer request's own."""
OUTER: Final = frozenset(("route", "endpoint", "router", "path_params"))
"""What the router has found out about the outer request."""


@dataclass
class Inner:
    """What a route has answered; ``headers`` in lower case."""

    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


async def ask(request: Request, method: Literal["GET", "POST"], path: str, query: str = "", body: bytes = b"") -> Inner:
    """What ``path`` (not escaped) answers to whoever sent ``request``; raises what a fault of its route raises."""
    inner, rest = Inner(), bytearray()
    given = iter(({"type": "http.request", "body": body, "more_body": False},))

    async def receive() -> Message:
        for message in given:
            return message
        await asyncio.Event().wait()  # whoever listens for the end of the line hears nothing
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            inner.status = message["status"]
            inner.headers = {
                name.decode("latin-1").lower(): text.decode("latin-1") for name, text in message["headers"]
            }
        elif message["type"] == "http.response.body":
            rest.extend(message.get("body", b""))

    scope = {name: value for name, value in request.scope.items() if name not in OUTER}
    scope |= {"method": method, "path": path, "raw_path": quote(path).encode(), "query_string": query.encode()}
    scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] in KEPT] + _of_body(method, body)
    try:
        await request.app.router(scope, receive, send)
    except HTTPException as error:  # no such path: of the router itself, which has no handlers around it
        refusal = await on_http(Request(scope), error)
        return Inner(refusal.status_code, dict(refusal.headers), bytes(refusal.body))
    inner.body = bytes(rest)
    return inner


def _of_body(method: str, body: bytes) -> list[tuple[bytes, bytes]]:
    if method != "POST":
        return []
    return [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]


def first_of(answers: list[Inner], names: tuple[str, ...]) -> Mapping[str, str]:
    """Headers that an answer made of several has: of each name the first that is there."""
    return {name: next(one.headers[name] for one in answers if name in one.headers) for name in names if any(
        name in one.headers for one in answers
    )}  # fmt: skip
