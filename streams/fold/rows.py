"""Which session and pair rows of a shard changed since its last record.

Pure. What was shown of the events that were not final yet may have to be taken back: ``Shown`` remembers it.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from streams.changes import PairRow, SessionRow
from streams.fold import resonance
from streams.fold.entanglements import SEPARATOR, Bond
from streams.fold.key import Key
from streams.fold.reading import coherence, read_session_end
from streams.fold.rooms import Session
from streams.fold.rules import Rules
from streams.fold.shard import Shard
from streams.fold.state import State


class LastShown(NamedTuple):
    """Of one key: the pairs that the not yet final events touched, and the sessions shown that were not final."""

    pairs: frozenset[str]
    sessions: frozenset[int]


Shown = dict[str, LastShown]
"""By routing key."""
Rows = tuple[list[SessionRow], list[PairRow], list[tuple[str, int]], list[tuple[str, str, str]]]
"""Sessions, pairs, removed sessions, removed pairs."""


def changed_rows(shard: Shard, shown: Shown, full: bool) -> Rows:
    """Rows of the settled shard's changed keys (all keys when ``full``); brings ``shown`` up to date."""
    sessions: list[SessionRow] = []
    pairs: list[PairRow] = []
    gone_sessions: list[tuple[str, int]] = []
    gone_pairs: list[tuple[str, str, str]] = []
    nothing = LastShown(frozenset(), frozenset())
    for name in sorted(shard.keys if full else shard.dirty):
        key, before = shard.keys[name], shown.get(name, nothing)
        if not key.social:
            continue
        live = shard.live(name)
        rows = _sessions(name, key, live, shard.rules)
        sessions += rows
        current = frozenset(row.opened for row in rows if not row.final)
        final = {row.opened for row in rows if row.final}
        gone_sessions += [(name, opened) for opened in sorted(before.sessions - current - final)]
        touched = key.base.bonds.touched | before.pairs | live.bonds.touched
        for pair in sorted(touched.union(live.bonds.pairs) if full else touched):
            low, _, high = pair.partition(SEPARATOR)
            bond = live.bonds.pairs.get(pair)
            if bond is not None and bond.established is not None:
                pairs.append(_pair_row(name, low, high, bond))
            else:
                gone_pairs.append((name, low, high))
        key.base.bonds.touched.clear()
        key.base.room.closed.clear()
        if live.bonds.touched or current:
            shown[name] = LastShown(frozenset(live.bonds.touched), current)
        else:
            shown.pop(name, None)
    return sessions, pairs, gone_sessions, gone_pairs


def _sessions(name: str, key: Key, live: State, rules: Rules) -> list[SessionRow]:
    rows = [_row(name, session, True, rules) for session in key.base.room.closed]
    rows += [_row(name, session, False, rules) for session in live.room.closed]
    session, at = live.room.session, key.watermark
    if session.opened >= 0:
        row = _row(name, session, False, rules)
        step = coherence([device for device, _, seated in row.participants if seated], live.rows, at, rules)
        felt = resonance.read(resonance.total(live.rows.values()), at, rules)
        rows.append(msgspec.structs.replace(row, coherence=step, resonance=felt))
    return rows


def _row(name: str, session: Session, final: bool, rules: Rules) -> SessionRow:
    end = read_session_end(session, rules)
    heard = session.heard.values()
    return SessionRow(
        name, session.opened, session.last, final, len(end), sum(seated for _, _, seated in end), len(session.heard),
        sum(blooms for blooms, _ in heard), sum(phrases for _, phrases in heard), end,
    )  # fmt: skip


def _pair_row(name: str, low: str, high: str, bond: Bond) -> PairRow:
    return PairRow(
        name, low, high, bond.established, bond.explicit is not None, bond.kind, bond.intensity, bond.last
    )  # fmt: skip
