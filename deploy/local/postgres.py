"""PostgreSQL with TimescaleDB and PostGIS as a local process.

Where it comes from, first that fits:

1. installed on this machine already (then also the Community edition, if that is what is installed);
2. this machine's apt, where that has TimescaleDB;
3. a root folder of a later Debian, made once by mmdebstrap from this machine's own Debian mirror, run by chroot.

The server never runs as root. With root it runs in a mount namespace of its own, in which its data folder is
bound to ``/srv``, so that it needs no way through folders above that are closed to it. Where mounting is
forbidden (most containers), the data is in a folder inside the root folder named after the instance.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deploy.local import cache, system
from deploy.local.cache import Echo
from streams.errors import SetupError
from streams.settings import Settings

MAJORS = (17, 18, 16)
"""In order of preference."""
DEBIAN = "trixie"
_INCLUDE = "postgresql-17-timescaledb,postgresql-17-postgis-3"
_SLIM = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
_ENTRY = cache.key(f"postgres-{DEBIAN}", "17", "/".join((_INCLUDE, *_SLIM, os.uname().machine)))
_BOUND = "/srv"
_ENTER = (
    'root=$1; data=$2; shift 2; [ "$root" = / ] || { mount --rbind /dev "$root/dev"; mount --bind /proc "$root/proc"; }'
    f'; mount --bind "$data" "${{root%/}}{_BOUND}"'
    '; exec chroot --userspec=postgres:postgres "$root" "$@"'
)


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL that was found: ``major`` in ``root`` (``/`` is this machine itself)."""

    root: Path
    major: int

    @property
    def programs(self) -> str:
        """Seen from inside the root."""
        return f"/usr/lib/postgresql/{self.major}/bin"


@dataclass(frozen=True, slots=True)
class Place:
    """How a server runs for one instance: ``way`` is bound, inside or self; ``data`` as the machine sees it."""

    server: Server
    way: str
    data: Path

    @property
    def seen(self) -> str:
        """The data folder as the server sees it."""
        if self.way == "bound":
            return _BOUND
        return str(self.data) if self.way == "self" else f"/{self.data.relative_to(self.server.root)}"

    def command(self, program: str, *arguments: str) -> list[str]:
        """Runs one of the server's programs as its unprivileged user."""
        words = [f"{self.server.programs}/{program}", *arguments]
        if self.way == "self":
            return words
        if self.way == "bound":
            return ["unshare", "-m", "sh", "-ec", _ENTER, "sh", str(self.server.root), str(self.data), *words]
        return ["chroot", "--userspec=postgres:postgres", str(self.server.root), *words]

    def describe(self) -> str:
        """For people."""
        where = "this machine's" if self.server.root == Path("/") else f"{DEBIAN} root folder, chroot,"
        kept = {"bound": f"data bound to {_BOUND}", "inside": f"data in its {self.seen}", "self": "as this user"}
        return f"{where} PostgreSQL {self.server.major}, {kept[self.way]}"


def find() -> Server | None:
    """A server with both extensions that is here already, on the machine or in the cache."""
    for major in MAJORS:
        if _complete(Path("/"), major):
            return Server(Path("/"), major)
    root = cache.find(_ENTRY) if system.is_root() else None
    return Server(root, 17) if root else None


def packages(echo: Echo) -> list[str]:
    """What apt has to install before this part can be brought; reads apt's lists anew only if it must."""
    if find() is not None:
        return []
    if not (system.is_root() and system.has_apt()):
        raise SetupError(
            "PostgreSQL with TimescaleDB and PostGIS is not installed and cannot be brought: that needs root on "
            "Debian. Start Docker, or set DATABASE_URL to a server and FIELD_PARTS=none"
        )
    system.apt_update(echo)
    for major in MAJORS:
        if system.apt_candidate(f"postgresql-{major}-timescaledb"):
            return [f"postgresql-{major}-timescaledb", f"postgresql-{major}-postgis-3"]
    needs = [] if shutil.which("mmdebstrap") else ["mmdebstrap"]
    known = Path(f"/usr/share/keyrings/debian-archive-{DEBIAN}-stable.gpg").exists()
    return needs if known else [*needs, "debian-archive-keyring"]


def bring(echo: Echo) -> Server:
    """The server, found or made (37 s for the root folder on two cores)."""
    if (found := find()) is not None:
        return found
    mirror = system.debian_mirror()
    if mirror is None:
        raise SetupError("this machine's apt names no Debian mirror to bring PostgreSQL from; start Docker instead")

    def build(target: Path) -> None:
        echo(f"postgres: making a {DEBIAN} root folder with PostgreSQL 17, TimescaleDB, PostGIS (about a minute)")
        options = ["--variant=minbase", f"--include={_INCLUDE}"]
        options += ["--aptopt=APT::Install-Recommends false", "--aptopt=Acquire::Languages none"]
        options += [f"--aptopt={line}" for line in _acquire()]
        options += [f"--dpkgopt=path-exclude={path}" for path in _SLIM]
        system.run(["mmdebstrap", *options, DEBIAN, str(target), mirror], f"making the {DEBIAN} root folder")

    return Server(cache.obtain(_ENTRY, build, echo), 17)


