"""Kafka as a local process: its jars by Maven, KRaft, one node that is broker and controller."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

from deploy.local import cache, loopback, system
from deploy.local.cache import Echo
from streams.errors import SettingError, SetupError
from streams.settings import Settings

VERSION = "4.1.0"
SCALA = "2.13"
JAVA_MIN = 17
JOINING = "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS"

_POM = f"""<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>field</groupId>
  <artifactId>kafka-jars</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_{SCALA}</artifactId><version>{VERSION}</version>
    </dependency>
    <!-- Kafka's own dependencies lack the one that lets it write a log -->
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.24.3</version>
    </dependency>
  </dependencies>
</project>
"""
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_ENTRY = cache.key("kafka", VERSION, _POM + _PLUGIN)

LOG4J = """<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %m (%c{1})%n"/></Console></Appenders>
  <Loggers><Root level="INFO"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""


def packages() -> list[str]:
    """What apt has to install before this part can be brought."""
    missing = [] if _java_version() >= JAVA_MIN else ["default-jre-headless"]
    return missing + ([] if cache.find(_ENTRY) or shutil.which("mvn") else ["maven"])


def bring(echo: Echo) -> Path:
    """The folder of jars, from the cache or by Maven (43 MB)."""

    def build(target: Path) -> None:
        echo(f"kafka: bringing the jars of {VERSION} by Maven")
        pom = target / "pom.xml"
        pom.write_text(_POM)
        options = ["-q", "-DincludeScope=runtime", f"-DoutputDirectory={target / 'lib'}"]
        # not -o: what the machine's own Maven settings say about mirrors and proxies holds
        system.run(["mvn", "-B", "-ntp", "-f", str(pom), _PLUGIN, *options], "bringing Kafka's jars")
        if not list((target / "lib").glob(f"kafka_{SCALA}-{VERSION}.jar")):
            raise SetupError("Maven brought no Kafka; look at its settings")

    return cache.obtain(_ENTRY, build, echo) / "lib"


def prepare(jars: Path, folder: Path, port: int, lock: Settings | None = None) -> list[str]:
    """Writes the configuration, formats the storage the first time; the command that runs the broker.

    ``lock``: the settings of a locked home.
    """
    folder.mkdir(parents=True, exist_ok=True)
    properties = _properties(folder / "data", port, loopback.free())
    if lock is not None:
        properties |= _locked(lock, port, properties["listeners"].rpartition("CONTROLLER:")[2])
    (folder / "server.properties").write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    (folder / "log4j2.xml").write_text(LOG4J)
    java = ["java", f"-Dlog4j2.configurationFile={folder / 'log4j2.xml'}", "-cp", f"{jars}/*"]
    if not (folder / "data" / "meta.properties").exists():
        tool = ["-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        arguments = ["-t", cluster_id(), "-c", str(folder / "server.properties")]
        system.run([*java, *tool, *arguments], "formatting Kafka's storage")
    heap = ["-Xms256m", "-Xmx768m", "-XX:+UseG1GC", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"]
    return [*java, *heap, "kafka.Kafka", str(folder / "server.properties")]


def cluster_id() -> str:
    """A new one; without a dash in front, which the tool takes for an option."""
    while (found := urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return found


def _locked(lock: Settings, port: int, controller: str) -> dict[str, str]:
    """The production file for this machine, with one more way in for brokers and the admin."""
    from deploy.local import locked
    from deploy.locked.home import folder as folder_of

    inside = loopback.free()
    locked.keep_brokers_port(lock, inside)
    clients, brokers = f"CLIENTS://127.0.0.1:{port}", f"BROKERS://127.0.0.1:{inside}"
    found = dict(line.split("=", 1) for line in locked.lines("kafka.properties", str(folder_of(lock))))
    listeners = f"{clients},{brokers},CONTROLLER:{controller}"
    return found | {"listeners": listeners, "advertised.listeners": f"{clients},{brokers}"}


def _properties(data: Path, port: int, controller_port: int) -> dict[str, Any]:
    """One node, loopback only. What a topic needs is set on the topic, not here."""
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": data,
        "auto.create.topics.enable": "false",  # a misspelled topic shall be an error
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 8,  # of one node: 50 would only slow the start down
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 8,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": joining_ms(),
        "group.min.session.timeout.ms": 1000,
        "message.max.bytes": 10_485_760,
        "replica.fetch.max.bytes": 10_485_760,
        "log.cleaner.dedupe.buffer.size": 33_554_432,  # a quarter of the default: the heap is small
        "initial.broker.registration.timeout.ms": 30_000,
    }


def joining_ms() -> int:
    """How long the first member of a group waits for others; benchmarks want them to begin together.

    Raises SettingError.
    """
    if not (text := os.environ.get(JOINING, "0")).isdecimal():
        raise SettingError(JOINING, f"{text!r} is no number of milliseconds")
    return int(text)


def parse_java_version(text: str) -> int:
    """The major version in the output of ``java -version``; 0 if it has none, 8 for ``1.8``."""
    found = re.search(r'version "(\d+)(?:\.(\d+))?', text)
    if found is None:
        return 0
    return int(found[2] or 0) if found[1] == "1" else int(found[1])


def _java_version() -> int:
    try:
        answer = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    return parse_java_version(answer.stderr + answer.stdout)
