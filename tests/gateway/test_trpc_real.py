"""Each procedure by the real @trpc/client on real stores: what REST says, in tRPC's envelopes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from projections.gateway.tokens import mint
from streams import topics
from streams.settings import Settings
from tests.fixtures.gateway import Serving, serving
from tests.gateway.devices import breath, count_of, log_of
from tests.gateway.filling import gathering, world
from tests.gateway.test_trpc import FIELD, ROOM, SYNC, by_client

ENTANGLEMENT, ARCHAEOLOGY = "consciousness.entanglement", "consciousness.archaeology"
SAME: list[tuple[str, Any, str]] = [
    (FIELD, {"grid": "4x3", "box": [-5, -5, 5, 5]}, "/field?grid=4x3&box=-5,-5,5,5"),
    (FIELD, {"points": [{"x": 1, "y": -1}, {"x": 2.5, "y": 0}]}, "/field?points=1,-1;2.5,0"),
    (ENTANGLEMENT, None, "/entanglements"),
    (ENTANGLEMENT, {"device": "ana", "limit": 1}, "/entanglements?device=ana&limit=1"),
    (ROOM, {"room_id": "hall"}, "/rooms/hall"),
    (ROOM, {"limit": 2}, "/rooms?limit=2"),
    (ARCHAEOLOGY, {"type": ["BLOOM", "TOUCH"], "room": "hall"}, "/archaeology?type=BLOOM,TOUCH&room=hall"),
    (ARCHAEOLOGY, {"kind": ["trend"], "until": 1, "from": 0}, "/archaeology/patterns?kind=trend&from=0&until=1"),
]


@pytest.fixture
async def served(make_settings: Callable[..., Settings]) -> AsyncIterator[Serving]:
    settings = make_settings(partitions=2, shards=4, hot_s=600, gateway_key="k")
    await topics.create(settings, (settings.events_topic,))
    async with world(settings) as told, serving(settings) as found:
        told.say(*gathering())
        await told.publish()
        await told.project()
        yield found


async def test_queries_say_what_rest_says(served: Serving) -> None:
    batches = [[["plain", "query", name, given]] for name, given, _ in SAME]
    batches.append([["batched", "query", name, given] for name, given, _ in SAME])
    said, requests = await by_client(served.url, *batches)
    *plain, batch = said
    assert requests == [["GET", 200]] * (len(SAME) + 1)
    async with httpx.AsyncClient(base_url=f"{served.url}/api/consciousness") as client:
        for (_, _, path), one, two in zip(SAME, plain, batch, strict=True):
            rest = (await client.get(path)).json()["data"]
            for found in (one[0]["data"]["data"], two["data"]["data"]):
                # these go on with time
                passing = ("at", "cached", "sources", "values", "strength", "resonance", "coherence")
                assert shape_of(found, passing) == shape_of(rest, passing), path


def shape_of(data: Any, without: tuple[str, ...]) -> Any:
    if isinstance(data, list):
        return [shape_of(one, without) for one in data]
    if isinstance(data, dict):
        return {name: shape_of(one, without) for name, one in data.items() if name not in without}
    return data


async def test_sync_stores_what_is_good_and_says_so(served: Serving) -> None:
    ana = mint("k", "ana", int(time.time()) + 600)
    good, other, bad = breath(), breath("bea"), breath(intensity=7)
    said, requests = await by_client(
        served.url,
        [["plain", "mutation", SYNC, [good, other, bad]]],
        [["batched", "mutation", SYNC, bad], ["batched", "mutation", SYNC, {"events": [breath(), breath()]}]],
        [["plain", "mutation", SYNC, other]],
        [["plain", "mutation", SYNC, None]],
        token=ana,
    )
    some, batch, forbidden, nothing = said
    assert [one["verdict"] for one in some[0]["data"]["events"]] == ["accepted", "forbidden", "rejected"]
    assert batch[0]["data"]["problem"]["events"][0]["reason"] == "bad_value"
    assert batch[1]["data"]["accepted"] == 2
    assert forbidden[0]["data"]["code"] == "FORBIDDEN"
    assert nothing[0]["data"]["httpStatus"] == 400
    assert [status for _, status in requests] == [200, 207, 403, 400]
    assert count_of(await log_of(served.gateway.settings)) == 3


async def test_without_a_token_nothing_is_stored(served: Serving) -> None:
    said, _ = await by_client(served.url, [["plain", "mutation", SYNC, breath()]])
    assert (said[0][0]["code"], said[0][0]["data"]["problem"]["code"]) == (-32001, "no_token")
    assert count_of(await log_of(served.gateway.settings)) == 0
