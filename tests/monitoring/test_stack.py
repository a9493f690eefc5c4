"""A real stack under Prometheus: every query of every dashboard has an answer; alerts reach the pager and clear."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from deploy import context
from deploy.local.prometheus import Programs
from streams.settings import Settings
from tests.acceptance.stack import Stack, until
from tests.monitoring import files
from tests.monitoring.watching import Pager, Watched, clears, fires, settings_of, visitors

FACTOR = 0.03
FIVE = {f"field-{role}" for role in ("worker", "projector", "publisher", "gateway")}
DIFFERENT = 13


@pytest.fixture
def pager() -> Iterator[Pager]:
    one = Pager()
    yield one
    one.close()


@pytest.fixture
def stack(make_settings: Callable[..., Settings], pager: Pager, programs: Programs, tmp_path: Path) -> Iterator[Stack]:
    with Stack(make_settings(**settings_of(pager, tmp_path, FACTOR))) as one:
        yield one


def test_dashboards_are_answered_and_alerts_come_and_go(stack: Stack, pager: Pager) -> None:
    watched = Watched(stack)
    fleet = stack.start("simulate", "--devices", "40", "--rate", "200", "--malformed", "0.2")
    until(lambda: FIVE | {"prometheus", "alertmanager"} <= watched.targets().keys(), "all are targets")
    until(lambda: set(watched.targets().values()) == {"up"}, "all targets are up")
    until(lambda: sum(stack.json("status")["end"].values()) > 2_000, "a replay of it is looked at more than once")
    name = f"{stack.settings.generation}-other"
    with visitors(context.load(stack.environ)):
        replay = stack.run("replay", "run", "--name", name, "--max-rate", "150", FIELD_RULE_WEIGHT_TOUCH="5")
        assert replay.returncode == DIFFERENT, replay.stdout + replay.stderr
        until(lambda: "field-replay" not in watched.targets(), "a replay that is over is no target")
        for query in files.queries():
            if not query.sql:
                until(lambda query=query: bool(answered(watched, query.text)), f"{query} has an answer", 30)
    rows_of_the_public_dashboard(watched.settings.database_url)

    fires(watched, pager, "FieldDeadLetters")
    fires(watched, pager, "FieldReplayDiffers")
    fleet.terminate()
    fleet.communicate()
    stack.field("replay", "drop", name)
    clears(watched, pager, "FieldDeadLetters")
    clears(watched, pager, "FieldReplayDiffers")


def answered(watched: Watched, promql: str) -> list[float]:
    """The numbers of the last two minutes, as Grafana would ask for them."""
    return watched.values(promql.replace("$__rate_interval", "10s"), 120)


def rows_of_the_public_dashboard(url: str) -> None:
    """What Grafana's own words in the SQL stand for is put there by it."""
    asked = [query for query in files.queries() if query.sql]
    assert asked
    with psycopg.connect(url) as connection:
        for query in asked:
            text = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN now() - interval '6 hours' AND now()", query.text)
            rows = connection.execute(text.encode()).fetchall()
            assert rows, query
            assert all(any(value is not None for value in row) for row in rows), query
