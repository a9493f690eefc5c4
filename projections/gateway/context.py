"""What the routes of a gateway share: settings, stores, and the long-living parts of each area."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol, cast

from redis.asyncio import Redis
from starlette.requests import HTTPConnection

from projections.follow import Pool
from projections.gateway.archaeology import Archaeology
from projections.gateway.calculator import Calculator
from projections.gateway.history import Past
from projections.gateway.hub import Hub
from projections.gateway.intake import Intake
from projections.gateway.reader import Reader
from projections.gateway.target import Target
from projections.gateway.watch import Watch
from streams.settings import Settings


class Part(Protocol):
    """Lives as long as the gateway; any store may be away, at the start too."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set; what it raises ends the gateway."""


@dataclass
class Gateway:
    """One gateway. ``pool`` and ``redis`` are there even while PostgreSQL and Redis are not."""

    settings: Settings
    pool: Pool
    redis: Redis
    intake: Intake
    reader: Reader
    past: Past
    watch: Watch
    calculator: Calculator
    archaeology: Archaeology
    hub: Hub
    target: Target

    @property
    def parts(self) -> tuple[Part, ...]:
        """What runs in the background."""
        return (self.target, self.intake, self.reader, self.watch, self.hub)


def gateway_of(connection: HTTPConnection) -> Gateway:
    """The gateway that a request or WebSocket came to."""
    return cast(Gateway, connection.app.state.gateway)
