"""The same records through every backend: equal digests, equal counts, the same dead letters."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from streams.settings import Settings
from tests.conformance import backends, log
from tests.workers import instance

PARTITIONS = 4


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Settings:
    return instance(kafka, tmp_path, partitions=PARTITIONS, shards=8)


@pytest.mark.parametrize("name", sorted(backends.BACKENDS))
async def test_a_backend_has_what_the_fold_alone_has(settings: Settings, name: str) -> None:
    sent = log.records(PARTITIONS)
    wanted = await backends.pure(settings, sent)
    found = await backends.BACKENDS[name](settings, sent)
    assert found.digests == wanted.digests
    assert found.counts == wanted.counts
    assert found.rejected == wanted.rejected


async def test_the_log_has_everything_in_it(tmp_path: Path) -> None:
    sent = log.records(PARTITIONS)
    settings = Settings(partitions=PARTITIONS, home=str(tmp_path))
    wanted = await backends.pure(settings, sent)
    assert wanted.counts["late"] > 50
    assert wanted.counts["duplicate"] > 50
    assert len(Counter(reason for reason, _ in wanted.rejected.values())) >= 5
    assert {(record.value or b"")[:1] for record in sent} >= {b"{", b"[", b"\xf1"}
    spread = await backends.pure(replace(settings, shards=3), sent)
    assert spread.digests == wanted.digests
