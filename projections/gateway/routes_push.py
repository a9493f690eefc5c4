"""Push over HTTP: Server-Sent Events. ``push_socket`` has the WebSocket; both listen to the same hub."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from operator import attrgetter
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from projections.gateway.context import gateway_of
from projections.gateway.feeding import cancelled, feed
from projections.gateway.filters import FilterError, Filters
from projections.gateway.hub import Hub
from projections.gateway.lines import line_of
from projections.gateway.listener import Listener
from projections.gateway.problems import Problem
from projections.gateway.push_socket import socket
from projections.gateway.pushed import Message
from projections.gateway.starting import Opened, open_start, wanted
from streams import metrics

RETRY: Final = b"retry: 1000\n\n"
"""How long a browser waits before it comes back, ms."""
HEADERS: Final = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no", "Connection": "close"}
"""No proxy keeps or gathers it; and when we end it, the line ends too."""


def routes() -> Sequence[BaseRoute]:
    """The routes of this area."""
    return (
        Route("/api/consciousness/stream", stream),
        WebSocketRoute("/api/consciousness/ws", socket),
    )


async def stream(request: Request) -> Response:
    """What comes, and if wanted what was, until the client leaves."""
    hub = gateway_of(request).hub
    try:
        filters = hub.filters(request.query_params)
    except FilterError as error:
        raise Problem(422, "bad_filter", str(error), parameter=error.name) from None
    last_id = request.headers.get("last-event-id") or request.query_params.get("last_event_id")
    what = wanted(request.query_params, last_id)
    if request.method == "HEAD":
        return Response(headers=HEADERS, media_type="text/event-stream")
    listener = Listener(hub.settings, line_of(request))
    if not hub.admit(listener):
        raise Problem(503, "full", f"{len(hub.listeners)} listeners are here already", retry_after_s=5)
    stack = AsyncExitStack()
    stack.callback(hub.dismiss, listener)
    opening = await stack.enter_async_context(AsyncExitStack())
    try:
        opened = None if what.live else await open_start(hub, what, opening)
    except BaseException:
        await stack.aclose()
        raise
    return Stream(hub, listener, filters, opened, opening, stack)


class Stream(Response):
    """One listener's answer. ``opening`` ends what was opened for its past, ``stack`` that and the listener."""

    def __init__(
        self, hub: Hub, listener: Listener, filters: Filters, opened: Opened | None,
        opening: AsyncExitStack, stack: AsyncExitStack,
    ) -> None:  # fmt: skip
        super().__init__(headers=HEADERS, media_type="text/event-stream")
        del self.headers["content-length"]
        self._hub = hub
        self._listener = listener
        self._filters = filters
        self._opened = opened
        self._opening = opening
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def hand_on(messages: list[Message]) -> None:
            body = messages[0].sse if len(messages) == 1 else b"".join([one.sse for one in messages])
            await send({"type": "http.response.body", "body": body, "more_body": True})

        async with self._stack:
            with metrics.PUSH_LISTENERS.labels("sse").track_inprogress():
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": RETRY, "more_body": True})
                leaving = asyncio.create_task(_leaving(self._listener, receive))
                feeding = asyncio.create_task(
                    feed(self._hub, self._listener, self._filters, self._opened, self._opening)
                )
                try:
                    await self._listener.send_all(hand_on, attrgetter("chunk"))
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                finally:
                    await cancelled(leaving, feeding)


async def _leaving(listener: Listener, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.gone()
