"""What the peers are made of, brought once and kept outside the clone: an environment, jars, compiled programs."""

from __future__ import annotations

import shutil
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deploy.local import cache, system
from deploy.local.cache import Echo

PEERS = Path(__file__).resolve().parent.parent / "peers"
ROOT = PEERS.parents[2]
JAVA = {"kafka-streams": "KafkaStreamsFold", "flink": "FlinkFold"}
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


@dataclass(frozen=True)
class Tools:
    """How the programs of the peers are started."""

    python: str
    """the interpreter of their own environment"""
    classpaths: dict[str, str]
    """by folder below ``peers``"""


def bring(echo: Echo, java: bool) -> Tools:
    """Everything that is missing. Raises SetupError. Without ``java`` only what Python peers and publisher need."""
    python = cache.obtain(_python_entry(), _make_python, echo) / "venv" / "bin" / "python"
    found = {}
    if java:
        system.install(
            [package for program, package in _JAVA_TOOLS.items() if not shutil.which(program)],
            echo,
        )
        for name in JAVA:
            entry = cache.obtain(_java_entry(name), partial(_make_java, name, echo), echo)
            found[name] = f"{entry / 'lib'}/*:{entry / 'classes'}"
    return Tools(str(python), found)


_JAVA_TOOLS = {"javac": "default-jdk-headless", "mvn": "maven"}


def versions() -> dict[str, str]:
    """Of what is compared, as the files that bring it say."""
    found = dict(line.split("==") for line in (PEERS / "requirements.txt").read_text().split())
    for name in JAVA:
        root = ElementTree.parse(PEERS / name / "pom.xml").getroot()
        space = root.tag.partition("}")[0] + "}"
        properties = {item.tag.removeprefix(space): item.text or "" for item in root.iterfind(f"{space}properties/*")}
        for item in root.iter(f"{space}dependency"):
            version = item.findtext(f"{space}version") or ""
            artifact = item.findtext(f"{space}artifactId") or ""
            found[artifact] = properties.get(version.strip("${}"), version)
    return found


def _python_entry() -> str:
    return cache.key("bench-python", sys.version.split()[0], (PEERS / "requirements.txt").read_text() + sys.executable)


def _make_python(target: Path) -> None:
    system.run([sys.executable, "-m", "venv", str(target / "venv")], "making the peers' environment")
    pip = [str(target / "venv" / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    system.run([*pip, "install", "-r", str(PEERS / "requirements.txt")], "installing Quix Streams and Bytewax")


def _java_entry(name: str) -> str:
    recipe = _PLUGIN + "".join(file.read_text() for file in sorted((PEERS / name).iterdir()))
    return cache.key(f"bench-{name}", "java", recipe)


def _make_java(name: str, echo: Echo, target: Path) -> None:
    echo(f"{name}: bringing its jars by Maven")
    pom = target / "pom.xml"  # Maven writes beside it
    shutil.copy(PEERS / name / "pom.xml", pom)
    options = ["-q", "-DincludeScope=runtime", f"-DoutputDirectory={target / 'lib'}"]
    system.run(["mvn", "-B", "-ntp", "-f", str(pom), _PLUGIN, *options], f"bringing the jars of {name}")
    command = ["javac", "-proc:none", "-cp", f"{target / 'lib'}/*", "-d", str(target / "classes")]
    system.run([*command, str(PEERS / name / f"{JAVA[name]}.java")], f"compiling {JAVA[name]}")
