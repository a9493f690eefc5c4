"""Nothing in a file depends on the machine it was written on; what is measured is explained."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from deploy import cli
from streams.errors import FieldError
from tests.tidy.source import ROOT, module_file, parse, project_files

# Put together here so that this file does not find itself. (postgres: the home of a user inside an image.)
FOLDERS = re.compile(r"(?<![\w.])/(?:" + "|".join(("work", "root", "home/(?!postgres)[a-z]+", "Users/[a-z]+")) + ")/")
REGISTRIES = re.compile(
    "|".join(
        name.replace(" ", r"\.")
        for name in (
            "pypi org",
            "pythonhosted org",
            "npmjs (?:org|com)",
            "repo1? maven",
            "maven apache org/maven2",
            "deb debian org",
            "registry-1 docker",
            "proxy golang",
            "jfrog io",
        )
    )
)
FILES = [path for path in project_files() if path.suffix not in (".gz", ".png", ".bin", ".frame")]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_machine_paths_and_no_registries(path: Path) -> None:
    text = (ROOT / path).read_text(encoding="utf-8", errors="replace")
    for pattern in (FOLDERS, REGISTRIES):
        found = [f"{path}:{text.count(chr(10), 0, m.start()) + 1} {m.group()}" for m in pattern.finditer(text)]
        assert not found


def test_every_metric_is_explained() -> None:
    metrics = module_file("streams.metrics")
    pages = [ROOT / name for name in ("deploy/METRICS.md", "README.md") if (ROOT / name).is_file()]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    if metrics is None or "field_events_total" not in text:
        pytest.skip("no page explains the metrics yet: deploy/METRICS.md or README.md should")
    names = {
        node.value
        for node in ast.walk(parse(metrics))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"field_[a-z_]+", node.value)
    }
    assert names
    assert not {name for name in names if not re.search(rf"\b{name}(_total)?\b", text)}


def test_every_exit_code_stands_in_the_one_table() -> None:
    """And in no other: whoever has a number looks once."""
    cli.parser()  # imports all families, and with them their errors
    page = (ROOT / "deploy/README.md").read_text()
    rows = [int(row) for row in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)]
    assert rows == sorted({one.exit_code for one in _kinds(FieldError)} | {cli.INTERRUPTED})


def _kinds(of: type[FieldError]) -> set[type[FieldError]]:
    return {of}.union(*(_kinds(one) for one in of.__subclasses__()))
