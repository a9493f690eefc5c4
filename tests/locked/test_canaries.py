"""No secret turns up where others could see it: logs, command lines, metrics, what commands print, errors, answers."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import httpx

from deploy import processes
from deploy.local import process
from tests.acceptance.stack import environment
from tests.locked.conftest import Locked


def found(locked: Locked, text: str | bytes) -> list[str]:
    """Names of the secrets in it, as they are or as they stand in an address."""
    plain = text.decode(errors="replace") if isinstance(text, bytes) else text
    return [name for name, value in locked.canaries.items() if value in plain or quote(value, safe="") in plain]


def said(*words: str, environ: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", *words], env=environ, capture_output=True, text=True, timeout=120
    )
    return f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"


def test_logs_and_what_the_start_said(locked: Locked) -> None:
    """The processes log at DEBUG here, client libraries at INFO, below which they are never heard."""
    locked.stack.field("simulate", "--devices", "5", "--rate", "50", "--seed", "1", "--duration", "1")
    locked.stack.field("wait", "--timeout", "60")
    logs = {path.name: path.read_bytes() for path in (Path(locked.settings.home) / "logs").iterdir()}
    assert set(logs) >= {f"{name}.log" for name in ("kafka", "postgres", "redis", "worker", "gateway", "supervisor")}
    assert b"SCRAM-SHA-512" in logs["worker.log"], "libraries are heard"
    assert {name: found(locked, text) for name, text in logs.items() if found(locked, text)} == {}
    assert found(locked, locked.said) == []


def test_command_lines(locked: Locked) -> None:
    """Of every process there was since the start began, looked at a hundred times a second."""
    home = Path(locked.settings.home)
    ours = [*processes.read_all(home), *processes.read_all(process.base(home))]
    assert len(ours) >= 8
    assert {Path(f"/proc/{one.pid}/cmdline").read_bytes() for one in ours if processes.alive(one)} <= locked.seen
    seen = b"\n".join(locked.seen)
    assert b"StorageTool" in seen
    assert b"initdb" in seen
    assert found(locked, seen) == []


def test_metrics_status_and_environment(locked: Locked) -> None:
    settings = locked.settings
    for role in ("worker", "projector", "publisher", "gateway"):
        with urlopen(f"http://127.0.0.1:{getattr(settings, f'{role}_metrics_port')}/metrics", timeout=30) as answer:
            text = answer.read()
        assert b"field_" in text
        assert found(locked, text) == []
    for words in ("status", "env", "replay list"):
        assert found(locked, locked.stack.field(*words.split())) == []
    assert "postgres-operator" in found(locked, locked.stack.field("env", "--secrets")), "this is how it would look"


def test_answers_of_the_gateway(locked: Locked) -> None:
    here = f"http://127.0.0.1:{locked.settings.gateway_port}"
    with httpx.Client(base_url=here, timeout=30) as client:
        for path in ("", "health", "nothing", "consciousness/state", "consciousness/metrics",
                     "consciousness/history?resolution=never", "consciousness/stream?last_event_id=x"):  # fmt: skip
            answer = client.get(f"/api/{path}")
            assert found(locked, answer.text + str(answer.headers)) == [], path
        for token in ("x", "a.b.c", locked.canaries["FIELD_GATEWAY_KEY"][:8]):
            answer = client.post("/api/consciousness/sync", json={}, headers={"authorization": f"Bearer {token}"})
            assert answer.status_code in (401, 403)
            assert found(locked, answer.text) == []


def test_errors(locked: Locked) -> None:
    """Each command and process, with secrets that are wrong, addresses that are none, and servers that are away."""
    secret = locked.canaries["kafka-worker"]
    settings = locked.settings
    places = {
        "FIELD_HOME": str(Path(settings.home).parent / "other"), "FIELD_PARTS": "none",
        "KAFKA_BROKERS": settings.kafka_brokers, "KAFKA_SECURITY": "sasl_ssl", "KAFKA_USERNAME": "worker",
        "KAFKA_PASSWORD": secret, "KAFKA_CA_FILE": settings.kafka_ca_file,
        "DATABASE_URL": f"postgresql://field_worker:{secret}@127.0.0.1:1/field?connect_timeout=2",
        "REDIS_PORT": str(settings.redis_port), "REDIS_USERNAME": "publisher", "REDIS_PASSWORD": secret,
        "REDIS_TLS": "1", "REDIS_CA_FILE": settings.redis_ca_file,
    }  # fmt: skip
    wrong: list[dict[str, str]] = [
        {},
        {"KAFKA_USERNAME": "nobody"},
        {"KAFKA_SECURITY": "ssl", "KAFKA_USERNAME": ""},
        {"DATABASE_URL": f"postgresql://u:{secret}@127.0.0.1:x/field"},
        {"DATABASE_URL": f"postgresql://u:{secret}@/field"},
        {"DATABASE_URL": f"postgresql://u:x@{secret}@127.0.0.1/field"},
        {"DATABASE_URL": f"postgresql://u:{secret}@127.0.0.1:{settings.redis_port}/field?sslmode=maybe"},
        {"KAFKA_PASSWORD_FILE": "anything"},
        {"REDIS_PORT": "x"},
    ]
    tries = [("status", over) for over in wrong] + [("migrate --timeout 1", over) for over in wrong[:2]]
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda one: said(*one[0].split(), environ=environment({**places, **one[1]})), tries))
    ports = {f"FIELD_{role}_METRICS_PORT": "0" for role in ("WORKER", "PROJECTOR", "PUBLISHER", "GATEWAY")}
    bad = environment({**places, **ports, "KAFKA_PASSWORD": f"{secret}x", "FIELD_LOG_LEVEL": "DEBUG"})
    told.append(said("worker", environ=bad))
    assert sum("exit 0" not in text for text in told) > 6
    assert [text for text in told if found(locked, text)] == []
    assert not [text for text in told if re.search(r"Traceback", text)]
