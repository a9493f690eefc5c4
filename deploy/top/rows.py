"""Two looks at a stack -> figures by process, partition and gateway. No I/O."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from deploy import scrape
from deploy.scrape import Samples

COUNTED: Final = {
    "worker": "field_events_total",
    "projector": "field_projection_rows_total",
    "publisher": "field_publish_seconds_count",
    "gateway": "field_gateway_requests_total",
}
"""What a role does: its rate."""
TIMED: Final = {
    "worker": "field_checkpoint_seconds",
    "projector": "field_projection_seconds",
    "publisher": "field_publish_seconds",
    "gateway": "field_gateway_seconds",
}
"""How long a piece of that takes: its 95th percentile."""
PERCENTILE: Final = 0.95


class ProcessRow(msgspec.Struct):
    """A process of ours. None: not known, since its endpoint does not answer or has not answered twice.

    ``cpu`` in cores, ``rate`` in events, rows, snapshots or requests a second by role, ``lag`` in records,
    ``waiting_s`` how long folded records have been waiting for a commit, ``batch_p95_s`` of checkpoints, transactions,
    snapshots or answers.
    """

    process: str
    role: str
    where: str
    up: bool
    pid: int | None = None
    cpu: float | None = None
    memory_bytes: int | None = None
    restarts: int = 0
    lag: int | None = None
    rate: float | None = None
    waiting_s: float | None = None
    batch_p95_s: float | None = None


class PartitionRow(msgspec.Struct):
    """A partition of the log: its last offset, the one that the fold has kept, records a second that come and go."""

    partition: int
    end: int
    kept: int | None
    lag: int | None
    in_rate: float | None
    out_rate: float | None
    owner: str


class GatewayRow(msgspec.Struct):
    """A gateway: requests and answers of 5xx a second, who listens, events that wait for the broker."""

    process: str
    requests_rate: float | None
    errors_rate: float | None
    listeners: int
    waiting_events: int


class Top(msgspec.Struct):
    """Everything that ``field top`` shows; ``problems`` of parts that do not answer. Rows with most lag come first."""

    generation: str
    problems: list[str]
    processes: list[ProcessRow]
    partitions: list[PartitionRow]
    gateways: list[GatewayRow]


class Seen(NamedTuple):
    """A process at one look. ``local`` (cpu seconds, bytes) are the kernel's, for one whose endpoint is not known."""

    process: str
    role: str
    where: str
    up: bool
    pid: int | None
    restarts: int
    samples: Samples | None
    local: tuple[float, int] | None = None


class Look(NamedTuple):
    """One look. ``at_s`` on a clock that only rises; positions by partition; ``owners`` of partitions."""

    at_s: float
    generation: str
    problems: list[str]
    processes: list[Seen]
    ends: Mapping[int, int]
    kept: Mapping[int, int] | None
    owners: Mapping[int, str]


def top(before: Look | None, now: Look) -> Top:
    """The figures; rates are None at the first look."""
    was = {one.process: one for one in before.processes} if before is not None else {}
    seconds = now.at_s - before.at_s if before is not None else 0.0
    processes = [_process(was.get(one.process), one, seconds) for one in now.processes]
    gateways = [_gateway(was.get(one.process), one, seconds) for one in now.processes if one.role == "gateway"]
    partitions = [_partition(before, now, number, seconds) for number in sorted(now.ends)]
    return Top(
        now.generation, now.problems,
        sorted(processes, key=lambda row: -(row.lag or 0)),
        sorted(partitions, key=lambda row: -(row.lag or 0)),
        [row for row in gateways if row is not None],
    )  # fmt: skip


def _process(before: Seen | None, now: Seen, seconds: float) -> ProcessRow:
    samples = now.samples
    row = ProcessRow(now.process, now.role, now.where, now.up, now.pid, restarts=now.restarts)
    old = before.samples if before is not None else None
    cpu, memory = (
        scrape.value(samples, "process_cpu_seconds_total"),
        scrape.value(samples, "process_resident_memory_bytes"),
    )
    old_cpu = scrape.value(old, "process_cpu_seconds_total")
    if cpu is None and now.local is not None:
        cpu, memory = now.local
        old_cpu = before.local[0] if before is not None and before.local is not None else None
    row.cpu = _rate(old_cpu, cpu, seconds)
    row.memory_bytes = None if memory is None else int(memory)
    if samples is None:
        return row
    row.rate = _rate(_sum(old, COUNTED[now.role]), _sum(samples, COUNTED[now.role]), seconds)
    row.batch_p95_s = percentile(old, samples, TIMED[now.role])
    if now.role == "worker":
        row.lag = int(_sum(samples, "field_lag_records") or 0)
        row.waiting_s = scrape.value(samples, "field_commit_age_seconds")
    return row


def _gateway(before: Seen | None, now: Seen, seconds: float) -> GatewayRow | None:
    if now.samples is None:
        return None
    old = before.samples if before is not None else None
    name = COUNTED["gateway"]
    return GatewayRow(
        now.process,
        _rate(_sum(old, name), _sum(now.samples, name), seconds),
        _rate(_sum(old, name, "5"), _sum(now.samples, name, "5"), seconds),
        int(_sum(now.samples, "field_push_listeners") or 0),
        int(_sum(now.samples, "field_gateway_waiting_events") or 0),
    )


def _partition(before: Look | None, now: Look, number: int, seconds: float) -> PartitionRow:
    end = now.ends[number]
    kept = None if now.kept is None else now.kept.get(number, -1)
    old_kept = before.kept.get(number, -1) if before is not None and before.kept is not None else None
    return PartitionRow(
        number, end, kept, None if kept is None else max(0, end - kept),
        _rate(before.ends.get(number) if before is not None else None, end, seconds),
        _rate(old_kept, kept, seconds), now.owners.get(number, ""),
    )  # fmt: skip


def _rate(before: float | None, now: float | None, seconds: float) -> float | None:
    """A second; None where a look is missing or the counter has begun anew."""
    if before is None or now is None or now < before or seconds <= 0:
        return None
    return (now - before) / seconds


def _sum(samples: Samples | None, name: str, status: str = "") -> float | None:
    """Over all labels; ``status``: of those that begin so. None without samples."""
    if samples is None:
        return None
    found = (value for (one, labels), value in samples.items() if one == name and _of(labels, status))
    return sum(found, 0.0)


def _of(labels: Iterable[tuple[str, str]], status: str) -> bool:
    return not status or dict(labels).get("status", "").startswith(status)


def percentile(before: Samples | None, now: Samples, name: str, share: float = PERCENTILE) -> float | None:
    """Upper bound of a histogram's bucket that ``share`` of its observations lie below, of those between two looks.

    Of all since the start where there were none between; None where there are none at all, or it is the last bucket.
    """
    new = dict(_buckets(now, name))
    old = dict(_buckets(before or {}, name))
    grown = {bound: count - old.get(bound, 0.0) for bound, count in new.items()}
    total = max(grown.values(), default=0.0)
    if total <= 0:
        grown, total = new, max(new.values(), default=0.0)
    if total <= 0:
        return None
    found = next(bound for bound, count in sorted(grown.items()) if count >= share * total)
    return found if found != float("inf") else None


def _buckets(samples: Mapping[Any, float], name: str) -> Iterator[tuple[float, float]]:
    """Counts by bound, over all other labels."""
    found = sorted(
        (float(dict(labels)["le"]), value) for (one, labels), value in samples.items() if one == f"{name}_bucket"
    )
    for bound, group in itertools.groupby(found, key=lambda pair: pair[0]):
        yield bound, sum(value for _, value in group)
