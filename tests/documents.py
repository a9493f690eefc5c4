"""Hypothesis strategies for events and for JSON documents that are nearly events."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from schema.examples.documents import EXAMPLES
from streams import events as ev
from streams.envelope import ANGLE, BOUND, HARMONICS, PETALS, RATE, SEQ_MAX

ids = st.text("abcXYZ019_.:-", min_size=1, max_size=64)


def within(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


harmonics = st.builds(ev.Harmonic, *[within(-BOUND, BOUND)] * 5)
DATA: dict[str, st.SearchStrategy[ev.Data]] = {
    ev.BREATH: st.builds(ev.Breath, within(-ANGLE, ANGLE), st.none() | within(0, RATE)),
    ev.SPIRAL: st.builds(
        ev.Spiral,
        st.none() | within(-ANGLE, ANGLE),
        st.none() | within(0, ANGLE),
        st.none() | within(-ANGLE, ANGLE),
        st.none() | st.integers(-1, 1) | ids,
    ),
    ev.BLOOM: st.builds(ev.Bloom, st.none() | within(0, ANGLE), st.none() | st.integers(0, PETALS)),
    ev.TOUCH: st.builds(ev.Touch, st.none() | within(0, ANGLE), st.none() | ids),
    ev.SACRED_PHRASE: st.builds(
        ev.Phrase,
        st.text("0123456789abcdef", min_size=16, max_size=128),
        st.none() | st.text("abcXYZ019-", min_size=2, max_size=35),
    ),
    ev.FIELD: st.builds(
        ev.Quantum,
        st.lists(harmonics, max_size=3).map(tuple) | harmonics.map(lambda one: (one,) * HARMONICS),
        within(-ANGLE, ANGLE),
        st.none() | within(0, 1),
    ),
    ev.ENTANGLE: st.builds(ev.Entangle, ids, ids, within(0, 1)),
    ev.RELEASE: st.builds(ev.Release, ids),
}


@st.composite
def events(draw: st.DrawFn) -> ev.Event:
    """Any valid event."""
    kind = draw(st.sampled_from(ev.TYPES))
    data = draw(DATA.get(kind, st.just(ev.Data())))
    device = draw(ids)
    room = draw(ids if kind in (ev.ENTER, ev.LEAVE) else st.none() | ids)
    target = getattr(data, "target_device", None)
    placed = draw(st.booleans())
    return ev.Event(
        timestamp=draw(st.integers(0, ev.TIMESTAMP_MS_MAX)),
        id=str(draw(st.uuids())),
        type=kind,
        device_id=device,
        key=ev.routing_key(device, room, target),
        intensity=draw(st.integers(0, ev.MILLION)),
        seq=draw(st.none() | st.integers(0, SEQ_MAX)),
        epoch=draw(st.just(0) | st.integers(0, SEQ_MAX)),
        x=draw(within(-BOUND, BOUND)) if placed else None,
        y=draw(within(-BOUND, BOUND)) if placed else None,
        z=draw(st.none() | within(-BOUND, BOUND)) if placed else None,
        room_id=room,
        user_id=draw(st.none() | ids),
        target=target,
        data=data,
    )


_edges = st.sampled_from(
    [
        None, True, False, 0, 1, -1, 2, 0.5, 1.0, -0.0, 1.5, 64, 1e6, 1e9, 1e9 + 1, -1e9, 10_000, 10_001, 1_000, 1_001,
        2**53 + 1, 2**63 - 1, 2**63, 2**64, 2**80, float(2**63), 1e300, 5e-324, ev.TIMESTAMP_MS_MAX,
        ev.TIMESTAMP_MS_MAX + 1, ev.TIMESTAMP_MS_MAX + 0.5, "", "a", "a" * 64, "a" * 65, "a\n", "\n", "\0", "\ud800",
        "é", "0" * 16, "0" * 15, "A" * 16, "en", "x-", "1", "BREATH", "OPT_IN", "ENTANGLE", [], {}, [1], {"x": 1},
        {"x": 1, "y": 2}, {"x": 1, "y": 2, "z": None}, {"phase": 1}, {"target_device": "b"},
        "2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "2024-02-29t23:59:59.999999999z", "1970-01-01T00:00:00+00:00",
        "1970-01-01T00:00:00+00:01", "1970-01-01T00:00:00-00:01", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-00:01",
        "9999-12-30T23:59:59-23:59", "2024-04-31T00:00:00Z", "2024-04-30T00:00:60Z", "2024-04-30T24:00:00Z",
        "2024-04-30T00:00:00", "2024-04-30 00:00:00Z", "2024-04-30T00:00:00+24:00", "2024-04-30T00:00:00Z\n",
        "1969-12-31T23:59:59Z", "0000-02-29T00:00:00Z", "٢٠٢٤-04-30T00:00:00Z",
    ]
)  # fmt: skip
plain_values = _edges | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_fields = st.sampled_from((
    "id", "type", "device_id", "user_id", "room_id", "timestamp", "seq", "epoch", "intensity", "position", "data", "v",
    "x", "y", "z", "phase", "rate", "angle", "radius", "turns", "direction", "petals", "pressure", "target_device",
    "phrase", "language", "harmonics", "resonance", "kind", "extra",
))  # fmt: skip
_documents = [one for examples in EXAMPLES.values() for one in examples]


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """An example document with up to three fields replaced, added or taken away, anywhere in it."""
    document: Any = copy.deepcopy(draw(st.sampled_from(_documents)))
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(document))
        if not places:
            break
        place = draw(st.sampled_from(places))
        if isinstance(place, dict):
            name = draw((st.sampled_from(sorted(place)) | _fields) if place else _fields)
            if draw(st.integers(0, 3)):
                place[name] = copy.deepcopy(draw(plain_values))
            else:
                place.pop(name, None)
        else:
            place.append(copy.deepcopy(draw(plain_values)))
    return document


def _places(document: Any) -> list[Any]:
    """All objects and arrays within a document."""
    if isinstance(document, dict):
        return [document, *(place for one in document.values() for place in _places(one))]
    if isinstance(document, list):
        return [document, *(place for one in document for place in _places(one))]
    return []
