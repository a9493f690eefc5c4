"""The procedures by tRPC's HTTP protocol (version 11): plain and batched, no transformer, no subscriptions, no streams.

A call is one request to the REST path of its procedure, so both say the same. Facts of the protocol were read in
@trpc/server's source and are tested with the real client.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from projections.gateway.bodies import read_json
from projections.gateway.context import gateway_of
from projections.gateway.inner import Inner, ask, first_of
from projections.gateway.problems import Problem
from projections.gateway.procedures import PROCEDURES, Procedure
from projections.gateway.room import Share
from streams import logs

log = logging.getLogger(__name__)

CALLS_MAX: Final = 32
"""Of one batch: as many requests at once as a browser would open connections, and some."""
PATH: Final = "/api/trpc/{procedures:path}"
PASSED: Final = ("retry-after", "ratelimit", "ratelimit-policy", "www-authenticate")
VARY: Final = {"Vary": "trpc-accept, accept", "Cache-Control": "no-store"}
STREAM: Final = "application/jsonl"

CODES: Final = {
    400: ("BAD_REQUEST", -32600),
    401: ("UNAUTHORIZED", -32001),
    402: ("PAYMENT_REQUIRED", -32002),
    403: ("FORBIDDEN", -32003),
    404: ("NOT_FOUND", -32004),
    405: ("METHOD_NOT_SUPPORTED", -32005),
    408: ("TIMEOUT", -32008),
    409: ("CONFLICT", -32009),
    412: ("PRECONDITION_FAILED", -32012),
    413: ("PAYLOAD_TOO_LARGE", -32013),
    415: ("UNSUPPORTED_MEDIA_TYPE", -32015),
    422: ("UNPROCESSABLE_CONTENT", -32022),
    428: ("PRECONDITION_REQUIRED", -32028),
    429: ("TOO_MANY_REQUESTS", -32029),
    499: ("CLIENT_CLOSED_REQUEST", -32099),
    500: ("INTERNAL_SERVER_ERROR", -32603),
    501: ("NOT_IMPLEMENTED", -32603),
    502: ("BAD_GATEWAY", -32603),
    503: ("SERVICE_UNAVAILABLE", -32603),
    504: ("GATEWAY_TIMEOUT", -32603),
}
"""tRPC's names and numbers by HTTP status."""

_encode: Final = msgspec.json.Encoder().encode
_pieces: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode: Final = msgspec.json.Decoder().decode


class Refused(Exception):
    """A call, or all of them, that cannot be made."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Said(NamedTuple):
    """The envelope of one call, its HTTP status, and the answer that it came from."""

    status: int
    envelope: Any
    inner: Inner | None = None


def routes() -> Sequence[BaseRoute]:
    return (Route(PATH, called, methods=["GET", "POST"]),)


async def called(request: Request) -> Response:
    """One call, or a batch of them: answered together, 207 when they differ in status."""
    if request.method == "HEAD":
        return Response(status_code=204)
    batched = request.query_params.get("batch") == "1"
    text = request.path_params["procedures"]
    names = text.split(",") if batched else [text]
    with gateway_of(request).intake.reading.share() as share:
        try:
            _check(request, names)
            given = _split(await _input(request, share), len(names), batched)
        except Refused as refused:
            return _answer([_error(refused.status, str(refused))], False)
        except Problem as problem:
            return _answer(
                [_error(problem.status, problem.detail, inner=Inner(headers=_lower(problem.headers)))], False
            )
        return await _calls(request, names, given, batched)


async def _calls(request: Request, names: Sequence[str], given: Sequence[bytes | Refused], batched: bool) -> Response:
    said = await asyncio.gather(*(_call(request, name, input) for name, input in zip(names, given, strict=True)))
    return _answer(said, batched)


def _check(request: Request, names: Sequence[str]) -> None:
    """What all calls have in common; raises Refused."""
    kind = request.headers.get("content-type")
    if request.method == "POST" and not (kind or "").startswith("application/json"):
        raise Refused(415, f'Unsupported content-type "{kind}' if kind else "Missing content-type header")
    if len(names) > CALLS_MAX:
        raise Refused(400, "Batch call exceeds maximum size")
    if STREAM in (request.headers.get("trpc-accept"), request.headers.get("accept")):
        raise Refused(400, "Streamed answers are not served: use httpBatchLink or httpLink")
    kinds = sorted({PROCEDURES[name].kind for name in names if name in PROCEDURES})
    if len(kinds) > 1:
        raise Refused(400, f"Cannot mix procedure types in call: {', '.join(kinds)}")


async def _input(request: Request, share: Share) -> bytes:
    """The JSON of all inputs; raises Problem for a body that cannot be read."""
    if request.method == "POST":
        return await read_json(request, gateway_of(request).settings.gateway_body_bytes_max, share)
    return request.query_params.get("input", "").encode(errors="replace")


def _split(raw: bytes, calls: int, batched: bool) -> Sequence[bytes | Refused]:
    """The JSON of each call's input, empty where there is none."""
    if not batched:
        return [raw]
    try:
        pieces = _pieces(raw) if raw else {}
    except (msgspec.ValidationError, UnicodeDecodeError):
        return [Refused(400, '"input" needs to be an object when doing a batch call')] * calls
    except (msgspec.DecodeError, RecursionError) as error:
        return [Refused(400, str(error))] * calls
    return [bytes(pieces.get(str(index), b"")) for index in range(calls)]


