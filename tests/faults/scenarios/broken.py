"""The harness itself: a worker that is broken on purpose must leave a difference, the same without the break none."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from streams import topics
from tests.faults.breaks import NAMES
from tests.faults.compare import FOLD, Unsettled, compare
from tests.faults.processes import Proc
from tests.faults.scenarios import Figures, Place
from tests.faults.stream import Recipe, Stream, make, publish

DIES_AT: Final = {"early-ack": "changes-written:1", "last-offset": "changes-sent:1"}
"""Where the worker is killed on its first way; elsewhere after a whole checkpoint."""
AT_ONCE: Final = 3


async def breaks_are_caught(place: Place) -> Figures:
    """All breaks and none, with the same stream and kills."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(broken: str | None) -> int:
        async with limit:
            return await trial(place, broken)

    found = await asyncio.gather(*(one(broken) for broken in (None, *NAMES)))
    unbroken, differences = found[0], dict(zip(NAMES, found[1:], strict=True))
    assert unbroken == 0, f"{unbroken} rows differ without any break"
    assert all(differences.values()), f"not caught: {[name for name, count in differences.items() if not count]}"
    return {"difference": unbroken} | {name.replace("-", "_"): count for name, count in differences.items()}


async def trial(place: Place, broken: str | None) -> int:
    """Half a stream, a worker that dies, the other half, its successor: the difference; -1: it never settled."""
    # a checkpoint holds many batches: what is lost with one is seen. The breaks wrap the simple fold and its batches
    settings = place.settings(fold="simple", checkpoint_ms=1_500, poll_records=50, session_timeout_s=6, instance="only")
    await topics.create(settings)
    # nothing late and nobody out: whichever event is dropped, its device's row counts it
    stream = make(Recipe(place.seed, 3_000, duplicates=0.03, late=0.0, opts=0.0), settings.partitions)
    words = [f"break={words_of(broken, stream)}"] if broken else []
    half = len(stream.records) // 2
    await publish(settings, stream.records[:half])
    with Proc(settings, "worker", *words, f"point={DIES_AT.get(broken or '', 'position-written:1')}") as first:
        code = await first.ended()
        assert code == -9, first.tail()
    await publish(settings, stream.records[half:])
    with Proc(settings, "worker", *words) as second:
        try:
            report = await compare(settings, FOLD, limit_s=60)
        except Unsettled:
            assert second.running, second.tail()
            return -1
    return report.difference


def words_of(broken: str, stream: Stream) -> str:
    """The break with what it needs: the id of a BREATH that comes once."""
    if broken != "drop":
        return broken
    ids = [json.loads(r.value)["id"] for r in stream.records if r.value.startswith(b"{") and b'"BREATH"' in r.value]
    return f"drop:{next(one for one in ids[100:] if ids.count(one) == 1)}"


SCENARIOS = [("breaks of the harness", breaks_are_caught)]
