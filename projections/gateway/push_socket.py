"""Push and publish over a WebSocket: one connection for devices that speak and listen.

Messages are JSON texts. A client subscribes, and may subscribe anew at any time; what it publishes is answered when it
is durable. uvicorn sends the pings of the protocol, and closes who does not answer them.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from operator import attrgetter
from typing import Any, Final

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from projections.gateway.callers import caller_of
from projections.gateway.context import Gateway, gateway_of
from projections.gateway.feeding import cancelled, feed
from projections.gateway.filters import FilterError
from projections.gateway.hub import Hub
from projections.gateway.intake import accept
from projections.gateway.lines import line_of
from projections.gateway.listener import Listener
from projections.gateway.origins import allowed
from projections.gateway.problems import Problem, on_problem
from projections.gateway.pushed import Message, heartbeat
from projections.gateway.room import Full
from projections.gateway.starting import open_start, wanted
from streams import metrics

log = logging.getLogger(__name__)

CODES: Final = {"stopping": 1001, "moved": 1012, "slow": 1013, "busy": 1013, "away": 1013}
"""Closing codes by reason; any other reason is a fault (1011)."""


class Said(msgspec.Struct):
    """What a client says; which members count depends on ``type``."""

    type: str
    filters: dict[str, Any] | None = None
    last_id: str | None = None
    start: Any = msgspec.field(default=None, name="from")
    speed: Any = None
    request: Any = None
    events: msgspec.Raw = msgspec.Raw()


_decode: Final = msgspec.json.Decoder(Said).decode
_encode: Final = msgspec.json.Encoder().encode


async def socket(websocket: WebSocket) -> None:
    """One connection, until either side ends it."""
    gateway = gateway_of(websocket)
    hub = gateway.hub
    if not allowed(websocket.headers.get("origin"), websocket.headers.get("host"), gateway.settings.gateway_origins):
        await _refuse(websocket, Problem(403, "origin", "pages of that origin may not open a WebSocket here"))
        return
    listener = Listener(hub.settings, line_of(websocket))
    if not hub.admit(listener):
        full = Problem(503, "full", f"{len(hub.listeners)} listeners are here already", retry_after_s=5)
        await _refuse(websocket, full)
        return
    try:
        with metrics.PUSH_LISTENERS.labels("ws").track_inprogress():
            await websocket.accept()
            await Talk(gateway, hub, listener, websocket).run()
    except (WebSocketDisconnect, OSError):
        pass
    finally:
        hub.dismiss(listener)


async def _refuse(websocket: WebSocket, problem: Problem) -> None:
    await websocket.send_denial_response(await on_problem(websocket, problem))  # type: ignore[arg-type]


class Talk:
    """The two directions of one connection."""

    def __init__(self, gateway: Gateway, hub: Hub, listener: Listener, websocket: WebSocket) -> None:
        self._gateway = gateway
        self._hub = hub
        self._listener = listener
        self._websocket = websocket
        self._feeding: asyncio.Task[None] | None = None
        self._opening = AsyncExitStack()

    async def run(self) -> None:
        """Until the end of the listener, or the client's."""
        hearing = asyncio.create_task(self._hear())
        try:
            await self._listener.send_all(self._hand_on, attrgetter("frame"))
            reason = self._listener.reason
            if reason:
                await self._websocket.close(CODES.get(reason, 1011), reason)
        finally:
            await cancelled(hearing, *([self._feeding] if self._feeding else []))
            await self._opening.aclose()  # of one that was cancelled before it began

    async def _hand_on(self, messages: list[Message]) -> None:
        for one in messages:
            await self._websocket.send({"type": "websocket.send", "text": one.text})

    async def _hear(self) -> None:
        try:
            while True:
                found = await self._websocket.receive()
                if found["type"] == "websocket.disconnect":
                    break
                answer = await self._answer(found.get("text"))
                if answer is not None:
                    await self._listener.give(answer)
        except (WebSocketDisconnect, OSError):
            pass
        except Exception:
            log.exception("a listener was let go: what it said is answered by nothing")
            self._listener.drop("fault")
        finally:
            self._listener.gone()

    async def _answer(self, text: str | None) -> Message | None:
        """To what the client said; problems are answers too, and the connection stays."""
        request = None
        try:
            given = (text or "").encode()
            said = _decode(given)
            request = said.request
            if said.type == "subscribe":
                await self._subscribe(said)
            elif said.type == "publish":
                return await self._publish(said, len(given))
            elif said.type == "ping":
                return heartbeat(self._listener.id)
            elif said.type != "pong":
                raise Problem(422, "bad_message", f"type: {said.type[:40]!r} is none of subscribe, publish, pong")
        except RecursionError:
            return _problem(Problem(422, "bad_message", "nested too deep"), request)
        except (msgspec.MsgspecError, UnicodeError) as error:
            return _problem(Problem(422, "bad_message", str(error)), request)
        except FilterError as error:
            return _problem(Problem(422, "bad_filter", str(error), parameter=error.name), request)
        except Problem as problem:
            return _problem(problem, request)
        return None

    async def _subscribe(self, said: Said) -> None:
        """From now on these filters; what was heard under others ends first."""
        filters = self._hub.filters(said.filters or {})
        what = wanted({"from": said.start, "speed": said.speed}, said.last_id)
        if self._feeding is not None:
            await cancelled(self._feeding)
        self._hub.groups.leave(self._listener)
        await self._opening.aclose()
        self._opening = AsyncExitStack()
        try:
            opened = None if what.live else await open_start(self._hub, what, self._opening)
        except BaseException:
            await self._opening.aclose()
            raise
        self._feeding = asyncio.create_task(feed(self._hub, self._listener, filters, opened, self._opening))

    async def _publish(self, said: Said, size_bytes: int) -> Message:
        """``size_bytes``: of the whole message, which counts among the requests being read until it is answered."""
        events = bytes(said.events)
        if not events:
            raise Problem(422, "bad_message", "events: an array of events is missing")
        caller = caller_of(self._websocket, self._gateway.settings, in_query=True)
        intake = self._gateway.intake
        intake.limiter.check(caller.address, caller.device)
        with intake.reading.share() as share:
            try:
                share.take(size_bytes)
            except Full:
                raise Problem(503, "busy", "too many requests are being read", retry_after_s=1) from None
            found = msgspec.to_builtins(await accept(self._gateway, events, caller))
        return Message("published", _encode({"request": said.request, **found}))


def _problem(problem: Problem, request: Any) -> Message:
    """``type`` of a message says that it is a problem; the problem's own is left out."""
    body = {name: value for name, value in problem.body().items() if name != "type"}
    return Message("problem", _encode({**body, "request": request}))
