"""A gateway over the embedded log: the same application, every part of it in this process."""

from __future__ import annotations

from projections.embedded.field import EmbeddedField, stored_views
from projections.embedded.log import Fixed, connect, sqlite_log
from projections.embedded.rows import EmbeddedRows
from projections.embedded.watch import EmbeddedWatch
from projections.gateway.archaeology import Archaeology
from projections.gateway.calculator import Calculator
from projections.gateway.context import Gateway
from projections.gateway.gather import Gather
from projections.gateway.groups import Groups
from projections.gateway.history import Past
from projections.gateway.hub import Hub
from projections.gateway.intake import Intake
from projections.gateway.kept import Kept
from projections.gateway.limits import Limiter
from projections.gateway.optouts import OptOuts
from projections.gateway.reader import Reader
from projections.gateway.states import States
from streams.settings import Settings


def build(settings: Settings) -> Gateway:
    """A gateway whose parts do not run yet. The log's file is there, and somebody folds it."""
    field, rows, target = EmbeddedField(settings), EmbeddedRows(settings), Fixed(settings)
    watch = EmbeddedWatch(settings, rows)
    reader = Reader(settings, field, field, field, target, watch.behind)
    kept = Kept(settings, None, reader.performance, watch.behind)
    states = States(settings, None, Groups(), target, stored_views)
    return Gateway(
        settings, reader=reader, watch=watch, target=target, calculator=Calculator(settings),
        intake=Intake(settings, Gather(settings, target, connect), Limiter(settings, None)),
        past=Past(rows, kept, lambda: reader.generation),
        archaeology=Archaeology(rows, kept, lambda: reader.generation),
        hub=Hub(settings, states, OptOuts(rows.toggles), sqlite_log(settings), target),
        more=(rows,),
    )  # fmt: skip
