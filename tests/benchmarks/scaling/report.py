"""What was measured as tables for people, in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Column = tuple[str, str, str]
"""Heading, figure, how it is written; a figure within another is ``one.other``."""

COLUMNS: dict[str, Sequence[Column]] = {
    "devices": (
        ("devices", "devices", ",d"),
        ("rooms", "rooms", ",d"),
        ("shards a partition", "shards", ",d"),
        ("events/s", "events_per_s", ",.0f"),
        ("until durable", "committed_per_s", ",.0f"),
        ("changelog bytes an event", "changelog_bytes_per_event", ",.0f"),
        ("the same, live", "live_changelog_bytes_per_event", ",.0f"),
        ("times what changed", "live_times_changed", ".1f"),
        ("RSS MB", "rss_mb", ",.0f"),
        ("state MB", "state_mb", ",.1f"),
        ("largest record KB", "largest_record_kb", ",.0f"),
        ("changelog to read MB", "changelog_mb", ",.0f"),
        ("in records", "changelog_rows", ",d"),
        ("recovery s", "recovery_s", ".1f"),
        ("RSS MB after it", "recovery_rss_mb", ",.0f"),
        ("RSS MB live", "live_rss_mb", ",.0f"),
        ("digest", "digest", ""),
    ),
    "workers": (
        ("form", "form", ""),
        ("partitions", "partitions", "d"),
        ("workers", "workers", "d"),
        ("events/s", "events_per_s", ",.0f"),
        ("until durable", "committed_per_s", ",.0f"),
        ("CPU s per 1M", "cpu_s_per_million", ".2f"),
        ("RSS MB, all", "rss_mb", ",.0f"),
        ("changelog bytes an event", "changelog_bytes_per_event", ",.0f"),
        ("share measured", "details.measured_share", ".0%"),
    ),
    "load": (
        ("events/s asked for", "asked", ",d"),
        ("sent", "rate", ",.0f"),
        ("sent late ms, at most", "publisher_late_ms", ",.0f"),
        ("folded ms p50", "folded_ms.p50", ",.0f"),
        ("p99", "folded_ms.p99", ",.0f"),
        ("durable ms p50", "durable_ms.p50", ",.0f"),
        ("p99", "durable_ms.p99", ",.0f"),
        ("cores of the worker", "cores", ".2f"),
    ),
}
LATE_MS = 1_000.0
"""A median beyond this is a queue that grows: the load is above what can be carried."""


def table(part: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of a part; one that has a problem says so in its last cell."""
    columns = COLUMNS[part]
    lines = ["| " + " | ".join(heading for heading, _, _ in columns) + " |", "|" + " --- |" * len(columns)]
    for row in rows:
        cells = [cell(row, name, form) for _, name, form in columns]
        if problem := row.get("problem"):
            cells[-1] = " ".join(problem.split())[:120].replace("|", "/")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(row: Mapping[str, Any], name: str, form: str) -> str:
    """A figure as it is shown; nothing for none."""
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return "" if value is None else format(value, form)


def beyond_knee(row: Mapping[str, Any]) -> bool:
    """Whether a paced run was more than can be carried: higher rates need not be looked at."""
    return bool(row.get("problem")) or row["folded_ms"] is None or row["folded_ms"]["p50"] > LATE_MS
