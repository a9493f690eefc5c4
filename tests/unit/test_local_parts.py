"""The decisions of local parts: who runs them, from what, with which configuration."""

from __future__ import annotations

import contextlib
import fcntl
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from deploy import context
from deploy.local import bring, compose, health, kafka, parts, postgres, redis, system
from streams.errors import FieldError, SettingError, SetupError
from streams.settings import Settings

HERE = {"127.0.0.1", "localhost"}


@pytest.mark.parametrize("module", ["bring", "native", "page"])
def test_what_set_up_runs_before_pip_has_brought_anything_needs_nothing(module: str) -> None:
    """``-S``: no installed packages."""
    code = f"import sys; sys.path.insert(0, {str(context.clone())!r}); import deploy.local.{module}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("wanted", "docker", "hosts", "how"),
    [
        ("auto", "", HERE, "docker"),
        ("auto", "no engine", HERE, "local"),
        ("auto", "", HERE | {"db.internal"}, "none"),
        ("local", "", HERE, "local"),
        ("none", "", HERE, "none"),
        ("docker", "", HERE, "docker"),
    ],
)
def test_who_runs_the_parts_and_why(wanted: str, docker: str, hosts: set[str], how: str) -> None:
    chosen, why = bring.choose(wanted, docker, hosts)
    assert chosen == how
    assert why


@pytest.mark.parametrize(
    ("wanted", "docker", "hosts", "how"),
    [
        ("auto", "no engine", HERE, "embedded"),
        ("auto", "", HERE, "docker"),
        ("auto", "no engine", HERE | {"db.internal"}, "none"),
        ("local", "no engine", HERE, "local"),
        ("embedded", "", HERE, "embedded"),
    ],
)
def test_without_docker_and_local_parts_it_is_embedded(wanted: str, docker: str, hosts: set[str], how: str) -> None:
    chosen, why = bring.choose(wanted, docker, hosts, "not root")
    assert chosen == how
    if wanted == "auto" and how == "embedded":
        assert why == "no engine, and not root"


@pytest.mark.parametrize(
    ("root", "debian", "here", "words"),
    [(True, True, False, ""), (True, False, False, "java"), (False, True, False, "java"), (False, True, True, "")],
)
def test_local_parts_need_root_on_debian_or_to_be_here(
    monkeypatch: pytest.MonkeyPatch, root: bool, debian: bool, here: bool, words: str
) -> None:
    monkeypatch.setattr(system, "is_root", lambda: root)
    monkeypatch.setattr(system, "has_apt", lambda: True)
    monkeypatch.setattr(system, "is_debian", lambda: debian)
    monkeypatch.setattr(kafka, "packages", lambda: [] if here else ["java"])
    monkeypatch.setattr(redis, "packages", list)
    monkeypatch.setattr(postgres, "find", lambda: object())
    why = bring.why_not()
    assert words in why
    assert bool(why) == bool(words)


def test_docker_that_is_asked_for_and_missing_is_an_error_that_says_so() -> None:
    with pytest.raises(SetupError, match="FIELD_PARTS=docker, but no engine"):
        bring.choose("docker", "no engine", HERE)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"kafka_brokers": "10.0.0.1:9092"}, "KAFKA_BROKERS"),
        ({"redis_host": "cache"}, "REDIS_HOST"),
        ({"database_url": "postgresql://a:b@db/c"}, "DATABASE_URL"),
    ],
)
def test_local_parts_elsewhere_are_refused_before_anything_starts(
    change: dict[str, str], name: str, tmp_path: Path
) -> None:
    settings = replace(Settings(home=str(tmp_path), parts="local"), **change)
    with pytest.raises(SettingError) as caught:
        parts.start(settings, echo=lambda line: None)
    assert caught.value.name == name


def test_a_taken_port_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(home=str(tmp_path), redis_port=taken.getsockname()[1])
        with pytest.raises(FieldError, match=r"taken by another program.*REDIS_PORT"):
            parts.start_part(settings, "redis", echo=lambda line: None)


@pytest.mark.parametrize(
    ("tail", "starts"),
    [
        ('FATAL:  lock file "postmaster.pid" already exists', 2),  # of one that was killed and is not quite gone
        ("FATAL:  pre-existing shared memory block is still in use", 2),
        ("FATAL:  could not open directory", 1),
    ],
)
def test_a_start_is_tried_again_while_the_one_before_leaves(
    tail: str, starts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    up = health.Answer(True)
    monkeypatch.setattr(parts, "_listens", lambda port: False)
    monkeypatch.setattr(parts, "_probe", lambda *_: up if len(begun) > 1 else up._replace(up=False))
    monkeypatch.setattr(parts.process, "running", lambda *_: None)
    monkeypatch.setattr(parts.process, "log_end", lambda *_: tail)
    monkeypatch.setattr(parts.process, "start", lambda *_: begun.append("postgres"))
    monkeypatch.setattr(parts.time, "sleep", lambda _: None)
    with contextlib.suppress(SetupError):
        parts._launch(Settings(home=str(tmp_path)), "postgres", lambda: ["postgres"], lambda line: None)
    assert len(begun) == starts


def test_a_wait_for_members_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kafka.JOINING, "5 s")
    with pytest.raises(SettingError, match=kafka.JOINING):
        kafka._properties(Path("/somewhere"), 1234, 2345)


