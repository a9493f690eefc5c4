"""Listeners by their filters: those with equal ones get the same message, selected and encoded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from projections.gateway.filters import Filters
from projections.gateway.listener import Listener
from projections.gateway.pushed import Heard, Message, events_message, heartbeat, message
from streams import metrics


class Groups:
    """``id`` are the positions that everybody who has joined has heard."""

    def __init__(self) -> None:
        self.id = ""
        self._members: dict[Filters, set[Listener]] = {}

    def join(self, listener: Listener, filters: Filters) -> None:
        """It hears what comes from now on, under these filters only."""
        self.leave(listener)
        self._members.setdefault(filters, set()).add(listener)
        listener.filters = filters

    def leave(self, listener: Listener) -> None:
        """It hears nothing more; a group without listeners goes."""
        filters, listener.filters = listener.filters, None
        if filters is not None:
            members = self._members[filters]
            members.discard(listener)
            if not members:
                del self._members[filters]

    def wanted(self, *kinds: str) -> bool:
        """Whether anybody listens to one of these."""
        return any(not filters.kinds.isdisjoint(kinds) for filters in self._members)

    def __len__(self) -> int:
        return len(self._members)

    def greet(self) -> None:
        """Tell all who came before anything was known what their first positions are."""
        self.tell(heartbeat(self.id))

    def tell(self, one: Message) -> None:
        """To everybody who has joined."""
        for members in list(self._members.values()):
            _send(members, one)

    def events(self, heard: Sequence[Heard], id: str) -> None:
        """To all who want some of them; the positions after them are ``id``."""
        for filters, members in list(self._members.items()):
            if chosen := select(heard, filters):
                _send(members, events_message(chosen, id))

    def state(self, kind: str, content: Mapping[str, Any]) -> None:
        """News of the field: ``field`` is the same for all, rooms and entanglements are narrowed."""
        whole = message(kind, content, self.id)
        for filters, members in list(self._members.items()):
            if kind in filters.kinds and (one := narrowed(whole, content, filters, self.id)) is not None:
                _send(members, one)


def select(heard: Sequence[Heard], filters: Filters) -> Sequence[Heard]:
    """What passes; nothing for those who want no events."""
    if "events" not in filters.kinds:
        return ()
    return heard if filters.all_events else [one for one in heard if filters.passes(one.event)]


def narrowed(whole: Message, content: Mapping[str, Any], filters: Filters, id: str) -> Message | None:
    """News of the rooms or pairs that the filters name; None when there are none."""
    if whole.kind == "rooms" and filters.rooms:
        kept = {side: [one for one in content[side] if filters.passes_room(one[0])] for side in ("came", "went")}
    elif whole.kind == "entanglements" and filters.devices:
        kept = {side: [one for one in content[side] if filters.passes_pair(*one)] for side in ("came", "went")}
    else:
        return whole
    return message(whole.kind, {**content, **kept}, id) if any(kept.values()) else None


def _send(members: set[Listener], one: Message) -> None:
    metrics.PUSH_MESSAGES.inc(len(members))
    for listener in list(members):
        listener.hear(one)
