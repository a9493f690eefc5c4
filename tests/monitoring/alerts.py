"""Every alert seen to fire and to clear, by its fault, on a real stack: ``python -m tests.monitoring.alerts``.

Names of faults (``kafka_hangs``, ...) as arguments: only those. Times of the rules are multiplied by FACTOR. Prints a
table: after how many seconds each alert fired in Prometheus, was told to Alertmanager and the pager, and was over. Ends
with 1 when one did not come, or did not go, or the pager was told of more than the fault's own alerts.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from deploy.local import cache, loopback, monitoring, parts, process
from streams.settings import Settings
from tests.acceptance.stack import Stack, until
from tests.monitoring import files
from tests.monitoring.watching import Pager, Watched, settings_of, visitors

FACTOR: Final = 0.05
FLEET: Final = ("simulate", "--devices", "60", "--rate", "400")
FREE_BYTES: Final = 2 << 30
"""Written to the disk, in one step, to bring what is free under a threshold half as far away."""
SESSION_S: Final = 6
PATIENCE_S: Final = 60
"""Kafka's patience with a worker: where Kafka itself hangs, it must be longer than what FieldCommitAge waits for."""
SETTLE_S: Final = 6.0
"""What is to be told is told by then: twice Alertmanager's group_interval."""
UNCAUSED: Final = {"FieldCopiesMissing"}
"""It wants three brokers."""


@dataclass
class Row:
    """One alert; seconds from the fault to firing and to Alertmanager, and from its end until all is over."""

    alert: str
    fault: str
    fired_s: float = -1.0
    told_s: float = -1.0
    pager: str = ""
    over_s: float = -1.0


@dataclass
class Scene:
    """A stack with its fleet, and what is seen of it."""

    stack: Stack
    watched: Watched
    pager: Pager
    rows: list[Row] = field(default_factory=list)
    fleet: subprocess.Popen[str] | None = None

    def start_fleet(self) -> None:
        self.fleet = self.stack.start(*FLEET)

    def stop_fleet(self) -> None:
        assert self.fleet is not None
        end(self.fleet)

    def see(
        self, fault: str, alerts: tuple[str, ...], cause: Callable[[], None], clear: Callable[[], None], *,
        held: Collection[str] = (), besides: Collection[str] = (),
    ) -> None:  # fmt: skip
        """Cause a fault, see its alerts come; clear it, see them go.

        The pager is told of them but for the ones that are ``held`` back, and of no others, until all is over; of those
        ``besides`` it may be.
        """
        until(lambda: not self.watched.firing() | self.watched.told(), "nothing fires before", 240)
        rows = [Row(alert, fault, pager="held back" if alert in held else "told") for alert in alerts]
        self.rows += rows
        self.pager.told.clear()
        print(f"{fault} ...", flush=True)
        pages, begun = set(alerts) - set(held), time.monotonic()
        try:
            cause()
            for row in rows:
                until(lambda row=row: row.alert in self.watched.firing(), f"{row.alert} fires", 180)
                row.fired_s = time.monotonic() - begun
                until(lambda row=row: row.alert in self.watched.told(), f"{row.alert} at Alertmanager", 60)
                row.told_s = time.monotonic() - begun
            until(lambda: pages <= self._pages(), f"the pager is told of {pages}", 60)
            until(lambda: set(held) <= self.watched.held_back(), f"{held} are held back", 60)
            time.sleep(SETTLE_S)
            self._no_others(pages, besides)
        finally:
            clear()
        ended = time.monotonic()
        for row in rows:
            until(
                lambda row=row: row.alert not in self.watched.firing() | self.watched.told(), f"{row.alert} ends", 240
            )
            if row.alert in pages:
                until(lambda row=row: ("resolve", row.alert) in self.pager.told, f"{row.alert} ends at the pager", 60)
            row.over_s = time.monotonic() - ended
        self._no_others(pages, besides)

    def _pages(self) -> set[str]:
        return {alert for action, alert in self.pager.told if action == "trigger"}

    def _no_others(self, pages: Collection[str], besides: Collection[str]) -> None:
        others = self._pages() - set(pages) - set(besides)
        assert not others, f"the pager was told of {sorted(others)}, too"


def end(started: subprocess.Popen[str]) -> None:
    """SIGTERM, and wait."""
    started.terminate()
    started.communicate(timeout=60)


def no_events(scene: Scene) -> None:
    scene.see("the fleet stops", ("FieldNoEvents",), scene.stop_fleet, scene.start_fleet)


def pager_refuses(scene: Scene) -> None:
    def refuse() -> None:
        scene.pager.refusing = True
        scene.stop_fleet()  # which is an alert to tell
        until(lambda: "FieldPagerDown" in scene.watched.firing(), "FieldPagerDown fires", 180)
        scene.pager.refusing = False

    def take() -> None:
        scene.pager.refusing = False
        scene.start_fleet()

    scene.see(
        "the fleet stops, and the pager refuses to hear of it", ("FieldPagerDown",), refuse, take,
        besides={"FieldNoEvents"},
    )  # fmt: skip


