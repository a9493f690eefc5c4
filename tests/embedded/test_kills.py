"""kill -9 in the middle of a stream, again and again: nothing acknowledged is lost, nothing is counted twice."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from pathlib import Path

from streams.embedded import log, state
from streams.embedded.store import Store
from streams.fold.digest import digest
from streams.settings import Settings
from streams.validate import read_record
from tests.conformance import log as suite
from tests.conformance.backends import embedded_log
from tests.embedded.process import Home

KILLS = 6
RATE = ("--devices", "40", "--rate", "150", "--seed", "3")


async def test_killed_again_and_again_the_state_is_that_of_the_log(tmp_path: Path) -> None:
    """Its own fleet and two publishers go on while the process that folds is killed at random moments."""
    home = Home(tmp_path / "home", FIELD_CHECKPOINT_MS="50", FIELD_POLL_RECORDS="200", FIELD_SHARDS="8")
    settings = Settings(home=str(home.folder), shards=8)
    Store(settings, create=True).close()
    lines = tmp_path / "lines"
    stray = [sent.value for sent in suite.records(4) if sent.value and b"\n" not in sent.value and b"{" in sent.value[:1]]
    lines.write_bytes(b"\n".join(stray))
    chance = random.Random(1)
    home.environ["FIELD_PARTS"] = "embedded"
    noise = ("--late", "0.02", "--duplicates", "0.03", "--malformed", "0.02", "--opts", "0.01")
    with home.start("simulate", "--devices", "60", "--rate", "700", "--seed", "9", "--duration", "14", *noise) as fleet:
        for _ in range(KILLS):
            with home.start("run", "--embedded", *RATE) as running:
                running.says("worker lag")
                said = home.field("publish", str(lines))
                assert said.startswith(f"{len(stray)} events acknowledged by the embedded log")
                time.sleep(chance.uniform(0.1, 1.2))
                running.kill()
        acknowledged = int(fleet.says("acknowledged").split()[0])
    assert acknowledged == 9_800
    with home.start("run", "--embedded", "--rate", "0") as running:
        running.says("worker lag")
        home.field("wait")
        assert running.interrupt()[0] == 0
    with Store(settings) as store:
        assert state.positions(store) == {number: end - 1 for number, (_, end) in log.bounds(store).items()}
        counts, found = state.counts(store), digest(state.picture(store).values.values(), settings.rules)
        letters = state.letters(store, 100_000)
        records = [stored for n in range(4) for stored in log.read(store, n, 0, 10**9, 10**9)]
    assert found == await embedded_log(settings)
    items = [item for stored in records for item in read_record(stored.value, stored.timestamp)]
    assert counts.events["events"] == len(items)
    assert len(letters) == sum(not hasattr(item, "device_id") for item in items) == sum(counts.rejected.values())
    assert counts.events["copied"] == sum(dict(stored.headers).get("source") is not None for stored in records)


def test_what_was_acknowledged_before_a_kill_is_in_the_log(tmp_path: Path) -> None:
    """The publisher itself is killed: it may have stored more than it said, never less."""
    home = Home(tmp_path / "home", FIELD_PARTS="embedded")
    settings = Settings(home=str(home.folder))
    Store(settings, create=True).close()
    events = [sent.value for sent in suite.records(4) if sent.value and sent.value[:1] == b"{"]
    chance = random.Random(2)
    code = (
        "import asyncio, sys\n"
        "from deploy import context\n"
        "from streams.embedded.publisher import SqlitePublisher\n"
        "async def main():\n"
        "    async with SqlitePublisher(context.load()) as publisher:\n"
        "        for line in sys.stdin.buffer:\n"
        "            await publisher.publish_line(line.strip())\n"
        "            print(await publisher.flush(), flush=True)\n"
        "asyncio.run(main())\n"
    )
    stored, told = 0, 0
    for _ in range(4):
        command = [sys.executable, "-c", code]
        with (tmp_path / "in").open("wb") as file:
            file.write(b"\n".join(events))
        with (tmp_path / "in").open("rb") as given, subprocess.Popen(
            command, env=home.environ, stdin=given, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            stop = chance.randrange(5, 200)
            last = 0
            for line in process.stdout:
                last = int(line)
                if last >= stop:
                    process.kill()
                    break
            last = max([last, *(int(line) for line in process.stdout if re.fullmatch(r"\d+\n", line))])
        with Store(settings) as store:
            values = {stored.value for n in range(4) for stored in log.read(store, n, 0, 10**9, 10**9)}
            now = sum(end for _, end in log.bounds(store).values())
        assert set(events[:last]) <= values
        told += last
        assert now - stored >= last
        stored = now
    assert told > 20
