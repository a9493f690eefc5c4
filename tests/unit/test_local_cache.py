"""The cache of programs: keys, whole entries only, one builder at a time."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from deploy.local import cache
from streams.errors import SetupError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "the-field"


def quiet(line: str) -> None:
    pass


def test_a_key_changes_with_version_and_recipe() -> None:
    keys = {cache.key("kafka", version, recipe) for version in ("4.1.0", "4.1.1") for recipe in ("a", "b")}
    assert len(keys) == 4
    assert all(key.startswith("kafka-4.1.") for key in keys)
    assert cache.key("kafka", "4.1.0", "a") in keys


def test_an_entry_is_built_once() -> None:
    built: list[Path] = []

    def build(target: Path) -> None:
        built.append(target)
        (target / "file").write_text("whole")

    first = cache.obtain("thing-1-a", build, quiet)
    assert cache.obtain("thing-1-a", build, quiet) == first
    assert len(built) == 1
    assert built[0] != first
    assert (first / "file").read_text() == "whole"


def test_a_failed_build_leaves_nothing_and_can_be_tried_again(own_cache: Path) -> None:
    def fail(target: Path) -> None:
        (target / "half").write_text("half")
        raise SetupError("no network")

    with pytest.raises(SetupError, match="no network"):
        cache.obtain("thing-1-b", fail, quiet)
    assert cache.find("thing-1-b") is None
    assert [path.name for path in own_cache.iterdir()] == ["thing-1-b.lock"]
    assert cache.obtain("thing-1-b", lambda target: None, quiet).is_dir()


def test_what_a_killed_build_has_left_goes(own_cache: Path) -> None:
    own_cache.mkdir()
    left = own_cache / ".thing-1-c.99999"
    left.mkdir()
    cache.obtain("thing-1-c", lambda target: None, quiet)
    assert not left.exists()


def test_only_one_builds_and_the_other_waits_for_it() -> None:
    built: list[str] = []
    said: list[str] = []
    begun = threading.Event()

    def slow(target: Path) -> None:
        begun.set()
        while not said:  # the other one has met the lock
            time.sleep(0.01)
        built.append("slow")

    thread = threading.Thread(target=cache.obtain, args=("thing-1-d", slow, quiet))
    thread.start()
    assert begun.wait(10)
    cache.obtain("thing-1-d", lambda target: built.append("second"), said.append)
    thread.join()
    assert built == ["slow"]
    assert "waiting" in said[0]


def test_nothing_is_deleted_through_a_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    (root / "dev").mkdir(parents=True)
    (tmp_path / "rooted").mkdir()
    monkeypatch.setattr(cache, "mounts", lambda: ["/", f"{root}/dev"])
    with pytest.raises(SetupError, match="mounted"):
        cache.remove(root)
    assert (root / "dev").is_dir()
    cache.remove(tmp_path / "rooted")  # a name that only begins alike
    assert not (tmp_path / "rooted").exists()
