"""Three Kafka brokers as local processes, each a voter of the quorum, that may be killed one by one.

Every broker has one listener for each kind of client, and advertises for it the address of a proxy's link: so the
line between the worker and broker 2 is another one than that between the projector and broker 2, also after the
client has learned from the metadata where the brokers are. ``direct`` is for the test itself.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from deploy.local import health, kafka, loopback, process, system
from tests.faults.proxy import Proxy

NODES: Final = (1, 2, 3)
DIRECT: Final = "direct"
READY_S: Final = 90.0
JVM: Final = ("-Xms96m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
"""Small heaps, and no second compiler: three of them share two cores with everything else."""


class Brokers:
    """The cluster in ``home``; ``clients`` are the kinds of clients that have lines of their own."""

    def __init__(self, home: Path, proxy: Proxy, clients: Sequence[str], session_ms: int = 3_000) -> None:
        self.home = home
        self._session_ms = session_ms
        self._cluster = kafka.cluster_id()
        self._controllers = {node: loopback.free() for node in NODES}
        self._ports = {node: {name: loopback.free() for name in (DIRECT, *clients)} for node in NODES}
        self._advertised = {
            node: {
                name: port if name == DIRECT else proxy.link(f"{name}-kafka-{node}", port).port
                for name, port in self._ports[node].items()
            }
            for node in NODES
        }

    def bootstrap(self, client: str = DIRECT) -> str:
        """``KAFKA_BROKERS`` of one kind of client."""
        return ",".join(f"127.0.0.1:{self._advertised[node][client]}" for node in NODES)

    def start(self) -> None:
        """All three; returns when each answers."""
        jars = kafka.bring(print)
        with ThreadPoolExecutor(len(NODES)) as pool:
            commands = list(pool.map(lambda node: self._prepare(jars, node), NODES))
        for node, command in zip(NODES, commands, strict=True):
            process.start(self.home, _name(node), command)
        for node in NODES:
            self._answers(node)

    def kill(self, node: int) -> None:
        """kill -9."""
        found = process.running(self.home, _name(node))
        assert found is not None, f"broker {node} does not run"
        os.kill(found.pid, signal.SIGKILL)
        while process.alive(found):
            time.sleep(0.01)

    def restart(self, node: int) -> None:
        """Start a killed one where it was; returns when it answers."""
        process.start(self.home, _name(node), self._command(kafka.bring(print), node))
        self._answers(node)

    def stop(self) -> None:
        """At once: nothing of it is kept."""
        for node in NODES:
            process.stop(self.home, _name(node), signal.SIGKILL)

    def _answers(self, node: int) -> None:
        end = time.monotonic() + READY_S
        while not health.kafka("127.0.0.1", self._ports[node][DIRECT]).up:
            late = process.running(self.home, _name(node)) is None or time.monotonic() > end
            assert not late, f"broker {node} does not come up:\n{process.log_end(self.home, _name(node))}"
            time.sleep(0.1)

    def _prepare(self, jars: Path, node: int) -> list[str]:
        folder = self._folder(node)
        folder.mkdir(parents=True)
        (folder / "server.properties").write_text(self._properties(node))
        (folder / "log4j2.xml").write_text(kafka.LOG4J)
        tool = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", "kafka.tools.StorageTool", "format"]
        system.run([*tool, "-t", self._cluster, "-c", str(folder / "server.properties")], "formatting a broker")
        return self._command(jars, node)

    def _command(self, jars: Path, node: int) -> list[str]:
        folder = self._folder(node)
        log4j = f"-Dlog4j2.configurationFile={folder / 'log4j2.xml'}"
        return ["java", log4j, "-cp", f"{jars}/*", *JVM, "kafka.Kafka", str(folder / "server.properties")]

    def _folder(self, node: int) -> Path:
        return process.base(self.home) / _name(node)

    def _properties(self, node: int) -> str:
        listeners = self._ports[node]
        settings = {
            "process.roles": "broker,controller",
            "node.id": node,
            "controller.quorum.voters": ",".join(f"{n}@127.0.0.1:{port}" for n, port in self._controllers.items()),
            "listeners": ",".join(
                [f"{name.upper()}://127.0.0.1:{port}" for name, port in listeners.items()]
                + [f"CONTROLLER://127.0.0.1:{self._controllers[node]}"]
            ),
            "advertised.listeners": ",".join(
                f"{name.upper()}://127.0.0.1:{port}" for name, port in self._advertised[node].items()
            ),
            "listener.security.protocol.map": ",".join(
                f"{name.upper()}:PLAINTEXT" for name in (*listeners, "controller")
            ),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": DIRECT.upper(),
            "log.dirs": self._folder(node) / "data",
            "auto.create.topics.enable": "false",
            "broker.session.timeout.ms": self._session_ms,
            "broker.heartbeat.interval.ms": max(100, self._session_ms // 6),
            "offsets.topic.replication.factor": 3,
            "offsets.topic.num.partitions": 3,
            "transaction.state.log.replication.factor": 3,
            "transaction.state.log.min.isr": 2,
            "transaction.state.log.num.partitions": 3,
            "share.coordinator.state.topic.replication.factor": 3,
            "share.coordinator.state.topic.min.isr": 2,
            "share.coordinator.state.topic.num.partitions": 1,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "message.max.bytes": 10_485_760,
            "replica.fetch.max.bytes": 10_485_760,
            "log.cleaner.dedupe.buffer.size": 16_777_216,
            "log.cleaner.backoff.ms": 1_000,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def _name(node: int) -> str:
    return f"kafka-{node}"
