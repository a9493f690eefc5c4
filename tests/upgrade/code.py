"""A version of the code: the one of this clone, or an earlier one taken out of its history."""

from __future__ import annotations

import io
import itertools
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from streams.settings import Settings, exports, known

HERE: Final = Path(__file__).resolve().parents[2]
LIMIT_S: Final = 90.0
"""A bound on hanging, never a performance check."""
GENERATION: Final = re.compile(r"generation (\d+): partitions \[")
_numbers = itertools.count()


class Unfit(Exception):
    """These two versions cannot be rehearsed; the text says why, and what else to do."""


class Code(NamedTuple):
    """``migrations``: how many it knows; ``fold``: the version of its state."""

    name: str
    root: Path
    migrations: int
    fold: str

    def environ(self, over: Mapping[str, str]) -> dict[str, str]:
        """Of a process of this version, without any setting of somebody else."""
        bare = {name: value for name, value in os.environ.items() if name not in known()}
        path = os.pathsep.join(filter(None, [str(self.root), os.environ.get("PYTHONPATH", "")]))
        return {**bare, "PYTHONPATH": path, **over}

    def field(self, over: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of it to its end."""
        argv = [sys.executable, "-m", "deploy.cli", *words]
        return subprocess.run(
            argv, env=self.environ(over), cwd=self.root, capture_output=True, text=True, timeout=LIMIT_S
        )


def here() -> Code:
    return _of("this version", HERE)


def earlier(revision: str, folder: Path) -> Code:
    """Raises Unfit when the history is not there (a shallow clone), or the version needs other packages."""
    found = subprocess.run(["git", "archive", "--format=tar", revision], cwd=HERE, capture_output=True, timeout=LIMIT_S)
    if found.returncode:
        raise Unfit(f"no revision {revision} in this clone; name one with --from: {found.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as packed:
        packed.extractall(folder, filter="data")
    ours = set((HERE / "requirements.txt").read_text().split())
    if others := set((folder / "requirements.txt").read_text().split()) - ours:
        raise Unfit(f"{revision} needs {', '.join(sorted(others))}, which this environment has not")
    return _of(revision, folder)


def _of(name: str, root: Path) -> Code:
    ask = "from projections.migrate import migrations; from streams.fold.rules import DEFAULT_RULES as rules; "
    ask += "print(len(migrations()), rules.version)"
    code = Code(name, root, 0, "")
    done = subprocess.run(
        [sys.executable, "-c", ask], env=code.environ({}), cwd=root, capture_output=True, text=True, check=True,
        timeout=LIMIT_S,
    )  # fmt: skip
    migrations, fold = done.stdout.split()
    return code._replace(migrations=int(migrations), fold=fold)


def told(settings: Settings) -> dict[str, str]:
    """What an instance says to its processes, whichever version they are: only what is not as by default."""
    usual = exports(Settings(), secrets=True)
    return {name: value for name, value in exports(settings, secrets=True).items() if usual[name] != value}


class Process:
    """One process of one version. ``port`` is that of its metrics, ``http`` that of a gateway; its log is a file."""

    def __init__(self, code: Code, role: str, settings: Settings, port: int, instance: str = "", http: int = 0) -> None:
        self.code, self.role, self.instance, self.http, self._port = code, role, instance, http, port
        home = Path(settings.home) / f"{role}-{next(_numbers)}"
        home.mkdir(parents=True)
        self.log = home / "log"
        over = told(settings) | {"FIELD_HOME": str(home), f"FIELD_{role.upper()}_METRICS_PORT": str(port)}
        over |= {"FIELD_INSTANCE": instance} if instance else {}
        over |= {"FIELD_GATEWAY_PORT": str(http)} if http else {}
        argv = [sys.executable, "-m", "deploy.cli", role]
        with self.log.open("w") as file:
            self._process = subprocess.Popen(
                argv, env=code.environ(over), cwd=code.root, stdout=file, stderr=subprocess.STDOUT
            )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}"

    def generations(self) -> list[int]:
        """Generations of its group that it has folded in, in order."""
        return [int(number) for number in GENERATION.findall(self.log.read_text(errors="replace"))]

    def ready(self) -> bool:
        """As a readiness probe would hear it; an old version has none but that of gateways."""
        if self._process.poll() is not None:
            raise AssertionError(f"it ended: {self.tail()}")
        if self.http:
            return _answers(f"{self.url}/api/health/ready")
        if (self.code.root / "streams" / "health.py").is_file():
            return _answers(f"http://127.0.0.1:{self._port}/health/ready")
        return bool(self.generations()) if self.role == "worker" else _answers(f"http://127.0.0.1:{self._port}/metrics")

    def until_ready(self) -> float:
        """Seconds that it took; blocks."""
        began = time.monotonic()
        while not self.ready():
            if time.monotonic() - began > LIMIT_S:
                raise AssertionError(f"it was never ready: {self.tail()}")
            time.sleep(0.05)
        return time.monotonic() - began

    def stop(self) -> float:
        """SIGTERM; the seconds until it has ended. Blocks."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(LIMIT_S)
        if code not in (0, -signal.SIGTERM):
            raise AssertionError(f"it did not end well: {self.tail()}")
        return time.monotonic() - began

    def ended(self) -> int:
        """The exit code of one that ends by itself."""
        return self._process.wait(LIMIT_S)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def tail(self) -> str:
        text = self.log.read_text(errors="replace")
        return f"{self.code.name} {self.role} {self.instance}, exit {self._process.poll()}: ...{text[-2_000:]}"


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except HTTPError as error:
        error.close()
        return False
    except (URLError, OSError):
        return False
