"""What a listener hears from its start on: first the past, if it wants that, then what comes."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

from projections.gateway.filters import Filters
from projections.gateway.hub import Hub
from projections.gateway.listener import Listener
from projections.gateway.past import Away, Busy, Gone
from projections.gateway.playback import Moved, Playback
from projections.gateway.pushed import heartbeat, id_of
from projections.gateway.starting import Opened

log = logging.getLogger(__name__)


async def feed(hub: Hub, listener: Listener, filters: Filters, opened: Opened | None, stack: AsyncExitStack) -> None:
    """Returns when the listener has joined what comes; that it could not is told to it as a last message.

    ``stack`` ends what was opened for its past: who has joined, or is let go, holds no place among those who hear it.
    """
    async with stack:
        await _feed(hub, listener, filters, opened, stack)


async def _feed(hub: Hub, listener: Listener, filters: Filters, opened: Opened | None, stack: AsyncExitStack) -> None:
    if opened is None:
        listener.hear(heartbeat(hub.groups.id))  # its first positions: who is cut off now comes back to here
        hub.join(listener, filters)
        return
    listener.hear(heartbeat(id_of(opened.start.log, opened.start.positions)))
    try:
        await Playback(hub, listener, filters, opened.start, opened.past).run(stack)
    except Gone as error:
        log.warning("a listener of the past was let go: %s", error)
        listener.drop("gap")
    except Away as error:
        log.warning("a listener of the past was let go: %s", error)
        listener.drop("away")
    except Moved:
        listener.drop("moved")
    except Busy:
        listener.drop("busy")
    except Exception:
        log.exception("a listener was let go")
        listener.drop("fault")


async def cancelled(*tasks: asyncio.Task[None]) -> None:
    """End them and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
