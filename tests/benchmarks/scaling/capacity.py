"""What so many devices take and cost a month, from what was measured and what is assumed. Pure.

python -m tests.benchmarks.scaling.capacity --events-per-device-s 0.1 --days 30 --core-hour 0.04 --gb-month 0.1
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

HOURS = 730
"""Of a month."""
DAY_S = 86_400


@dataclass(frozen=True)
class Measured:
    """Each with the command that gave it in ``CAPACITY.md``."""

    cpu_s_per_million: float = 330.0
    """everything that an event goes through, a hundred listeners included"""
    log_bytes: float = 190.0
    """of a single JSON event in the log"""
    row_bytes: float = 340.0
    """of its row in the database, indexes included"""
    device_bytes: float = 1_200.0
    """of a worker's memory, at its highest"""


@dataclass(frozen=True)
class Assumed:
    """To be replaced by one's own."""

    events_per_device_s: float = 0.1
    days: float = 30.0
    copies: float = 3.0
    used: float = 0.5
    core_hour: float = 0.04
    gb_month: float = 0.10


@dataclass(frozen=True)
class Needs:
    """Of so many devices; costs in the currency of the prices, a month."""

    devices: int
    events_per_s: float
    cores: int
    worker_gb: float
    log_gb: float
    rows_gb: float
    cores_cost: float
    disk_cost: float

    @property
    def cost(self) -> float:
        return self.cores_cost + self.disk_cost


def needs(devices: int, assumed: Assumed, measured: Measured) -> Needs:
    """At least two cores: a machine."""
    events_per_s = devices * assumed.events_per_device_s
    cores = max(2, math.ceil(events_per_s * measured.cpu_s_per_million / 1e6 / assumed.used))
    kept = events_per_s * DAY_S * assumed.days
    log_gb = kept * measured.log_bytes * assumed.copies / 1e9
    rows_gb = kept * measured.row_bytes / 1e9
    return Needs(
        devices, events_per_s, cores, devices * measured.device_bytes / 1e9, log_gb, rows_gb,
        cores * HOURS * assumed.core_hour, (log_gb + rows_gb) * assumed.gb_month,
    )  # fmt: skip


def carried(cores: int, assumed: Assumed, measured: Measured) -> float:
    """Events a second that so many cores carry."""
    return cores * assumed.used / measured.cpu_s_per_million * 1e6


def table(all_devices: Sequence[int], assumed: Assumed, measured: Measured) -> str:
    """A line for each number of devices, Markdown."""
    heads = (
        "devices", "events/s", "cores", "workers' memory, GB", "log, GB", "rows, GB", "cores, a month", "disk, a month",
        "together",
    )  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for devices in all_devices:
        one = needs(devices, assumed, measured)
        numbers = (
            one.devices, one.events_per_s, one.cores, one.worker_gb, one.log_gb, one.rows_gb, one.cores_cost,
            one.disk_cost, one.cost,
        )  # fmt: skip
        lines.append("| " + " | ".join(_text(number) for number in numbers) + " |")
    return "\n".join(lines)


def _text(number: float) -> str:
    return f"{number:,.2g}" if number < 10 else f"{number:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="capacity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, nargs="+", default=[1_000, 100_000, 10_000_000])
    for item in (*fields(Assumed), *fields(Measured)):
        parser.add_argument("--" + item.name.replace("_", "-"), type=float, default=item.default)
    given = vars(parser.parse_args())
    assumed, measured = (kind(**{item.name: given[item.name] for item in fields(kind)}) for kind in (Assumed, Measured))
    print(table(given["devices"], assumed, measured))
    print("\n" + ", ".join(f"{name} {value:g}" for name, value in {**asdict(assumed), **asdict(measured)}.items()))
    print("\n".join(f"{cores} cores carry {carried(cores, assumed, measured):,.0f} events/s" for cores in (2, 200)))


if __name__ == "__main__":
    main()
