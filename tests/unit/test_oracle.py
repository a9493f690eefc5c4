"""The oracle against cases worked out by hand from DESIGN section 3."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.oracle import Constants, Oracle, read, tables
from tests.worlds import START_S, event_id, say

START_MS = START_S * 1000


def oracle(*events: Any, **constants: Any) -> Oracle:
    return Oracle.of(events, Constants(**constants))


def reading(*events: Any, after: float, **constants: Any) -> Any:
    return read(oracle(*events, **constants), round((START_S + after) * 1000))


def verdicts(*events: Any, **constants: Any) -> list[str]:
    return oracle(*events, **constants).log.verdicts


def test_same_number_twice_is_a_duplicate_even_when_it_is_late() -> None:
    first = say("ana", "BREATH", 0, seq=1)
    assert verdicts(first, say("ana", "BREATH", 60, seq=2), first) == ["accepted", "accepted", "duplicate"]


def test_ten_seconds_behind_is_accepted_and_a_millisecond_more_is_late() -> None:
    watermark = say("ana", "BREATH", 60, room="hall")
    others = say("bo", "BREATH", 50, room="hall"), say("bo", "BREATH", 49.999, room="hall")
    assert verdicts(watermark, *others) == ["accepted", "accepted", "late"]


def test_watermark_belongs_to_the_key() -> None:
    assert verdicts(say("ana", "BREATH", 60), say("bo", "BREATH", 0)) == ["accepted", "accepted"]


def test_late_event_does_not_take_its_number() -> None:
    events = say("ana", "BREATH", 60, seq=5), say("ana", "BREATH", 1, seq=4), say("ana", "BREATH", 60, seq=4)
    assert verdicts(*events) == ["accepted", "late", "accepted"]


def test_window_of_numbers_is_sixty_four_long() -> None:
    numbers = [say("ana", "BREATH", 0, seq=seq) for seq in (100, 37, 36, 37)]
    state = oracle(*numbers)
    assert state.log.verdicts == ["accepted", "accepted", "late", "duplicate"]
    assert tables(state)["sequences"] == {("ana", "ana"): (0, 100, (37, 100))}


def test_newer_epoch_starts_again_and_the_older_one_is_late() -> None:
    events = [say("ana", "BREATH", 0, seq=s, epoch=e) for s, e in ((9, 1), (1, 2), (10, 1), (1, 2))]
    assert verdicts(*events) == ["accepted", "accepted", "late", "duplicate"]


def test_without_numbers_ids_of_the_last_ten_seconds_count() -> None:
    first = say("ana", "BREATH", 0)
    assert verdicts(first, say("ana", "BREATH", 10), first) == ["accepted", "accepted", "duplicate"]
    assert verdicts(first, say("ana", "BREATH", 10.001), first) == ["accepted", "accepted", "late"]


def test_same_toggle_twice_is_a_duplicate_and_a_toggle_is_never_late() -> None:
    toggle = say("ana", "OPT_OUT", 0)
    assert verdicts(say("ana", "BREATH", 90), toggle, toggle) == ["accepted", "accepted", "duplicate"]


def test_resonance_rests_at_one_half_and_moves_by_weight() -> None:
    bloom = say("ana", "BLOOM", 0, intensity=1.0)
    assert reading(bloom, after=0).global_resonance == pytest.approx((10 * 0.5 + 5 * 1) / (10 + 5))
    assert reading(bloom, after=60).global_resonance == pytest.approx((10 * 0.5 + 2.5) / (10 + 2.5))
    assert reading(bloom, after=599.999).global_resonance > 0.5
    assert reading(bloom, after=600).global_resonance == 0.5


def test_resonance_by_device_sums_its_keys() -> None:
    both = say("ana", "TOUCH", 0, intensity=1.0), say("ana", "BREATH", 0, room="hall", intensity=0.0)
    assert reading(*both, after=0).device_resonance == {"ana": pytest.approx((5 + 2) / (10 + 3))}


def test_weights_are_those_of_the_design() -> None:
    for event_type, weight in {
        "BREATH": 1,
        "TOUCH": 2,
        "SPIRAL": 3,
        "BLOOM": 5,
        "SACRED_PHRASE": 8,
        "FIELD": 0,
    }.items():
        event = say("ana", event_type, 0, intensity=1.0)
        assert reading(event, after=0).global_resonance == pytest.approx((5 + weight) / (10 + weight))


def test_session_ends_with_five_minutes_of_silence() -> None:
    events = say("ana", "BLOOM", 0, room="hall"), say("bo", "BLOOM", 300, room="hall")
    assert reading(*events, after=300).rooms["hall"].opened == START_MS
    later = say("bo", "BLOOM", 300.001, room="hall")
    room = reading(events[0], later, after=300.001).rooms["hall"]
    assert (room.opened, room.present, room.blooms) == (START_MS + 300_001, ["bo"], 1)


def test_room_is_open_for_five_minutes_and_presence_ends_by_itself() -> None:
    events = say("ana", "ENTER", 0, room="hall"), say("bo", "ENTER", 10, room="hall")
    assert reading(*events, after=300).rooms["hall"].present == ["ana", "bo"]
    assert reading(*events, after=300.001).rooms["hall"].present == ["bo"]
    assert reading(*events, after=310.001).rooms == {}


def test_leaving_an_empty_or_silent_room_does_nothing_to_it() -> None:
    assert reading(say("ana", "LEAVE", 0, room="hall"), after=0).rooms == {}
    events = say("ana", "ENTER", 0, room="hall"), say("ana", "LEAVE", 301, room="hall")
    assert tables(oracle(*events))["rooms"]["hall"]["last"] == START_MS
    assert reading(*events, after=301).active == {"ana"}


def test_leaving_keeps_the_room_open_and_coming_back_is_joining_anew() -> None:
    events = [say("ana", "ENTER", 0, room="hall"), say("bo", "ENTER", 1, room="hall")]
    events.append(say("ana", "LEAVE", 2, room="hall"))
    assert reading(*events, after=2).rooms["hall"].present == ["bo"]
    events.append(say("ana", "BREATH", 3, room="hall"))
    assert reading(*events, after=3).rooms["hall"].present == ["bo", "ana"]


def test_earliest_listener_sits_down_when_somebody_goes() -> None:
    events = [say(name, "ENTER", i, room="hall") for i, name in enumerate(("ana", "bo", "cy"))]
    assert reading(*events, after=3, seats=2).rooms["hall"].seated == ["ana", "bo"]
    events.append(say("ana", "LEAVE", 3, room="hall"))
    assert reading(*events, after=3, seats=2).rooms["hall"].seated == ["bo", "cy"]


def test_seats_go_by_joining_time_then_name() -> None:
    events = [say(name, "ENTER", 0, room="hall") for name in ("cy", "bo", "ana")]
    assert reading(*events, after=0, seats=2).rooms["hall"].seated == ["ana", "bo"]


def test_coherence_of_two_breaths_of_those_seated() -> None:
    events = [say("ana", "BREATH", 0, room="hall", phase=0.0), say("bo", "BREATH", 1, room="hall", phase=math.pi / 2)]
    assert reading(*events, after=1).rooms["hall"].coherence == pytest.approx(math.sqrt(0.5))
    assert reading(*events, after=30).rooms["hall"].coherence == pytest.approx(math.sqrt(0.5))
    assert reading(*events, after=30.001).rooms["hall"].coherence == 0.0
    assert reading(*events, after=1, seats=1).rooms["hall"].coherence == 0.0


def touches(*seconds: float) -> list[Any]:
    return [say("ana", "TOUCH", second, room="hall", to="bo") for second in seconds]


def established(*events: Any, **constants: Any) -> dict[Any, int | None]:
    rows = tables(oracle(*events, **constants))["entanglements"]
    return {names[1:]: row["established"] and row["established"] - START_S for names, row in rows.items()}


def test_third_distinct_second_within_a_minute_establishes() -> None:
    assert established(*touches(0, 0.5, 30)) == {("ana", "bo"): None}
    assert established(*touches(0, 30, 60, 61)) == {("ana", "bo"): 60}
    assert established(*touches(0, 30, 61)) == {("ana", "bo"): None}
    assert established(*touches(0, 30, 61, 90)) == {("ana", "bo"): 90}


def test_touch_back_in_the_same_second_is_the_same_echo() -> None:
    back = [say("bo", "TOUCH", second, room="hall", to="ana") for second in (0.1, 20.1)]
    assert established(*touches(0, 20), *back) == {("ana", "bo"): None}


def test_touching_oneself_is_neither_echo_nor_gesture() -> None:
    events = [say(n, "TOUCH", s, room="hall", to=n) for s in (0, 5, 9) for n in ("ana", "bo")]
    assert established(*events) == {}


def test_targeted_touch_needs_no_room_and_no_presence_of_its_target() -> None:
    events = [say("bo", "TOUCH", second, to="ana") for second in (0, 5, 9)]
    assert {event.key for event in events} == {"ana"}
    assert established(*events) == {("ana", "bo"): 9}


def together(event_type: str, *moments: tuple[float, float], **data: Any) -> list[Any]:
    """Two in a room who make the same gesture at these pairs of seconds."""
    events = [say(name, "ENTER", 0, room="hall") for name in ("ana", "bo")]
    for one, other in moments:
        events.append(say("ana", event_type, one, room="hall", **data))
        events.append(say("bo", event_type, other, room="hall", **data))
    return events


@pytest.mark.parametrize("event_type", ["SPIRAL", "BLOOM", "TOUCH", "SACRED_PHRASE"])
def test_same_gesture_in_the_same_or_next_second_echoes_at_the_later_one(event_type: str) -> None:
    assert established(*together(event_type, (10, 11.9), (21.9, 20), (30, 30))) == {("ana", "bo"): 30}
    assert established(*together(event_type, (10, 12), (20, 20), (30, 30))) == {("ana", "bo"): None}


def test_breath_is_no_gesture() -> None:
    assert established(*together("BREATH", (10, 10), (20, 20), (30, 30))) == {}


def test_other_phrase_is_another_gesture() -> None:
    events = together("ENTER")
    for second in (10, 20, 30):
        events.append(say("ana", "SACRED_PHRASE", second, room="hall", phrase="a" * 16))
        events.append(say("bo", "SACRED_PHRASE", second, room="hall", phrase="b" * 16))
    assert established(*events) == {}


def test_without_a_room_gestures_do_not_echo() -> None:
    assert established(*[say(name, "BLOOM", s) for s in (1, 2, 3) for name in ("ana", "bo")]) == {}


def test_both_must_be_seated_when_the_later_gesture_is_folded() -> None:
    events = together("BLOOM", (10, 10), (20, 20), (30, 30))
    assert established(*events, seats=1) == {}


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ((0.0, 0.0), (6.0, 8.0), True),
        ((0.0, 0.0), (6.0, 8.001), False),
        ((0.0, 0.0, 10.0), (0.0, 0.0), True),
        ((0.0, 0.0, 10.1), (0.0, 0.0), False),
        (None, (500.0, 500.0), True),
    ],
)
def test_ten_units_apart_where_both_have_a_position(one: Any, other: Any, near: bool) -> None:
    events = together("ENTER")
    for second in (10, 20, 30):
        events.append(say("ana", "BLOOM", second, room="hall", at=one))
        events.append(say("bo", "BLOOM", second, room="hall", at=other))
    assert established(*events) == ({("ana", "bo"): 30} if near else {})


def bond(*events: Any, after: float) -> Any:
    return reading(*events, after=after).pairs.get(("ana", "bo"))


def test_strength_halves_every_minute_and_fades_below_a_sixteenth() -> None:
    events = touches(0, 10, 20)
    assert bond(*events, after=20).strength == 1.0
    assert bond(*events, after=80).strength == pytest.approx(0.5)
    assert bond(*events, after=260).living
    assert bond(*events, after=260.001).faded
    assert bond(*events, after=9000).established == START_S + 20


def test_explicit_bond_lives_until_either_side_releases_it() -> None:
    tie = [say("ana", "ENTANGLE", 5.7, to="bo"), say("bo", "RELEASE", 900, to="ana")]
    assert bond(tie[0], after=800).living
    assert (bond(tie[0], after=800).established, bond(tie[0], after=800).strength) == (START_S + 5, 1.0)
    assert bond(*tie, after=900) is None
    assert tables(oracle(*tie))["entanglements"] == {}


def test_explicit_and_echoed_take_the_earlier_and_release_leaves_the_echoed() -> None:
    tie = say("ana", "ENTANGLE", 15, room="hall", to="bo")
    assert established(*touches(0, 10), tie, *touches(20)) == {("ana", "bo"): 15}
    assert established(*touches(0, 10), tie, *touches(20), say("bo", "RELEASE", 21, room="hall", to="ana")) == {
        ("ana", "bo"): 20
    }


def test_second_entangle_keeps_the_first_second_and_takes_the_new_kind() -> None:
    events = say("ana", "ENTANGLE", 1, to="bo"), say("bo", "ENTANGLE", 9, to="ana", kind="care")
    row = tables(oracle(*events))["entanglements"]["ana", "ana", "bo"]
    assert (row["established"], row["kind"], row["intensity"]) == (START_S + 1, "care", 1_000_000)


def test_pair_that_nothing_established_is_forgotten_after_seventy_seconds() -> None:
    events = [*touches(0), say("cy", "BREATH", 70, room="hall")]
    assert established(*events) == {("ana", "bo"): None}
    assert established(*events, say("cy", "BREATH", 71, room="hall")) == {}


def test_pairs_of_two_keys_merge_by_any_living_and_earliest() -> None:
    old = [say("ana", "TOUCH", s, room="attic", to="bo") for s in (0, 1, 2)]
    pair = bond(*old, *touches(500, 501, 502), after=502)
    assert (pair.established, pair.strength, pair.living) == (START_S + 2, 1.0, True)


def test_collective_intelligence_of_two_who_breathe_as_one_and_one_alone() -> None:
    events = [*touches(0, 1, 2), say("cy", "SPIRAL", 2)]
    events += [say(name, "BREATH", 2, room="hall", phase=1.0) for name in ("ana", "bo")]
    now = reading(*events, after=2)
    assert now.active == {"ana", "bo", "cy"}
    assert now.collective_intelligence == pytest.approx(0.3 + 0.35 * 1.0 + 0.35 * 2 / 3)
    assert now.room64_active
    empty = reading(after=0)
    assert (empty.collective_intelligence, empty.room64_active, empty.global_resonance) == (0.3, False, 0.5)


def test_active_nodes_are_those_of_the_last_five_minutes() -> None:
    events = say("ana", "BREATH", 0), say("bo", "LEAVE", 1, room="hall")
    assert reading(*events, after=300).active == {"ana", "bo"}
    assert reading(*events, after=300.001).active == {"bo"}


def test_particles_are_the_newest_over_all_keys() -> None:
    events = [say("ana", "BLOOM", 3), say("bo", "SACRED_PHRASE", 1), say("cy", "BLOOM", 2), say("cy", "SPIRAL", 4)]
    assert [e.device_id for e in reading(*events, after=4, particles=2).particles] == ["cy", "ana"]
    harmony = [say("ana", "FIELD", s, phase=float(s)) for s in range(12)]
    assert [e.data.phase for e in reading(*harmony, after=12).quantum_fields] == [float(s) for s in range(2, 12)]


def test_particle_of_somebody_who_left_keeps_its_place_empty() -> None:
    events = [say("ana", "BLOOM", 1), say("bo", "BLOOM", 2), say("bo", "OPT_OUT", 3)]
    assert reading(*events, after=3, particles=1).particles == []
    assert tables(oracle(*events, particles=1))["particles"] == [(START_MS + 2000, events[1].id, "bo", None)]
    assert [e.device_id for e in reading(*events, after=3, particles=2).particles] == ["ana"]


def test_opting_out_removes_everything_and_coming_back_starts_afresh() -> None:
    events = [*together("BLOOM", (10, 10), (20, 20), (30, 30)), say("ana", "ENTANGLE", 31, to="bo")]
    events.append(say("bo", "OPT_OUT", 40))
    state = tables(oracle(*events))
    assert {device for _, device in state["resonance"]} == {"ana"}
    assert set(state["rooms"]["hall"]["present"]) == {"ana"}
    assert (state["rooms"]["hall"]["blooms"], state["rooms"]["hall"]["heard"]) == ({"ana": 3}, {"ana"})
    assert state["entanglements"] == {}
    back = [say("bo", "BLOOM", 41, room="hall"), say("bo", "OPT_IN", 42), say("bo", "BLOOM", 43, room="hall")]
    again = tables(oracle(*events, *back))
    assert again["resonance"]["hall", "bo"]["counts"] == {"BLOOM": 1}
    assert again["rooms"]["hall"]["present"]["bo"] == (START_MS + 43_000, START_MS + 43_000)


def test_events_that_name_somebody_who_is_out_are_accepted_but_not_folded() -> None:
    events = say("bo", "OPT_OUT", 0), say("ana", "TOUCH", 1, to="bo", seq=1), say("ana", "ENTANGLE", 2, to="bo", seq=2)
    state = oracle(*events)
    assert tables(state)["resonance"] == {}
    assert tables(state)["sequences"] == {("ana", "ana"): (0, 2, (1, 2))}
    assert state.log.watermarks == {"ana": START_MS + 2000}


def test_opt_out_counts_by_event_time_whenever_it_arrives() -> None:
    before, out, after = say("ana", "BREATH", 1), say("ana", "OPT_OUT", 2), say("ana", "BREATH", 3)
    assert tables(oracle(before, after, out))["resonance"] == tables(oracle(out, after, before))["resonance"] == {}
    assert tables(oracle(before, after, say("ana", "OPT_IN", 2.5), out))["resonance"]["ana", "ana"]["counts"] == {
        "BREATH": 1
    }


def test_opting_out_twice_does_nothing_more() -> None:
    events = [say("ana", "OPT_OUT", 0), say("ana", "OPT_IN", 1), say("ana", "BREATH", 2), say("ana", "OPT_IN", 3)]
    assert ("ana", "ana") in tables(oracle(*events))["resonance"]


def test_order_of_a_tie_is_by_id() -> None:
    late_id, early_id = event_id(1, spread=9), event_id(2, spread=1)
    breaths = [say("ana", "BREATH", 0, id=late_id, phase=1.0), say("ana", "BREATH", 0, id=early_id, phase=2.0)]
    assert tables(oracle(*breaths))["resonance"]["ana", "ana"]["breath"] == (START_MS, 1.0)


def test_last_position_is_that_of_the_latest_event_that_has_one() -> None:
    events = (
        say("ana", "BREATH", 2),
        say("ana", "BREATH", 1, at=(1.0, 2.0)),
        say("ana", "BREATH", 0, at=(3.0, 4.0, 5.0)),
    )
    row = tables(oracle(*events))["resonance"]["ana", "ana"]
    assert (row["position"], row["last_seen"]) == ((1.0, 2.0, None), START_MS + 2000)


def test_echoes_that_were_forgotten_give_a_later_bond_no_past() -> None:
    for second, last in ((70, START_S), (71, None)):
        tie = say("cy", "BREATH", second, room="hall"), say("ana", "ENTANGLE", second, room="hall", to="bo")
        row = tables(oracle(*touches(0), *tie))["entanglements"]["hall", "ana", "bo"]
        assert (row["last"], row["explicit"]) == (last, START_S + second)
