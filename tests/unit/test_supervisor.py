"""The supervisor restarts what crashes, leaves down what a restart cannot mend, and stops everything."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import processes, supervisor
from deploy.processes import Process
from deploy.supervisor import Supervisor


def child(code: str) -> list[str]:
    return [sys.executable, "-u", "-c", "import os, signal, sys, time\n" + code]


async def until(condition) -> None:
    for _ in range(1500):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come about in half a minute")


def running(home: Path, role: str) -> Process | None:
    return next((p for p in processes.read_all(home) if p.role == role and processes.alive(p)), None)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "BACKOFF_S", (0.01, 0.02))


async def test_a_killed_process_comes_back(tmp_path: Path) -> None:
    said: list[str] = []
    keeper = Supervisor(tmp_path, {"worker": child("time.sleep(100)")}, os.environ, said.append)
    await keeper.start()
    for number in range(3):
        await until(lambda number=number: (p := running(tmp_path, "worker")) and p.restarts == number)
        os.kill(running(tmp_path, "worker").pid, signal.SIGKILL)
        await until(lambda number=number: len(said) == number + 1)
    await until(lambda: running(tmp_path, "worker"))
    await keeper.stop()
    assert "signal 9" in said[0]
    assert processes.read_all(tmp_path) == []


@pytest.mark.parametrize("code", [2, 3, 4])
async def test_what_a_restart_cannot_mend_stays_down(tmp_path: Path, code: int) -> None:
    said: list[str] = []
    words = child(f"print('why it ended'); sys.exit({code})")
    keeper = Supervisor(tmp_path, {"worker": words}, os.environ, said.append)
    await keeper.start()
    await until(lambda: said)
    await asyncio.sleep(0.2)
    (found,) = processes.read_all(tmp_path)
    assert (found.exit_code, found.restarts, processes.alive(found)) == (code, 0, False)
    assert found.advice == supervisor.ADVICE[code]
    assert len(said) == 1
    assert "why it ended" in said[0]
    assert supervisor.ADVICE[code] in said[0]
    await keeper.stop()


async def test_what_stays_down_is_revived_when_asked(tmp_path: Path) -> None:
    said: list[str] = []
    words = child(f"sys.exit(3) if not os.path.exists({str(tmp_path / 'mended')!r}) else time.sleep(100)")
    keeper = Supervisor(tmp_path, {"worker": words, "publisher": child("time.sleep(100)")}, os.environ, said.append)
    await keeper.start()
    await until(lambda: said and running(tmp_path, "publisher"))
    other = running(tmp_path, "publisher")
    (tmp_path / "mended").touch()
    keeper.revive()
    await until(lambda: running(tmp_path, "worker"))
    assert running(tmp_path, "publisher") == other, "what runs is left alone"
    await keeper.stop()
    assert processes.read_all(tmp_path) == []


def test_the_advice_about_a_flood_leads_somewhere() -> None:
    readme = (Path(supervisor.__file__).parent.parent / "README.md").read_text()
    for word in ("field rejected list", "FIELD_FLOOD_SHARE=2 field up"):
        assert word in supervisor.ADVICE[3]
        assert word in readme


async def test_other_codes_are_tried_again(tmp_path: Path) -> None:
    said: list[str] = []
    keeper = Supervisor(tmp_path, {"projector": child("sys.exit(7)")}, os.environ, said.append)
    await keeper.start()
    await until(lambda: len(said) >= 4)
    await keeper.stop()


async def test_stop_ends_a_deaf_process_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "TERM_S", 0.3)
    deaf = child("signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); time.sleep(100)")
    keeper = Supervisor(tmp_path, {"worker": deaf, "publisher": child("time.sleep(100)")}, os.environ, [].append)
    await keeper.start()
    await until(lambda: running(tmp_path, "publisher") and keeper.log("worker").read_text().startswith("ready"))
    pids = [p.pid for p in processes.read_all(tmp_path)]
    await keeper.stop()
    assert len(pids) == 2
    assert not any(processes.identity(pid) for pid in pids)


async def test_orphans_of_an_earlier_supervisor_are_stopped_first(tmp_path: Path) -> None:
    orphan = await asyncio.create_subprocess_exec(*child("time.sleep(100)"))
    processes.write(tmp_path, Process("worker", orphan.pid, 0.0, processes.identity(orphan.pid)))
    keeper = Supervisor(tmp_path, {"worker": child("time.sleep(100)")}, os.environ, [].append)
    await keeper.start()
    assert await orphan.wait() == -signal.SIGTERM
    await until(lambda: running(tmp_path, "worker"))
    await keeper.stop()


def test_a_pid_given_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(child("time.sleep(100)"))
    try:
        stale = Process("worker", other.pid, 0.0, "12345")
        assert not processes.alive(stale)
        processes.end(tmp_path, stale)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
