"""Brokers, PostgreSQL, Redis and the lines between all of them fail under load: nothing is lost, all comes back.

``FAULTS=long`` asks for the long forms, ``FAULTS_SEED`` for another seed. One stack for all: what a fault leaves
behind has to bear the next one.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator

import pytest

from tests.faults import measures, outages
from tests.faults.compare import compare
from tests.faults.losable import Losable

SEED = int(os.environ.get("FAULTS_SEED", "4"))
FORM = outages.chosen()
pytestmark = pytest.mark.timeout(300 if FORM is outages.SHORT else 7_200)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Losable]:
    logging.getLogger("aiokafka").setLevel("CRITICAL")  # that brokers are away is what these tests are about
    with Losable(tmp_path_factory.mktemp("losable"), SEED) as one:
        with one.devices(FORM.rate):
            one.reached()
        yield one
    logging.getLogger("aiokafka").setLevel("NOTSET")


def nothing_is_missing(stack: Losable) -> None:
    """All acknowledged events are in the log, and every tier is what the log says."""
    assert stack.fleet is not None
    assert stack.fleet.acknowledged, "the fleet sent nothing"
    assert asyncio.run(stack.fleet.lost(stack.settings)) == []
    report = asyncio.run(compare(stack.settings))
    assert report.difference == 0, f"seed {stack.seed}\n{report}\n{stack.tell()}"
    assert not stack.stays_down(), stack.tell()
    measures.note("outages", difference=report.difference, rows=sum(report.rows.values()))


def test_brokers_are_killed_in_turn(stack: Losable) -> None:
    with stack.devices(FORM.rate, toggles=False) as fleet:
        outages.brokers_killed(stack, FORM)
    measures.note("Kafka", acknowledged_s_max=fleet.longest_s, repeated=len(fleet.failures))
    nothing_is_missing(stack)


def test_postgres_is_stopped_and_meanwhile_redis_fails(stack: Losable) -> None:
    def redis_fails() -> None:
        for fault in outages.REDIS:
            fault(stack, FORM)

    before = stack.restarts()
    with stack.devices(FORM.rate) as fleet:
        outages.postgres_stopped(stack, FORM, redis_fails)
    assert fleet.failures == [], "devices were refused"
    assert stack.restarts() == before, f"a process ended instead of waiting\n{stack.tell()}"
    nothing_is_missing(stack)


def test_postgres_takes_nothing(stack: Losable) -> None:
    before = stack.restarts()
    with stack.devices(FORM.rate):
        for fault in outages.POSTGRES:
            fault(stack, FORM)
    assert stack.restarts() == before, f"a process ended instead of waiting\n{stack.tell()}"
    nothing_is_missing(stack)


def test_lines_are_slow_cut_and_half_open(stack: Losable) -> None:
    with stack.devices(FORM.rate, toggles=False):
        outages.lines_slow(stack, FORM)
        outages.lines_cut(stack, FORM)
        outages.lines_half_open(stack, FORM)
        if FORM is outages.LONG:
            outages.each_half_open(stack, FORM)
    measures.note("lines", restarts=sum(stack.restarts().values()))
    nothing_is_missing(stack)
