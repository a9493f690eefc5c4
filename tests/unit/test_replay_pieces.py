"""Blocks of an archive in the compiled fold: in steps as small as the pace asks, and never half of one that is odd."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from streams import engine
from streams.archive.format import Packed
from streams.native.fold import NativeFold
from streams.replay.pieces import fold_piece
from streams.settings import Settings
from streams.wire import encode_frame
from tests.worlds import say

COUNT = 200
SETTINGS = Settings(partitions=1, shards=4, fold="compiled")
EVENTS = [say(f"dev-{n % 9}", "BREATH", n / 10, room="hall", seq=n) for n in range(COUNT)]


def packed(counts: list[int]) -> Packed:
    offsets, none = np.arange(len(counts), dtype="<i8"), np.zeros(COUNT, "<u4")
    return Packed(offsets, np.zeros(len(counts), "<i8"), np.array(counts, "<u4"), none, encode_frame(EVENTS))


def fold() -> NativeFold:
    return cast(NativeFold, engine.make(0, SETTINGS))


@pytest.mark.usefixtures("native_path")
def test_a_block_is_folded_in_turns() -> None:
    whole, slow = fold(), fold()
    assert list(fold_piece(whole, packed([1] * COUNT), (0, COUNT), 50_000, SETTINGS)) == [COUNT]
    steps = list(fold_piece(slow, packed([1] * COUNT), (0, COUNT), 7, SETTINGS))
    assert (max(steps), sum(steps)) == (7, COUNT)
    assert slow.checkpoint("1-aaaa").records == whole.checkpoint("1-aaaa").records


@pytest.mark.usefixtures("native_path")
def test_a_part_of_a_block_is_that_part() -> None:
    one = fold()
    assert sum(fold_piece(one, packed([2] * (COUNT // 2)), (10, 20), 7, SETTINGS)) == 20
    assert (one.position, one.counts["accepted"]) == (19, 20)


@pytest.mark.usefixtures("native_path")
@pytest.mark.parametrize("counts", [[1], [1] * (COUNT + 1), [COUNT + 1]])
def test_counts_that_are_not_those_of_the_frame_fold_nothing(counts: list[int]) -> None:
    one = fold()
    assert not one.fold_block(packed(counts), 0, COUNT)
    assert (one.position, one.counts["accepted"]) == (-1, 0)
