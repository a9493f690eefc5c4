"""Prometheus and Alertmanager of one instance: their files with the ports in force, started, stopped, cleaned.

They are no parts: nothing of the field needs them. Where a Docker engine runs the parts they are containers, with
Grafana beside them (``deploy/compose.yaml``, profile ``monitoring``); else local processes, and there is no Grafana.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from deploy.local import cache, compose, parts, process, prometheus
from deploy.local.cache import Echo
from streams.errors import PartUnavailable, SettingError
from streams.settings import Settings

SOURCES: Final = Path(__file__).resolve().parent.parent / "prometheus"
NAMES: Final = ("prometheus", "alertmanager")
KEY_IN_CONTAINER: Final = "/run/secrets/field_pager_key"
READY_S: Final = 60.0
_TIMES: Final = re.compile(
    r"((?:for|scrape_interval|scrape_timeout|evaluation_interval|group_wait|group_interval): |\[)(\d+)([smh])"
)
_HOURS: Final = re.compile(r"((?:[01]\d|2[0-3]):[0-5]\d)-((?:[01]\d|2[0-3]):[0-5]\d|24:00)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_LEAST_MS: Final = 1_000


def start(settings: Settings, roles: Iterable[str], echo: Echo = print) -> None:
    """Brings and starts both and returns when they answer; says what to open. What runs already reads its files anew.

    ``roles``: processes with a metrics endpoint. Raises SetupError, SettingError, PartUnavailable.
    """
    if settings.pager_key_file and not Path(settings.pager_key_file).is_file():
        raise SettingError("FIELD_PAGER_KEY_FILE", f"{settings.pager_key_file} is no file")
    folder = process.base(_home(settings)) / "monitoring"
    docker = parts.choose(settings)[0] == "docker"
    render(settings, roles, folder, in_container=docker)
    if docker:
        compose.start_monitoring(settings, echo)
        echo(f"Grafana: http://127.0.0.1:{settings.grafana_port}/ has the dashboards")
    else:
        programs = prometheus.bring(echo)
        for name, command in _commands(settings, programs, folder).items():
            _launch(settings, name, command)
        echo(f"no Grafana without Docker: its dashboards are {SOURCES.parent / 'grafana' / 'dashboards'}/*.json")
    echo(f"Prometheus: {url(settings, 'prometheus')}/alerts and /targets; alerts go to {_receiver(settings)}")


def stop(settings: Settings) -> None:
    """Stops what ``start`` has started here; its data stays. Nothing running is no error."""
    for name in NAMES:
        process.stop(_home(settings), name)


def clean(settings: Settings) -> None:
    """Stops them and forgets what they wrote."""
    stop(settings)
    cache.remove(process.base(_home(settings)) / "monitoring")
    for name in NAMES:
        process.log_file(_home(settings), name).unlink(missing_ok=True)


def url(settings: Settings, name: str) -> str:
    """Where one of the two answers."""
    return f"http://127.0.0.1:{getattr(settings, f'{name}_port')}"


def render(settings: Settings, roles: Iterable[str], folder: Path, *, in_container: bool = False) -> None:
    """Writes the files of ``deploy/prometheus`` with what the settings say; raises SettingError."""
    alerting = _alerting(settings, in_container)
    folder.mkdir(parents=True, exist_ok=True)
    rules = scaled((SOURCES / "alerts.yml").read_text(), settings.alert_factor)
    if settings.runbook_url:
        rules = rules.replace("runbook_url: deploy/runbooks/", f"runbook_url: {settings.runbook_url.rstrip('/')}/")
    (folder / "alerts.yml").write_text(rules)
    (folder / "prometheus.yml").write_text(scaled((SOURCES / "prometheus.yml").read_text(), settings.alert_factor))
    (folder / "alertmanager.yml").write_text(alerting)
    ports = {f"field-{role}": getattr(settings, f"{role}_metrics_port") for role in roles}
    places = {job: f"{settings.metrics_host}:{port}" for job, port in ports.items()}
    places |= {name: f"127.0.0.1:{getattr(settings, f'{name}_port')}" for name in NAMES}
    _write_targets(folder / "targets.json", places)
    (folder / "alertmanagers.json").write_text(json.dumps([{"targets": [places["alertmanager"]]}]) + "\n")


def _alerting(settings: Settings, in_container: bool) -> str:
    hours = _HOURS.fullmatch(settings.ticket_hours)
    if hours is None or hours[1] >= hours[2]:
        raise SettingError("FIELD_TICKET_HOURS", f"{settings.ticket_hours!r} is not like 08:00-18:00")
    text = scaled((SOURCES / "alertmanager.yml").read_text(), settings.alert_factor)
    text = text.replace(Settings().pager_url, settings.pager_url)
    text = text.replace('start_time: "08:00", end_time: "18:00"', f'start_time: "{hours[1]}", end_time: "{hours[2]}"')
    if not settings.pager_key_file:
        return text.replace("receiver: pager", "receiver: screen")
    if not in_container:
        return text.replace(KEY_IN_CONTAINER, str(Path(settings.pager_key_file).resolve()))
    return text


@contextlib.contextmanager
def announced(settings: Settings, name: str, port: int) -> Iterator[None]:
    """One more process to look at while the block lasts: a replay comes and goes. Nothing where nobody looks."""
    file = process.base(_home(settings)) / "monitoring" / f"targets-{name}.json"
    if not file.parent.is_dir():
        yield
        return
    _write_targets(file, {"field-replay": f"{settings.metrics_host}:{port}"})
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _write_targets(file: Path, places: Mapping[str, str]) -> None:
    """In one step: it is read at every moment."""
    targets = [{"targets": [place], "labels": {"job": job}} for job, place in places.items()]
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(targets, indent=2) + "\n")
    fresh.replace(file)


def scaled(text: str, factor: float) -> str:
    """The text of rules or a configuration with every time in it multiplied, to one second at least."""

    def changed(found: re.Match[str]) -> str:
        ms = int(found[2]) * _SECONDS[found[3]] * 1_000
        return f"{found[1]}{max(_LEAST_MS, round(ms * factor))}ms"

    return text if factor == 1.0 else _TIMES.sub(changed, text)


def _commands(settings: Settings, programs: prometheus.Programs, folder: Path) -> dict[str, list[str]]:
    """Loopback only; at most 15 days and 1 GB are kept."""
    return {
        "prometheus": [
            str(programs.prometheus), f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}", "--storage.tsdb.retention.time=15d",
            "--storage.tsdb.retention.size=1GB", f"--web.listen-address=127.0.0.1:{settings.prometheus_port}",
            "--web.enable-lifecycle", "--log.level=warn",
        ],
        "alertmanager": [
            str(programs.alertmanager), f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}", "--log.level=warn", "--cluster.listen-address=",
            f"--web.listen-address=127.0.0.1:{settings.alertmanager_port}",
        ],
    }  # fmt: skip


def _launch(settings: Settings, name: str, command: list[str]) -> None:
    home, port = _home(settings), getattr(settings, f"{name}_port")
    if process.running(home, name) is not None:
        with contextlib.suppress(OSError):
            ask(port, "/-/reload", b"")
            return
        process.stop(home, name)  # it does not answer there, or has never read its files
    if _answers(port):
        raise PartUnavailable(name, f"{url(settings, name)} is taken; FIELD_{name.upper()}_PORT names another port")
    process.start(home, name, command)
    end = time.monotonic() + READY_S
    while not _answers(port):
        if process.running(home, name) is None or time.monotonic() > end:
            process.stop(home, name)
            raise PartUnavailable(name, f"it does not come up; its log ends with\n{process.log_end(home, name)}")
        time.sleep(0.05)


def ask(port: int, path: str, body: bytes | None = None) -> Any:
    """What one of the two answers, read as JSON where it is some; raises OSError."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", body, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text[:1] in (b"{", b"[") else text.decode()


def _answers(port: int) -> bool:
    try:
        ask(port, "/-/ready")
    except urllib.error.HTTPError as error:
        return error.code != 503  # it listens; 503: not yet
    except OSError:
        return False
    return True


def _receiver(settings: Settings) -> str:
    return f"the pager of {settings.pager_key_file}" if settings.pager_key_file else "no pager (FIELD_PAGER_KEY_FILE)"


def _home(settings: Settings) -> Path:
    return Path(settings.home).resolve()
