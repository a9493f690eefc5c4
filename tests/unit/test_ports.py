"""Where a stack goes: as asked, as last time, as usual, or to a free port that is remembered."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import context, ports
from deploy.local import loopback, parts, process
from streams.errors import SetupError

USUAL = {9092, 5432, 6379, 9101, 9102, 9103}


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Ports that somebody else listens on; local parts, whatever this machine has."""
    found: set[int] = set()
    monkeypatch.setattr(ports, "taken", lambda port: port in found)
    monkeypatch.setattr(parts, "choose", lambda settings: ("none" if settings.parts == "none" else "local", ""))
    return found


def choose(home: Path, **environ: str) -> tuple[dict[str, str], list[str]]:
    said: list[str] = []
    found = ports.choose({"FIELD_HOME": str(home), **environ}, said.append)
    context.remember(home, found)
    return found, said


def test_the_usual_ports_where_they_are_free(tmp_path: Path, busy: set[int]) -> None:
    found, said = choose(tmp_path)
    assert found["KAFKA_BROKERS"] == "127.0.0.1:9092"
    assert found["REDIS_PORT"] == "6379"
    assert said == []


def test_a_taken_port_is_avoided_told_and_remembered(tmp_path: Path, busy: set[int]) -> None:
    busy |= USUAL
    found, said = choose(tmp_path)
    settings = context.load({"FIELD_HOME": str(tmp_path)})
    assert settings.kafka_brokers == found["KAFKA_BROKERS"] != "127.0.0.1:9092"
    assert settings.database_url.startswith("postgresql://field:field@127.0.0.1:")
    assert settings.database_url.endswith("/field")
    assert ":5432/" not in settings.database_url
    chosen = {settings.redis_port, settings.worker_metrics_port, settings.projector_metrics_port}
    assert not chosen & USUAL
    for part, name in ports.ADDRESS.items():
        assert any(part in line and name in line for line in said)
    busy.clear()
    assert choose(tmp_path)[0] == found, "the next start goes to the same places"


def test_what_was_asked_for_is_never_moved(tmp_path: Path, busy: set[int]) -> None:
    busy.add(7777)
    found, said = choose(tmp_path, REDIS_PORT="7777", FIELD_PARTITIONS="6")
    assert (found["REDIS_PORT"], found["FIELD_PARTITIONS"]) == ("7777", "6")
    assert said == []
    assert context.load({"FIELD_HOME": str(tmp_path)}).partitions == 6, "later commands know it too"


def test_the_next_start_keeps_the_places_and_nothing_else(tmp_path: Path, busy: set[int]) -> None:
    places = {"REDIS_PORT": "7777", "REDIS_PASSWORD": "hush", "FIELD_WORKER_METRICS_PORT": "7778"}
    rest = {"FIELD_FLOOD_SHARE": "2", "FIELD_GENERATION": "next", "FIELD_RULE_SEATS": "2", "FIELD_PARTITIONS": "6"}
    first, _ = choose(tmp_path, **places, **rest)
    assert rest.items() <= first.items(), "commands of the running stack need them"
    second, _ = choose(tmp_path)
    assert places.items() <= second.items()
    assert not rest.keys() & second.keys()


def test_parts_of_others_are_used_where_they_are(tmp_path: Path, busy: set[int]) -> None:
    busy |= {9092, 5432, 6379}
    found, _ = choose(tmp_path, FIELD_PARTS="none")
    assert "KAFKA_BROKERS" not in found
    assert context.load({"FIELD_HOME": str(tmp_path)}).kafka_brokers == "127.0.0.1:9092"


def test_where_no_part_can_run_it_is_embedded_and_remembered(
    tmp_path: Path, busy: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "choose", lambda settings: ("embedded", "no Docker, and not root"))
    found, said = choose(tmp_path, FIELD_PARTS="auto")
    assert found["FIELD_PARTS"] == "embedded"
    assert "KAFKA_BROKERS" not in found
    assert ["no Docker, and not root" in line for line in said] == [True]
    for environ in ({}, {"FIELD_PARTS": "auto"}):
        assert context.load({"FIELD_HOME": str(tmp_path), **environ}).parts == "embedded"
    assert context.load({"FIELD_HOME": str(tmp_path), "FIELD_PARTS": "none"}).parts == "none"
    monkeypatch.setattr(parts, "choose", lambda settings: (settings.parts, "FIELD_PARTS"))
    assert choose(tmp_path, FIELD_PARTS="embedded")[1] == [], "asked for: nothing to explain"


def test_data_of_parts_are_not_passed_over_silently(
    tmp_path: Path, busy: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "choose", lambda settings: ("embedded", "no Docker, and not root"))
    how = process.base(tmp_path) / "how"
    how.parent.mkdir(parents=True, exist_ok=True)
    how.write_text("docker\n")
    with pytest.raises(SetupError, match="field run --embedded"):
        choose(tmp_path)


def test_no_two_processes_are_told_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before either has started its server: of few ports, each is told once, and a used one to nobody."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        used = server.getsockname()[1]
        first = loopback.free()
        monkeypatch.setattr(loopback, "OWN", [first, used])
        with pytest.raises(SetupError, match="no port"):
            loopback.free()
        code = f"from deploy.local import loopback; loopback.OWN = [{first}, {used}]; loopback.free()"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "SetupError: no port" in other.stderr


def test_the_ports_are_none_that_linux_gives_to_connections() -> None:
    bounds = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if bounds.exists():
        assert loopback.OWN[-1] < int(bounds.read_text().split()[0])
