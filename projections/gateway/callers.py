"""Who sends: the device that its token names, and the address it comes from."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import HTTPConnection

from projections.gateway.problems import Problem
from projections.gateway.pseudonyms import pseudonym
from projections.gateway.tokens import TokenError, verify
from streams.settings import Settings

CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="the field"'}


@dataclass
class Caller:
    """``device`` is its id as it is on the log; None: no tokens are asked for, so it may be any."""

    device: str | None = None
    address: str = "unknown"
    headers: dict[str, str] = field(default_factory=dict)
    """Of the answer: how much it may still send."""
    traceparent: str = ""
    """W3C trace context that it has sent along."""


def caller_of(connection: HTTPConnection, settings: Settings, *, in_query: bool = False) -> Caller:
    """Who a request or WebSocket is from; raises Problem (401).

    ``in_query``: also ``?token=``, for browsers, which cannot set header fields there.
    """
    address = connection.client.host if connection.client else "unknown"
    traceparent = connection.headers.get("traceparent", "")
    if not settings.gateway_key:
        return Caller(None, address, traceparent=traceparent)
    token = _token(connection, in_query)
    if not token:
        raise Problem(401, "no_token", "a device token is asked for: Authorization: Bearer <token>", headers=CHALLENGE)
    try:
        claims = verify(settings.gateway_key, token, time.time())
    except TokenError as error:
        challenge = {name: f'{value}, error="invalid_token"' for name, value in CHALLENGE.items()}
        raise Problem(401, "bad_token", f"this token does not count: {error}", headers=challenge) from None
    device = claims.device
    if settings.pseudonym_key:
        device = pseudonym(settings.pseudonym_key, "device", device)
    return Caller(device, address, traceparent=traceparent)


def _token(connection: HTTPConnection, in_query: bool) -> str:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return connection.query_params.get("token", "") if in_query else ""
