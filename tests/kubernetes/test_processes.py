"""Each container as the manifests run it: its arguments, settings, secrets and probes, a root folder that cannot be
written, an account without rights, and no server within reach that the network policies do not open.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from deploy.local import loopback
from streams.settings import Settings, secrets
from tests.kubernetes.kustomize import Document
from tests.kubernetes.world import NEEDS, container_of, environment, makers, overlay

REPOSITORY = Path(__file__).resolve().parents[2]
BOX = Path(__file__).with_name("box.sh")
HOME = "/var/lib/field"
LIMIT_S = 90.0
"""A bound on hanging, never a performance check."""
CLOSED = 1
"""Nobody listens on this port: where a server is that a process has no way to."""
INTO_BOX = ["unshare", "--mount", "--propagation", "private", "sh", str(BOX)]


def boxes_work() -> bool:
    """Mount namespaces need root, and a kernel that allows them."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"):
        return False
    tried = [*INTO_BOX, "10001", "-", HOME, "sh", "-c", f"touch {HOME}/x && ! touch /var/tmp/x && ! touch /x"]
    return subprocess.run(tried, capture_output=True, timeout=60).returncode == 0


pytestmark = pytest.mark.skipif(
    not boxes_work(), reason="no root or no mount namespaces: containers with a read-only root cannot be played here"
)


class Boxed:
    """A container in its box; its log is a file outside. ``words`` of a person instead of its own arguments."""

    def __init__(
        self, role: str, maker: Document, environ: dict[str, str], folder: Path, words: Sequence[str] = ()
    ) -> None:
        self.role, self.container = role, container_of(maker)
        self.log = folder / f"{role}.log"
        names = {"metrics": f"FIELD_{role.upper()}_METRICS_PORT", "http": "FIELD_GATEWAY_PORT"}
        self.ports = {port: int(environ[name]) for port, name in names.items() if name in environ}
        given = folder / f"{role}-secrets"
        given.mkdir()
        plain = dict(environ)
        for name in [name for name in environ if name in secrets()]:
            file = f"{name}_FILE"
            value = plain.pop(name)
            if file in plain:  # the pod has it
                (given / name).write_text(value)
        user = maker["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
        where = str(given) if any(given.iterdir()) else "-"
        argv = [*INTO_BOX, str(user), where, HOME, sys.executable, "-m", "deploy.cli"]
        argv += words or self.container["args"]
        bare = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "") + f":{REPOSITORY}"}
        with self.log.open("w") as file_:
            self.process = subprocess.Popen(argv, env=bare | plain, stdout=file_, stderr=subprocess.STDOUT)

    def told(self) -> str:
        return f"{self.role}, exit {self.process.poll()}: ...{self.log.read_text(errors='replace')[-3_000:]}"

    def ended(self) -> int:
        return self.process.wait(LIMIT_S)

    def probe(self, name: str) -> int:
        """The status that a probe of the manifest gets; 0 where nobody listens yet."""
        asked = self.container[name]["httpGet"]
        try:
            with urlopen(f"http://127.0.0.1:{self.ports[asked['port']]}{asked['path']}", timeout=10) as answer:
                return int(answer.status)
        except HTTPError as error:
            with error:
                return error.code
        except (URLError, OSError):
            return 0

    def until(self, name: str) -> None:
        """Wait until a probe succeeds."""
        end = time.monotonic() + LIMIT_S
        while self.probe(name) != 200:
            assert self.process.poll() is None, self.told()
            assert time.monotonic() < end, f"{name} never succeeded: {self.told()}"
            time.sleep(0.1)


@contextmanager
def boxed(
    role: str, maker: Document, environ: dict[str, str], folder: Path, words: Sequence[str] = ()
) -> Iterator[Boxed]:
    box = Boxed(role, maker, environ, folder, words)
    try:
        yield box
    finally:
        if box.process.poll() is None:
            box.process.kill()
        box.process.wait()


