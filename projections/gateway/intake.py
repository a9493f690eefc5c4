"""What a device says becomes events on the log: read by the worker's own code, answered when it is stored.

``accept`` is the one way in, of HTTP, WebSocket and tRPC. Each event has a verdict of its own; what the fold would
reject is rejected here, with its reasons, and so is what JSON lets pass and we do not (``strict``).
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from projections.gateway.callers import Caller
from projections.gateway.gather import Gather, NotStored, Position, Submission
from projections.gateway.limits import Limiter
from projections.gateway.problems import Problem
from projections.gateway.pseudonyms import hidden
from projections.gateway.room import Room
from projections.gateway.strict import fault
from streams import metrics, traces
from streams.errors import WireError
from streams.events import Event
from streams.settings import Settings
from streams.validate import RECORD_EVENTS_MAX, Limits, Rejection, elements, read_element

if TYPE_CHECKING:
    from projections.gateway.context import Gateway

SLICE_EVENTS: Final = 200
"""Judged in one go; others have their turn in between."""
EVENT_BYTES: Final = 1_000
"""A body that cannot be taken apart counts as one event for so many bytes."""
THREAD_BYTES: Final = 65_536
"""Longer text is taken apart beside the loop: nothing says that it is well formed."""
_SPACE: Final = b" \t\r\n"
_DEEP: Final = b"[" * 200
"""Stands for what is nested beyond writing: it is rejected as too deep."""
_STATUS: Final = {"too_large": 413, "empty": 422, "bad_value": 422}
_WRAPPED: Final = re.compile(rb'\{\s*"events"\s*:\s*(\[.*\])\s*\}', re.DOTALL)


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of one event; ``index`` is its place in the request, ``id`` None where none can be read."""

    index: int
    id: str | None
    verdict: Literal["accepted", "rejected", "forbidden"]
    position: Position | msgspec.UnsetType = msgspec.UNSET
    reason: str | msgspec.UnsetType = msgspec.UNSET
    detail: str | msgspec.UnsetType = msgspec.UNSET


class SyncAnswer(msgspec.Struct, frozen=True):
    """Of one request. ``positions``: the last offset by partition, of ``log``; both are for ``?at_least=``."""

    accepted: int
    rejected: int
    events: list[Verdict]
    positions: dict[str, int]
    log: str = ""


class Intake:
    """What ``accept`` needs, and its part that runs: the way to the log."""

    def __init__(self, settings: Settings, gather: Gather, limiter: Limiter) -> None:
        self.gather = gather
        self.limiter = limiter
        self.reading = Room(settings.gateway_waiting_events, settings.gateway_waiting_bytes)
        self.limits = Limits(settings.skew_ms_max, settings.event_bytes_max, settings.depth_max)
        self.pseudonym_key = settings.pseudonym_key

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.gather.run(stop))
            tasks.create_task(self.limiter.run(stop))


