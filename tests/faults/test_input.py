"""Bad input of every kind among good: the state is the oracle's, the dead letters are exactly what was injected."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable

from streams import topics
from streams.settings import Settings
from tests.faults import tiers
from tests.faults.compare import compare
from tests.faults.figures import note
from tests.faults.processes import Proc
from tests.faults.stream import Recipe, make, publish, rubbish


async def test_bad_input_is_put_aside_and_nothing_else(make_settings: Callable[..., Settings], seed: int) -> None:
    settings = make_settings(checkpoint_ms=100, session_timeout_s=6, publish_ms=100, sample_ms=200, instance="only")
    await topics.create(settings)
    recipe = Recipe(seed, 5_000, late=0.05, duplicates=0.1, malformed=0.01, opts=0.005, displaced=60, clocks_off=True)
    stream = make(recipe, settings.partitions)
    flood = rubbish(seed, 3 * settings.flood_window, settings.partitions)
    with Proc(settings, "projector"), Proc(settings, "publisher"):
        with Proc(settings, "worker") as worker:
            await publish(settings, stream.records)
            some = await compare(settings)
            assert some.difference == 0, str(some)
            assert Counter(value for _, value in (await tiers.letters(settings)).values()) == Counter(stream.bad)
            await publish(settings, flood.records)
            assert await worker.ended() == 3, worker.tail()
        patient = dataclasses.replace(settings, flood_share=2.0)
        with Proc(patient, "worker"):
            await publish(settings, make(Recipe(seed + 1, 1_000), settings.partitions).records)
            everything = await compare(patient)
    assert everything.difference == 0, str(everything)
    letters = Counter(value for _, value in (await tiers.letters(settings)).values())
    note("bad input", letters=sum(letters.values()), injected=len(stream.bad) + len(flood.bad),
         difference=some.difference + everything.difference)  # fmt: skip
    assert letters == Counter(stream.bad + flood.bad)
