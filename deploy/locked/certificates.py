"""Certificates by the ``openssl`` program: an authority of one's own, one certificate a server, one for the admin.

For an installation that has no authority; one that has takes its own certificates under the same file names. The
authority signs, so its key belongs on no server: move ``ca.key`` away, and bring it back to renew.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.locked.accounts import write
from streams.errors import InputError, SetupError

SERVERS: Final = ("kafka", "postgres", "redis")
DAYS: Final = 825
CA_DAYS: Final = 3650


def make(folder: Path, hosts: Sequence[str]) -> list[str]:
    """``ca.pem``, and ``NAME.pem`` with ``NAME.key`` of the servers and the admin, where they are missing.

    ``hosts``: names and addresses at which clients find the servers. Returns what was made; raises SetupError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    if not (folder / "ca.pem").exists():
        _key(folder / "ca.key")
        write(folder / "ca.cnf", _authority())
        _openssl(folder, "req", "-x509", "-new", "-key", "ca.key", "-config", "ca.cnf", "-days", str(CA_DAYS),
                 "-sha256", "-out", "ca.pem")  # fmt: skip
        made.append("ca.pem")
    for name in (*SERVERS, "admin"):
        if (folder / f"{name}.pem").exists():
            continue
        if not (folder / "ca.key").exists():
            raise InputError(f"{folder / 'ca.key'} is needed to sign {name}.pem: bring it back for that")
        _certificate(folder, name, hosts)
        made.append(f"{name}.pem")
    for left in folder.glob("*.c[ns][fr]"):
        left.unlink()
    return made


def _certificate(folder: Path, name: str, hosts: Sequence[str]) -> None:
    _key(folder / f"{name}.key")
    write(folder / f"{name}.cnf", _leaf(name, hosts))
    _openssl(folder, "req", "-new", "-key", f"{name}.key", "-config", f"{name}.cnf", "-out", f"{name}.csr")
    _openssl(
        folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", str(DAYS), "-sha256", "-extfile", f"{name}.cnf", "-extensions", "use", "-out", f"{name}.pem",
    )  # fmt: skip
    if name == "kafka":  # which wants key and certificate in one file
        write(folder / "kafka.keystore.pem", (folder / "kafka.key").read_text() + (folder / "kafka.pem").read_text())


def _authority() -> str:
    return (
        "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = use\n[name]\nCN = field authority\n"
        "[use]\nbasicConstraints = critical, CA:true, pathlen:0\nkeyUsage = critical, keyCertSign, cRLSign\n"
        "subjectKeyIdentifier = hash\n"
    )


def _leaf(name: str, hosts: Sequence[str]) -> str:
    """Only the brokers, among themselves, and the admin show a certificate as clients."""
    uses = {"kafka": "serverAuth, clientAuth", "admin": "clientAuth"}.get(name, "serverAuth")
    known = ", ".join(f"{'IP' if host.replace('.', '').isdigit() or ':' in host else 'DNS'}:{host}" for host in hosts)
    alternative = "" if name == "admin" else f"subjectAltName = {known}\n"
    return (
        f"[req]\nprompt = no\ndistinguished_name = name\n[name]\nCN = field-{name}\n[use]\n"
        f"basicConstraints = critical, CA:false\nkeyUsage = critical, digitalSignature\nextendedKeyUsage = {uses}\n"
        f"subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n{alternative}"
    )


def _key(path: Path) -> None:
    """PKCS#8, which all three servers read; made in memory and written for its owner alone."""
    write(path, _openssl(path.parent, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))


def _openssl(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True, check=False,
                              env={**os.environ, "OPENSSL_CONF": os.devnull})  # fmt: skip
    except OSError as error:
        raise SetupError(f"openssl, which makes certificates, cannot be run ({error.strerror}): install it") from None
    if done.returncode:
        raise SetupError(f"openssl {words[0]} failed: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout
