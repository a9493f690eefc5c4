"""Every command of the README is run, in its order, in one shell."""

from __future__ import annotations

import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy import cli
from streams.settings import Settings
from tests.acceptance.stack import REPOSITORY, Stack
from tests.benchmarks.bench.__main__ import arguments

README = REPOSITORY / "README.md"
ELSEWHERE = {
    "make run": "tests/acceptance/test_run.py",
    "make test": "it is running now",
}
"""Commands that do not end by themselves, and what runs them instead."""

PSQL = f"""#!{sys.executable}
import os, sys, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    print(*connection.execute(sys.argv[sys.argv.index("-c") + 1]).fetchall(), sep="\\n")
"""
"""Stands in for psql where the machine has none: the statements are what is tried here."""

CURL = f"""#!{sys.executable}
import sys, time, urllib.request
words, headers, body, wait = sys.argv[1:], {{}}, None, 30.0
while words:
    word = words.pop(0)
    if word == "-H":
        headers.update([words.pop(0).split(": ", 1)])
    elif word == "--data-binary":
        assert words.pop(0) == "@-"
        body = sys.stdin.buffer.read()
    elif word == "--max-time":
        wait = float(words.pop(0))
    elif not word.startswith("-"):
        url = word
end = time.monotonic() + wait
with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=wait) as answer:
    try:
        for line in answer:
            print(line.decode(), end="", flush=True)
            if time.monotonic() > end:
                sys.exit(28)
    except TimeoutError:
        sys.exit(28)
print()
"""
"""The same for curl."""


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


def script() -> str:
    """All blocks as one script that says where it is and stops at the first failure."""
    lines = ["set -euo pipefail"]
    for number, block in enumerate(blocks()):
        lines.append(f"echo '== block {number}'")
        lines += [line for line in block.splitlines() if line not in ELSEWHERE]
    return "\n".join(lines) + "\n"


def test_commands_of_the_readme(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    names = {f"{name}_topic": f"field.{name}" for name in ("events", "changes", "rejected")}
    with Stack(make_settings(generation="live", **names)) as stack:
        for name, text in (("psql", PSQL), ("curl", CURL)):
            if shutil.which(name, path=stack.environ["PATH"]) is None:
                shim = tmp_path / name
                shim.write_text(text)
                shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
        stack.environ["PATH"] += f":{tmp_path}"
        done = subprocess.run(
            ["bash", "-c", script()],
            env=stack.environ, cwd=REPOSITORY, capture_output=True, text=True, timeout=250,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        said = done.stdout
        assert "2 events acknowledged by the broker\n" in said
        assert '"verdict":"accepted","position":' in said, "and by the gateway, once more"
        assert '"tier":' in said
        assert "event: events" in said, "the stream goes back to the log's beginning"
        assert "1500 events acknowledged" in said
        assert "everything reflects the log" in said
        assert re.search(r"^hall\t", said, re.MULTILINE), "the room of the published events is there"
        assert '"global_resonance"' in said, "redis-cli shows the snapshot"
        assert re.search(r"^[1-9]\d* dead letters, ", said, re.MULTILINE)
        assert said.count(": equal") == 2, "the replay is proven twice"
        assert "readers see live again" in said
        found = stack.json("state", "resonance")["rows"]
        assert {"ana", "bo"} <= {row["device_id"] for row in found}, "the plain Kafka client's event is folded too"


def test_nothing_but_make_run_and_make_test_is_left_out() -> None:
    commands = [line for block in blocks() for line in block.splitlines()]
    assert set(ELSEWHERE) <= set(commands)
    assert len(commands) > 20


def test_commands_within_sentences_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take long or stop what runs: looked at is that they can be started, and understand what they are given."""
    named = sorted(set(re.findall(r"`((?:make|python -m) [^`]+)`", README.read_text())))
    assert len(named) > 8
    for command in named:
        if command.startswith("make "):
            run = ["bash", "-c", command.replace("make ", "make -n ", 1)]
        else:
            run = [sys.executable, "-c", f"import {command.split()[2]}"]
        done = subprocess.run(run, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    (words,) = [re.findall(r'ARGS="([^"]+)"', command)[0] for command in named if "ARGS=" in command]
    monkeypatch.setattr(sys, "argv", ["bench", *shlex.split(words)])
    assert arguments().events == 100_000


def test_every_field_command_that_it_names_exists() -> None:
    named = set(re.findall(r"`?field ([a-z]+)", README.read_text())) - {"keeps", "is", "in"}
    known = set(cli.parser()._subparsers._group_actions[0].choices)
    assert named <= known


def test_every_file_that_it_names_exists() -> None:
    for name in re.findall(r"\b(?:streams|projections|schema|deploy|tests)/[\w/.]*\w", README.read_text()):
        assert (REPOSITORY / name).exists(), name
