"""The parts as containers: ``deploy/compose.yaml``, where a Docker engine answers."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deploy.local import kafka, system
from deploy.local.cache import Echo
from streams.settings import Settings

FILE = Path(__file__).resolve().parent.parent / "compose.yaml"
IMAGES = {
    "kafka": "apache/kafka:4.1.2",
    "postgres": "timescale/timescaledb-ha:pg17.11-ts2.30.1",
    "redis": "redis:7.4.11",
}
"""The newest patches, looked up on 2026-11-28. A new one is named here first; a test holds all compose files and
manifests to these three tables. A database with policies is restored by the same version of TimescaleDB only."""

FRONT_IMAGES = {"nginx": "nginx:1.30.7-alpine"}

MONITORING_IMAGES = {
    "prometheus": "prom/prometheus:v3.13.1",
    "alertmanager": "prom/alertmanager:v0.34.1",
    "grafana": "grafana/grafana:12.4.10",
}

_ALL = ["--profile", "monitoring"]
"""What is stopped together."""


def why_not() -> str:
    """Why Docker cannot be used here; empty if it can."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    if not system.succeeds(["docker", "info"]):
        return "no Docker engine answers"
    if not system.succeeds(["docker", "compose", "version"]):
        return "docker has no compose plugin"
    return ""


def bring(settings: Settings, echo: Echo) -> None:
    """Pulls the images."""
    echo("docker: pulling " + ", ".join(IMAGES.values()))
    _compose(settings, ["pull", "-q"], "pulling the images")


def start(settings: Settings, echo: Echo) -> None:
    """Starts the containers and waits until each is healthy."""
    echo("docker: starting " + ", ".join(IMAGES))
    _compose(settings, ["up", "-d", "--wait", "--wait-timeout", "180", *IMAGES], "starting the containers")


def start_monitoring(settings: Settings, echo: Echo) -> None:
    """Starts Prometheus, Alertmanager and Grafana, with the files that ``monitoring.render`` wrote."""
    echo("docker: starting " + ", ".join(MONITORING_IMAGES))
    words = [*_ALL, "up", "-d", "--wait", "--wait-timeout", "180", *MONITORING_IMAGES]
    _compose(settings, words, "starting the containers of the monitoring")


def stop(settings: Settings) -> None:
    """Stops the containers; volumes stay."""
    _compose(settings, [*_ALL, "down", "--remove-orphans", "-t", "20"], "stopping the containers")


def clean(settings: Settings) -> None:
    """Removes the containers and their volumes."""
    _compose(settings, [*_ALL, "down", "--remove-orphans", "--volumes", "-t", "5"], "removing the containers")


def project(settings: Settings) -> str:
    """One project an instance: two clones, or the tests, never share containers."""
    return "the-field-" + hashlib.sha256(str(Path(settings.home).resolve()).encode()).hexdigest()[:8]


def environment(settings: Settings) -> dict[str, str]:
    """What the compose file asks for."""
    url = urlsplit(settings.database_url)
    return {
        "KAFKA_PORT": settings.kafka_brokers.split(",")[0].rpartition(":")[2],
        kafka.JOINING: str(kafka.joining_ms()),
        "POSTGRES_PORT": str(url.port or 5432),
        "POSTGRES_USER": unquote(url.username or ""),
        "POSTGRES_PASSWORD": unquote(url.password or ""),
        "POSTGRES_DB": unquote(url.path.lstrip("/")),
        "REDIS_PORT": str(settings.redis_port),
        "REDIS_PASSWORD": settings.redis_password,
        "FIELD_GATEWAY_PORT": str(settings.gateway_port),
        "FIELD_GATEWAY_KEY": settings.gateway_key,
        "FIELD_PSEUDONYM_KEY": settings.pseudonym_key,
        "FIELD_MONITORING_FILES": str(Path(settings.home).resolve() / "parts" / "monitoring"),
        "FIELD_PAGER_KEY_FILE": str(Path(settings.pager_key_file or "/dev/null").resolve()),
        "FIELD_PAGER_USER": _owner(settings.pager_key_file),
        "PROMETHEUS_PORT": str(settings.prometheus_port),
        "ALERTMANAGER_PORT": str(settings.alertmanager_port),
        "GRAFANA_PORT": str(settings.grafana_port),
    }


def _owner(file: str) -> str:
    """Who may read it, as Docker names a user; where there is none (``monitoring`` says so): its image's own."""
    if not Path(file).is_file():
        return "65534:65534"
    found = Path(file).stat()
    return f"{found.st_uid}:{found.st_gid}"


def _compose(settings: Settings, words: list[str], what: str) -> None:
    command = ["docker", "compose", "-p", project(settings), "-f", str(FILE), *words]
    system.run(command, what, environment(settings))
