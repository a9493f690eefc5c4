"""A stack with Prometheus and Alertmanager in the sight of a test: what they say, a pager, visitors of the gateway."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from deploy import context
from deploy.local import loopback, monitoring
from streams.settings import Settings
from tests.acceptance.stack import Stack, until
from tests.gateway.devices import SYNC, breath

KEY = "a-key-of-the-pager"


class Pager:
    """Takes what Alertmanager sends in PagerDuty's words; ``told`` has (trigger or resolve, alert), once each, and
    ``runbooks`` where each alert leads.

    While it is ``refusing`` it takes nothing, as from somebody with another key.
    """

    def __init__(self) -> None:
        pager = self
        self.told: list[tuple[str, str]] = []
        self.refusing = False

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if pager.refusing:
                    self.send_error(403)
                    return
                alert = said.get("payload", {}).get("summary", "").partition(":")[0] or pager.alerts[said["dedup_key"]]
                pager.alerts[said["dedup_key"]] = alert
                pager.runbooks[alert] = said.get("payload", {}).get("custom_details", {}).get("runbook", "")
                if said["routing_key"] == KEY:
                    pager.told.append((said["event_action"], alert))
                self.send_response(202)
                self.end_headers()
                self.wfile.write(b'{"status": "success"}')

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.alerts: dict[str, str] = {}
        self.runbooks: dict[str, str] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v2/enqueue"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def settings_of(pager: Pager, folder: Path, factor: float) -> dict[str, Any]:
    """Settings of a monitored stack, by field; the pager's key is put into the folder."""
    key = folder / "pager-key"
    key.write_text(KEY)
    return {
        "monitoring": 1, "alert_factor": factor, "pager_key_file": str(key), "pager_url": pager.url,
        "ticket_hours": "00:00-24:00",
        "prometheus_port": loopback.free(), "alertmanager_port": loopback.free(),
    }  # fmt: skip


class Watched:
    """What Prometheus and Alertmanager of a stack say."""

    def __init__(self, stack: Stack) -> None:
        self.settings: Settings = context.load(stack.environ)

    def targets(self) -> dict[str, str]:
        """Health by job."""
        found = self._prometheus("targets")["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in found}

    def firing(self) -> set[str]:
        """Names of alerts that fire in Prometheus."""
        found = self._prometheus("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in found if alert["state"] == "firing"}

    def told(self) -> set[str]:
        """Names of alerts that Alertmanager knows, held back or not."""
        found = monitoring.ask(self.settings.alertmanager_port, "/api/v2/alerts")
        return {alert["labels"]["alertname"] for alert in found}

    def held_back(self) -> set[str]:
        """Names of alerts that Alertmanager holds back because of another."""
        words = "active=false&inhibited=true&silenced=false"
        found = monitoring.ask(self.settings.alertmanager_port, f"/api/v2/alerts?{words}")
        return {alert["labels"]["alertname"] for alert in found if alert["status"]["inhibitedBy"]}

    def values(self, promql: str, seconds: float) -> list[float]:
        """All values of a query over the last so many seconds that are numbers."""
        now = time.time()
        words = {"query": promql, "start": now - seconds, "end": now, "step": 1}
        series = self._prometheus(f"query_range?{urlencode(words)}")["result"]
        found = [float(value) for one in series for _, value in one["values"]]
        return [value for value in found if value == value]

    def _prometheus(self, what: str) -> Any:
        answer = monitoring.ask(self.settings.prometheus_port, f"/api/v1/{what}")
        assert answer["status"] == "success"
        return answer["data"]


@contextlib.contextmanager
def visitors(settings: Settings) -> Iterator[None]:
    """A device, a dashboard and a listener at the gateway while the block lasts; answers of every kind are fine."""
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{settings.gateway_port}", timeout=30) as client:
            while not over.wait(0.2):
                with contextlib.suppress(httpx.HTTPError):
                    client.get("/api/consciousness/state")
                    client.get("/api/consciousness/nothing")
                    client.post(SYNC, json=[breath()])

    def listen() -> None:
        while not over.wait(0.2):
            with (
                contextlib.suppress(httpx.HTTPError),
                httpx.stream("GET", f"http://127.0.0.1:{settings.gateway_port}/api/consciousness/stream", timeout=5)
                as answer,
            ):  # fmt: skip
                for _ in answer.iter_raw():
                    if over.is_set():
                        break

    threads = [threading.Thread(target=work, daemon=True) for work in (ask, listen)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def fires(watched: Watched, pager: Pager, alert: str, timeout_s: float = 120.0) -> None:
    """It fires in Prometheus, and is told to Alertmanager and the pager."""
    until(lambda: alert in watched.firing(), f"{alert} fires", timeout_s)
    until(lambda: alert in watched.told(), f"{alert} is told to Alertmanager", timeout_s)
    until(lambda: ("trigger", alert) in pager.told, f"{alert} is told to the pager", timeout_s)


def clears(watched: Watched, pager: Pager, alert: str, timeout_s: float = 120.0) -> None:
    """It does not fire any more, and all have been told."""
    until(lambda: alert not in watched.firing(), f"{alert} does not fire any more", timeout_s)
    until(lambda: alert not in watched.told(), f"{alert} is over at Alertmanager", timeout_s)
    until(lambda: ("resolve", alert) in pager.told, f"{alert} is over at the pager", timeout_s)
