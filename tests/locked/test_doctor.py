"""``field doctor`` on locked servers: the operator sees all that it looks at; who sees less hears so."""

from __future__ import annotations

import asyncio

from deploy.doctor import database, findings, log
from tests.commands import valid
from tests.locked.conftest import Locked

SERVERS = (
    "brokers", "topics exist", "partitions", "copies", "topic settings", "worker group",
    "database", "schema", "connections", "database clock", "hot", "memory", "hot clock",
)  # fmt: skip


def test_the_operator_sees_all_that_is_looked_at(locked: Locked) -> None:
    locked.stack.field("wait", "--timeout", "60")
    told: dict[str, list[tuple[str, str]]] = {}
    for one in valid("doctor", locked.stack.field("doctor", "--json")):
        told.setdefault(one["check"], []).append((one["state"], one["what"]))
    assert {name: told[name] for name in SERVERS if {state for state, _ in told[name]} != {"ok"}} == {}
    ((_, what),) = told["connections"]
    assert int(what.split()[0]) > 3, f"those of the projector and the gateway, too: {what}"


def test_what_an_account_may_not_see_is_no_ok(locked: Locked) -> None:
    kafka = findings.run(log.CHECKS, asyncio.run(log.ask(locked.of("listener"))))
    postgres = findings.run(database.CHECKS, database.ask(locked.of("backup")))
    assert {one.state for one in kafka if one.check == "topic settings"} == {"warn"}
    no_groups = findings.run(log.CHECKS, asyncio.run(log.ask(locked.of("backup"))))
    assert {one.state for one in no_groups if one.check == "worker group"} == {"warn"}
    assert {one.state for one in postgres if one.check == "connections"} == {"warn"}