def a_worker_that_hangs(scene: Scene) -> None:
    worker = scene.stack.process("worker")
    assert worker is not None
    scene.see(
        "the worker hangs (SIGSTOP)", ("FieldTargetDown", "FieldLagGrowing"),
        lambda: os.kill(worker.pid, signal.SIGSTOP), lambda: os.kill(worker.pid, signal.SIGCONT),
        besides={"FieldProjectionStuck", "FieldStale"},  # which follow, when it hangs for longer
    )  # fmt: skip


def dead_letters(scene: Scene) -> None:
    bad: list[subprocess.Popen[str]] = []
    scene.see(
        "a publisher of malformed events", ("FieldDeadLetters",),
        lambda: bad.append(scene.stack.start("simulate", "--rate", "300", "--malformed", "0.4", "--seed", "2")),
        lambda: end(bad[0]),
    )  # fmt: skip


def restarts(scene: Scene) -> None:
    def kill_it_often() -> None:
        for _ in range(5):
            scene.stack.kill("publisher")
            time.sleep(1.0)
            until(lambda: scene.stack.process("publisher") is not None, "the publisher starts again")
            until(lambda: scene.watched.targets().get("field-publisher") == "up", "it is seen")
            time.sleep(2.0)

    scene.see(
        "the publisher is killed again and again", ("FieldProcessRestarts",), kill_it_often, lambda: None,
        besides={"FieldTargetDown"},  # it is started again later and later, and the rule's minute is three seconds here
    )  # fmt: skip


def rebalances(scene: Scene) -> None:
    def come_and_go() -> None:
        for _ in range(20):
            before = counted()
            second = scene.stack.start("worker", FIELD_WORKER_METRICS_PORT="0")
            until(lambda before=before: counted() > before, "it has come into the group")
            end(second)
            if "FieldRebalanceStorm" in scene.watched.firing():
                return

    def counted() -> float:
        return max(scene.watched.values("max(field_rebalances_total)", 10))

    scene.see("a second worker comes and goes", ("FieldRebalanceStorm",), come_and_go, lambda: None)


def a_replay_that_differs(scene: Scene) -> None:
    name = "other"

    def run() -> None:
        done = scene.stack.run("replay", "run", "--name", name, FIELD_RULE_WEIGHT_TOUCH="5")
        assert done.returncode == 13, done.stdout + done.stderr

    scene.see("a replay with another rule", ("FieldReplayDiffers",), run, lambda: drop(scene, name))


def drop(scene: Scene, name: str) -> None:
    scene.stack.field("replay", "drop", name)


def a_full_disk(scene: Scene) -> None:
    """The threshold is put just below what is free, and a file as large as twice the distance is written."""
    home = Path(scene.stack.settings.home)
    rules, ballast = process.base(home) / "monitoring" / "alerts.yml", home / "ballast"
    free, size = (
        scene.watched.values("field_disk_free_bytes", 10)[-1],
        scene.watched.values("field_disk_size_bytes", 10)[-1],
    )

    def fill() -> None:
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, FREE_BYTES)

    def read_again() -> None:
        monitoring.ask(scene.watched.settings.prometheus_port, "/-/reload", b"")

    near = f"field_disk_size_bytes) < {(free - FREE_BYTES / 2) / size}"
    with changed(rules, "field_disk_size_bytes) < 0.1", near, read_again):
        scene.see("the disk fills", ("FieldDiskLow",), fill, ballast.unlink)


@contextlib.contextmanager
def changed(file: Path, old: str, new: str, read_again: Callable[[], None]) -> Iterator[None]:
    """A rule is another one while the block lasts."""
    before = file.read_text()
    assert old in before
    file.write_text(before.replace(old, new))
    try:
        read_again()
        yield
    finally:
        file.write_text(before)
        read_again()


def a_gateway_without_redis(scene: Scene) -> None:
    """One more gateway, with another address of Redis than the others."""
    port, targets = loopback.free(), process.base(Path(scene.stack.settings.home)) / "monitoring" / "targets-lost.json"
    lost: list[subprocess.Popen[str]] = []

    def start() -> None:
        over = {"REDIS_PORT": str(loopback.free()), "FIELD_GATEWAY_METRICS_PORT": str(port)}
        lost.append(scene.stack.start("gateway", FIELD_GATEWAY_PORT="0", **over))
        place = {"targets": [f"127.0.0.1:{port}"], "labels": {"job": "field-gateway"}}
        until(lambda: serves(port), "it serves metrics")
        targets.write_text(json.dumps([place]))

    def stop() -> None:
        targets.unlink(missing_ok=True)
        end(lost[0])

    scene.see(
        "one gateway has a wrong address of Redis", ("FieldPartUnreached",), start, stop,
        besides={"FieldTargetDown"},  # it may end before its target is forgotten
    )  # fmt: skip


