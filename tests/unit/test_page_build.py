"""Building the page: once for the same sources, whole or not at all, from a lock that names no host."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from deploy.local import page
from streams.errors import SetupError


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    shutil.copytree(page.SOURCES, folder, ignore=shutil.ignore_patterns("node_modules"))
    return folder


def test_it_is_built_once_and_again_when_a_source_has_changed(sources: Path, tmp_path: Path) -> None:
    static = tmp_path / "static"
    assert page.build(print, sources, static)
    made = {path.name for path in static.iterdir()}
    assert not page.build(print, sources, static)
    html = (static / "index.html").read_text()
    named = set(re.findall(r"/static/([\w.-]+)", html))
    assert named <= made
    assert len([name for name in named if re.fullmatch(r"main-[A-Z0-9]{8}\.(js|css)", name)]) == 2
    (sources / "css/theme.css").write_text((sources / "css/theme.css").read_text() + "h1 { color: red }\n")
    assert page.build(print, sources, static)
    now = {path.name for path in static.iterdir()}
    assert len(now) == len(made)
    assert now != made


def test_a_source_that_cannot_be_bundled_leaves_the_old_page(sources: Path, tmp_path: Path) -> None:
    static = tmp_path / "static"
    page.build(print, sources, static)
    before = {path.name: path.read_bytes() for path in static.iterdir()}
    (sources / "src/main.js").write_text("import { none } from './nowhere.js';")
    with pytest.raises(SetupError, match=r"building the page(.|\n)*nowhere\.js"):
        page.build(print, sources, static)
    assert {path.name: path.read_bytes() for path in static.iterdir()} == before


def test_the_lock_names_no_host() -> None:
    text = (page.SOURCES / "package-lock.json").read_text()
    assert "://" not in re.sub(r'"(url|funding)": [^\n]*', "", text)
    packages = json.loads(text)["packages"]
    assert not [name for name, one in packages.items() if "resolved" in one]
    assert all("integrity" in one for name, one in packages.items() if name)


def test_the_page_has_nothing_inline_and_modules_that_fit_a_head() -> None:
    html = (page.SOURCES / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|https?://", html)
    for path in [*page.SOURCES.glob("src/*.js"), *page.SOURCES.glob("css/*.css")]:
        text = path.read_text()
        assert len(text.splitlines()) < 400, path.name
        assert re.match(r"//|/\*", text), f"{path.name} does not say what it is"
