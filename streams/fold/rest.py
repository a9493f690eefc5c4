"""Events out of a shard's record: positional values become an event again.

Pure. They went in as they are: ``Event`` encodes as an array, because a name per value would double the record.
"""

from __future__ import annotations

from typing import Any

import msgspec

from streams import events
from streams.events import Data, Event

DATA_OF_TYPE: dict[str, type[Data]] = {
    events.BREATH: events.Breath,
    events.SPIRAL: events.Spiral,
    events.BLOOM: events.Bloom,
    events.TOUCH: events.Touch,
    events.SACRED_PHRASE: events.Phrase,
    events.FIELD: events.Quantum,
    events.ENTANGLE: events.Entangle,
    events.RELEASE: events.Release,
    events.ENTER: Data,
    events.LEAVE: Data,
    events.OPT_OUT: Data,
    events.OPT_IN: Data,
}


def event_from_rest(values: list[Any]) -> Event:
    """The event again; ``data`` becomes the class of its type."""
    *plain, data = values
    plain.append(msgspec.convert(data, DATA_OF_TYPE[plain[2]]))
    return Event(*plain)