def test_no_cluster_looks_like_an_option() -> None:
    assert not any(kafka.cluster_id().startswith("-") for _ in range(2_000))


def test_kafkas_configuration_is_loopback_only() -> None:
    settings = kafka._properties(Path("/somewhere"), 1234, 2345)
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:1234,CONTROLLER://127.0.0.1:2345"
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:2345"
    assert settings["auto.create.topics.enable"] == "false"


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_292"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("command not found", 0),
    ],
)
def test_java_versions(text: str, major: int) -> None:
    assert kafka.parse_java_version(text) == major


def test_redis_gets_any_password_and_keeps_it_to_itself(tmp_path: Path) -> None:
    asked = Settings(redis_port=1234, redis_password='a "b\\ c')
    command = redis.prepare(Path("/bin/redis-server"), tmp_path, asked, durable=False)
    file = Path(command[1])
    assert file.stat().st_mode & 0o077 == 0
    lines = file.read_text().splitlines()
    assert 'requirepass "a \\"b\\\\ c"' in lines
    assert {"bind 127.0.0.1", "port 1234", 'save ""'} <= set(lines)
    assert not any("a " in word for word in command)


@pytest.mark.parametrize(("durable", "fsync"), [(True, "on"), (False, "off")])
def test_only_tests_go_without_fsync(durable: bool, fsync: str) -> None:
    place = postgres.Place(postgres.Server(Path("/"), 17), "self", Path("/data"))
    lines = postgres._configuration(5555, place, durable=durable).splitlines()
    assert f"fsync = '{fsync}'" in lines
    assert "listen_addresses = '127.0.0.1'" in lines
    assert "timescaledb.telemetry_level = 'off'" in lines


def test_postgres_never_runs_as_root() -> None:
    server = postgres.Server(Path("/cache/root"), 17)
    bound = postgres.Place(server, "bound", Path("/home/x"))
    inside = postgres.Place(server, "inside", Path("/cache/root/var/lib/field/x"))
    assert bound.seen == "/srv"
    assert inside.seen == "/var/lib/field/x"
    for place in (bound, inside):
        assert "--userspec=postgres:postgres" in " ".join(place.command("postgres"))


def test_the_compose_file_has_the_images_that_we_name_and_listens_on_loopback() -> None:
    file = yaml.safe_load(compose.FILE.read_text())
    for name, image in compose.IMAGES.items():
        service = file["services"][name]
        assert service["image"] == image
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert "healthcheck" in service
        assert "profiles" not in service
    assert {name for name, service in file["services"].items() if "profiles" in service} == {
        "migrate",
        "worker",
        "projector",
        "publisher",
        "gateway",
        *compose.MONITORING_IMAGES,
    }
    assert file["services"]["gateway"]["ports"] == [
        "127.0.0.1:${FIELD_GATEWAY_PORT:-8000}:8000",
        "127.0.0.1:9104:9104",
    ]
    for name, image in compose.MONITORING_IMAGES.items():
        service = file["services"][name]
        assert service["image"] == image
        assert service["network_mode"] == "host", "it looks at loopback ports"
        assert service["profiles"] == ["monitoring"]
    told = str([file["services"][name] for name in compose.MONITORING_IMAGES])
    assert len(re.findall(r"(?:listen-address|HTTP_ADDR)(?:=|': ')127\.0\.0\.1", told)) == 3, (
        "and is told to nobody else"
    )


def test_two_homes_are_two_compose_projects() -> None:
    one, two = (compose.project(Settings(home=home)) for home in ("/a", "/b"))
    assert one != two


def test_what_the_compose_file_asks_for_is_given() -> None:
    asked = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", compose.FILE.read_text()))
    given = compose.environment(Settings(database_url="postgresql://u%40:p%2F@127.0.0.1:7777/d"))
    assert asked == set(given)
    assert (given["POSTGRES_USER"], given["POSTGRES_PASSWORD"], given["POSTGRES_DB"]) == ("u@", "p/", "d")


def test_apt_works_for_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: dict[str, bool] = {}

    def ran(command: list[str], *_: object) -> str:
        with (tmp_path / "apt.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held[command[1]] = True
            else:
                held[command[1]] = False
        return ""

    monkeypatch.setattr(system, "run", ran)
    monkeypatch.setattr(system, "folder", lambda: tmp_path)
    monkeypatch.setattr(system, "_updated", False)
    monkeypatch.setattr(system, "is_root", lambda: True)
    monkeypatch.setattr(system, "has_apt", lambda: True)
    monkeypatch.setattr(system, "_POLICY", tmp_path)  # somebody's own policy stands
    system.install(["figlet"], lambda _line: None)
    assert held == {"update": True, "install": True}
