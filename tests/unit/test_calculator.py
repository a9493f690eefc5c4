"""The calculator's cache: what it keeps, for how long, for how many, and that nobody waits on the event loop."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from projections.field import CELLS_MAX, Box
from projections.gateway import calculator
from projections.gateway.calculator import THREADS, WAITING_MAX, Asked, Calculator, compute
from projections.gateway.problems import Problem
from streams.settings import Settings


@dataclass
class Seen:
    at: int = 1_700_000_000_000
    generation: str = "live"
    global_resonance: float = 0.5
    quantum_fields: tuple[Any, ...] = ()
    particles: tuple[Any, ...] = field(
        default_factory=lambda: (SimpleNamespace(x=0.0, y=0.0, intensity=1.0, timestamp=1_700_000_000_000, data={}),)
    )


SEEN, POSITIONS = Seen(), {0: 5, 1: 7}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Asked, int]]:
    """Calculations made, and the threads they were made in."""
    made: list[tuple[Asked, int]] = []

    def counting(seen: Any, asked: Asked, settings: Settings) -> Any:
        made.append((asked, threading.get_ident()))
        return compute(seen, asked, settings)

    monkeypatch.setattr(calculator, "compute", counting)
    return made


def at(x: float) -> Asked:
    return Asked(points=((x, 0.0),))


def values(found: Any) -> list[float]:
    decoded: list[float] = msgspec.json.decode(found.values)
    return decoded


async def test_the_key_is_positions_phase_resonance_and_what_was_asked(counted: list[Any]) -> None:
    one = Calculator(Settings())
    first = await one.strength(SEEN, POSITIONS, at(5))
    assert (values(first), first.cached, first.sources) == ([0.5 * 0.5625], False, 1)
    again = await one.strength(SEEN, dict(reversed(POSITIONS.items())), at(5))
    assert again.cached
    assert values(again) == values(first)
    assert (await one.strength(SEEN, POSITIONS, at(5)._replace(phase=0.0, resonance=0.5))).cached  # those of the field
    for seen, positions, asked in (
        (SEEN, {0: 5, 1: 8}, at(5)),
        (SEEN, {0: 5}, at(5)),
        (SEEN, POSITIONS, at(6)),
        (SEEN, POSITIONS, at(5)._replace(phase=1.0)),
        (SEEN, POSITIONS, at(5)._replace(resonance=1.0)),
        (Seen(global_resonance=0.75), POSITIONS, at(5)),
        (Seen(generation="g2"), POSITIONS, at(5)),
    ):
        assert not (await one.strength(seen, positions, asked)).cached
    assert len(counted) == 8
    assert one.performance.block().cache_hit_rate == pytest.approx(2 / 10)


async def test_a_hundred_are_kept_those_asked_for_last(counted: list[Any]) -> None:
    one = Calculator(Settings())
    assert one._settings.strength_kept == 100
    for x in range(100):
        await one.strength(SEEN, POSITIONS, at(x))
    assert (await one.strength(SEEN, POSITIONS, at(0))).cached
    await one.strength(SEEN, POSITIONS, at(100))
    assert len(one._kept) == 100
    assert (await one.strength(SEEN, POSITIONS, at(0))).cached
    assert not (await one.strength(SEEN, POSITIONS, at(1))).cached


async def test_a_full_cache_holds_less_than_fifty_megabytes() -> None:
    """The most cells, each with as many digits as a number can have."""
    long = tuple(
        SimpleNamespace(x=x, y=0.0, intensity=0.1234567890123456, timestamp=SEEN.at - 20_000_000, data={})
        for x in (0.1, 3.3)
    )
    one, kept = Calculator(Settings(strength_kept=2)), Settings().strength_kept
    tracemalloc.start()
    try:
        for shift in range(2):
            asked = Asked(128, 128, Box(-4.0, -4.0, 4.0 + shift, 4.0), resonance=0.9876543210987654)
            found = await one.strength(Seen(particles=long), POSITIONS, asked)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(bytes(found.values)) / CELLS_MAX > 20
    assert len(one._kept) == 2
    assert held / 2 * kept < 50e6


async def test_for_five_seconds(counted: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1_000.0
    monkeypatch.setattr(calculator, "time", SimpleNamespace(monotonic=lambda: now_s))
    one = Calculator(Settings())
    assert one._settings.strength_kept_ms == 5_000
    await one.strength(SEEN, POSITIONS, at(1))
    now_s += 5.0
    assert (await one.strength(SEEN, POSITIONS, at(1))).cached
    now_s += 0.001
    assert not (await one.strength(SEEN, POSITIONS, at(1))).cached
    now_s += 5.0
    assert (await one.strength(SEEN, POSITIONS, at(1))).cached  # from when it was computed, not from when it was asked


async def test_equal_questions_at_once_are_one_calculation_in_another_thread(counted: list[Any]) -> None:
    one = Calculator(Settings())
    found = await asyncio.gather(*(one.strength(SEEN, POSITIONS, at(1)) for _ in range(20)))
    assert len(counted) == 1
    assert counted[0][1] != threading.get_ident()
    assert sorted(one.cached for one in found) == [False] + [True] * 19
    assert not one._under_way


def held(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Calculations wait until the returned function is called."""
    go = threading.Event()

    def waiting(seen: Any, asked: Asked, settings: Settings) -> Any:
        assert go.wait(60)
        return compute(seen, asked, settings)

    monkeypatch.setattr(calculator, "compute", waiting)
    return go.set


async def test_who_leaves_does_not_take_the_answer_of_others_along(monkeypatch: pytest.MonkeyPatch) -> None:
    one, go = Calculator(Settings()), held(monkeypatch)
    leaves, stays = (asyncio.create_task(one.strength(SEEN, POSITIONS, at(1))) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.sleep(0)
    go()
    assert values(await stays) == [0.5 * 0.99**2]
    assert leaves.cancelled()


async def test_more_than_can_wait_are_told_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one, go = Calculator(Settings()), held(monkeypatch)
    most = THREADS + WAITING_MAX
    tasks = [asyncio.create_task(one.strength(SEEN, POSITIONS, at(x))) for x in range(most)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(Problem, match="busy") as refused:
        await one.strength(SEEN, POSITIONS, at(-1))
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
    go()
    assert len(await asyncio.gather(*tasks)) == most
    assert values(await one.strength(SEEN, POSITIONS, at(-1))) == [0.5 * 0.99**2]  # a refusal is not kept


async def test_nothing_is_kept_where_settings_say_so(counted: list[Any]) -> None:
    one = Calculator(Settings(strength_kept=0))
    for _ in range(2):
        assert not (await one.strength(SEEN, POSITIONS, at(1))).cached
    assert not one.performance.block().cache_enabled
