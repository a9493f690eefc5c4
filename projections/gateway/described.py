"""The description of all paths, as it was generated (``schema/openapi.json``)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route


def routes() -> Sequence[BaseRoute]:
    return (Route("/api/openapi.json", described),)


async def described(request: Request) -> Response:
    text = _text()
    tag = f'"{hashlib.sha256(text).hexdigest()[:24]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    given = request.headers.get("if-none-match", "")
    if tag in (part.strip().removeprefix("W/") for part in given.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(text, headers=headers, media_type="application/json")


@cache
def _text() -> bytes:
    return resources.files("schema").joinpath("openapi.json").read_bytes()
