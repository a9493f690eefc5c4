"""``field run`` and ``field up``/``down`` on parts of their own: live, then Ctrl-C, and nothing is left running."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from deploy import ports, processes
from deploy.local import cache, loopback, process
from tests.acceptance.stack import FIELD, REPOSITORY, environment, until

SHOWN = ("events/s", "resonance", "rooms", "entanglements", "worker lag 0:", "redis fresh")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A home of its own, with free ports; whatever a failing test leaves is cleaned."""
    environ = environment(
        {
            "FIELD_HOME": str(tmp_path / "home"),
            "FIELD_PARTS": os.environ.get("FIELD_PARTS", "auto"),
            "KAFKA_BROKERS": f"127.0.0.1:{loopback.free()}",
            "DATABASE_URL": f"postgresql://field:field@127.0.0.1:{loopback.free()}/field",
            "REDIS_PORT": str(loopback.free()),
        }
    )
    yield environ
    subprocess.run([*FIELD, "clean"], env=environ, cwd=REPOSITORY, check=True, capture_output=True, timeout=120)
    cache.remove(tmp_path / "home")


def test_run_is_live_and_ctrl_c_stops_everything(place: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    words = [*FIELD, "run", "--rate", "50", "--devices", "30"]
    running = subprocess.Popen(
        words, env=place, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert running.stdout is not None
        lines = []
        for line in running.stdout:
            lines.append(line)
            # 30 people are in the field: the fleet came through log, fold and Redis
            if line.startswith("live: ") and "active nodes 30" in line and all(name in line for name in SHOWN):
                break
        else:
            raise AssertionError("it never was live:\n" + "".join(lines))
        assert {p.role for p in processes.read_all(home) if processes.alive(p)} == {
            "supervisor", "worker", "projector", "publisher", "gateway", "simulate",
        }  # fmt: skip
        page_is_there("".join(lines), place)
        pids = [p.pid for p in processes.read_all(home)]
        pids += [p.pid for p in processes.read_all(process.base(home))]
        running.send_signal(signal.SIGINT)
        rest, _ = running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 0, rest
    assert "stopped; data is kept" in rest
    assert not [pid for pid in pids if processes.identity(pid)]
    assert processes.read_all(home) == []
    assert not [port for port in ports_of(place) if ports.taken(port)]


def page_is_there(said: str, environ: dict[str, str]) -> None:
    """At the address that is told: the living field, with the parts of it, and the gateway that serves it."""
    found = re.findall(r"open (http://\S+) in a browser: the living field", said)
    told = subprocess.run(
        [*FIELD, "env"], env=environ, cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    port = re.findall(r"export FIELD_GATEWAY_PORT=([0-9]+)", told)
    assert found == [f"http://127.0.0.1:{one}/" for one in port], said
    assert len(found) == 1
    with httpx.Client(base_url=found[0], timeout=60) as client:
        page = client.get("")
        assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (200, "text/html")
        assert '<canvas id="field"' in page.text
        parts = re.findall(r'(?:src|href)="([^":]+\.(?:js|css))"', page.text)
        assert parts
        assert {client.get(part).status_code for part in parts} == {200}
        health = client.get("api/health")
        assert health.status_code == 200
        assert health.json()["alive"]
        assert health.json()["ready"]


def test_up_status_restart_down(place: dict[str, str], tmp_path: Path) -> None:
    def field(*words: str) -> str:
        done = subprocess.run([*FIELD, *words], env=place, cwd=REPOSITORY, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    assert "up in" in field("up")
    assert "up already" in field("up")
    bare = {name: value for name, value in place.items() if name not in ports.ADDRESS.values()}
    found = subprocess.run([*FIELD, "env"], env=bare, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert f"export KAFKA_BROKERS={place['KAFKA_BROKERS']}" in found, "later commands find the stack by its home"
    field("simulate", "--devices", "20", "--rate", "200", "--duration", "1")
    field("wait")
    before = json.loads(field("digest", "--json"))
    worker = next(p for p in processes.read_all(tmp_path / "home") if p.role == "worker")
    os.kill(worker.pid, signal.SIGKILL)
    until(lambda: restarted(tmp_path / "home", worker.pid), "the supervisor starts the worker again")
    assert "data is kept" in field("down")
    assert not [port for port in ports_of(place) if ports.taken(port)]
    field("up")
    field("wait")
    assert json.loads(field("digest", "--json")) == before
    status = json.loads(field("status", "--json"))
    assert [part["up"] for part in status["parts"]] == [True, True, True]
    assert {role["role"] for role in status["processes"] if role["up"]} == {
        "supervisor", "worker", "projector", "publisher", "gateway",
    }  # fmt: skip

    (tmp_path / "flood").write_text("{\n" * 2_000)
    field("publish", str(tmp_path / "flood"))
    until(lambda: exit_code(tmp_path / "home", "worker") == 3, "the worker leaves at the flood")
    assert "field rejected list" in field("status")
    place["FIELD_FLOOD_SHARE"] = "2"
    assert "starting again: worker" in field("up")
    field("wait")
    del place["FIELD_FLOOD_SHARE"]
    assert "export FIELD_FLOOD_SHARE=2.0\n" in field("env"), "the running stack's, until the next start"


def test_a_taken_port_is_avoided_or_named(place: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        place["REDIS_PORT"] = str(other.getsockname()[1])
        done = subprocess.run([*FIELD, "up"], env=place, cwd=REPOSITORY, capture_output=True, text=True, timeout=200)
    assert done.returncode != 0
    assert f"127.0.0.1:{place['REDIS_PORT']} is taken" in done.stderr
    place["REDIS_PORT"] = str(loopback.free())


def restarted(home: Path, pid: int) -> bool:
    return any(p.role == "worker" and p.pid != pid and processes.alive(p) for p in processes.read_all(home))


def exit_code(home: Path, role: str) -> int | None:
    return next((p.exit_code for p in processes.read_all(home) if p.role == role), None)


def ports_of(environ: dict[str, str]) -> list[int]:
    kafka = int(environ["KAFKA_BROKERS"].rpartition(":")[2])
    return [kafka, urlsplit(environ["DATABASE_URL"]).port or 0, int(environ["REDIS_PORT"])]
