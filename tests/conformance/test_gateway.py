"""What the gateway does over Kafka, PostgreSQL and Redis it does embedded: the same tests, collected again.

What they ask for (``settings``, ``make_settings``, ``dig``) is of an embedded field here.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from deploy import backend
from deploy.backend import Publisher
from projections.gateway.history import DAY_MS, WIDTHS_MS
from projections.views import now_ms
from streams.events import Event
from streams.settings import Settings
from tests.fixtures.gateway import Serving, serving
from tests.gateway import (
    test_field_archaeology,
    test_in_sync,
    test_openapi,
    test_out_history,
    test_out_pages,
    test_push_events,
    test_push_history,
    test_trpc_real,
)
from tests.gateway.filling import gathering, lately
from tests.gateway.pushing import publish, publisher
from tests.gateway.reading import answered, eventually, gateway

MODULES: tuple[ModuleType, ...] = (
    test_field_archaeology, test_in_sync, test_push_events, test_push_history,
)  # fmt: skip
ELSEWHERE = frozenset(
    (
        "test_a_listener_of_another_gateway_may_be_ahead",  # there is one gateway
        "test_a_plan_uses_the_index_of_what_is_asked_for",  # of PostgreSQL
        "test_a_room_that_is_seldom_used_is_found_without_looking_at_all_rows",
        "test_answers_say_what_they_reflect_and_are_asked_about_again",  # looks into PostgreSQL
        "test_more_than_can_wait_are_told_so",  # locks its rows
        "test_without_a_database_it_says_when_to_come_again",
    )
)
TESTS = {name: found for module in MODULES for name, found in vars(module).items() if name.startswith("test_")}
SOME = {
    "test_what_fits_the_description_is_answered_by_it": test_openapi.test_what_fits_the_description_is_answered_by_it,
    "test_what_does_not_fit_is_refused_by_it": test_openapi.test_what_does_not_fit_is_refused_by_it,
    "test_queries_say_what_rest_says": test_trpc_real.test_queries_say_what_rest_says,
}
"""Of modules whose other tests are of no store, or of stores that differ."""
globals().update({name: found for name, found in TESTS.items() if name not in ELSEWHERE} | SOME)

_numbers = itertools.count()


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    """Every call is another embedded field."""

    def make(**over: Any) -> Settings:
        plain = Settings(
            home=str(tmp_path / f"field-{next(_numbers)}"), parts="embedded", checkpoint_ms=50, publish_ms=50,
            worker_metrics_port=0, gateway_port=0,
        )  # fmt: skip
        return replace(plain, **over)

    return make


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings()


class Dig(test_field_archaeology.Dig):
    """Rows come from the log."""

    def __init__(self, client: httpx.AsyncClient, served: Serving, log: Publisher) -> None:
        self.client = client
        self._served = served
        self._log = log

    async def put(self, events: Sequence[Event]) -> None:
        await publish(self._log, events)
        await projected(self._served)


@pytest.fixture
async def dig(make_settings: Callable[..., Settings]) -> AsyncIterator[Dig]:
    settings = make_settings(partitions=2)
    async with (
        publisher(settings) as log,
        serving(settings) as served,
        httpx.AsyncClient(base_url=served.url, timeout=30) as client,
    ):
        yield Dig(client, served, log)


@pytest.fixture
async def served(make_settings: Callable[..., Settings]) -> AsyncIterator[Serving]:
    """With something to show, as the log has it."""
    settings = make_settings(partitions=2, shards=4, gateway_wait_ms=50, gateway_address_rate=0.0)
    async with publisher(settings) as log, serving(settings) as found:
        await publish(log, gathering())
        await projected(found)
        yield found


async def projected(served: Serving) -> None:
    """The rows reflect all that is on the log now."""
    async with httpx.AsyncClient(base_url=served.url) as client:
        async with backend.of(served.gateway.settings).log() as history:
            end = {number: end - 1 for number, (_, end) in (await history.bounds()).items()}

        async def there() -> bool:
            found = (await client.get("/api/consciousness/archaeology?limit=1")).json()
            positions = found.get("reflects", {}).get("positions", {})
            return all(positions.get(str(number), -1) >= at for number, at in end.items())

        await eventually(there, "the rows")


async def test_history_is_what_the_rows_come_to(make_settings: Callable[..., Settings]) -> None:
    settings, events = make_settings(partitions=2), test_out_history.days(1)
    async with publisher(settings) as log, gateway(settings) as (served, client):
        await publish(log, events)
        await projected(served)
        for resolution, width in WIDTHS_MS.items():
            until = now_ms()
            asked = {"from": until - 3 * DAY_MS, "until": until, "resolution": resolution, "limit": 5_000}
            found = (await answered(client, "/history", **asked))["data"]
            assert test_out_history.close(
                found["points"], test_out_history.by_hand(events, width, until - 3 * DAY_MS, until)
            )


@pytest.mark.parametrize(("path", "name", "total"), [("/rooms", "rooms", 8), ("/entanglements", "pairs", 10)])
async def test_a_walk_goes_beyond_what_a_snapshot_has(
    make_settings: Callable[..., Settings], path: str, name: str, total: int
) -> None:
    async with publisher(settings := make_settings(hot_rows=4)) as log, gateway(settings) as (_, client):
        await publish(log, gathering() + [lately("ana", "ENTANGLE", 9, to=f"far{number}") for number in range(8)])

        async def there() -> bool:
            return bool((await answered(client, path))["data"]["total"] == total)

        await eventually(there, "all of them")

        async def nothing(_: int) -> None: ...

        found = await test_out_pages.walk(client, path, name, nothing)
        names = [(row.get("room_id"), row.get("low"), row.get("high")) for row in found]
        assert len(found) == len(set(names)) == total
        assert names == sorted(names, key=str)
        page = await answered(client, path, limit=3)
        assert (page["data"]["truncated"], page["reflects"]["tier"]) == (False, "memory")
        if name == "pairs":
            ana = (await answered(client, path, device="ana"))["data"]["pairs"]
            assert [(one["low"], one["high"]) for one in ana] == [pair[1:] for pair in names if "ana" in pair]


def test_nothing_is_left_out_that_is_not_there() -> None:
    assert set(TESTS) >= ELSEWHERE
    assert len(TESTS) > 25