def place(server: Server, folder: Path) -> Place:
    """Where this instance's server keeps its data and how it is run; makes the data folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if not system.is_root():
        if server.root != Path("/"):
            raise SetupError("PostgreSQL in a root folder can only be started by root")
        return Place(server, "self", folder)
    probe = 'mount --bind "$1" "$2"'
    target = str(server.root / _BOUND.lstrip("/"))
    if system.succeeds(["unshare", "-m", "sh", "-ec", probe, "sh", str(folder), target]):
        found = Place(server, "bound", folder)
    else:
        data = server.root / "var" / "lib" / "field" / hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        data.mkdir(parents=True, exist_ok=True)
        found = Place(server, "inside", data)
    uid, gid = _user(server.root)
    os.chown(found.data, uid, gid)
    return found


def prepare(where: Place, asked: Settings, *, durable: bool) -> list[str]:
    """Makes the cluster the first time and writes the configuration; the command that runs the server.

    The account of DATABASE_URL is its superuser.
    """
    url = urlsplit(asked.database_url)
    user, password = unquote(url.username or ""), unquote(url.password or "")
    cluster = where.data / "cluster"
    status = where.data.stat()
    if not (cluster / "PG_VERSION").exists():
        shutil.rmtree(cluster, ignore_errors=True)  # of an initdb that was interrupted
        secret = where.data / "password"
        secret.touch(mode=0o600)
        secret.write_text(password + "\n")
        os.chown(secret, status.st_uid, status.st_gid)
        options = ["-U", user, f"--pwfile={where.seen}/password", "--auth=scram-sha-256", "--no-sync"]
        options += ["--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
        try:
            system.run(where.command("initdb", "-D", f"{where.seen}/cluster", *options), "making the database cluster")
        finally:
            secret.unlink()
    text = _configuration(url.port or 5432, where, durable=durable)
    if asked.locked:
        from deploy.local import locked

        locked.give(asked, where.data / "tls", status.st_uid, status.st_gid)
        text += "\n".join(locked.lines("postgresql.conf", where.seen)) + "\n"
        (cluster / "pg_hba.conf").write_text((locked.FILES / "pg_hba.conf").read_text())
    (cluster / "postgresql.conf").write_text(text)
    return where.command("postgres", "-D", f"{where.seen}/cluster")


def remove(folder: Path) -> None:
    """Deletes an instance's data, also where that had to be inside the root folder."""
    server = find()
    if server is not None:
        name = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        shutil.rmtree(server.root / "var" / "lib" / "field" / name, ignore_errors=True)
    cache.remove(folder)


def _configuration(port: int, where: Place, *, durable: bool) -> str:
    workers = 16 if durable else 64  # of TimescaleDB: one a database and one a job; tests make many databases
    settings: dict[str, str | int] = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "shared_preload_libraries": "timescaledb",
        "timescaledb.telemetry_level": "off",
        "timescaledb.max_background_workers": workers,
        "max_worker_processes": workers + 12,
        "max_connections": 100 if durable else 200,
        "shared_buffers": "256MB",
        "work_mem": "16MB",
        "max_wal_size": "4GB",
        "jit": "off",  # our statements are short
        "timezone": "UTC",
        "log_timezone": "UTC",
        "password_encryption": "scram-sha-256",
        "fsync": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
        "synchronous_commit": "on" if durable else "off",
        # POSIX shared memory needs a /dev/shm, which a root folder without mounts does not have
        "dynamic_shared_memory_type": "mmap" if where.way == "inside" else "posix",
    }
    return "".join(f"{name} = '{value}'\n" for name, value in settings.items())


def _complete(root: Path, major: int) -> bool:
    extensions = root / f"usr/share/postgresql/{major}/extension"
    program = root / f"usr/lib/postgresql/{major}/bin/postgres"
    wanted = [program, extensions / "timescaledb.control", extensions / "postgis.control"]
    return all(path.exists() for path in wanted)


def _user(root: Path) -> tuple[int, int]:
    """The numbers of the user ``postgres`` inside the root; another name may have them outside."""
    if root == Path("/"):
        entry = pwd.getpwnam("postgres")
        return entry.pw_uid, entry.pw_gid
    found = re.search(r"^postgres:[^:]*:(\d+):(\d+):", (root / "etc/passwd").read_text(), re.MULTILINE)
    if found is None:
        raise SetupError(f"{root} has no user postgres; delete it, so that it is made again")
    return int(found[1]), int(found[2])


def _acquire() -> list[str]:
    """How this machine's apt downloads (proxies, retries, date checks): mmdebstrap's apt shall do the same."""
    wanted = re.compile(r"^Acquire::((https?|ftp)::|Retries|Check-|Queue-Mode)")
    lines = system.run(["apt-config", "dump"], "reading apt's configuration").splitlines()
    return [line.rstrip(";") for line in lines if wanted.match(line) and not line.endswith(' "";')]
