"""``field doctor`` where the papers send one at night: the operator's pod, and Compose's operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import cli
from deploy.local import compose, loopback
from deploy.secret_files import FILES
from streams.settings import known
from tests.commands import valid
from tests.kubernetes.world import OVERLAYS, environment, makers, overlay
from tests.unit.test_compose import filled


def of_compose() -> dict[str, str]:
    found = yaml.safe_load((compose.FILE.parent / "compose.production.yaml").read_text())
    return {name: filled(value) for name, value in found["services"]["operator"]["environment"].items()}


def of_kubernetes(name: str) -> dict[str, str]:
    found = overlay(name)
    return environment(found, makers(found)["operator"])


OPERATORS = {"compose": of_compose(), **{f"kubernetes {name}": of_kubernetes(name) for name in OVERLAYS}}


def here(environ: dict[str, str], folder: Path) -> dict[str, str]:
    """Its settings, with folders of this machine and servers that do not answer; its secrets are in files."""
    secret = folder / "secret"
    secret.write_text("of-nobody")
    secret.chmod(0o600)
    url = folder / "url"
    url.write_text(f"postgresql://a:b@127.0.0.1:{loopback.free()}/field")
    url.chmod(0o600)
    files = {name: str(url if "URL" in name else secret) for name in environ if name in FILES}
    nowhere = {
        "KAFKA_BROKERS": f"127.0.0.1:{loopback.free()}", "KAFKA_SECURITY": "plaintext", "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(loopback.free()), "FIELD_HOME": str(folder),
    }  # fmt: skip
    without = {name for name in environ if name.endswith("_CA_FILE")}
    without |= {"FIELD_DISKS", "FIELD_BACKUPS", "REDIS_TLS", "KAFKA_USERNAME", "KAFKA_PASSWORD_FILE"}
    return {name: value for name, value in (environ | files | nowhere).items() if name not in without}


@pytest.mark.parametrize("operator", OPERATORS)
def test_nothing_is_said_of_settings_that_belong_to_processes_elsewhere(
    operator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = OPERATORS[operator]
    assert "FIELD_ENDPOINTS" in environ
    for name in known() | set(FILES):
        monkeypatch.delenv(name, raising=False)
    for name, value in here(environ, tmp_path).items():
        monkeypatch.setenv(name, value)
    cli.main(["doctor", "--json"])
    found: list[dict[str, Any]] = valid("doctor", capsys.readouterr().out)
    assert [one for one in found if one["check"] == "settings" and one["state"] != "ok"] == []
    assert [one["state"] for one in found if one["check"] == "settings"] == ["ok"]
    assert [one["state"] for one in found if one["check"] == "brokers"] == ["bad"], "the rest was looked at, too"
