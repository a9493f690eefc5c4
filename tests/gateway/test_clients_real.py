"""Both clients with the gateway itself, as a process on a real log: clients and gateway are killed at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local import loopback
from streams import topics
from streams.settings import Settings, exports
from streams.wire import to_plain
from tests.gateway.devices import log_of
from tests.gateway.faked import ROOT, Killed, assert_all_there_once, eventually
from tests.gateway.node import NODE

HERE = Path(__file__).parent


class Process:
    """``field gateway`` on a port that stays the same."""

    def __init__(self, settings: Settings) -> None:
        self.settings = replace(settings, gateway_port=loopback.free(), gateway_device_rate=0.0)
        self.url = f"http://127.0.0.1:{self.settings.gateway_port}"
        self.kills = 0
        self._process: subprocess.Popen[bytes] | None = None

    def revive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            env = os.environ | exports(self.settings, secrets=True)
            command = [str(Path(sys.executable).parent / "field"), "gateway"]
            self._process = subprocess.Popen(
                command, env=env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            eventually(self._listens, "a gateway that listens")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            self.kills += 1

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the gateway ended by itself"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.settings.gateway_port), 1):
            return True
        return False


def python(url: str, queue: str, noted: str) -> Sequence[str]:
    return [sys.executable, "-m", "tests.gateway.client_process", url, queue, noted]


def javascript(url: str, queue: str, noted: str) -> Sequence[str]:
    return [NODE, str(HERE / "client_process.mjs"), url, queue, noted]


@pytest.mark.parametrize("client", [python, javascript])
async def test_nothing_is_lost_or_counted_twice(
    client: Callable[[str, str, str], Sequence[str]], make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    gateway = Process(make_settings(partitions=2))
    await topics.create(gateway.settings, (gateway.settings.events_topic,))
    noted = tmp_path / "noted"
    environ = {"PYTHONPATH": str(ROOT / "schema/clients/python")}
    device = Killed(client(gateway.url, str(tmp_path / "queue"), str(noted)), environ, noted)
    try:
        await asyncio.to_thread(device.rounds, gateway, random.Random(3), 4)
        await asyncio.to_thread(device.last, gateway)
    finally:
        gateway.kill()
    log = [
        {"epoch": 0, **to_plain(event)}
        for entries in (await log_of(gateway.settings)).values()
        for entry in entries
        for event in entry.events
    ]
    assert gateway.kills > 1
    assert_all_there_once(log, device.published)
