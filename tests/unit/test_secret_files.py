"""A secret from a file: its text, and one clear line for every file that cannot be one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy import context, ports, secret_files
from streams.errors import SettingError
from streams.settings import Settings, exports, known, secrets


def secret(path: Path, text: str = "hush\n", mode: int = 0o600) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_every_secret_setting_can_be_a_file(tmp_path: Path) -> None:
    assert secrets() == {
        "DATABASE_URL", "KAFKA_PASSWORD", "KAFKA_READER_PASSWORD", "REDIS_PASSWORD", "FIELD_GATEWAY_KEY",
        "FIELD_PSEUDONYM_KEY",
    }  # fmt: skip
    for name in secrets():
        found = secret_files.resolved({f"{name}_FILE": secret(tmp_path / name, f"of {name}\r\n"), "PATH": "/bin"})
        assert found == {name: f"of {name}", "PATH": "/bin"}
    assert not known() & set(secret_files.FILES)


def test_a_command_reads_it_and_writes_down_its_path_only(tmp_path: Path) -> None:
    home, path = tmp_path / "home", secret(tmp_path / "key")
    here = {"FIELD_HOME": str(home), "FIELD_GATEWAY_KEY_FILE": path, "FIELD_PARTS": "none"}
    assert context.load(here).gateway_key == "hush"
    context.remember(home, ports.choose(here, lambda line: None))
    assert context.load({"FIELD_HOME": str(home)}).gateway_key == "hush"
    assert "hush" not in (home / "env.json").read_text()
    assert json.loads((home / "env.json").read_text())["FIELD_GATEWAY_KEY_FILE"] == path


@pytest.mark.parametrize("named", [{"REDIS_PASSWORD": "new"}, {"REDIS_PASSWORD_FILE": "new"}])
def test_what_is_said_now_replaces_either_form(tmp_path: Path, named: dict[str, str]) -> None:
    secret(tmp_path / "new", "new")
    now = {name: str(tmp_path / value) if name.endswith("_FILE") else value for name, value in named.items()}
    for before in ({"REDIS_PASSWORD": "old"}, {"REDIS_PASSWORD_FILE": "/nowhere"}):
        assert secret_files.resolved(secret_files.over(before, now)) == {"REDIS_PASSWORD": "new"}


@pytest.mark.parametrize(
    ("text", "mode", "problem"),
    [
        ("", 0o600, "is empty"),
        ("\n", 0o600, "is empty"),
        ("one\ntwo\n", 0o600, "more than one line"),
        ("hush", 0o644, "read by everybody"),
        ("hush", 0o604, "read by everybody"),
    ],
)
def test_a_bad_file_is_named_in_one_line(tmp_path: Path, text: str, mode: int, problem: str) -> None:
    path = secret(tmp_path / "key", text, mode)
    with pytest.raises(SettingError, match=problem) as told:
        context.load({"FIELD_HOME": str(tmp_path / "home"), "KAFKA_PASSWORD_FILE": path})
    line = str(told.value)
    assert "KAFKA_PASSWORD_FILE" in line
    assert path in line
    assert "\n" not in line
    assert "hush" not in line


def test_what_is_no_file_or_said_twice_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(SettingError, match=r"REDIS_PASSWORD_FILE.*(No such file|Is a directory)"):
            secret_files.resolved({"REDIS_PASSWORD_FILE": str(path)})
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "bytes").chmod(0o600)
    with pytest.raises(SettingError, match="UTF-8"):
        secret_files.resolved({"REDIS_PASSWORD_FILE": str(tmp_path / "bytes")})
    with pytest.raises(SettingError, match="both given"):
        secret_files.resolved({"REDIS_PASSWORD": "x", "REDIS_PASSWORD_FILE": secret(tmp_path / "key")})


def test_no_secret_in_what_python_prints_of_the_settings() -> None:
    settings = Settings(
        database_url="postgresql://u:canary@h/d", kafka_password="canary", kafka_reader_password="canary",
        redis_password="canary", gateway_key="canary", pseudonym_key="canary",
    )  # fmt: skip
    assert "canary" not in repr(settings)
    assert "canary" not in repr(exports(settings, secrets=False))
