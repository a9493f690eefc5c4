"""Servers are stopped by pid and beginning, never by a number that somebody else may have got since."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from deploy import processes
from deploy.local import process

SLEEP = [sys.executable, "-c", "print('up', flush=True); import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


def wait_for_output(home: Path, part: str) -> None:
    while "up" not in process.log_end(home, part):
        time.sleep(0.01)


def test_a_server_is_found_by_its_file_and_stopped(tmp_path: Path) -> None:
    started = process.start(tmp_path, "kafka", SLEEP)
    found = process.running(tmp_path, "kafka")
    assert found is not None
    assert found.pid == started.pid
    assert process.running(tmp_path, "redis") is None
    assert process.stop(tmp_path, "kafka")
    assert not process.alive(started)
    assert process.running(tmp_path, "kafka") is None
    assert not process.stop(tmp_path, "kafka")


def test_what_does_not_listen_is_killed(tmp_path: Path) -> None:
    started = process.start(tmp_path, "redis", STUBBORN)
    wait_for_output(tmp_path, "redis")
    assert process.stop(tmp_path, "redis", signal.SIGTERM, grace_s=0.2)
    assert not process.alive(started)


def test_a_pid_that_somebody_else_has_now_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL) as stranger:
        try:
            record = processes.Process("postgres", stranger.pid, time.time(), "1")  # it began at another time
            processes.write(process.base(tmp_path), record)
            assert process.running(tmp_path, "postgres") is None
            assert not process.stop(tmp_path, "postgres")
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_server_that_ended_by_itself_is_no_zombie(tmp_path: Path) -> None:
    started = process.start(tmp_path, "redis", [sys.executable, "-c", "print('the reason'); raise SystemExit(3)"])
    while process.alive(started):
        time.sleep(0.01)
    with pytest.raises(ChildProcessError):
        os.waitpid(started.pid, os.WNOHANG)
    assert process.log_end(tmp_path, "redis") == "    the reason"


def test_one_that_ends_while_it_is_looked_at_is_no_zombie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = process.start(tmp_path, "redis", SLEEP)
    look = processes.alive

    def ends(one: processes.Process) -> bool:
        os.kill(one.pid, signal.SIGKILL)
        os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)  # it is over, and still to be reaped
        return look(one)

    monkeypatch.setattr(processes, "alive", ends)
    assert not process.alive(started)
    with pytest.raises(ChildProcessError):
        os.waitpid(started.pid, os.WNOHANG)


def test_the_end_of_a_log(tmp_path: Path) -> None:
    assert process.log_end(tmp_path, "kafka") == "    (no log)"
    log = process.log_file(tmp_path, "kafka")
    log.parent.mkdir(parents=True)
    log.write_text("")
    assert process.log_end(tmp_path, "kafka") == "    (the log is empty)"
    log.write_text("".join(f"line {number}\n" for number in range(5_000)))
    assert process.log_end(tmp_path, "kafka", lines=2) == "    line 4998\n    line 4999"


def test_a_log_that_has_grown_too_long_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_BYTES_MAX", 4)
    log = process.log_file(tmp_path, "redis")
    log.parent.mkdir(parents=True)
    log.write_text("old\nold\n")
    process.start(tmp_path, "redis", SLEEP)
    wait_for_output(tmp_path, "redis")
    process.stop(tmp_path, "redis")
    assert log.with_suffix(".log.1").read_text() == "old\nold\n"
    assert "old" not in log.read_text()


def test_the_file_is_what_the_other_processes_use_too(tmp_path: Path) -> None:
    process.start(tmp_path, "redis", SLEEP)
    try:
        [read] = processes.read_all(process.base(tmp_path))
        assert msgspec.to_builtins(read)["role"] == "redis"
    finally:
        process.stop(tmp_path, "redis")
