"""What this machine can do: commands, root, apt. Only the standard library, so that it runs before pip has."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from deploy.local import mirror
from deploy.local.cache import Echo, folder, lock
from streams.errors import SetupError

_POLICY = Path("/usr/sbin/policy-rc.d")
_updated = False


def run(command: Sequence[str], what: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """The output of a command; raises SetupError with what it was for and its last lines."""
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
            cwd=cwd,
            check=False,
        )
    except OSError as error:
        raise SetupError(f"{what}: {command[0]} cannot be run: {error.strerror}") from None
    text = done.stdout.decode(errors="replace")
    if done.returncode:
        end = "\n".join(f"    {line}" for line in text.splitlines()[-15:])
        raise SetupError(f"{what}: {command[0]} ended with {done.returncode}\n{end}")
    return text


def succeeds(command: Sequence[str], timeout_s: float = 20.0) -> bool:
    """Whether a probe ends with 0; a missing command is a no."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        quiet = subprocess.DEVNULL
        done = subprocess.run(list(command), stdin=quiet, stdout=quiet, stderr=quiet, timeout=timeout_s, check=False)
        return done.returncode == 0
    return False


def is_root() -> bool:
    return os.geteuid() == 0


def is_debian() -> bool:
    try:
        return mirror.release(Path("/etc/os-release").read_text()).get("ID") == "debian"
    except OSError:
        return False


def has_apt() -> bool:
    return shutil.which("apt-get") is not None


def codename() -> str:
    """The release's codename (``bookworm``); empty where the system does not say."""
    try:
        return mirror.release(Path("/etc/os-release").read_text()).get("VERSION_CODENAME", "")
    except OSError:
        return ""


def debian_mirror() -> str | None:
    """The Debian mirror of this machine's own apt; None when it has none (or is not Debian)."""
    if mirror.release(Path("/etc/os-release").read_text()).get("ID") != "debian":
        return None
    apt = Path("/etc/apt")
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    sources: list[mirror.Source] = []
    for file in files:
        if file.is_file() and file.suffix in (".list", ".sources"):
            sources += mirror.parse(file.name, file.read_text(errors="replace"))
    return mirror.choose(sources, codename())


def apt_candidate(package: str) -> bool:
    """Whether apt could install that package, as far as its lists say now."""
    answer = run(["apt-cache", "policy", package], f"asking apt for {package}")
    return any("Candidate:" in line and "(none)" not in line for line in answer.splitlines())


def apt_update(echo: Echo) -> None:
    """``apt-get update``, once in this process; set-up runs several, and apt takes one at a time."""
    global _updated
    with lock(folder() / "apt.lock"):
        if not _updated:
            echo("apt-get update")
            run(["apt-get", "update", "-q"], "reading the lists of apt")
            _updated = True


def install(packages: Sequence[str], echo: Echo) -> None:
    """Installs Debian packages without starting any service of theirs. Raises SetupError when not root."""
    if not packages:
        return
    names = " ".join(packages)
    if not (is_root() and has_apt()):
        raise SetupError(f"missing here: {names}. Run once as root on Debian, install them, or start Docker")
    apt_update(echo)
    with lock(folder() / "apt.lock"):
        echo(f"apt-get install {names}")
        options = ["-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=600"]
        with _no_services():
            command = ["apt-get", "install", *options, *packages]
            run(command, f"installing {names}", {"DEBIAN_FRONTEND": "noninteractive"})
    for service in ("redis-server", "postgresql", "prometheus", "prometheus-alertmanager"):
        if any(package.startswith(service) for package in packages):  # nor shall it start with the machine
            succeeds(["systemctl", "disable", service])
            succeeds(["update-rc.d", service, "disable"])


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Debian asks ``policy-rc.d`` before it starts a freshly installed service; ours says no meanwhile."""
    if _POLICY.exists():  # somebody has a policy of his own: it stands, as he wished
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
