"""Which pages of other origins may read (and write): those that FIELD_GATEWAY_CORS names."""

from __future__ import annotations

from typing import Final

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from streams.settings import Settings

EXPOSED: Final = ("ETag", "Retry-After", "RateLimit", "RateLimit-Policy")
SENT: Final = ("Authorization", "Content-Type", "Content-Encoding", "If-None-Match", "Last-Event-ID")
PREFLIGHT_S: Final = 600


def cors(settings: Settings) -> list[Middleware]:
    """Nothing where the setting is empty."""
    origins = [origin.strip() for origin in settings.gateway_cors.split(",") if origin.strip()]
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=SENT,
            expose_headers=EXPOSED,
            max_age=PREFLIGHT_S,
        )
    ]
