"""Devices in: ``POST /api/consciousness/sync``, ``/opt-out``, ``/opt-in``."""

from __future__ import annotations

import time
import uuid
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from projections.gateway.bodies import read_json
from projections.gateway.callers import Caller, caller_of
from projections.gateway.context import Gateway, gateway_of
from projections.gateway.intake import SyncAnswer, accept
from projections.gateway.origins import may_write
from projections.gateway.problems import Problem, answer
from projections.gateway.pseudonyms import pseudonym
from projections.gateway.strict import fault
from streams.events import OPT_IN, OPT_OUT

BASE: Final = "/api/consciousness"
MALFORMED: Final = frozenset(("malformed_json", "not_utf8", "empty"))
"""Reasons for which a body that is one event alone is no request at all."""


def routes() -> list[BaseRoute]:
    """Of this area."""
    return [
        Route(f"{BASE}/sync", sync, methods=["POST"]),
        Route(f"{BASE}/opt-out", opt_out, methods=["POST"]),
        Route(f"{BASE}/opt-in", opt_in, methods=["POST"]),
    ]


async def sync(request: Request) -> Response:
    """One event or many; answered when they are on the log."""
    gateway = gateway_of(request)
    caller = _caller(request, gateway)
    with gateway.intake.reading.share() as share:
        body = await read_json(request, gateway.settings.gateway_body_bytes_max, share)
        found = await accept(gateway, body, caller)
    refuse_if_none(found, caller)
    return answer(found, headers=caller.headers)


def refuse_if_none(found: SyncAnswer, caller: Caller) -> None:
    """Raises Problem (400, 403, 422) when no event was accepted; it has the members of the answer, too."""
    if found.accepted or not found.events:
        return
    first = found.events[0]
    more = msgspec.to_builtins(found)
    if all(one.verdict == "forbidden" for one in found.events):
        raise Problem(403, "forbidden", str(first.detail), headers=caller.headers, **more)
    if len(found.events) == 1:
        status = 400 if first.reason in MALFORMED else 422
        raise Problem(status, str(first.reason), str(first.detail), headers=caller.headers, **more)
    raise Problem(422, "rejected", f"none of {len(found.events)} events is good", headers=caller.headers, **more)


async def opt_out(request: Request) -> Response:
    """A device leaves everything collective."""
    return await _opt(request, OPT_OUT)


async def opt_in(request: Request) -> Response:
    """It begins afresh."""
    return await _opt(request, OPT_IN)


async def _opt(request: Request, kind: str) -> Response:
    gateway = gateway_of(request)
    caller = _caller(request, gateway)
    with gateway.intake.reading.share() as share:
        body = await read_json(request, gateway.settings.event_bytes_max, share)
        wanted = _wanted(body)
        device = wanted.get("device_id")
        event = {"id": str(uuid.uuid4()), "type": kind, "device_id": device, "v": 1}
        event["timestamp"] = wanted.get("timestamp", int(time.time() * 1_000))
        found = await accept(gateway, [event], caller)
    refuse_if_none(found, caller)
    key = gateway.settings.pseudonym_key
    named = pseudonym(key, "device", str(device)) if key else device
    said = {"device_id": named, "out": kind == OPT_OUT, "positions": found.positions, "log": found.log}
    return answer(said, headers=caller.headers)


def _wanted(body: bytes) -> dict[str, Any]:
    """The members of the body; raises Problem."""
    if (found := fault(body)) is not None:
        raise Problem(400, found.reason, found.detail)
    try:
        wanted = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "malformed_json", str(error)) from None
    if not isinstance(wanted, dict):
        raise Problem(422, "not_an_object", 'the body is {"device_id": "..."}')
    return wanted


def _caller(request: Request, gateway: Gateway) -> Caller:
    """Raises Problem: 401, 403, 429. Any page may send a form's worth of text to anywhere: not all of them write."""
    headers = request.headers
    if not may_write(headers.get("origin"), headers.get("host"), gateway.settings.gateway_cors):
        raise Problem(403, "origin", "pages of that origin may not write here: FIELD_GATEWAY_CORS names those that may")
    caller = caller_of(request, gateway.settings)
    gateway.intake.limiter.check(caller.address, caller.device)
    return caller
