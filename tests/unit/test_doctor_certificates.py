"""What ``field doctor`` says of certificates: real ones, of a few days or none, shown by a server of the test."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.doctor import certificates, findings
from deploy.doctor.certificates import Certificates, Shown
from deploy.locked import certificates as making
from streams.settings import Settings


def papers(folder: Path, days: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Certificates of so many days; the authority's path."""
    monkeypatch.setattr(making, "DAYS", days)
    making.make(folder, ["127.0.0.1"])
    return str(folder / "ca.pem")


@contextmanager
def showing(folder: Path, name: str, *, asked: bool = False) -> Iterator[int]:
    """A port where the certificate of a server is shown; ``asked``: as PostgreSQL does it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = server.accept()
                with line, contextlib.suppress(OSError):
                    if asked:
                        line.recv(8)
                        line.sendall(b"S")
                    context.wrap_socket(line, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]


def said(facts: Certificates) -> list[tuple[str, str]]:
    return [(one.state, one.what) for one in findings.run(certificates.CHECKS, facts)]


@pytest.mark.parametrize(("days", "state"), [(825, "ok"), (20, "warn")])
def test_what_three_servers_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, state: str) -> None:
    ca = papers(tmp_path, days, monkeypatch)
    with (
        showing(tmp_path, "kafka") as kafka,
        showing(tmp_path, "redis") as redis,
        showing(tmp_path, "postgres", asked=True) as postgres,
    ):
        settings = replace(
            Settings(), kafka_security="sasl_ssl", kafka_ca_file=ca, kafka_brokers=f"127.0.0.1:{kafka}", redis_tls=1,
            redis_port=redis, redis_ca_file=ca,
            database_url=f"postgresql://x:y@127.0.0.1:{postgres}/field?sslmode=verify-full&sslrootcert={ca}",
        )  # fmt: skip
        facts = certificates.ask(settings)
    ends = time.strftime("%Y-%m-%d", time.gmtime(facts.shown[1].ends_s))
    assert [one.whose for one in facts.shown] == [
        ca, f"Kafka at 127.0.0.1:{kafka}", f"Redis at 127.0.0.1:{redis}", f"PostgreSQL at 127.0.0.1:{postgres}",
    ]  # fmt: skip
    found = said(facts)
    if state == "ok":
        assert found == [("ok", f"of 4 looked at the next one ends on {ends}")]
    else:
        assert [one for one, _ in found] == ["warn"] * 3 + ["ok"], "the authority lasts"
        assert all(f"on {ends}" in what for one, what in found if one == "warn")


def test_one_that_has_ended_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca = papers(tmp_path, 0, monkeypatch)
    time.sleep(1.1)
    with showing(tmp_path, "redis") as port:
        facts = certificates.ask(replace(Settings(), redis_tls=1, redis_port=port, redis_ca_file=ca))
    assert said(facts)[0] == ("bad", f"Redis at 127.0.0.1:{port}: certificate has expired")


def test_an_authority_that_has_ended_or_is_none_is_bad(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    facts = certificates.ask(replace(Settings(), kafka_ca_file=str(tmp_path / "empty.pem"), redis_ca_file="missing"))
    assert [one for one, _ in said(facts)] == ["bad", "bad"]
    assert said(Certificates((Shown("ca.pem", 100.0),), 101.0)) == [("bad", "ca.pem has ended")]


def test_nothing_is_said_where_nothing_is_locked() -> None:
    assert said(certificates.ask(Settings())) == []
