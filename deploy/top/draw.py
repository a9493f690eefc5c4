"""The figures of ``field top`` as tables: drawn anew in place on a terminal, or printed once as text."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deploy.top.rows import Top


def picture(top: Top) -> RenderableType:
    """All tables; what does not answer above them."""
    problems = [Text(problem, style="red") for problem in top.problems]
    return Group(Text(f"generation {top.generation}", style="bold"), *problems, _processes(top), _partitions(top),
                 _gateways(top))  # fmt: skip


def _table(*columns: str, left: int = 1) -> Table:
    """Without lines, figures to the right."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index < left else "right", no_wrap=True)
    return table


def _processes(top: Top) -> Table:
    table = _table(
        "process", "endpoint", "pid", "cpu", "memory", "restarts", "lag", "rate", "uncommitted", "p95", left=2
    )
    for row in top.processes:
        table.add_row(
            row.process if row.up else f"{row.process} DOWN", row.where or "-", _number(row.pid, plain=True),
            "?" if row.cpu is None else f"{row.cpu:.0%}",
            "?" if row.memory_bytes is None else f"{row.memory_bytes / (1 << 20):,.0f} MiB",
            str(row.restarts), _number(row.lag) if row.role == "worker" else "", _rate(row.rate),
            _seconds(row.waiting_s) if row.role == "worker" else "", _seconds(row.batch_p95_s),
            style="" if row.up else "red",
        )  # fmt: skip
    return table


def _partitions(top: Top) -> Table:
    table = _table("partition", "owner", "end", "kept", "lag", "in", "out", left=2)
    for row in top.partitions:
        table.add_row(
            str(row.partition), row.owner or "nobody", _number(row.end), _number(row.kept), _number(row.lag),
            _rate(row.in_rate), _rate(row.out_rate),
        )  # fmt: skip
    return table


def _gateways(top: Top) -> Table:
    table = _table("gateway", "requests", "errors", "listeners", "events waiting")
    for row in top.gateways:
        table.add_row(
            row.process, _rate(row.requests_rate), _rate(row.errors_rate), _number(row.listeners),
            _number(row.waiting_events),
        )  # fmt: skip
    return table


def _number(value: int | None, plain: bool = False) -> str:
    return "?" if value is None else str(value) if plain else f"{value:,}"


def _rate(value: float | None) -> str:
    return "?" if value is None else f"{value:,.1f}/s" if value < 100 else f"{value:,.0f}/s"


def _seconds(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g} s"
