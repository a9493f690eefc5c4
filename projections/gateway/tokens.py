"""Device tokens: what proves that a request is a device's own. Signed, expiring; the key itself never leaves the field.

Pure. A token is two parts in base64url without padding, joined by a point: JSON ``{"device", "expires"}`` (epoch
seconds), and the HMAC-SHA256 of the first part's text.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

import msgspec

LENGTH_MAX: Final = 1_024


class Claims(msgspec.Struct, frozen=True):
    """Who a token is for, and until when (epoch seconds)."""

    device: str
    expires: int


class TokenError(ValueError):
    """A token that counts for nothing; the text says why, and is for its sender."""


_decode: Final = msgspec.json.Decoder(Claims).decode


def mint(key: str, device: str, expires_s: int) -> str:
    """A token for ``device`` that is good before ``expires_s`` (epoch seconds)."""
    if not key:
        raise ValueError("a key that is empty signs nothing")
    content = _text(msgspec.json.encode(Claims(device, expires_s)))
    return f"{content}.{_text(_signature(key, content))}"


def verify(key: str, token: str, now_s: float) -> Claims:
    """What a token says; raises TokenError unless it was signed with ``key`` and still counts at ``now_s``."""
    if len(token) > LENGTH_MAX or not token.isascii():
        raise TokenError("it is no token")
    content, _, signed = token.partition(".")
    if not key or not hmac.compare_digest(_bytes(signed), _signature(key, content)):
        raise TokenError("its signature is not ours")
    try:
        claims = _decode(_bytes(content))
    except msgspec.DecodeError:
        raise TokenError("it says no device") from None
    if claims.expires <= now_s:
        raise TokenError("it has expired")
    return claims


def _signature(key: str, content: str) -> bytes:
    return hmac.digest(key.encode(), content.encode(), hashlib.sha256)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    """Empty when it is no base64url: then no signature fits."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return b""
