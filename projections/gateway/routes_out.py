"""The reading routes, together."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute

from projections.gateway import routes_about, routes_history, routes_state


def routes() -> Sequence[BaseRoute]:
    """All routes of this area."""
    return (*routes_about.routes(), *routes_state.routes(), *routes_history.routes())
