"""The page at ``/`` and what it is made of under ``/static/``; built by ``python -m deploy.local.page``.

Names that carry a hash of their content may be kept for ever; the rest is asked for again with its ETag. The page may
load and ask nothing but its own origin.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from projections.gateway.problems import Problem

STATIC: Final = Path(__file__).with_name("static")
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
FOR_EVER: Final = "public, max-age=31536000, immutable"
ASK_AGAIN: Final = "no-cache"
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HASHED: Final = re.compile(r"-[A-Z0-9]{8}\.\w+$")
_SMALL_BYTES: Final = 1_000
"""Below it packing saves nothing."""
MISSING: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>the field</title>
<h1>The page is not built yet</h1>
<p>The gateway runs, but its page has not been made on this machine. Build it in the project's folder:</p>
<pre>.venv/bin/python -m deploy.local.page</pre>
<p>and load this again. The numbers are at <a href="/api/consciousness/state">/api/consciousness/state</a>.</p>
</html>
"""


class Asset(NamedTuple):
    """A file of the page; ``packed`` is empty where packing saves nothing."""

    content: bytes
    packed: bytes
    etag: str
    type: str
    cache: str


class Assets:
    """The files of a folder, kept in memory until the folder is built anew; no more than are in it."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._folder = folder
        self._built = -1
        self._files: dict[str, Asset] = {}

    def get(self, name: str) -> Asset | None:
        """The file; None if there is none of that name (names are looked up, never joined to a path)."""
        try:
            built = (self._folder / "index.html").stat().st_mtime_ns
        except OSError:
            return None
        if built != self._built:
            self._files = {path.name: _read(path) for path in self._folder.iterdir() if path.suffix in TYPES}
            self._built = built
        return self._files.get(name)


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    packed = gzip.compress(content, mtime=0) if len(content) > _SMALL_BYTES else b""
    cache = FOR_EVER if _HASHED.search(path.name) else ASK_AGAIN
    return Asset(content, packed, hashlib.sha256(content).hexdigest()[:16], TYPES[path.suffix], cache)


def _answer(request: Request, asset: Asset) -> Response:
    packed = asset.packed and "gzip" in request.headers.get("accept-encoding", "")
    etag = f'"{asset.etag}{"-gz" if packed else ""}"'
    headers = {**HEADERS, "ETag": etag, "Cache-Control": asset.cache, "Vary": "Accept-Encoding"}
    asked = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if etag in asked or "*" in asked:
        return Response(status_code=304, headers=headers)
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(asset.packed if packed else asset.content, headers=headers, media_type=asset.type)


def routes(folder: Path = STATIC) -> list[BaseRoute]:
    """``/`` and ``/static/{name}``."""
    assets = Assets(folder)

    async def page(request: Request) -> Response:
        asset = assets.get("index.html")
        if asset is None:
            return HTMLResponse(MISSING, 503, {**HEADERS, "Cache-Control": "no-store", "Retry-After": "10"})
        return _answer(request, asset)

    async def static(request: Request) -> Response:
        asset = assets.get(request.path_params["name"])
        if asset is None:
            raise Problem(404, "not_found", "no such file of the page", headers=HEADERS)
        return _answer(request, asset)

    return [Route("/", page), Route("/static/{name}", static)]
