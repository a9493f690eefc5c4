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


def luminance(colour: str) -> float:
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [":root {", ':root[data-theme="light"] {', ":root:not([data-theme]) {"])
def test_text_stands_out_from_its_ground_in_both_themes(theme: str) -> None:
    rules = (page.SOURCES / "css/theme.css").read_text().split(theme)[1].split("}")[0]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})\b", rules))
    pairs = [("ink", "ground"), ("quiet", "ground"), ("ink", "panel-solid"), ("quiet", "panel-solid")]
    for text, ground in [*pairs, ("warn-text", "ground"), ("on-accent", "accent"), ("ground", "ink")]:
        light, dark = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{text} on {ground}"
