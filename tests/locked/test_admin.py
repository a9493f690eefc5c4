"""What SECURITY.md has for an emergency works: the admin by certificate and password; certificates are seen."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import psycopg

from deploy.doctor import certificates, findings
from deploy.local import kafka
from deploy.locked.home import as_role
from deploy.locked.home import folder as folder_of
from deploy.locked.roles import ADMIN
from tests.acceptance.stack import REPOSITORY
from tests.locked.conftest import Locked

CONFIGS = "kafka.admin.ConfigCommand"
"""What kafka-configs.sh starts."""


def test_the_admin_changes_the_retention_of_a_topic(locked: Locked, tmp_path: Path) -> None:
    page = (REPOSITORY / "deploy" / "SECURITY.md").read_text().partition("## In an emergency")[2]
    (block,) = re.findall(r"^```sh\n(cat secrets/tls.*?)^```", page, re.DOTALL | re.MULTILINE)
    before, _, command = block.partition("kafka-configs.sh")
    (tmp_path / "secrets").symlink_to(folder_of(locked.settings))
    words = command.replace("\\\n", " ").split()
    words[words.index("--bootstrap-server") + 1] = brokers(locked)
    subprocess.run(["sh", "-ec", before], cwd=tmp_path, check=True)
    java = [
        "java",
        "-Xmx256m",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-cp",
        f"{kafka.bring(print)}/*",
        CONFIGS,
    ]

    def run(*words: str) -> str:
        return subprocess.run(
            [*java, *words], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=120
        ).stdout

    run(*words)
    try:
        assert "retention.ms=7776000000" in run(*words[:4], "--describe", *words[5:9])
    finally:
        run(*words[:-1], "retention.ms=-1")


def brokers(locked: Locked) -> str:
    """The listener BROKERS, which is on no setting of a process."""
    text = next(Path(locked.settings.home).rglob("server.properties")).read_text()
    found = re.search(r"BROKERS://([\d.]+:\d+)", text)
    assert found is not None
    return found[1]


def test_the_superuser_and_the_certificates(locked: Locked) -> None:
    folder = folder_of(locked.settings)
    with psycopg.connect(as_role(locked.settings, ADMIN).database_url) as connection:
        assert connection.execute("SELECT current_setting('is_superuser')").fetchone() == ("on",)
    facts = certificates.ask(locked.settings)
    assert {one.whose.split()[0] for one in facts.shown} >= {"Kafka", "PostgreSQL", "Redis"}, os.fspath(folder)
    assert [one.state for one in findings.run(certificates.CHECKS, facts)] == ["ok"]
