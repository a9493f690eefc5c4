"""The image: what goes into it, and what must never be in it or in the repository."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import context
from deploy.local import page

ROOT = context.clone()
DEPLOY = ROOT / "deploy"
PRODUCTION = yaml.safe_load((DEPLOY / "compose.production.yaml").read_text())
STAGES = re.split(r"^FROM ", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]


def ignored(path: str) -> bool:
    """Whether Docker leaves a file of the clone out of what it sends to the build: the last line that fits counts."""
    parts = path.split("/")
    whole_and_folders = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    out = False
    for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = re.escape(line.lstrip("!")).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
            if any(re.fullmatch(pattern, one) for one in whole_and_folders):
                out = not line.startswith("!")
    return out


def made() -> list[str]:
    """What the steps of an installation write, by the defaults of the compose file."""
    text = (DEPLOY / "compose.production.yaml").read_text()
    folders = {str(Path("deploy") / found) for found in re.findall(r"\$\{FIELD_[A-Z_]+:-\./([a-z.]+)\}", text)}
    assert {"deploy/lock", "deploy/backups", "deploy/operator"} <= folders
    inside = ("tls/ca.key", "accounts/postgres-admin", "front/front.key", "20260101T000000Z/dump")
    return [f"{folder}/{name}" for folder in sorted(folders) for name in inside] + [
        "deploy/.env", "deploy/field.env", ".env", "secrets/tls/ca.key", ".field/env.json", ".git/HEAD",
    ]  # fmt: skip


@pytest.mark.parametrize("path", made())
def test_what_an_installation_makes_is_in_no_image(path: str) -> None:
    assert ignored(path)


@pytest.mark.parametrize("path", [path for path in made() if not path.startswith(".git/")])
def test_what_an_installation_makes_is_in_no_commit(path: str) -> None:
    told = subprocess.run(["git", "check-ignore", "-q", "--no-index", path], cwd=ROOT, timeout=60)
    assert told.returncode == 0


def test_all_that_the_image_is_made_of_is_sent() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    files = listed.stdout.splitlines()
    copied = {
        source for stage in STAGES for words in re.findall(r"^COPY (?!--from)(.+)$", stage, re.MULTILINE)
        for source in words.split()[:-1]
    }  # fmt: skip
    for source in copied:
        wanted = [path for path in files if path == source or path.startswith(f"{source}/")]
        assert wanted, source
        assert not [path for path in wanted if ignored(path)]
    assert not [path for path in files if not ignored(path) and not path.startswith(tuple(copied))]


def test_the_image_has_a_page_of_its_own_making() -> None:
    assert ignored("projections/gateway/static/index.html"), "what was built beside it may be old, or not there"
    *_, built, last = STAGES
    assert built.splitlines()[0].endswith(" AS page")
    assert "RUN python -m deploy.local.page" in built
    static = page.STATIC.relative_to(ROOT)
    assert f"COPY --from=page /app/{static} ./{static}" in last
    assert (
        last.index("COPY projections ")
        < last.index("COPY --from=page")
        < last.index("RUN pip install --no-cache-dir --no-deps .")
    )


def test_the_authority_s_key_is_mounted_nowhere() -> None:
    mounted: list[Any] = [
        (name, str(one)) for name, service in PRODUCTION["services"].items() for one in service.get("volumes", [])
    ]
    assert not [one for one in mounted if "ca.key" in one[1]]
    whole = re.compile(r"^\$\{FIELD_LOCK:-[^}]+\}(/tls)?:")
    assert not [one for one in mounted if whole.match(one[1])]
