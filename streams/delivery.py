"""What the worker sends besides its checkpoints: copies to other partitions, and dead letters.

Nothing here waits: ``settle`` waits for the acknowledgements, before the events that caused the sends are
acknowledged themselves.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from streams import logs, metrics, wire
from streams.errors import DeliveryError
from streams.events import Event
from streams.settings import Settings
from streams.validate import Rejection

log = logging.getLogger(logs.SELDOM)

OUTSTANDING_MAX: Final = 10_000
"""Sends that may wait for their acknowledgement before the worker stops reading to settle them."""

_SOURCE: Final = re.compile(rb"[A-Za-z0-9._-]{1,249}(/[0-9]{1,19}){3}")


class Place(NamedTuple):
    """Where a record stands in the log, and what its headers say about where it came from."""

    topic: str
    partition: int
    offset: int
    received_ms: int
    source: str | None = None

    def position(self, index: int) -> str:
        """``topic/partition/offset/index`` of an event: of the original, where this record is a copy."""
        return self.source or f"{self.topic}/{self.partition}/{self.offset}/{index}"


def source_of(header: bytes | None) -> str | None:
    """The ``source`` header where it has the form ``topic/partition/offset/index``; anything else is none."""
    return header.decode() if header is not None and _SOURCE.fullmatch(header) else None


class Delivery:
    """Copies and dead letters on their way. ``events`` and ``rejected`` are Faust topics."""

    def __init__(self, events: Any, rejected: Any, settings: Settings) -> None:
        self._events = events
        self._rejected = rejected
        self._partitions = settings.partitions
        self._rejected_topic = settings.rejected_topic
        self._outstanding: list[asyncio.Future[Any]] = []

    @property
    def full(self) -> bool:
        """Whether to ``settle`` before reading on."""
        return len(self._outstanding) >= OUTSTANDING_MAX

    def copy(self, event: Event, place: Place, index: int, partition: int) -> None:
        """Send an event that stands on the wrong partition to the right one."""
        self._copy(event, place, index, (partition,))

    def fan_out(self, event: Event, place: Place, index: int) -> None:
        """Send an OPT_* that came alone to all other partitions."""
        self._copy(event, place, index, (p for p in range(self._partitions) if p != place.partition))

    def reject(self, rejection: Rejection, place: Place) -> None:
        """Dead letter; its key is the place of the original, so readers count distinct keys."""
        position = place.position(rejection.index)
        headers = source_headers(position, place.received_ms)
        headers += [("reason", rejection.reason.encode()), ("detail", rejection.detail.encode())]
        self._outstanding.append(
            self._rejected.send_soon(
                key=position.encode(), value=rejection.raw, partition=place.partition, headers=headers
            )
        )
        metrics.EVENTS_REJECTED.labels(rejection.reason).inc()
        if log.isEnabledFor(logging.WARNING):
            log.warning(
                "a record was rejected: %s (metrics count the others of these seconds; `field rejected list`)",
                rejection.reason, extra=logs.at(place.topic, place.partition, place.offset, reason=rejection.reason),
            )  # fmt: skip

    def take(self) -> list[asyncio.Future[Any]]:
        """The sends so far, of events that are folded by now; whoever takes them waits for them."""
        taken, self._outstanding = self._outstanding, []
        return taken

    async def settle(self, place: str) -> None:
        """Wait until all sends so far are acknowledged; raises DeliveryError.

        A checkpoint that is made meanwhile still finds them: it must not be ahead of them.
        """
        waiting = frozenset(self._outstanding)
        await acknowledged(waiting, self._rejected_topic, place)
        self._outstanding = [sent for sent in self._outstanding if sent not in waiting]

    def _copy(self, event: Event, place: Place, index: int, partitions: Iterable[int]) -> None:
        headers = source_headers(place.position(index), place.received_ms)
        key, value = event.key.encode(), wire.encode_event(event)
        for partition in partitions:
            sent = self._events.send_soon(key=key, value=value, partition=partition, headers=headers)
            self._outstanding.append(sent)
            metrics.EVENTS_COPIED.inc()


async def acknowledged(sends: Collection[asyncio.Future[Any]], topic: str, what: str, partition: int = -1) -> None:
    """Wait until the broker has acknowledged all of ``sends``; raises DeliveryError with the first failure.

    ``asyncio.wait`` and not ``gather``: whoever waits may be cancelled by a rebalance, the sends may not.
    """
    if not sends:
        return
    done, _ = await asyncio.wait(sends, return_when=asyncio.FIRST_EXCEPTION)
    for sent in done:
        error = sent.exception()
        if error is not None:
            raise DeliveryError(f"{what} not acknowledged: {error!r}", topic=topic, partition=partition) from error


def source_headers(position: str, received_ms: int) -> list[tuple[str, bytes]]:
    """Where something came from (``Place.position``) and when it was received (epoch ms)."""
    return [("source", position.encode()), ("received", b"%d" % received_ms)]
