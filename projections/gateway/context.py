"""What the routes of a gateway share: settings, stores, and the long-living parts of each area."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol, cast

from starlette.requests import HTTPConnection

from projections.gateway.archaeology import Archaeology
from projections.gateway.calculator import Calculator
from projections.gateway.history import Past
from projections.gateway.hub import Hub
from projections.gateway.intake import Intake
from projections.gateway.reader import Reader
from projections.gateway.stores import Aim, Stores, Watching
from streams.settings import Settings


class Part(Protocol):
    """Lives as long as the gateway; any store may be away, at the start too."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set; what it raises ends the gateway."""


@dataclass
class Gateway:
    """One gateway, whoever keeps its log and state."""

    settings: Settings
    intake: Intake
    reader: Reader
    past: Past
    watch: Watching
    calculator: Calculator
    archaeology: Archaeology
    hub: Hub
    target: Aim
    more: tuple[Part, ...] = ()
    """Parts beside them, of the stores."""
    stores: Stores | None = None
    """Connections that are opened before and closed after all parts."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """What runs in the background."""
        return (self.target, self.intake, self.reader, self.watch, self.hub, *self.more)


def gateway_of(connection: HTTPConnection) -> Gateway:
    """The gateway that a request or WebSocket came to."""
    return cast(Gateway, connection.app.state.gateway)
