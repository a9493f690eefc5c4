"""Sets the locks of Kafka: an account (SCRAM) for each role, and exactly the rights of ``roles``.

By the admin's certificate, over the brokers' own listener. What the broker is sent of a password is salted and hashed;
rights of ours that are no longer in ``roles`` are taken away.
"""

from __future__ import annotations

import hashlib
import secrets
import ssl
from collections.abc import Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol import admin as protocol
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from deploy.locked.roles import ROLES, kafka_grants
from streams.errors import PartUnavailable, SettingError
from streams.settings import Settings

ITERATIONS: Final = 8192
SHA_512: Final = 2
KINDS: Final = {"topic": 2, "group": 3, "cluster": 4}
OPERATIONS: Final = {"READ": 3, "WRITE": 4, "CREATE": 5, "DELETE": 6, "DESCRIBE": 8, "DESCRIBE_CONFIGS": 10}
LITERAL: Final = 3
PREFIXED: Final = 4
ALLOW: Final = 3
ANY: Final = 1


class Acl(NamedTuple):
    """One right as the protocol has it."""

    kind: int
    name: str
    pattern: int
    principal: str
    host: str
    operation: int
    permission: int


class Told(NamedTuple):
    """What was changed."""

    accounts: list[str]
    given: int
    taken: int


def wanted(settings: Settings) -> set[Acl]:
    """The rights of all roles."""
    return {
        Acl(
            KINDS[grant.kind], grant.name, PREFIXED if grant.prefix else LITERAL, f"User:{role}", "*",
            OPERATIONS[operation], ALLOW,
        )
        for role, grants in kafka_grants(settings).items() for grant in grants for operation in grant.operations
    }  # fmt: skip


async def lock(
    settings: Settings, brokers: str, tls: ssl.SSLContext, passwords: Mapping[str, str], *, keep: bool = False
) -> Told:
    """Set accounts with these passwords, by role, and the rights; ``keep`` takes none away. Raises PartUnavailable."""
    async with _admin(brokers, tls) as admin:
        await _set_accounts(admin, passwords)
        there, want = await _acls(admin), wanted(settings)
        if give := sorted(want - there):
            answer = await admin._send_to_controller(_Create(give))
            _check((code, text) for code, text in answer.creation_responses)
        take = [] if keep else sorted(there - want)
        if take:
            answer = await admin._send_to_controller(_Delete(take))
            _check((code, text) for code, text, _ in answer.filter_responses)
        return Told(sorted(passwords), len(give), len(take))


def certificate(ca: Path, pem: Path, key: Path) -> ssl.SSLContext:
    """Who we are, and who the brokers must be; raises SettingError that names the file."""
    for path in (ca, pem, key):
        if not path.is_file():
            raise SettingError("the admin's certificate", f"{path}: no such file; `field lock make` makes it")
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(pem, key)
    return context


@asynccontextmanager
async def _admin(brokers: str, tls: ssl.SSLContext) -> Any:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=brokers, client_id="field-lock", security_protocol="SSL", ssl_context=tls
    )
    try:
        await admin.start()
        yield admin
    except KafkaError as error:
        raise PartUnavailable("Kafka", f"{brokers}: {error}") from error
    finally:
        await admin.close()


async def _set_accounts(admin: Any, passwords: Mapping[str, str]) -> None:
    rows: list[tuple[Any, ...]] = []
    for name, text in sorted(passwords.items()):
        salt = secrets.token_bytes(24)
        salted = hashlib.pbkdf2_hmac("sha512", text.encode(), salt, ITERATIONS)
        rows.append((name, SHA_512, ITERATIONS, salt, salted, {}))
    answer = await admin._send_to_controller(_Scram(rows))
    _check((code, text) for _, code, text, _ in answer.results)


async def _acls(admin: Any) -> set[Acl]:
    """The rights of our roles as they are; those of others are not ours to touch."""
    answer = await admin._send_to_controller(protocol.DescribeAclsRequest(ANY, None, ANY, None, None, ANY, ANY))
    _check([(answer.error_code, answer.error_message)])
    ours = {f"User:{role.name}" for role in ROLES}
    return {
        Acl(kind, name, pattern, *acl)
        for kind, name, pattern, acls in answer.resources for acl in acls if acl[0] in ours
    }  # fmt: skip


def _check(results: Any) -> None:
    for code, text in results:
        if code:
            raise PartUnavailable("Kafka", f"{for_code(code).__name__}: {text or 'refused'}")


class _ScramResponse(Response):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("results", CompactArray(
            ("user", CompactString("utf-8")), ("error_code", Int16), ("error_message", CompactString("utf-8")),
            ("tags", TaggedFields),
        )),
        ("tags", TaggedFields),
    )  # fmt: skip


class _ScramRequest(RequestStruct):  # type: ignore[misc]  # as above
    API_KEY = 51
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _ScramResponse
    SCHEMA = Schema(
        ("deletions", CompactArray(("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields))),
        ("upsertions", CompactArray(
            ("name", CompactString("utf-8")), ("mechanism", Int8), ("iterations", Int32), ("salt", CompactBytes),
            ("salted_password", CompactBytes), ("tags", TaggedFields),
        )),
        ("tags", TaggedFields),
    )  # fmt: skip


class _Scram(Request[_ScramRequest]):  # type: ignore[misc]  # as above
    """Accounts; aiokafka has no such request."""

    API_KEY = 51

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows = rows

    def build(self, request_struct_class: type[_ScramRequest]) -> _ScramRequest:
        return request_struct_class([], self._rows, {})


class _Create(Request[protocol.CreateAclsRequest_v1]):  # type: ignore[misc]  # as above
    """Many rights at once; aiokafka's own asks for one."""

    API_KEY = 30

    def __init__(self, acls: list[Acl]) -> None:
        self._acls = acls

    def build(self, request_struct_class: type[Any]) -> Any:
        return request_struct_class([tuple(acl) for acl in self._acls])


class _Delete(Request[protocol.DeleteAclsRequest_v1]):  # type: ignore[misc]  # as above
    """The same, taken away."""

    API_KEY = 31

    def __init__(self, acls: list[Acl]) -> None:
        self._acls = acls

    def build(self, request_struct_class: type[Any]) -> Any:
        return request_struct_class([tuple(acl) for acl in self._acls])
