"""Bad input of every kind among good, and nothing but bad input."""

from __future__ import annotations

import dataclasses
from collections import Counter

from streams import topics
from streams.settings import Settings
from tests.faults import tiers
from tests.faults.compare import compare
from tests.faults.processes import Proc
from tests.faults.scenarios import Figures, Place
from tests.faults.stream import Recipe, make, publish, rubbish

FLOOD_CODE = 3


async def bad_input(place: Place) -> Figures:
    """Duplicates, reorderings, lateness, clocks an hour off and 1% rubbish; then only rubbish, which stops the worker
    until it is told to let it pass. The state is the oracle's; the dead letters are exactly what was injected.
    """
    settings = place.settings(
        checkpoint_ms=100, session_timeout_s=6, publish_ms=100, sample_ms=200, instance="only", flood_window=500
    )
    await topics.create(settings)
    recipe = Recipe(
        place.seed, 5_000, late=0.05, duplicates=0.1, malformed=0.01, opts=0.005, displaced=60, clocks_off=True
    )
    stream = make(recipe, settings.partitions)
    flood = rubbish(place.seed, 3 * settings.flood_window, settings.partitions)
    with Proc(settings, "projector"), Proc(settings, "publisher"):
        with Proc(settings, "worker") as worker:
            await publish(settings, stream.records)
            some = await compare(settings)
            assert some.difference == 0, str(some)
            await _check_letters(settings, stream.bad)
            await publish(settings, flood.records)
            code = await worker.ended()
            assert code == FLOOD_CODE, worker.tail()
        patient = dataclasses.replace(settings, flood_share=2.0)
        with Proc(patient, "worker"):
            await publish(settings, make(Recipe(place.seed + 1, 1_000), settings.partitions).records)
            everything = await compare(patient)
    assert everything.difference == 0, str(everything)
    injected = [*stream.bad, *flood.bad]
    letters = await _check_letters(settings, injected)
    return {"letters": letters, "injected": len(injected), "difference": some.difference + everything.difference}


async def _check_letters(settings: Settings, injected: list[bytes]) -> int:
    letters = Counter(value for _, value in (await tiers.letters(settings)).values())
    wanted = Counter(injected)
    assert letters == wanted, f"missing {list(wanted - letters)[:3]}, extra {list(letters - wanted)[:3]}"
    return letters.total()


SCENARIOS = [("bad input", bad_input)]
