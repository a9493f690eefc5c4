"""The simulated fleet: the same seed gives the same events, and what was asked for is in it."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from streams.events import Event
from streams.simulate import Fleet, items
from streams.validate import read_record
from streams.wire import encode_event

START = 1_700_000_000_000


def everything(seconds: float = 30, **over) -> list:
    return list(items(Fleet(**{"devices": 40, "rate": 100, "seed": 3, "start": START} | over), seconds))


def test_same_seed_same_items() -> None:
    shares = {"late": 0.05, "duplicates": 0.05, "malformed": 0.05, "opts": 0.01}
    assert everything(**shares) == everything(**shares)
    assert everything(seed=4, **shares) != everything(**shares)


def test_another_start_only_moves_it_and_makes_new_ids() -> None:
    here, there = everything(), everything(start=START + 5000)
    assert [a.event.timestamp + 5000 for a in here] == [b.event.timestamp for b in there]
    assert [a.event.data for a in here] == [b.event.data for b in there]
    assert not {a.event.id for a in here} & {b.event.id for b in there}
    assert {b.event.epoch for b in there} == {START + 5000}, "a second run starts a new epoch"


def test_rate_and_order_of_sending() -> None:
    found = everything(10, rate=37.5)
    assert len(found) == 375
    times = [item.at for item in found]
    assert times == sorted(times)
    assert times[0] == START
    assert times[-1] < START + 10_000


def test_every_event_is_valid_and_survives_the_wire() -> None:
    for at, event in everything(60, opts=0.02, late=0.02):
        assert read_record(encode_event(event), at) == [event]


def test_every_malformed_thing_is_rejected() -> None:
    found = [item for item in everything(60, malformed=0.5) if isinstance(item.event, bytes)]
    assert len(found) > 2000
    reasons = Counter()
    for at, raw in found:
        answers = read_record(raw, at)
        assert not any(isinstance(answer, Event) for answer in answers), raw
        reasons.update(answer.reason for answer in answers)
    assert len(reasons) >= 6


@pytest.mark.parametrize("name", ["late", "duplicates", "malformed"])
def test_shares_are_what_was_asked_for(name: str) -> None:
    found = [item.event for item in everything(100, **{name: 0.1})]
    events = [event for event in found if isinstance(event, Event)]
    count = {
        "late": sum(item.event.timestamp < item.at - 11_000 for item in everything(100, late=0.1)),
        "duplicates": len(events) - len({event.id for event in events}),
        "malformed": len(found) - len(events),
    }
    assert 0.08 * len(found) < count[name] < 0.12 * len(found)
    assert all(value == 0 for other, value in count.items() if other not in (name, "late"))


def test_numbers_of_a_device_rise_by_one() -> None:
    seen: Counter[str] = Counter()
    for event in (item.event for item in everything(60)):
        seen[event.device_id] += 1
        assert event.seq == seen[event.device_id]


def test_rooms_fall_in_step() -> None:
    """Kuramoto: the mean coherence of a room's last breaths is far higher later on than at the start."""

    def coherence(found: list) -> float:
        last = {}
        for event in (item.event for item in found):
            if event.type == "BREATH":
                elapsed = (found[-1].at - event.timestamp) / 1000
                last[event.device_id] = (event.room_id, event.data.phase + math.tau * event.data.rate / 60 * elapsed)
        rooms: dict[str, list[complex]] = {}
        for room, phase in last.values():
            rooms.setdefault(room, []).append(complex(math.cos(phase), math.sin(phase)))
        return sum(abs(sum(room)) / len(room) for room in rooms.values()) / len(rooms)

    found = everything(180, devices=48, rate=200)
    assert coherence(found[-1000:]) > coherence(found[:1000]) + 0.2


def test_people_stay_in_reach_of_each_other_and_do_everything() -> None:
    found = [item.event for item in everything(120, opts=0.01)]
    assert len({event.type for event in found}) == 12
    moved = Counter((event.x, event.y) for event in found)
    assert len(moved) > len(found) / 2
