"""The logs of ``schema/golden``: what the fold and the verifier, which share no code, make of each."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams.fold.rules import DEFAULT_RULES
from tests.golden.vectors import VECTORS
from tests.golden.write import LOG, VECTORS_FOLDER, describe_vector, fold_vector, read_vector
from tests.verifying import SCRIPT, constants, verifier

OTHER = {
    "lateness_ms": 9_000, "slot_ms": 5_000, "slots": 2, "silence_ms": 299_999, "seats": 63, "echo_distance": 9.9,
    "echo_window_s": 59, "sequence_window": 63, "particles": 999, "quantum_fields": 9, "weight_breath": 2,
    "weight_touch": 1, "weight_spiral": 4, "weight_bloom": 6, "weight_phrase": 7,
}  # fmt: skip
OTHER_LIMITS = {"skew_ms_max": 60_001, "event_bytes_max": 65_537, "depth_max": 15}


def written(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((VECTORS_FOLDER / name / "digests.json").read_text())
    return found


def by_verifier(name: str) -> dict[str, str]:
    said = written(name)
    log = str(VECTORS_FOLDER / name / "log.jsonl")
    found: dict[str, str] = verifier.digests(verifier.from_file(log, said["partitions"], "field.events", {}, set()))
    return found


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The script as a stranger runs it: its files alone in a folder, and an interpreter without any package."""
    for path in SCRIPT.parent.glob("verifier*.py"):
        shutil.copy(path, tmp_path)
    command = [sys.executable, "-S", str(tmp_path / SCRIPT.name)]
    return lambda *words: subprocess.run([*command, *words], capture_output=True, text=True, cwd=tmp_path)


def test_all_vectors_are_there_and_small() -> None:
    assert {path.name for path in VECTORS_FOLDER.iterdir() if path.is_dir()} == set(VECTORS)
    for name in VECTORS:
        assert (VECTORS_FOLDER / name / "log.jsonl").stat().st_size < 300_000


@pytest.mark.parametrize("name", VECTORS)
def test_the_fold_gives_these_digests(name: str) -> None:
    said = written(name)
    assert said["fold_version"] == DEFAULT_RULES.version, "another fold: say why, then write the digests anew"
    assert describe_vector(name) == said, "a vector is never changed: add another one"
    assert fold_vector(read_vector(name), shards=1)["tables"] == said["tables"]


@pytest.mark.parametrize("name", VECTORS)
def test_the_verifier_gives_these_digests(name: str) -> None:
    assert by_verifier(name) == written(name)["tables"]


@pytest.mark.parametrize("rule", OTHER)
def test_every_constant_shows_in_a_vector(rule: str) -> None:
    assert set(OTHER) == set(verifier.RULES)
    with constants({rule: OTHER[rule]}):
        assert any(by_verifier(name) != written(name)["tables"] for name in VECTORS)


@pytest.mark.parametrize("limit", OTHER_LIMITS)
def test_every_limit_shows_in_a_vector(limit: str) -> None:
    assert set(OTHER_LIMITS) == set(verifier.LIMITS)
    before = dict(verifier.LIMITS)
    try:
        verifier.LIMITS[limit] = OTHER_LIMITS[limit]
        assert any(by_verifier(name) != written(name)["tables"] for name in VECTORS)
    finally:
        verifier.LIMITS.update(before)


def test_the_story_is_the_golden_log() -> None:
    lines = [json.loads(line) for line in LOG.read_text().splitlines()]
    story = [json.loads(line) for line in (VECTORS_FOLDER / "story" / "log.jsonl").read_text().splitlines()]
    assert story[: len(lines)] == [{"partition": 0} | line for line in lines]


def test_the_command_says_equal_and_different(run: Callable[..., Any], tmp_path: Path) -> None:
    folder = VECTORS_FOLDER / "wires"
    words = ("--log", str(folder / "log.jsonl"), "--digests", str(folder / "digests.json"))
    letters = tmp_path / "rejected"
    letters.write_text("\n".join(written("wires")["rejected"]))
    done = run(*words, "--rejected", str(letters))
    assert (done.returncode, done.stdout.count("equal  "), done.stderr) == (0, 7, "")
    done = run(*words, "--rule", "weight_breath=2")
    assert (done.returncode, done.stderr) == (1, "")
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("different")] == ["resonance"]
    done = run(*words, "--rule", "weight_breth=2")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no rule is called weight_breth" in done.stderr


def test_the_command_names_dead_letters_that_differ(run: Callable[..., Any], tmp_path: Path) -> None:
    folder = VECTORS_FOLDER / "wires"
    first, *others = written("wires")["rejected"]
    letters = tmp_path / "rejected"
    letters.write_text("\n".join([*others, "field.events/0/0/0", "field.events/0/999999/0"]))
    done = run(
        "--log", str(folder / "log.jsonl"), "--digests", str(folder / "digests.json"), "--rejected", str(letters)
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    assert f"different  {first} is rejected here" in done.stdout
    assert "different  field.events/0/0/0 is valid here" in done.stdout
    assert "999999" not in done.stdout


def test_a_changed_or_missing_record_is_seen(run: Callable[..., Any], tmp_path: Path) -> None:
    lines = (VECTORS_FOLDER / "echoes" / "log.jsonl").read_text().splitlines()
    log = tmp_path / "log.jsonl"
    digests = str(VECTORS_FOLDER / "echoes" / "digests.json")
    for changed in (lines[:-1], [*lines[:5], *lines[6:]], [lines[0].replace("0.5", "0.500001"), *lines[1:]]):
        log.write_text("\n".join(changed))
        done = run("--log", str(log), "--digests", digests)
        assert (done.returncode, done.stderr) == (1, "")
        assert "different  resonance" in done.stdout
    log.write_text("\n".join([*lines, "no line"]))
    done = run("--log", str(log), "--digests", digests)
    assert done.returncode == 2
    assert f"line {len(lines) + 1}" in done.stderr
