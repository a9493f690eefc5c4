"""The changelog is compacted, emptied, half lost, or of another log; a form that takes longer is the soak's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from streams.settings import Settings
from tests.faults import changelog, outages
from tests.workers import instance


@pytest.mark.parametrize(
    "fault",
    [
        changelog.compacted_then_another_log,
        changelog.half_lost_then_emptied_then_gone,
        pytest.param(
            changelog.deleted_while_the_worker_runs,
            marks=pytest.mark.skipif(
                outages.chosen() is outages.SHORT, reason="a long form, which `make soak` plays: writes are given up"
            ),
        ),
    ],
)
async def test_the_worker_recovers_or_says_what_to_do(
    fault: Callable[[Settings], Awaitable[None]], kafka: str, tmp_path: Path
) -> None:
    await fault(instance(kafka, tmp_path, **changelog.MEMBER))
