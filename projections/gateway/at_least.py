"""``?at_least=``: positions that an answer has to reflect, ``1:17,2:5``, with or without the id of their log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.gateway import positions
from projections.gateway.parameters import Parameters, refused
from projections.gateway.positions import Positions
from projections.gateway.problems import Problem

if TYPE_CHECKING:
    from projections.gateway.context import Gateway


async def at_least(gateway: Gateway, given: Parameters) -> Positions:
    """Empty: any will do. Raises Problem: 400, and 410 for positions of a log that is not read any more."""
    value = given.text("at_least")
    if value is None:
        return {}
    log, mark, vector = value.rpartition("~")
    if mark and not await gateway.target.has(log):
        raise other_log(log)
    try:
        return positions.parse(vector, gateway.target.log.partitions)
    except ValueError as error:
        raise refused("at_least", str(error)) from None


def other_log(id: str) -> Problem:
    """For who names positions of another log."""
    detail = f"positions of the log {id[:16]!r} mean nothing in the one that is read now: the field has moved to it"
    return Problem(410, "other_log", detail)
