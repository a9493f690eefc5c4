"""Opaque cursors: the key of the last row of a page, so that a walk meets every row that stays exactly once."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import msgspec

from projections.gateway.problems import Problem

LENGTH_MAX: Final = 512


def make(kind: str, *key: str | int) -> str:
    """The cursor behind a row; ``kind`` names the listing."""
    return base64.urlsafe_b64encode(msgspec.json.encode([kind, *key])).decode().rstrip("=")


def read(text: str | None, kind: str, *types: type) -> tuple[Any, ...] | None:
    """The key in a cursor of this listing, None for none; raises Problem (400)."""
    if text is None:
        return None
    try:
        if len(text) > LENGTH_MAX:
            raise ValueError
        plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        found = msgspec.json.decode(plain, type=list[str | int])
    except (ValueError, binascii.Error, msgspec.DecodeError, UnicodeError):
        found = []
    if len(found) != 1 + len(types) or found[0] != kind or not all(map(isinstance, found[1:], types)):
        raise Problem(400, "bad_parameter", "cursor: is none of this listing", parameter="cursor")
    return tuple(found[1:])
