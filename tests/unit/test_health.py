"""Alive and ready apart: what a probe hears of a process that works, waits, or stands still."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from streams import health, metrics
from streams.health import Health
from streams.settings import Settings

STALL_S = 5.0


class Loop:
    """An event loop that comes by when it is told to."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def is_closed(self) -> bool:
        return False

    def call_soon_threadsafe(self, call: Any) -> None:
        self.asked.append(call)

    def come_by(self) -> None:
        while self.asked:
            self.asked.pop()()


def watched() -> tuple[Health, Loop, list[float]]:
    now, loop = [100.0], Loop()
    found = Health("worker", STALL_S, clock=lambda: now[0])
    found.watch(loop, lambda: "")  # type: ignore[arg-type]  # all of a loop that it needs
    return found, loop, now


def test_a_loop_that_stands_still_is_dead_after_the_time_it_may_take() -> None:
    found, loop, now = watched()
    assert found.alive()
    now[0] += STALL_S - 0.1
    assert found.alive()
    assert len(loop.asked) == 1  # one question at a time
    now[0] += 0.2
    assert not found.alive()
    loop.come_by()
    assert found.alive()


def test_a_loop_that_comes_by_lives_however_long_nobody_asks() -> None:
    found, loop, now = watched()
    for _ in range(3):
        assert found.alive()
        loop.come_by()
        now[0] += 100 * STALL_S
    assert found.alive()


def test_what_has_no_loop_yet_is_alive_and_not_ready() -> None:
    found = Health("worker", STALL_S)
    assert found.alive()
    assert found.waits_for() == "starts"


def asked(port: int, path: str) -> tuple[int, Any]:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize("waits", ["", "the state is recovered from the changelog"])
async def test_probes_hear_it_beside_the_metrics(waits: str) -> None:
    settings = Settings(worker_metrics_port=0)
    found = health.of("worker", settings)
    port = metrics.serve("worker", settings, found)
    found.watch(asyncio.get_running_loop(), lambda: waits)
    told = {"role": "worker", "alive": True, "ready": not waits, "waits_for": waits}
    assert await asyncio.to_thread(asked, port, "/health/live") == (200, told)
    assert await asyncio.to_thread(asked, port, "/health/ready") == (503 if waits else 200, told)
    assert await asyncio.to_thread(asked, port, "/health") == (200, told)
    with await asyncio.to_thread(urlopen, f"http://127.0.0.1:{port}/metrics") as answer:
        assert b"field_process_info" in answer.read()


async def test_every_disk_that_is_named_is_watched(tmp_path: Path) -> None:
    other = tmp_path / "volumes"
    other.mkdir()
    port = metrics.serve("worker", Settings(worker_metrics_port=0, home=str(tmp_path / "home"), disks=str(other)))
    with await asyncio.to_thread(urlopen, f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    for folder in (tmp_path, other):
        assert f'field_disk_free_bytes{{folder="{folder}"}} ' in text
        assert f'field_disk_size_bytes{{folder="{folder}"}} ' in text


def test_a_real_loop_is_asked_by_another_thread() -> None:
    found, loop = Health("worker", stall_s=0.0), asyncio.new_event_loop()
    found.watch(loop, lambda: "")
    assert not found.alive()  # nobody runs it
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        end = threading.Event()
        loop.call_soon_threadsafe(end.set)
        assert end.wait(30)
        assert found._asked_at is None
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