async def accept(gateway: Gateway, body: bytes | Sequence[Any], caller: Caller) -> SyncAnswer:
    """Judge events, store the good ones, say for each what became of it; ``caller.headers`` gets header fields.

    ``body``: JSON (an event, an array, ``{"events": [...]}``), or the events one by one, each as JSON (bytes or
    msgspec.Raw, which keeps what a sender wrote) or as plain objects. Raises Problem: 4xx for a body that cannot be
    taken apart, 429, and 503 when not all that is good could be stored (``events`` tells which is).
    """
    intake = gateway.intake
    try:
        pieces = await _pieces(body)
    except Problem:  # looked at for nothing, and the longer the more
        await intake.limiter.charge(caller.address, {}, 1 + len(body) // EVENT_BYTES)
        raise
    judged = await _judge(intake, pieces, caller)
    counts = Counter(one.device_id for one in judged if isinstance(one, Event))
    if caller.device is not None:
        counts = Counter({caller.device: len(pieces)})
    caller.headers.update(await intake.limiter.charge(caller.address, counts, len(pieces)))
    events = [one for one in judged if isinstance(one, Event)]
    sizes = [len(piece) for piece, one in zip(pieces, judged, strict=True) if isinstance(one, Event)]
    if not events:
        return _counted(_answer(judged, None))
    try:
        submission = await _submitted(intake, events, sizes, caller)
    except NotStored as error:
        metrics.GATEWAY_EVENTS.labels("not_stored").inc(len(events))
        raise _unavailable(error) from None
    answer = _counted(_answer(judged, submission))
    if submission.error is not None:
        raise _unavailable(submission.error, **msgspec.to_builtins(answer))
    return answer


async def _submitted(intake: Intake, events: Sequence[Event], sizes: Sequence[int], caller: Caller) -> Submission:
    if not traces.on:
        return await intake.gather.submit(events, sizes)
    with traces.publish(caller.traceparent, **{"field.events": len(events)}) as header:
        return await intake.gather.submit(events, sizes, header)


async def _pieces(body: bytes | Sequence[Any]) -> list[bytes]:
    if not isinstance(body, bytes):
        if len(body) > RECORD_EVENTS_MAX:
            raise Problem(413, "too_large", f"more than {RECORD_EVENTS_MAX} events at once")
        return [_text(one) for one in body]
    return split(body) if len(body) <= THREAD_BYTES else await asyncio.to_thread(split, body)


def split(body: bytes) -> list[bytes]:
    """The events of a body, each as it was written; raises Problem when they cannot be told apart."""
    text = body.strip(_SPACE)
    try:
        if text[:1] == b"{":
            inner = _inner(text)
            return [text] if inner is None else elements(inner)
        if text[:1] == b"[":
            return elements(text)
        if not text:
            raise WireError("malformed_json", "the body is empty")
        raise WireError("malformed_json", "the body is neither an object nor an array")
    except WireError as error:
        raise Problem(_STATUS.get(error.reason, 400), error.reason, error.detail) from None


class _Outer(msgspec.Struct):
    """An object that is an event, or has some."""

    type: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    events: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_outer: Final = msgspec.json.Decoder(_Outer).decode


def _inner(text: bytes) -> bytes | None:
    """The array in ``{"events": [...]}``; None for an event. Raises WireError."""
    try:
        outer = _outer(text)
    except (ValueError, RecursionError):  # one bad event must not hide the others
        found = _WRAPPED.fullmatch(text)
        if found:
            return found[1]
        _in_doubt(text)
        return None
    if outer.events is msgspec.UNSET or outer.type is not msgspec.UNSET:
        return None
    inner = bytes(outer.events)
    if inner[:1] != b"[":
        raise WireError("bad_value", "events is not an array")
    if (found_fault := fault(text.replace(inner, b"null", 1))) is not None:
        raise WireError(*found_fault)
    return inner


def _in_doubt(text: bytes) -> None:
    """An object that holds more than events, and is not JSON as we take it: all of it is refused, by its fault."""
    try:
        outer = json.loads(text)
    except (ValueError, RecursionError):
        return
    if "events" in outer and "type" not in outer and (found := fault(text)) is not None:
        raise WireError(*found)


async def _judge(intake: Intake, pieces: Sequence[bytes], caller: Caller) -> list[Event | Verdict]:
    out: list[Event | Verdict] = []
    received_ms = int(time.time() * 1_000)
    for index, piece in enumerate(pieces):
        if index and index % SLICE_EVENTS == 0:
            await asyncio.sleep(0)
        item = read_element(piece, index, received_ms, intake.limits)
        if isinstance(item, Rejection):
            out.append(Verdict(index, _id_of(piece), "rejected", reason=item.reason, detail=item.detail))
        elif (found := fault(piece)) is not None:
            out.append(Verdict(index, item.id, "rejected", reason=found.reason, detail=found.detail))
        else:
            event = hidden(intake.pseudonym_key, item)
            if caller.device is not None and event.device_id != caller.device:
                detail = "the token is another device's"
                out.append(Verdict(index, event.id, "forbidden", reason="forbidden", detail=detail))
            else:
                out.append(event)
    return out


def _answer(judged: Sequence[Event | Verdict], submission: Submission | None) -> SyncAnswer:
    """The verdicts; an event without a place is not stored."""
    places = iter(() if submission is None else submission.places)
    events = []
    for index, one in enumerate(judged):
        if isinstance(one, Verdict):
            events.append(one)
        elif (place := next(places)) is not None:
            events.append(Verdict(index, one.id, "accepted", position=place))
        else:
            detail = "not acknowledged by the log: send it again"
            events.append(Verdict(index, one.id, "rejected", reason="not_stored", detail=detail))
    accepted = sum(one.verdict == "accepted" for one in events)
    offsets = {} if submission is None else submission.offsets
    positions = {str(partition): offsets[partition] for partition in sorted(offsets)}
    log = "" if submission is None else submission.log
    return SyncAnswer(accepted, len(events) - accepted, events, positions, log)


def _counted(answer: SyncAnswer) -> SyncAnswer:
    for verdict, count in Counter(
        one.verdict if one.reason != "not_stored" else "not_stored" for one in answer.events
    ).items():
        metrics.GATEWAY_EVENTS.labels(verdict).inc(count)
    return answer


def _unavailable(error: NotStored, **more: Any) -> Problem:
    return Problem(503, error.code, error.detail, retry_after_s=error.retry_after_s, **more)


def _text(one: Any) -> bytes:
    """An event as JSON. Python's own writer: it keeps NaN and half characters, so that they are named."""
    if isinstance(one, bytes | bytearray | memoryview | msgspec.Raw):
        return bytes(one).strip(_SPACE)
    try:
        return json.dumps(one, separators=(",", ":")).encode()
    except RecursionError:
        return _DEEP


class _Named(msgspec.Struct):
    id: str


_named: Final = msgspec.json.Decoder(_Named).decode


def _id_of(piece: bytes) -> str | None:
    """The id of a rejected event, where it can be read."""
    try:
        found = _named(piece).id
    except (ValueError, RecursionError):
        return None
    return found if len(found) <= 36 and found.isascii() and found.isprintable() else None
