"""Worker, projector, publisher and gateway, each with its own account: everything works, and a stranger agrees."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import httpx

from deploy.locked.home import folder
from streams.settings import secrets
from tests.locked.conftest import Locked
from tests.verifying import SCRIPT


def test_events_become_state_rows_and_keys(locked: Locked, tmp_path: Path) -> None:
    stack, settings = locked.stack, locked.settings
    stack.field("simulate", "--devices", "20", "--rate", "200", "--seed", "7", "--duration", "1")
    token = stack.field("token", "ana").split()[-1]
    here = f"http://127.0.0.1:{settings.gateway_port}/api"
    event = {"id": str(uuid4()), "type": "BREATH", "device_id": "ana", "room_id": "hall", "v": 1, "intensity": 0.5,
             "timestamp": int(time.time() * 1000), "data": {"phase": 1.0, "rate": 12}}  # fmt: skip
    with httpx.Client(timeout=30) as client:
        refused = client.post(f"{here}/consciousness/sync", json=event)
        assert refused.status_code == 401
        taken = client.post(f"{here}/consciousness/sync", json=event, headers={"authorization": f"Bearer {token}"})
        assert taken.status_code == 200, taken.text
        assert taken.json()["accepted"] == 1, taken.text
        stack.field("wait", "--timeout", "60")
        health = client.get(f"{here}/health").json()
        assert {name: part["up"] for name, part in health["parts"].items()} == dict.fromkeys(
            ("worker", "projector", "kafka", "postgres", "redis", "publisher"), True
        )
        state = client.get(f"{here}/consciousness/state").json()
        assert state["data"]["active_nodes"] == 21
        with client.stream("GET", f"{here}/consciousness/stream?last_event_id=0:-1,1:-1") as pushed:
            heard = next(line for line in pushed.iter_lines() if '"BREATH"' in line)
            assert "hall" in heard or "room" in heard
    assert stack.json("rejected", "list")["letters"] == 0
    status = stack.json("status")
    assert {part["part"]: part["up"] for part in status["parts"]} == dict.fromkeys(("kafka", "postgres", "redis"), True)
    verified(locked, tmp_path)


def verified(locked: Locked, folder: Path) -> None:
    """The stand-alone program reads the locked log by itself, with the account that may copy it."""
    path = folder / "digest.json"
    path.write_text(locked.stack.field("digest", "--json"))
    backup = locked.of("backup")
    environ = {"PATH": os.environ["PATH"], "KAFKA_SECURITY": "sasl_ssl", "KAFKA_USERNAME": "backup",
               "KAFKA_PASSWORD": backup.kafka_password, "KAFKA_CA_FILE": backup.kafka_ca_file}  # fmt: skip
    command = [sys.executable, str(SCRIPT), "--brokers", backup.kafka_brokers, "--until", str(path)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "different" not in done.stdout
    assert json.loads(path.read_text())["positions"]


def test_what_is_secret_lies_in_files_of_its_owner_alone(locked: Locked) -> None:
    here = folder(locked.settings)
    assert stat.S_IMODE(here.stat().st_mode) == 0o700
    private = [*(here / "accounts").iterdir(), *(here / "tls").glob("*.key"), here / "tls" / "kafka.keystore.pem"]
    private += [here / "users.acl", Path(locked.settings.home) / "env.json"]
    assert len(private) > 20
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in private} == dict.fromkeys(
        [path.name for path in private], 0o600
    )


def test_a_home_stays_locked(locked: Locked) -> None:
    bare = {name: value for name, value in locked.stack.environ.items() if name != "FIELD_LOCKED"}
    bare = {name: value for name, value in bare.items() if name not in secrets()}
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "wait", "--timeout", "30"], env=bare, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "FIELD_LOCKED" in locked.stack.field("up", code=2, FIELD_LOCKED="0")
