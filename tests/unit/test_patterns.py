"""Patterns on signals whose answer is known: planted ones are found, and nothing is found in noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.patterns import Breath, bursts, means, rhythm, sequences, synchrony, trend
from projections.patterns.bursts import COST, RATIO, _states
from projections.patterns.sequences import SEQUENCES_MAX
from projections.patterns.synchrony import DEVICES_MAX, ROOMS_MAX, rayleigh
from projections.patterns.trend import HOUR_MS, POINTS_MAX
from tests.oracle import patterns as oracle

START = 1_700_000_000_000
MINUTE = 60_000


def moments(*some: Any) -> Any:
    return START + np.concatenate([np.asarray(one) for one in some]).astype(np.int64)


def at_random(chance: np.random.Generator, count: int, span_ms: int) -> Any:
    return chance.uniform(0, span_ms, count)


# rhythm


@pytest.mark.parametrize("period_ms", [700, 5_000, 61_000, 600_000])
@pytest.mark.parametrize("seed", range(3))
def test_a_planted_period_is_found_among_noise(period_ms: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    span = 120 * period_ms
    pulses = np.arange(120) * period_ms + chance.normal(0, period_ms / 20, 120)
    found = rhythm(moments(np.abs(pulses), at_random(chance, 120, span)))
    assert found is not None
    assert found.significant
    assert found.period_ms == pytest.approx(period_ms, rel=0.002)
    assert found.strength == pytest.approx(0.5 * math.exp(-((math.pi / 10) ** 2) / 2), abs=0.12)
    assert found.cycles == pytest.approx(120, abs=2)


def test_a_rate_that_swells_and_ebbs_is_a_rhythm() -> None:
    chance = np.random.default_rng(5)
    tried = at_random(chance, 20_000, 3_600_000)
    kept = tried[chance.random(20_000) < (1 + np.cos(2 * np.pi * tried / 90_000)) / 2]
    found = rhythm(moments(kept))
    assert found is not None
    assert (found.period_ms, found.strength) == (pytest.approx(90_000, rel=0.005), pytest.approx(0.5, abs=0.03))


def test_an_exact_pulse_has_its_own_period_and_no_part_of_it() -> None:
    for cycles in (8, 19, 400):
        found = rhythm(moments(np.arange(cycles + 1) * 4_000))
        assert found is not None
        assert (found.period_ms, found.strength) == (pytest.approx(4_000, rel=1e-3), pytest.approx(1.0, abs=1e-3))


def test_noise_has_no_rhythm() -> None:
    found = [rhythm(moments(at_random(np.random.default_rng(seed), 300, 3_600_000))) for seed in range(40)]
    assert sum(one is not None and one.significant for one in found) <= 2


def test_bursts_at_random_are_no_rhythm() -> None:
    """The power that they have at all low frequencies is the level there."""
    chance = np.random.default_rng(3)
    false = 0
    for _ in range(40):
        centres = np.repeat(at_random(chance, 30, 3_600_000), 20)
        one = rhythm(moments(np.abs(centres + chance.normal(0, 2_000, 600))))
        false += one is not None and one.significant
    assert false <= 4


@pytest.mark.parametrize("times", [[], [5], [7] * 50, list(range(7)), list(range(100))])
def test_too_little_for_a_rhythm(times: list[int]) -> None:
    assert rhythm(np.array(times, dtype=np.int64)) is None


# bursts


def test_a_planted_burst_is_found_where_it_is() -> None:
    chance = np.random.default_rng(1)
    start, end = 1_800_000, 1_860_000
    found = bursts(moments(at_random(chance, 360, 3_600_000), chance.uniform(start, end, 120)))
    assert len(found) == 1
    (burst,) = found
    assert abs(burst.start - START - start) < 10_000
    assert abs(burst.end - START - end) < 10_000
    assert burst.events == pytest.approx(126, abs=10)
    assert burst.rate == pytest.approx(126 / 8, rel=0.2)  # of 480 in an hour


def test_two_bursts_are_two() -> None:
    chance = np.random.default_rng(2)
    times = moments(
        at_random(chance, 300, 3_600_000),
        chance.uniform(600_000, 640_000, 60),
        chance.uniform(3_000_000, 3_030_000, 60),
    )
    first, second = bursts(times)
    assert abs(first.start - START - 600_000) < 10_000
    assert abs(second.start - START - 3_000_000) < 10_000


def test_moments_at_random_have_no_bursts() -> None:
    found = [bursts(moments(at_random(np.random.default_rng(seed), 400, 3_600_000))) for seed in range(60)]
    assert sum(map(bool, found)) <= 2


@given(st.lists(st.integers(0, 40), min_size=3, max_size=10).filter(lambda gaps: sum(gaps) > 0))
def test_the_states_are_the_cheapest_of_all(gaps: list[int]) -> None:
    entry = COST * math.log(len(gaps))
    gains = [math.log(RATIO) - (RATIO - 1) * gap * len(gaps) / sum(gaps) for gap in gaps]
    for cost in (entry, 0.3):  # with the real one there are hardly any bursts among so few
        states = [int(state) for state in _states(gains, cost)]
        rates = (len(gaps) / sum(gaps), RATIO * len(gaps) / sum(gaps))
        assert oracle.cost(gaps, states, rates, cost) == pytest.approx(oracle.least_cost(gaps, RATIO, cost))


@pytest.mark.parametrize("times", [[], [5], [5, 6], [7] * 50])
def test_too_little_for_a_burst(times: list[int]) -> None:
    assert bursts(np.array(times, dtype=np.int64)) == []


def test_many_at_one_moment_are_a_burst_of_no_length() -> None:
    (burst,) = bursts(moments(np.arange(100) * 10_000, np.full(80, 505_000)))
    assert (burst.start, burst.end, burst.events) == (START + 505_000, START + 505_000, 80)
    assert math.isfinite(burst.rate)


# synchrony


def breathing(room: str, device: str, phase: float, period_ms: int, chance: np.random.Generator, **more: Any) -> Any:
    """Moments at random, the phase of a steady breath at each, with a little noise."""
    at = np.sort(chance.integers(0, more.get("span", 600_000), more.get("count", 120)))
    said = 2 * np.pi * at / period_ms + phase + chance.normal(0, more.get("noise", 0.2), len(at))
    rate = MINUTE / period_ms if more.get("told", True) else None
    return [Breath(START + int(when), room, device, float(one), rate) for when, one in zip(at, said, strict=True)]


def unsteady(room: str, device: str, chance: np.random.Generator) -> list[Breath]:
    return [Breath(START + 5_000 * n, room, device, float(chance.uniform(0, 6.283)), None) for n in range(120)]


def test_locked_breaths_are_and_random_ones_are_not() -> None:
    chance = np.random.default_rng(4)
    breaths = []
    for number in range(4):
        breaths += breathing("together", f"t{number}", number, 5_000, chance)  # at a constant distance
        breaths += unsteady("apart", f"a{number}", chance)
    found = synchrony(breaths)
    together, apart = found.rooms
    assert (together.room, together.devices, together.pairs, together.locked) == ("together", 4, 6, 6)
    assert together.value > 0.9
    assert (apart.room, apart.pairs, apart.locked) == ("apart", 6, 0)
    assert apart.value < 0.25
    assert found.complete
    (pair,) = found.pairs
    assert (pair.low, pair.high) == ("apart", "together")
    assert pair.value < 0.25


def test_two_rooms_in_step_are_a_pair() -> None:
    chance = np.random.default_rng(8)
    breaths = []
    for room, offset in (("x", 0.0), ("y", 2.0)):
        for device in ("1", "2"):
            breaths += breathing(room, room + device, offset, 6_000, chance)
    for device in ("1", "2"):
        breaths += breathing("z", "z" + device, 0.0, 7_000, chance)
    pairs = {(pair.low, pair.high): pair for pair in synchrony(breaths).pairs}
    assert pairs["x", "y"].value > 0.9
    assert pairs["x", "y"].p_value < 1e-6
    assert pairs["x", "z"].value < 0.2


def test_breaths_of_other_moments_say_nothing() -> None:
    chance = np.random.default_rng(9)
    late = [breath._replace(at=breath.at + 3_600_000) for breath in breathing("r", "b", 0, 5_000, chance)]
    assert synchrony(breathing("r", "a", 0, 5_000, chance) + late).rooms == []


def test_too_little_for_synchrony() -> None:
    chance = np.random.default_rng(0)
    assert synchrony([]).rooms == []
    assert synchrony(breathing("r", "a", 0, 5_000, chance)).rooms == []
    assert synchrony([Breath(START, "r", "a", 0.0, None), Breath(START, "r", "b", 0.0, None)]).rooms == []
    at_once = [Breath(START, "r", device, 1.0, 12.0) for device in "ab" for _ in range(6)]
    assert [room.value for room in synchrony(at_once).rooms] == [pytest.approx(1.0)]


def test_rooms_and_devices_have_a_bound_which_is_told() -> None:
    many = [Breath(START, f"r{room:03}", "a", 0.0, None) for room in range(ROOMS_MAX + 1)]
    assert not synchrony(many).complete
    crowd = [Breath(START + n, "r", f"d{device:03}", 0.0, None) for device in range(DEVICES_MAX + 4) for n in range(6)]
    found = synchrony(crowd)
    assert (found.complete, found.rooms[0].devices) == (False, DEVICES_MAX)


@pytest.mark.parametrize("n", [5, 20, 200])
def test_the_p_value_of_a_mean_of_angles(n: int) -> None:
    angles = np.random.default_rng(n).uniform(0, 2 * np.pi, (20_000, n))
    lengths = np.abs(np.exp(1j * angles).mean(axis=1))
    for length in np.quantile(lengths, [0.5, 0.9, 0.99]):
        assert rayleigh(float(length), n) == pytest.approx(float((lengths >= length).mean()), rel=0.15)


# sequences


def history(device: str, types: str, *, start: int = 0, step: int = 1_000) -> list[tuple[int, str, str]]:
    return [(START + start + step * place, device, one) for place, one in enumerate(types)]


def mined(*histories: list[tuple[int, str, str]]) -> Any:
    events = [event for one in histories for event in one]
    times = np.array([at for at, _, _ in events], dtype=np.int64)
    return sequences(times, [device for _, device, _ in events], [kind for _, _, kind in events])


def test_a_planted_sequence_is_found() -> None:
    """Each of ten devices does other things, six of them XYZ in between, once with something in it."""
    noise = ["AB", "BC", "CD", "DE", "EF", "FG", "GH", "HI", "IJ", "JA"]
    histories = [history(f"d{n}", noise[n][0] + ("XYZ" if n else "XQYZ") + noise[n][1]) for n in range(6)]
    histories += [history(f"d{n}", noise[n]) for n in range(6, 10)]
    found = mined(*histories)
    shown = {"".join(one.types): (one.devices, one.times) for one in found.found}
    assert shown["XYZ"] == (6, 6)
    assert (found.devices, found.complete) == (10, True)
    assert found.found[0].share == 0.6
    assert "ZYX" not in shown


def test_a_step_is_neither_long_nor_far() -> None:
    assert mined(history("a", "XY", step=30_000), history("b", "XY", step=30_001)).found == []
    assert [one.devices for one in mined(history("a", "XY"), history("b", "XY")).found] == [2]
    far = mined(history("a", "XQQY"), history("b", "XPPPY"))
    assert "XY" not in {"".join(one.types) for one in far.found}


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 60_000), st.sampled_from("ABC")), max_size=9), max_size=5),
)
def test_all_frequent_ones_are_found(given: list[list[tuple[int, str]]]) -> None:
    histories = [sorted(one, key=lambda event: event[0]) for one in given]
    found = mined(*([(at, f"d{n}", kind) for at, kind in one] for n, one in enumerate(histories)))
    expected = oracle.frequent(histories, 5, 3, 30_000, 2)
    if found.complete:
        assert {tuple(one.types): (one.devices, one.times) for one in found.found} == expected
    else:
        assert len(expected) > SEQUENCES_MAX


def test_where_all_follows_all_it_ends_and_says_so() -> None:
    chance = np.random.default_rng(0)
    kinds = np.array(list("ABCDEFGHIJKL"))
    found = mined(*(history(f"d{n}", "".join(chance.choice(kinds, 1_000))) for n in range(20)))
    assert (len(found.found), found.complete) == (SEQUENCES_MAX, False)
    assert mined().found == []
    assert mined(history("a", "ABABABAB")).found == []  # one device is no custom


# trend


def test_a_line_is_a_trend_with_its_slope() -> None:
    chance = np.random.default_rng(6)
    times = START + np.arange(60) * MINUTE
    values = 3.0 * (times - START) / HOUR_MS + chance.normal(0, 0.3, 60)
    up, down = trend(times, values), trend(times, -values)
    assert up is not None
    assert down is not None
    assert (up.direction, up.slope) == ("rising", pytest.approx(3.0, rel=0.1))
    assert (down.direction, down.slope) == ("falling", -up.slope)
    assert up.tau > 0.7


def test_noise_has_no_trend() -> None:
    times = START + np.arange(60) * MINUTE
    found = [trend(times, np.random.default_rng(seed).normal(size=60)) for seed in range(200)]
    assert sum(one is not None and one.direction != "none" for one in found) <= 6
    shares = np.mean([one.p_value < 0.25 for one in found if one is not None])
    assert shares == pytest.approx(0.25, abs=0.1)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(-3, 3)), min_size=4, max_size=12))
def test_it_is_the_definition(steps: list[tuple[int, int]]) -> None:
    times = np.cumsum([step for step, _ in steps]).astype(np.int64)
    values = [float(value) for _, value in steps]
    found = trend(times, np.array(values))
    s, variance, slope = oracle.mann_kendall(times.tolist(), values)
    assert found is not None
    assert found.slope / HOUR_MS == pytest.approx(slope)
    assert found.tau == pytest.approx(2 * s / (len(values) * (len(values) - 1)))
    z = (abs(s) - 1) / math.sqrt(variance) if s else 0.0
    assert found.p_value == pytest.approx(math.erfc(z / math.sqrt(2)))


def test_too_little_for_a_trend_and_too_much() -> None:
    assert trend(np.arange(3), np.arange(3.0)) is None
    flat = trend(np.arange(50), np.ones(50))
    assert flat is not None
    assert (flat.direction, flat.slope, flat.p_value) == ("none", 0.0, 1.0)
    with pytest.raises(ValueError, match="500"):
        trend(np.arange(POINTS_MAX + 1), np.ones(POINTS_MAX + 1))
    with pytest.raises(ValueError, match="rising"):
        trend(np.zeros(5, dtype=np.int64), np.ones(5))


def test_buckets_are_of_one_length_and_lose_nothing() -> None:
    middles, counts, averages = means(np.array([0, 1, 9, 10]), np.array([1.0, 3.0, 5.0, 7.0]), 0, 10, 5)
    assert (middles.tolist(), counts.tolist()) == ([1, 3, 5, 7, 9], [2, 0, 0, 0, 2])
    np.testing.assert_array_equal(averages, [2.0, np.nan, np.nan, np.nan, 6.0])
