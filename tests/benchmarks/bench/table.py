"""Results as a table for people, in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.benchmarks.bench import figures
from tests.benchmarks.bench.rows import GUARANTEES

HEAD = (
    "", "fold", "bytes in", "events/s, median (min-max)", "until durable", "CPU s per 1M", "RSS MB", "durable every",
    "changelog rows / bytes an event", "latency ms p50 / p99: folded", "durable",
)  # fmt: skip
RATIOS = (
    ("single records", ("ours-json*",), "Flink, heap, warm", ("flink-heap-*-warm",)),
    ("single records", ("ours-json*",), "Flink, RocksDB, warm", ("flink-rocksdb-*-warm",)),
    ("single records", ("ours-json*",), "Kafka Streams, exactly once", ("kafka-streams-eos-*",)),
    ("single records", ("ours-json*",), "Kafka Streams, at least once", ("kafka-streams-[12]",)),
    ("single records", ("ours-json*",), "aiokafka alone", ("floor-aiokafka",)),
    ("frames", ("ours-frame*",), "Flink, heap, warm", ("flink-heap-*-warm",)),
    ("projector", ("ours-projector",), "binary COPY", ("floor-copy",)),
)
"""Ours, the best of such rows, to the best of others."""
NOTES = """\
events/s from the first to the last event folded; "until durable" goes on to the last commit, for which ours are told to
end as a bounded job of Flink ends by itself. CPU of the contender's processes alone; broker and database run beside it
on the same machine. RSS is the highest, added over processes.
Changelog: keys and values of what the state is recovered from (Kafka records; for Flink checkpoint files and for
Bytewax its SQLite files, marked f); what else is written is in the JSON.
There is no row "the field, simple fold": the field always folds all tables, the peers one row a device.
"bytes in": values of the records that it reads, an event. Compare ratios, from one run."""
PACED = """\
Latency at {rate:,} events/s, from sending: folded = in the engine's state in memory; durable = its committed offsets
have passed it. "too slow" = it cannot hold that load."""


def markdown(results: Mapping[str, Any]) -> str:
    """The whole table with its notes; ``results`` as ``results.schema.json`` says."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD)]
    for guarantee in GUARANTEES:
        rows = [row for row in results["rows"] if row["guarantee"] == guarantee]
        if rows:
            lines.append(f"| **{guarantee}**" + " |" * len(HEAD))
            lines += [line(row, results["inputs"]) for row in rows]
    given, load = results["given"], results["load_average"]
    machine = results["machine"]
    return "\n".join(
        [
            *lines,
            "",
            f"{given['events']:,} events, {given['devices']:,} devices, 4 partitions, runs: {given['runs']}.",
            f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gb']} GB, {machine['system']}; load "
            f"average before the runs {load['min']:.1f}-{load['max']:.1f}.",
            "Versions: " + ", ".join(f"{name} {version}" for name, version in results["versions"].items()) + ".",
            *ratios(results["rows"]),
            NOTES,
            *([PACED.format(rate=given["rate"])] if given["rate"] else []),
        ]
    )


def ratios(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The field's events/s to those of others, where this run has both."""
    found = []
    for ours, names, other, others in RATIOS:
        one, two = figures.best(rows, names), figures.best(rows, others)
        if one and two:
            found.append(f"{ours} to {other}: {one / two:.2f}")
    return ["Ratios of events/s, the best of each: " + "; ".join(found) + "."] if found else []


def line(row: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """One row; a row without a valid run says why."""
    title = row["title"] + (f" ({row['share']:.0%} of the events)" if row["share"] < 1 else "")
    if not row["valid"]:
        return f"| {title} | {row['fold']} | | INVALID: {short(row['problem'])} |" + " |" * (len(HEAD) - 4)
    found = row["figures"]
    durable = found["committed_per_s"]
    cells = [
        title, row["fold"], f"{inputs[row['form']]['bytes_per_event']:.0f}", spread(found["events_per_s"], ","),
        f"{durable['median']:,.0f}" if durable else "",
        spread(found["cpu_s_per_million"], ".1f"), f"{found['rss_mb']['median']:.0f}", row["interval"],
        _changelog(found), *_latency(row["latency"]),
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def short(problem: str) -> str:
    """Fit for a cell; the whole of it is in the JSON."""
    return " ".join(problem.split())[:120].replace("|", "/")


def spread(figure: Mapping[str, float], form: str) -> str:
    """``median (min-max)``; only the median where all are equal."""

    def text(value: float) -> str:
        return f"{value:,.0f}" if form == "," else f"{value:{form}}"

    if figure["min"] == figure["max"]:
        return text(figure["median"])
    return f"{text(figure['median'])} ({text(figure['min'])}-{text(figure['max'])})"


def _changelog(found: Mapping[str, Any]) -> str:
    if rows := found["changelog_rows_per_event"]:
        return f"{rows['median']:.3g} / {found['changelog_bytes_per_event']['median']:.1f}"
    files = found["checkpoint_bytes_per_event"]
    return f"{files['median']:.1f} f" if files else ""


def _latency(latency: Mapping[str, Any] | None) -> tuple[str, str]:
    if latency is None:
        return "", ""
    if latency["problem"]:
        return short(latency["problem"]), ""

    def pair(found: Mapping[str, float] | None) -> str:
        return f"{found['p50']:,.0f} / {found['p99']:,.0f}" if found else ""

    return pair(latency["folded_ms"]), pair(latency["durable_ms"])
