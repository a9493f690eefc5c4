"""The body of a request: bounded as it comes and as it unfolds, whatever its headers say."""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

from starlette.requests import ClientDisconnect, Request

from projections.gateway.problems import Problem
from projections.gateway.room import Full, Share

READ_S: Final = 30.0
"""For a whole body: who sends a byte now and then holds no room for ever."""
JSON: Final = "application/json"
MEMBERS_MAX: Final = 100
_GZIP: Final = 16 + zlib.MAX_WBITS
_STEP_BYTES: Final = 65_536


async def read_json(request: Request, bytes_max: int, share: Share) -> bytes:
    """A JSON body, inflated; raises Problem 400, 408, 413, 415, 503. What it takes counts in ``share``."""
    _check_type(request)
    gzip = _is_gzip(request)
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > bytes_max:
        raise _too_large(bytes_max)
    try:
        async with asyncio.timeout(READ_S):
            raw = await _read(request, bytes_max, share)
        return inflate(raw, bytes_max, share) if gzip else raw
    except Full:
        raise Problem(503, "busy", "too many requests are being read", retry_after_s=1) from None
    except TimeoutError:
        raise Problem(408, "slow_body", f"the body did not come within {READ_S:g} s") from None
    except ClientDisconnect:
        raise Problem(400, "cut_off", "the body has no end") from None


def inflate(raw: bytes, bytes_max: int, share: Share) -> bytes:
    """What gzip has made small, by steps: a bomb is refused after the first ``bytes_max``. Raises Problem, Full."""
    out = bytearray()
    rest, members = raw, 0
    while rest:  # several members one after the other are one body
        members += 1
        if members > MEMBERS_MAX:
            raise Problem(400, "bad_gzip", f"more than {MEMBERS_MAX} members of gzip in one body")
        unpack = zlib.decompressobj(_GZIP)
        try:
            while not unpack.eof:
                piece = unpack.decompress(rest, _STEP_BYTES)
                rest = unpack.unconsumed_tail
                if not piece and not unpack.eof and not rest:
                    raise Problem(400, "bad_gzip", "the compressed body is cut off")
                if len(out) + len(piece) > bytes_max:
                    raise _too_large(bytes_max)
                share.take(len(piece))
                out += piece
        except zlib.error as error:
            raise Problem(400, "bad_gzip", f"the body is not gzip: {error}") from None
        rest = unpack.unused_data
    if not raw:
        raise Problem(400, "bad_gzip", "an empty body is not gzip")
    return bytes(out)


async def _read(request: Request, bytes_max: int, share: Share) -> bytes:
    out = bytearray()
    async for chunk in request.stream():
        if len(out) + len(chunk) > bytes_max:
            raise _too_large(bytes_max)
        share.take(len(chunk))
        out += chunk
    return bytes(out)


def _check_type(request: Request) -> None:
    kind, _, parameters = request.headers.get("content-type", JSON).partition(";")
    charset = parameters.replace(" ", "").replace('"', "").lower()
    if kind.strip().lower() != JSON or charset not in ("", "charset=utf-8"):
        raise Problem(415, "media_type", f"the body must be {JSON} in UTF-8", headers={"Accept": JSON})


def _is_gzip(request: Request) -> bool:
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("gzip", "x-gzip", "identity", ""):
        raise Problem(415, "content_encoding", "only gzip is understood", headers={"Accept-Encoding": "gzip"})
    return coding.endswith("gzip")


def _too_large(bytes_max: int) -> Problem:
    return Problem(413, "too_large", f"a body may have {bytes_max} bytes, before and after inflating")
