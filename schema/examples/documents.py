"""One or more example events of every type and version, as JSON documents."""

from __future__ import annotations

from typing import Any, Final

from streams import events as ev

Json = dict[str, Any]
START_MS: Final = 1_750_000_000_000
"""2025-06-15T15:06:40Z"""


def document(kind: str, number: int, **more: Any) -> Json:
    """An event of version 1 by device ``ana``; fields of ``more`` replace, those that are ``...`` are taken away."""
    plain: Json = {
        "id": f"0197746f-0000-7000-8000-{number:012x}",
        "type": kind,
        "device_id": "ana",
        "timestamp": START_MS + number,
        "v": 1,
    }
    if kind in ev.WEIGHED:
        plain["intensity"] = 0.5
    return {name: value for name, value in (plain | more).items() if value is not ...}


EXAMPLES: Final[dict[tuple[str, int], list[Json]]] = {
    (ev.BREATH, 1): [
        document(ev.BREATH, 1, room_id="hall", data={"phase": 1.570796, "rate": 12}),
        document(
            ev.BREATH,
            2,
            timestamp="2025-06-15T17:06:40.125+02:00",
            user_id="u-17",
            room_id="hall",
            seq=7,
            epoch=1,
            intensity=0.731,
            position={"x": 3.5, "y": -2, "z": 0.25},
            data={"phase": 0},
        ),
    ],
    (ev.BREATH, 0): [document(ev.BREATH, 3, v=..., data={"phase": 90, "rate": 12.5})],
    (ev.SPIRAL, 1): [
        document(
            ev.SPIRAL, 4, room_id="hall", data={"angle": 6.283, "radius": 2.5, "turns": 1.5, "direction": "clockwise"}
        ),
        document(ev.SPIRAL, 5, data={"direction": -1}),
        document(ev.SPIRAL, 6),
    ],
    (ev.BLOOM, 1): [document(ev.BLOOM, 7, position={"x": 1, "y": 2}, data={"radius": 4.5, "petals": 8})],
    (ev.TOUCH, 1): [
        document(ev.TOUCH, 8, room_id="hall", data={"pressure": 0.8}),
        document(ev.TOUCH, 9, data={"target_device": "ben"}),
    ],
    (ev.SACRED_PHRASE, 1): [
        document(ev.SACRED_PHRASE, 10, room_id="hall", data={"phrase": "9f86d081884c7d65", "language": "pt-BR"})
    ],
    (ev.FIELD, 1): [
        document(
            ev.FIELD,
            11,
            data={
                "harmonics": [{"x": 0, "y": 1.5, "frequency": 7.83, "amplitude": 0.4, "phase": 0}],
                "phase": 0.5,
                "resonance": 0.75,
            },
        )
    ],
    (ev.ENTANGLE, 1): [
        document(ev.ENTANGLE, 12, data={"target_device": "ben", "kind": "twin", "intensity": 0.9}),
        document(ev.ENTANGLE, 13, data={"target_device": "ben"}),
    ],
    (ev.RELEASE, 1): [document(ev.RELEASE, 14, data={"target_device": "ben"})],
    (ev.ENTER, 1): [document(ev.ENTER, 15, room_id="hall")],
    (ev.LEAVE, 1): [document(ev.LEAVE, 16, room_id="hall")],
    (ev.OPT_OUT, 1): [document(ev.OPT_OUT, 17)],
    (ev.OPT_IN, 1): [document(ev.OPT_IN, 18)],
}
"""By type and version."""
