"""A backup that was cut off, damaged or changed is never taken for a whole one; and which programs make one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.backup import manifest, postgres
from deploy.backup.manifest import Database, Letters, Log, Manifest, Table
from deploy.backup.postgres import Tool
from deploy.backup.restore import check_settings
from deploy.backup.rows import different
from deploy.commands.backup import run_backup
from streams.errors import BackupError, InputError, SettingError, SetupError
from streams.settings import Settings, identity

NAME, LATER = "20240101T000000Z", "20240102T000000Z"


def write(folder: Path, name: str = NAME) -> Manifest:
    """A backup with a file in each of its places."""
    fresh = folder / (name + manifest.UNFINISHED)
    log, letters = folder / "log/t/0/a.field", folder / f"letters/t/{name}.jsonl.gz"
    for path in (fresh / manifest.DUMP, log, letters):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"bytes of " + path.name.encode())
    dump = manifest.describe(folder, fresh / manifest.DUMP)
    dump.name = f"{name}/{manifest.DUMP}"
    found = Manifest(
        manifest.VERSION, name, 1, identity(Settings()),
        Database(dump, 17, "2.19.3", "apache", "3.5", "field", 8, {"t": Table(2, "1-2")}),
        Log("t", {0: 5}, 5, [manifest.describe(folder, log)]),
        Letters("t", {0: 1}, 1, [manifest.describe(folder, letters)]), None, {"log": 0.5},
    )  # fmt: skip
    manifest.store(folder, found)
    return found


def test_what_was_written_is_read_and_is_whole(tmp_path: Path) -> None:
    write(tmp_path)
    newest = write(tmp_path, LATER)
    assert manifest.names(tmp_path) == [NAME, LATER]
    assert manifest.load(tmp_path) == newest
    assert manifest.load(tmp_path, NAME).name == NAME
    assert manifest.problems(tmp_path, newest) == []


def cut_dump(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", [f"{NAME}/{manifest.DUMP}", "log/t/0/a.field", f"letters/t/{NAME}.jsonl.gz"])
@pytest.mark.parametrize("harm", [cut_dump, flip, Path.unlink])
def test_harm_to_any_file_is_named(name: str, harm: Callable[[Path], None], tmp_path: Path) -> None:
    found = write(tmp_path)
    harm(tmp_path / name)
    (problem,) = manifest.problems(tmp_path, found)
    assert str(tmp_path / name) in problem


def test_a_manifest_that_was_changed_or_is_missing_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / NAME / "manifest.json"
    text = path.read_text()
    path.write_text(text.replace('"events": 5', '"events": 4'))
    assert path.read_text() != text
    with pytest.raises(BackupError, match="other bytes"):
        manifest.load(tmp_path)
    path.unlink()
    with pytest.raises(BackupError, match="not whole"):
        manifest.load(tmp_path)


def test_one_that_was_cut_off_is_none_and_goes_with_the_next(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / NAME).rename(tmp_path / (NAME + manifest.UNFINISHED))
    with pytest.raises(InputError, match=rf"no whole backup; {NAME}\.new was cut off"):
        manifest.load(tmp_path)
    with manifest.writing(tmp_path), pytest.raises(InputError, match="right now"), manifest.writing(tmp_path):
        pass
    assert not list(tmp_path.glob("*.new"))


def test_old_ones_go_and_what_is_shared_stays(tmp_path: Path) -> None:
    write(tmp_path)
    found = write(tmp_path, LATER)
    assert manifest.forget(tmp_path, 1) == [NAME]
    assert manifest.names(tmp_path) == [LATER]
    assert manifest.problems(tmp_path, found) == []


def test_a_copy_elsewhere_is_a_backup(tmp_path: Path) -> None:
    found = write(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert manifest.problems(tmp_path / "there", manifest.load(tmp_path / "there")) == []
    assert found.files()


def test_settings_of_another_field_are_refused_with_what_to_export(tmp_path: Path) -> None:
    found = write(tmp_path)
    check_settings(Settings(), found)
    with pytest.raises(SettingError, match="export FIELD_PARTITIONS=4"):
        check_settings(Settings(partitions=8), found)


def test_tables_that_are_not_the_same_are_named() -> None:
    saved = {"a": Table(1, "1-1"), "b": Table(2, "2-2"), "c": Table(3, "3-3")}
    assert different(saved, dict(saved)) == []
    found = different(saved, {"a": Table(1, "1-1"), "b": Table(2, "2-3"), "d": Table(0, "0-0")})
    assert [line.split()[0] for line in found] == ["b", "c", "d"]


@pytest.mark.parametrize(("least", "chosen"), [(15, "c"), (16, "b"), (17, "b"), (18, "a")])
def test_a_program_is_never_older_than_the_server_and_as_near_as_can_be(
    least: int, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = [Tool(("a",), 18), Tool(("b",), 17), Tool(("c",), 15), Tool(("broken",), 0)]
    monkeypatch.setattr(postgres, "_candidates", lambda program: iter(tools))
    assert postgres.find(Settings(parts="none"), "pg_dump", least).words == (chosen,)
    with pytest.raises(SetupError, match=r"19 or newer is needed.*has 15, 17, 18: install postgresql-client-19"):
        postgres.find(Settings(parts="none"), "pg_dump", 19)


def test_words_that_make_no_sense_are_one_line() -> None:
    args = type("Args", (), {"words": ["check", "x"], "at": None, "json": False})()
    with pytest.raises(InputError, match="one folder, or verify and a folder"):
        run_backup(args)
