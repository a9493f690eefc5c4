"""pg_dump and pg_restore of a version that fits the server: in its container, on this machine, or where it was brought.

The password goes by the environment, never by a command line, which everybody on the machine can read.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from psycopg.conninfo import conninfo_to_dict

from deploy.local import compose, parts, postgres
from streams.errors import BackupError, SetupError
from streams.settings import Settings

_VERSION: Final = re.compile(r"\(PostgreSQL\) ([0-9]+)")
_VARIABLES: Final = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD",
    "dbname": "PGDATABASE", "passfile": "PGPASSFILE", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY", "channel_binding": "PGCHANNELBINDING", "options": "PGOPTIONS",
    "target_session_attrs": "PGTARGETSESSIONATTRS", "connect_timeout": "PGCONNECT_TIMEOUT",
}  # fmt: skip
_FILES: Final = ("PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGPASSFILE")
_CHUNK: Final = 1 << 20


class Tool(NamedTuple):
    """How a program is run: ``words`` before its arguments; ``root``: the folder that it sees as ``/``, if it does."""

    words: tuple[str, ...]
    major: int
    root: Path | None = None
    container: bool = False


def find(settings: Settings, program: str, least: int) -> Tool:
    """``pg_dump`` or ``pg_restore`` of the major version ``least`` or the next newer one; raises SetupError."""
    if parts.choose(settings)[0] == "docker":
        words = ("docker", "compose", "-p", compose.project(settings), "-f", str(compose.FILE), "exec", "-T")
        return Tool(words, least, container=True)  # the server's own
    found = [tool for tool in _candidates(program) if tool.major]
    fitting = sorted((tool for tool in found if tool.major >= least), key=lambda tool: tool.major)
    if not fitting:
        here = ", ".join(sorted({str(tool.major) for tool in found})) or "none"
        raise SetupError(
            f"{program} of version {least} or newer is needed, as the server is, and this machine has {here}: "
            f"install postgresql-client-{least}"
        )
    return fitting[0]


def dump(tool: Tool, settings: Settings, snapshot: str, target: Path) -> tuple[int, str]:
    """The database as of an exported snapshot into a file; (bytes, SHA-256). Raises BackupError."""
    digest, size = hashlib.sha256(), 0
    words = ["pg_dump", "--format=custom", "--no-password", f"--snapshot={snapshot}"]
    with _started(tool, settings, words, stdout=subprocess.PIPE) as process, target.open("wb") as out:
        assert process.stdout is not None
        while chunk := process.stdout.read(_CHUNK):
            out.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def restore(tool: Tool, settings: Settings, source: Path, *, owners: bool) -> None:
    """A dump into the database of the settings, all of it or nothing; ``owners``: tables stay theirs, who exist here.

    Raises BackupError.
    """
    name = str(conninfo_to_dict(settings.database_url)["dbname"])
    words = ["pg_restore", "--no-acl", "--no-password", "--single-transaction", f"--dbname={name}"]
    words += [] if owners else ["--no-owner"]
    with source.open("rb") as file, _started(tool, settings, words, stdin=file, stdout=subprocess.DEVNULL):
        pass


def _candidates(program: str) -> Iterator[Tool]:
    """All that this machine has; major 0 where it does not run."""
    plain = [str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{program}")]
    for path in [*plain, shutil.which(program)]:
        if path is not None:
            yield Tool((path,), _major([path]))
    server = postgres.find()
    if server is not None and server.root != Path("/"):
        words = ["chroot", "--userspec=postgres:postgres", str(server.root), f"{server.programs}/{program}"]
        yield Tool(tuple(words), _major(words), server.root)


def _major(words: list[str]) -> int:
    try:
        said = subprocess.run([*words, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    matched = _VERSION.search(said)
    return int(matched[1]) if matched else 0


def _environment(settings: Settings, tool: Tool) -> dict[str, str]:
    """What libpq reads."""
    given = conninfo_to_dict(settings.database_url)
    out = {_VARIABLES[name]: str(value) for name, value in given.items() if value is not None and name in _VARIABLES}
    if tool.container:
        out |= {"PGHOST": "127.0.0.1", "PGPORT": "5432"}
    return out


@contextmanager
def _started(tool: Tool, settings: Settings, words: list[str], **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The program while the block lasts, and then until its end; raises BackupError with its last line."""
    ours = _environment(settings, tool)
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    with _seen(tool, ours) as given, tempfile.TemporaryFile() as errors:
        command = [*tool.words, *words[1:]]
        if tool.container:
            passed = [word for name in given for word in ("-e", name)]
            command = [*tool.words, *passed, "postgres", *words]
            bare |= compose.environment(settings)
        try:
            process = subprocess.Popen(command, env={**bare, **given, "LC_ALL": "C.UTF-8"}, stderr=errors, **streams)
        except OSError as error:
            raise SetupError(f"{command[0]} cannot be run: {error.strerror}") from None
        try:
            with process:
                yield process
        except BaseException:
            process.kill()
            raise
        if process.returncode:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines()
            said = next((line for line in lines if "error:" in line), lines[-1] if lines else "no word")
            raise BackupError(f"{words[0]} ended with {process.returncode}: {said}")


@contextmanager
def _seen(tool: Tool, given: dict[str, str]) -> Iterator[dict[str, str]]:
    """The variables with copies of the files that a program in another root would not see."""
    if tool.root is None:
        yield given
        return
    files = [name for name in _FILES if name in given]
    with tempfile.TemporaryDirectory(dir=tool.root / "tmp") as folder:
        owner = (tool.root / "var/lib/postgresql").stat()
        os.chown(folder, owner.st_uid, owner.st_gid)
        # over TLS libpq looks for certificates at home, and that of who we are is closed to its user
        here = {**given, "HOME": f"/{Path(folder).relative_to(tool.root)}"}
        for name in files:
            copy = Path(folder) / name
            shutil.copyfile(given[name], copy)
            copy.chmod(0o600)
            os.chown(copy, owner.st_uid, owner.st_gid)
            here[name] = f"/{copy.relative_to(tool.root)}"
        yield here
