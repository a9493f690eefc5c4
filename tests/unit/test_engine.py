"""Which fold works, and what is said where the compiled one is not to be had."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local import native as building
from streams import engine
from streams.errors import SettingError, SetupError
from streams.fold.partition import PartitionFold
from streams.native import built, library
from streams.native.fold import NativeFold
from streams.settings import Settings

SETTINGS = Settings()


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No library, as where there was no compiler."""
    monkeypatch.setattr(library, "PATH", tmp_path / "libfield.so")
    library.problem.cache_clear()
    monkeypatch.setattr(library, "load", library.load.__wrapped__)
    yield
    library.problem.cache_clear()


def test_the_compiled_one_works_where_it_is_built(native_path: Path) -> None:
    assert isinstance(engine.make(2, SETTINGS), NativeFold)
    assert isinstance(engine.make(2, replace(SETTINGS, fold="compiled")), NativeFold)
    assert isinstance(engine.make(2, replace(SETTINGS, fold="simple")), PartitionFold)


def test_the_library_is_of_the_sources_as_they_are(native_path: Path) -> None:
    assert built.is_built()
    assert native_path == library.PATH


@pytest.mark.usefixtures("missing")
def test_without_a_library_the_simple_one_works() -> None:
    assert isinstance(engine.make(2, SETTINGS), PartitionFold)
    with pytest.raises(SettingError, match=r"setting FIELD_FOLD: compiled, but libfield\.so is not built"):
        engine.make(2, replace(SETTINGS, fold="compiled"))
    with pytest.raises(SetupError, match="is not built"):
        library.load()


@pytest.mark.usefixtures("missing")
def test_a_library_that_is_none() -> None:
    library.PATH.write_bytes(b"not a library")
    built.stamp(library.PATH).write_text(built.digest())
    assert "cannot be loaded" in library.problem()
    assert isinstance(engine.make(2, SETTINGS), PartitionFold)


@pytest.mark.usefixtures("missing")
def test_a_library_of_other_sources_does_not_fold(native_path: Path) -> None:
    library.PATH.write_bytes(native_path.read_bytes())
    built.stamp(library.PATH).write_text(built.digest())
    assert library.problem() == ""
    built.stamp(library.PATH).write_text("of before a pull")
    library.problem.cache_clear()
    assert "is of other sources" in engine.name(SETTINGS)
    assert isinstance(engine.make(2, SETTINGS), PartitionFold)


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RUSTC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="rustc"):
        building.build(lambda line: None, tmp_path / "lib" / "libfield.so")


def test_sources_that_do_not_compile_leave_the_old_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sources, target = tmp_path / "src", tmp_path / "lib" / "libfield.so"
    sources.mkdir()
    (sources / "lib.rs").write_text("pub fn broken( {}")
    target.parent.mkdir()
    target.write_bytes(b"of before")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(SetupError, match="compiling the fold"):
        building.build(lambda line: None, target, sources)
    assert target.read_bytes() == b"of before"
