"""One locked stack for all of these tests, with secrets that can be recognised wherever they turn up."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy import context
from deploy.local import bring, cache, loopback, parts
from deploy.locked import accounts
from deploy.locked.home import as_role
from deploy.locked.home import folder as folder_of
from streams.settings import Settings
from tests.acceptance.stack import Stack

KEYS = ("FIELD_GATEWAY_KEY", "FIELD_PSEUDONYM_KEY")


class Watch(threading.Thread):
    """The command lines of all processes that there are, also those that are there for a moment."""

    def __init__(self) -> None:
        super().__init__(name="command lines", daemon=True)
        self.seen: set[bytes] = set()
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.01):
            self.look()

    def look(self) -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                self.seen.add(path.read_bytes())
            except OSError:
                continue

    def end(self) -> None:
        self._over.set()
        self.join()


@dataclass
class Locked:
    """The stack; ``canaries``: every secret it has, by name. ``said``: what its start printed."""

    stack: Stack
    canaries: dict[str, str] = field(default_factory=dict)
    said: str = ""
    seen: set[bytes] = field(default_factory=set)

    @property
    def settings(self) -> Settings:
        """As a command in this home loads them, for the operator."""
        return context.load(self.stack.environ)

    def of(self, role: str) -> Settings:
        """As a process of the role has them."""
        return as_role(self.settings, role)


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    """It is up."""
    found = planted(tmp_path_factory.mktemp("locked") / "home")
    home = found.stack.home
    watch = Watch()
    watch.start()
    try:
        found.said = found.stack.field("up")
        watch.look()
        found.seen = watch.seen
        yield found
    finally:
        watch.end()
        found.stack.field("clean")
        cache.remove(home)


def planted(home: Path) -> Locked:
    """A locked home with secrets of our own choice; nothing of it is started."""
    settings = Settings(
        home=str(home), parts=parts_of(os.environ.get("FIELD_PARTS", "auto")), locked=1, partitions=2, shards=8,
        kafka_brokers=f"127.0.0.1:{loopback.free()}", redis_port=loopback.free(), log_level="DEBUG",
        database_url=f"postgresql://nobody:nothing@127.0.0.1:{loopback.free()}/field", checkpoint_ms=200,
        **{f"{role}_metrics_port": 0 for role in ("worker", "projector", "publisher", "gateway")}, gateway_port=0,
    )  # fmt: skip
    if parts.choose(settings)[0] != "local":
        pytest.skip("the locked set-up is for parts that run as local processes: FIELD_PARTS=local where apt has them")
    found = Locked(Stack(settings))
    _plant(found, home)
    return found


def parts_of(wanted: str) -> str:
    """Local processes, where nobody asks for others and this machine can have them: Docker's are not locked here."""
    return "local" if wanted == "auto" and not bring.why_not() else wanted


def _plant(found: Locked, home: Path) -> None:
    """Secrets of our own choice, where the start would make some."""
    folder = folder_of(Settings(home=str(home))) / "accounts"
    folder.mkdir(parents=True)
    for server, role in accounts.all_accounts():
        name = f"{server}-{role}"
        found.canaries[name] = f"canary-{name}-{secrets.token_hex(8)}"
        accounts.write(folder / name, found.canaries[name] + "\n")
    for name in KEYS:
        found.canaries[name] = f"canary-{name}-{secrets.token_hex(8)}"
        accounts.write(home / name, found.canaries[name] + "\n")
        found.stack.environ[f"{name}_FILE"] = str(home / name)
        del found.stack.environ[name]