def serves(port: int) -> bool:
    try:
        return bool(monitoring.ask(port, "/metrics"))
    except OSError:
        return False


def postgres_away(scene: Scene) -> None:
    here = scene.stack.settings
    scene.see(
        "PostgreSQL stops", ("FieldPartDown", "FieldProjectionStuck", "FieldStale"),
        lambda: stopped(here, "postgres"), lambda: parts.start_part(here, "postgres", echo=quiet),
        held={"FieldProjectionStuck", "FieldStale"},
    )  # fmt: skip


def redis_away(scene: Scene) -> None:
    here = scene.stack.settings
    scene.see(
        "Redis stops", ("FieldPartDown", "FieldStale"),
        lambda: stopped(here, "redis"), lambda: parts.start_part(here, "redis", echo=quiet),
        held={"FieldStale"},
    )  # fmt: skip


def kafka_hangs(scene: Scene) -> None:
    kafka = process.running(Path(scene.stack.settings.home), "kafka")
    assert kafka is not None
    with visitors(scene.watched.settings):
        scene.see(
            "Kafka hangs (SIGSTOP), devices go on", ("FieldPartDown", "FieldGatewayErrors", "FieldCommitAge"),
            lambda: os.kill(kafka.pid, signal.SIGSTOP), lambda: os.kill(kafka.pid, signal.SIGCONT),
            held={"FieldGatewayErrors", "FieldCommitAge"},
            besides={"FieldTargetDown"},  # a worker whose writes are not acknowledged ends, and is started again
        )  # fmt: skip


def stopped(settings: Settings, part: str) -> None:
    assert parts.stop_part(settings, part)


def quiet(_line: str) -> None:
    pass


FAULTS: Final = (
    no_events, pager_refuses, dead_letters, a_replay_that_differs, restarts, rebalances, a_full_disk,
    a_worker_that_hangs, a_gateway_without_redis, redis_away, postgres_away, kafka_hangs,
)  # fmt: skip


@contextlib.contextmanager
def scene_of(folder: Path, session_timeout_s: int) -> Iterator[Scene]:
    """A stack on parts of its own, monitored, with a fleet."""
    pager = Pager()
    settings = Settings(
        home=str(folder / "home"), kafka_brokers=f"127.0.0.1:{loopback.free()}", redis_port=loopback.free(),
        database_url=f"postgresql://field:field@127.0.0.1:{loopback.free()}/field", parts="local",
        worker_metrics_port=0, projector_metrics_port=0, publisher_metrics_port=0, gateway_metrics_port=0,
        gateway_port=0, session_timeout_s=session_timeout_s,
    )  # fmt: skip
    stack = Stack(replace(settings, **settings_of(pager, folder, FACTOR)))
    try:
        with stack:
            scene = Scene(stack, Watched(stack), pager)
            scene.start_fleet()
            until(lambda: set(scene.watched.targets().values()) == {"up"}, "all targets are up")
            until(
                lambda: sum(scene.watched.values("increase(field_events_folded_total[5s])", 1)) > 0, "events are folded"
            )
            yield scene
    finally:
        stack.field("clean")
        pager.close()


def main() -> int:
    """Run all; the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="field-alerts-"))
    failed, wanted = [], [fault for fault in FAULTS if fault.__name__ in sys.argv[1:] or not sys.argv[1:]]
    missing = {rule["alert"] for rule in files.rules("alert")} if len(wanted) == len(FAULTS) else set()
    rows: list[Row] = []
    try:
        for patience_s in (SESSION_S, PATIENCE_S):
            faults = [fault for fault in wanted if (fault is kafka_hangs) == (patience_s == PATIENCE_S)]
            if faults:
                with scene_of(folder, patience_s) as scene:
                    failed += [line for fault in faults if (line := tried(fault, scene))]
                    rows += scene.rows
    finally:
        cache.remove(folder)
    print(table(rows))
    missing -= UNCAUSED | {row.alert for row in rows if row.over_s >= 0}
    for line in [*failed, *(f"{alert} was not seen to fire and to clear" for alert in sorted(missing))]:
        print(line, file=sys.stderr)
    return 1 if failed or missing else 0


def tried(fault: Callable[[Scene], None], scene: Scene) -> str:
    """What went wrong with it, or nothing."""
    try:
        fault(scene)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        return f"{fault.__name__}: {error}"
    return ""


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = [
        "| fault | alert | in reality after | here fires after, s | at Alertmanager | pager | over after, s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        lines.append(
            f"| {row.fault} | {row.alert} | {files.in_reality(row.alert)} | {row.fired_s:.0f} | {row.told_s:.0f} |"
            f" {row.pager} | {row.over_s:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