async def _call(request: Request, name: str, given: bytes | Refused) -> Said:
    """Makes one call; whatever happens is its envelope."""
    try:
        procedure = PROCEDURES.get(name)
        if procedure is None:
            raise Refused(404, f'No procedure found on path "{name}"')
        if request.method != ("GET" if procedure.kind == "query" else "POST"):
            raise Refused(
                405, f'Unsupported {request.method}-request to {procedure.kind} procedure at path "{name}"'
            )  # fmt: skip
        if isinstance(given, Refused):
            raise given
        inner = await _ask(request, procedure, given)
    except Refused as refused:
        return _error(refused.status, str(refused), name)
    except Exception:
        known = name if name in PROCEDURES else "none"
        log.exception("a fault of ours in a procedure", extra=logs.request(request.method, f"/api/trpc/{known}"))
        return _error(500, "a fault of the gateway; its log says more", name)
    if inner.status == 200:
        return Said(200, {"result": {"data": msgspec.Raw(inner.body)}}, inner)
    return _failed(inner, name)


async def _ask(request: Request, procedure: Procedure, given: bytes) -> Inner:
    if procedure.kind == "mutation":
        return await ask(request, "POST", procedure.target({}).path, body=given)
    try:
        content = _decode(given) if given else None
        if content is not None and not isinstance(content, dict):
            raise ValueError("the input of this procedure is an object")
        target = procedure.target(content or {})
    except (ValueError, RecursionError) as error:  # numbers that are too long for a text are ValueErrors, too
        raise Refused(400, str(error)) from None
    return await ask(request, "GET", *target)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): text for name, text in headers.items()}


def _failed(inner: Inner, name: str) -> Said:
    """The envelope of a problem; the problem itself is ``error.data.problem``."""
    try:
        problem = _decode(inner.body)
        message = str(problem["detail"])
    except (ValueError, LookupError, TypeError):
        problem, message = None, f"answered with {inner.status}"
    status = inner.status if inner.status in CODES else 500 if inner.status >= 500 else 400
    return _error(status, message, name, inner, problem)


def _error(status: int, message: str, name: str | None = None, inner: Inner | None = None, problem: Any = None) -> Said:
    code, number = CODES[status]
    data = {"code": code, "httpStatus": status}
    if name is not None:
        data["path"] = name
    if problem is not None:
        data["problem"] = problem
    return Said(status, {"error": {"message": message, "code": number, "data": data}}, inner)


def _answer(said: Sequence[Said], batched: bool) -> Response:
    statuses = {one.status for one in said}
    status = statuses.pop() if len(statuses) == 1 else HTTPStatus.MULTI_STATUS
    content = [one.envelope for one in said] if batched else said[0].envelope
    passed = first_of([one.inner for one in said if one.inner is not None], PASSED)
    return Response(_encode(content), int(status), {**VARY, **passed}, "application/json")
