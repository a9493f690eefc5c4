"""kill -9 in the middle of a stream, again and again: nothing acknowledged is lost, nothing is counted twice."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from streams.embedded import log, state
from streams.embedded.publisher import SqlitePublisher
from streams.embedded.store import Store
from streams.fold.digest import digest
from streams.packing import Record
from streams.settings import Settings, exports
from streams.validate import Rejection, read_record
from tests.conformance import backends
from tests.conformance import log as suite
from tests.embedded.process import Home

KILLS = 12
RUN = (
    "import os, threading; from streams.embedded.driver import Driver; from streams.settings import known, read\n"
    "driver = Driver(read({name: text for name, text in os.environ.items() if name in known()}))\n"
    "print('up', flush=True); driver.run(threading.Event())"
)
PUBLISH = """
import asyncio, sys
from deploy import context
from streams.embedded.publisher import SqlitePublisher

async def main():
    async with SqlitePublisher(context.load()) as publisher:
        for line in sys.stdin.buffer:
            await publisher.publish_line(line.strip())
            print(await publisher.flush(), flush=True)

asyncio.run(main())
"""


async def check(settings: Settings) -> list[log.StoredRecord]:
    """The state is that of the log, each record once, and so are counts, copies and dead letters; the records."""
    with Store(settings) as store:
        ends = {number: end - 1 for number, (_, end) in log.bounds(store).items()}
        assert state.positions(store) == ends
        counts, found = state.counts(store), digest(state.picture(store).values.values(), settings.rules)
        letters = state.letters(store, 100_000)
        records = [stored for number in ends for stored in log.read(store, number, 0, 10**9, 10**9)]
    assert found == await backends.embedded_log(settings)
    items = [item for stored in records for item in read_record(stored.value, stored.timestamp)]
    assert counts.events["events"] == len(items)
    assert sum(counts.rejected.values()) == len(letters) == sum(isinstance(item, Rejection) for item in items)
    copies = [dict(stored.headers)["source"] for stored in records if "source" in dict(stored.headers)]
    assert counts.events["copied"] == len(copies)
    return records


def lines_in(path: Path) -> list[bytes]:
    """The records of the suite that are lines, in a file."""
    values = [sent.value for sent in suite.records(4) if sent.value]
    lines = [value for value in values if value[:1] == b"{" and b"\n" not in value]
    path.write_bytes(b"\n".join(lines))
    return lines


def test_a_driver_that_is_killed_again_and_again_has_what_the_log_has(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path), shards=8, checkpoint_ms=10, poll_records=40)
    sent = suite.records(settings.partitions)
    environ = {**os.environ, **exports(settings, secrets=True)}
    chance = random.Random(4)
    Store(settings, create=True).close()
    at, killed_at = 0, []
    for _ in range(KILLS):
        step = len(sent) // KILLS + 1
        with subprocess.Popen([sys.executable, "-c", RUN], env=environ, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline().startswith(b"the fold: ")
            assert child.stdout.readline() == b"up\n"
            with Store(settings) as store:
                for start in range(at, min(at + step, len(sent)), 20):
                    with store.writing() as db:
                        few = sent[start : min(start + 20, at + step)]
                        log.append(db, [Record(one.partition, None, one.value or b"", one.headers, 1) for one in few])
            time.sleep(chance.uniform(0, 0.2))
            child.kill()
        at += step
        with Store(settings) as store:
            killed_at.append(sum(log.bounds(store)[n][1] - 1 - p for n, p in state.positions(store).items()))
    assert any(killed_at), "it was killed in the middle of something"
    with backends.Driver(settings) as driver:
        backends.fold_all(driver)
    records = asyncio.run(check(settings))
    copies = [dict(stored.headers)["source"] for stored in records if "source" in dict(stored.headers)]
    assert len(copies) > 100
    spread = [source for source in copies if copies.count(source) > 1]
    assert len(set(spread)) * (settings.partitions - 1) == len(spread), "each copy once, OPT_* once a partition"


def test_a_run_that_is_killed_loses_nothing_that_was_published(tmp_path: Path) -> None:
    """With a fleet of its own, and `field publish` and `field simulate` in the middle of their work."""
    home = Home(tmp_path / "home", FIELD_CHECKPOINT_MS="50", FIELD_SHARDS="8", FIELD_PARTS="embedded")
    settings = Settings(home=str(home.folder), shards=8)
    Store(settings, create=True).close()
    lines = lines_in(tmp_path / "lines")
    chance = random.Random(1)
    noise = ("--late", "0.02", "--duplicates", "0.03", "--malformed", "0.02", "--opts", "0.01")
    with home.start("simulate", "--devices", "60", "--rate", "500", "--seed", "9", "--duration", "12", *noise) as fleet:
        for _ in range(3):
            with home.start("run", "--embedded", "--devices", "40", "--rate", "150") as running:
                running.says("worker lag")
                with home.start("publish", str(tmp_path / "lines")) as publishing:
                    time.sleep(chance.uniform(0, 1.5))
                    running.kill()
                    said = publishing.says("acknowledged")
                    assert said.startswith(f"{len(lines)} events acknowledged by the embedded log")
        assert fleet.says("acknowledged").startswith("6000 events acknowledged by the embedded log")
    with home.start("run", "--embedded", "--rate", "0") as running:
        running.says("worker lag")
        home.field("wait")
        assert running.interrupt()[0] == 0
    records = asyncio.run(check(settings))
    stored = [record.value for record in records]
    assert all(stored.count(line) >= 3 for line in lines[::50])


def test_what_was_acknowledged_before_a_kill_is_in_the_log(tmp_path: Path) -> None:
    """The publisher itself is killed: it may have stored more than it said, never less."""
    home = Home(tmp_path / "home", FIELD_PARTS="embedded")
    settings = Settings(home=str(home.folder))
    Store(settings, create=True).close()
    lines = lines_in(tmp_path / "lines")
    chance = random.Random(2)
    for _ in range(3):
        command = [sys.executable, "-c", PUBLISH]
        with (
            (tmp_path / "lines").open("rb") as given,
            subprocess.Popen(command, env=home.environ, stdin=given, stdout=subprocess.PIPE) as process,
        ):
            assert process.stdout is not None
            stop = chance.randrange(5, 200)
            while int(process.stdout.readline()) < stop:
                pass
            process.kill()
            told = max([stop, *(int(line) for line in process.stdout if line.endswith(b"\n"))])
        with Store(settings) as store:
            ends = log.bounds(store)
            values = [stored.value for n in ends for stored in log.read(store, n, 0, 10**9, 10**9)]
            with store.writing() as db:  # the next one finds an empty log
                db.execute("DELETE FROM records")
        assert set(lines[:told]) <= set(values)
        assert len(values) < len(lines), "it was killed in the middle"


async def test_a_publisher_that_is_cancelled_counts_what_is_stored(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    Store(settings, create=True).close()
    async with SqlitePublisher(settings) as publisher:
        with Store(settings) as other:
            for line in (b"one", b"two"):
                await publisher.publish_line(line)
            with other.writing():  # the publisher waits for this transaction
                pushing = asyncio.ensure_future(publisher.push())
                await asyncio.sleep(0.1)
                pushing.cancel()
                await asyncio.sleep(0.1)
                assert not pushing.done(), "its own transaction is under way"
            await asyncio.wait((pushing,))
        assert pushing.cancelled()
        assert publisher.acknowledged == 2
    with Store(settings) as store:
        assert sum(end for _, end in log.bounds(store).values()) == 2