def within_reach(role: str, settings: Settings) -> dict[str, str]:
    """Addresses of what the policies let it reach, and of nothing for the rest; ports of ours that are free here."""
    open_to = NEEDS[role]
    where = {
        "KAFKA_BROKERS": settings.kafka_brokers if "kafka" in open_to else f"127.0.0.1:{CLOSED}",
        "REDIS_PORT": str(settings.redis_port if "redis" in open_to else CLOSED),
        "REDIS_HOST": "127.0.0.1",
        "DATABASE_URL": settings.database_url if "postgres" in open_to else f"postgresql://a:b@127.0.0.1:{CLOSED}/c",
        "REDIS_PASSWORD": settings.redis_password,
        "FIELD_GENERATION": settings.generation,
        "FIELD_EVENTS_TOPIC": settings.events_topic,
        "FIELD_CHANGES_TOPIC": settings.changes_topic,
        "FIELD_REJECTED_TOPIC": settings.rejected_topic,
        "FIELD_METRICS_HOST": "127.0.0.1",
        "FIELD_GATEWAY_HOST": "127.0.0.1",
        "FIELD_GATEWAY_PORT": str(loopback.free()),
    }
    names = [f"FIELD_{name}_METRICS_PORT" for name in ("WORKER", "PROJECTOR", "PUBLISHER", "GATEWAY")]
    return where | {name: str(loopback.free()) for name in names}


def given(role: str, settings: Settings) -> tuple[Document, dict[str, str]]:
    """What makes the pod, and its environment with the addresses of this test."""
    found = overlay("example")
    maker = makers(found)[role]
    environ = environment(found, maker) | within_reach(role, settings)
    if not settings.redis_password:  # an empty file is refused: the tests' Redis asks for none
        environ.pop("REDIS_PASSWORD_FILE", None)
    return maker, environ


def box_files(box: Boxed) -> list[str]:
    """What a process has left in the one place where it may."""
    home = Path(f"/proc/{box.process.pid}/root{HOME}")
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def said(url: str, content: Any = None) -> Any:
    body = None if content is None else json.dumps(content).encode()
    with urlopen(Request(url, body, {"content-type": "application/json"}), timeout=30) as answer:
        return json.load(answer)


def breath() -> dict[str, Any]:
    return {
        "id": "5b7f2b3e-6f1c-4a52-9d0a-3f0d2c9b8a11", "type": "BREATH", "device_id": "ana", "room_id": "hall",
        "timestamp": int(time.time() * 1000), "intensity": 0.8, "data": {"phase": 1.5, "rate": 12}, "v": 1,
    }  # fmt: skip


def test_the_containers_do_their_work_as_they_are_described(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = make_settings(partitions=4)
    with boxed("migrate", *given("migrate", settings), tmp_path) as job:
        assert job.ended() == 0, job.told()
    with ExitStack() as stack:
        running = {
            role: stack.enter_context(boxed(role, *given(role, settings), tmp_path))
            for role in ("worker", "projector", "publisher", "gateway")
        }
        for box in running.values():
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                box.until(probe)
        api = f"http://127.0.0.1:{running['gateway'].ports['http']}/api/consciousness"
        stored = said(f"{api}/sync", [breath()])
        reached = ",".join(f"{partition}:{offset}" for partition, offset in stored["positions"].items())
        assert said(f"{api}/state?at_least={reached}")["data"]["active_nodes"] == 1
        assert box_files(running["worker"]) == []
        with boxed("operator", *given("operator", settings), tmp_path, ["wait", "--timeout", "60"]) as person:
            assert person.ended() == 0, person.told()
        for role, box in running.items():
            box.process.terminate()
            # uvicorn ends by the signal that it was asked with, once all is done
            assert box.ended() in (0, -signal.SIGTERM), f"{role}: {box.told()}"


async def test_a_projector_without_its_database_is_alive_and_not_ready(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = make_settings(partitions=4)
    maker, environ = given("projector", settings)
    environ["DATABASE_URL"] = f"postgresql://a:b@127.0.0.1:{CLOSED}/c"
    with boxed("projector", maker, environ, tmp_path) as box:
        await asyncio.to_thread(box.until, "livenessProbe")
        await asyncio.sleep(1)
        assert box.probe("readinessProbe") == 503
        assert box.probe("livenessProbe") == 200
        told = said(f"http://127.0.0.1:{box.ports['metrics']}/health")
        assert told["waits_for"] == "PostgreSQL has this version's schema"
