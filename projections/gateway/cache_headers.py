"""ETag and If-None-Match: the tag is of what an answer says, not of how old it is or how long it took.

Tags are weak: ``reflects`` and ``performance`` differ from answer to answer. The time of a reading is no content
either, or nothing would ever be the same.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from projections.gateway.answers import Answer, Reflects
from projections.gateway.performance import Performance
from projections.gateway.problems import answer

HEADERS = {"Cache-Control": "no-cache"}
"""To be kept, and asked about before it is shown again."""


def tag_of(content: Any, reflects: Reflects) -> str:
    """The ETag of ``content`` (plain objects, structs or bytes of JSON)."""
    data = content if isinstance(content, bytes) else msgspec.json.encode(content)
    said = hashlib.blake2b(data, digest_size=12)
    said.update(msgspec.json.encode([reflects.positions, reflects.generation, reflects.stale]))
    return f'W/"{said.hexdigest()}"'


def respond(
    request: Request,
    data: Any,
    reflects: Reflects,
    performance: Performance,
    started_s: float,
    content: Any = None,
    tagged: Reflects | None = None,
) -> Response:
    """200 with the answer, or 304; ``content``, ``tagged``: what counts for the tag, where that is not all."""
    tag = tag_of(data if content is None else content, tagged or reflects)
    headers = HEADERS | {"ETag": tag}
    if matches(request.headers.get("if-none-match"), tag):
        performance.answered(time.perf_counter() - started_s)
        return Response(status_code=304, headers=headers)
    performance.answered(time.perf_counter() - started_s)
    return answer(Answer(data, reflects, performance.block()), headers=headers)


def matches(given: str | None, tag: str) -> bool:
    """Whether If-None-Match names this tag, by weak comparison."""
    if given is None:
        return False
    opaque = tag.removeprefix("W/")
    return given.strip() == "*" or any(part.strip().removeprefix("W/") == opaque for part in given.split(","))
