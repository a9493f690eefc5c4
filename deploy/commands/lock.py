"""``field lock``: the files of a locked installation, and the locks of its servers (``deploy/SECURITY.md``)."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

from deploy import context
from deploy.commands.migrate import patiently
from deploy.locked import accounts, certificates, kafka, postgres, redis
from deploy.locked.roles import ADMIN, ROLES, kafka_grants, redis_rules

MOUNTED_CA = "/etc/field/tls/ca.pem"


def register(commands: Any) -> None:
    lock = commands.add_parser("lock", help="accounts by role, TLS and rights of a locked installation")
    steps = lock.add_subparsers(dest="step", required=True, metavar="STEP")
    make = steps.add_parser("make", help="certificates, passwords and Redis' accounts into a folder, what is missing")
    make.add_argument("folder", type=Path)
    make.add_argument("--host", action="append", required=True, metavar="NAME", help="at which servers are found")
    make.add_argument("--database", required=True, metavar="HOST:PORT/NAME", help="where clients find PostgreSQL")
    make.add_argument("--ca", default=MOUNTED_CA, metavar="PATH", help=f"where they find ca.pem ({MOUNTED_CA})")
    make.set_defaults(handler=run_make)
    at_kafka = steps.add_parser("kafka", help="its accounts and rights, by the admin's certificate")
    at_kafka.add_argument("folder", type=Path)
    at_kafka.add_argument("--brokers", required=True, metavar="HOST:PORT", help="of the listener BROKERS")
    at_kafka.add_argument("--keep", action="store_true", help="rights that are no longer wanted (two events topics)")
    at_kafka.set_defaults(handler=run_kafka, is_step=True)
    at_postgres = steps.add_parser("postgres", help="its accounts and database; `field migrate` then gives the rights")
    at_postgres.add_argument("folder", type=Path)
    at_postgres.set_defaults(handler=run_postgres, is_step=True)
    for step in (at_kafka, at_postgres):
        step.add_argument("--timeout", type=float, default=60.0, metavar="S", help="for it to answer (default 60)")
    steps.add_parser("show", help="who may do what in Kafka and Redis").set_defaults(handler=run_show)


def run_make(args: argparse.Namespace) -> int:
    made = certificates.make(args.folder / "tls", args.host)
    where = f"postgresql://{args.database}?sslmode=verify-full&sslrootcert={args.ca}"
    made += accounts.make(args.folder / "accounts", where)
    names = [*redis_rules(), ADMIN]
    text = redis.users({name: accounts.password(args.folder / "accounts", "redis", name) for name in names})
    file = args.folder / "users.acl"
    if not file.exists() or file.read_text() != text:
        accounts.write(file, text)
        made.append(file.name)
    print(f"made: {', '.join(made) or 'nothing, all is there'}")
    return 0


def run_kafka(args: argparse.Namespace) -> int:
    tls = args.folder / "tls"
    identity = kafka.certificate(tls / "ca.pem", tls / "admin.pem", tls / "admin.key")
    passwords = _passwords(args.folder, "kafka")
    settings = context.load()
    told = patiently(
        lambda: asyncio.run(kafka.lock(settings, args.brokers, identity, passwords, keep=args.keep)),
        time.monotonic() + args.timeout,
    )
    print(f"accounts set: {', '.join(told.accounts)}; rights given {told.given}, taken away {told.taken}")
    return 0


def run_postgres(args: argparse.Namespace) -> int:
    address = accounts.password(args.folder / "accounts", "database-url", ADMIN)
    passwords = _passwords(args.folder, "postgres")
    made = patiently(lambda: postgres.lock(address, passwords), time.monotonic() + args.timeout)
    print(f"accounts set: {', '.join(sorted(passwords))}; made: {', '.join(made) or 'none'}; now `field migrate`")
    return 0


def run_show(args: argparse.Namespace) -> int:
    grants, rules = kafka_grants(context.load()), redis_rules()
    for role in ROLES:
        print(f"{role.name}: {role.what}")
        for grant in grants.get(role.name, ()):
            print(f"  kafka     {grant.kind} {grant.name}{'*' if grant.prefix else ''}: {', '.join(grant.operations)}")
        if "postgres" in role.servers:
            print(f"  postgres  {role.database}: schema/sql/grants.sql")
        if role.name in rules:
            print(f"  redis     {' '.join(rules[role.name])}")
    return 0


def _passwords(folder: Path, server: str) -> dict[str, str]:
    names = [role.name for role in ROLES if server in role.servers]
    return {name: accounts.password(folder / "accounts", server, name) for name in names}
