"""Pseudonyms: people and devices go onto the log under names that only who has the key can tell.

Pure. A pseudonym is ``p.`` and half of a keyed hash, so it is an id like any other; an id that has this form is left
as it is, so a trusted publisher may have done it before and nothing is hashed twice. Rooms are not people: they stay.
Vectors for other languages: ``schema/golden/pseudonyms.json``.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from functools import lru_cache
from typing import Final, Literal

import msgspec

from streams.events import Event, routing_key

Kind = Literal["device", "user"]
MARK: Final = "p."
DIGITS: Final = 32
"""128 bits: two devices of a world of them do not meet by chance."""
_CACHED: Final = 65_536

_marked: Final = re.compile(rf"{re.escape(MARK)}[0-9a-f]{{{DIGITS}}}").fullmatch


@lru_cache(maxsize=_CACHED)
def pseudonym(key: str, kind: Kind, name: str) -> str:
    """The pseudonym of a device's or user's id; a pseudonym stays what it is."""
    if _marked(name):
        return name
    return MARK + hmac.digest(key.encode(), f"{kind}:{name}".encode(), hashlib.sha256).hex()[:DIGITS]


def hidden(key: str, event: Event) -> Event:
    """The event under pseudonyms, with the routing key that it has by them; without a ``key`` as it is."""
    if not key:
        return event
    device = pseudonym(key, "device", event.device_id)
    target, data = event.target, event.data
    if target is not None:
        target = pseudonym(key, "device", target)
        data = msgspec.structs.replace(data, target_device=target)
    return msgspec.structs.replace(
        event,
        device_id=device,
        key=routing_key(device, event.room_id, target),
        user_id=None if event.user_id is None else pseudonym(key, "user", event.user_id),
        target=target,
        data=data,
    )
