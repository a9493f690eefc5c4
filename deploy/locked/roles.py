"""Who may do what: one account a role at each server that the role needs, with the least rights that do.

The rights in PostgreSQL are SQL (``schema/sql/grants.sql``), those in Kafka and Redis are here. The tests try every
action of every role, and that what is not here is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from projections import membership
from streams.settings import Settings

GENERATIONS: Final = "field-"
"""How the changelogs, row topics and workers' groups of all generations begin. A projector's group begins otherwise:
whoever has taken over the one may not take partitions from the other.
"""
ADMIN: Final = "admin"
"""Sets the locks, and is used for nothing else. At Kafka it is no account but a certificate."""


class Grant(NamedTuple):
    """What an account may do with the topics or groups of that name, or of that beginning (``prefix``)."""

    kind: str
    name: str
    operations: tuple[str, ...]
    prefix: bool = False


class Role(NamedTuple):
    """``servers``: where it has an account. ``database``: its account in PostgreSQL, which has no bare names."""

    name: str
    what: str
    servers: tuple[str, ...]

    @property
    def database(self) -> str:
        return f"field_{self.name}"


ROLES: Final = (
    Role("worker", "folds the log", ("kafka",)),
    Role("projector", "writes rows", ("kafka", "postgres")),
    Role("publisher", "writes the hot field", ("kafka", "postgres", "redis")),
    Role("gateway", "takes events of devices, and reads database and Redis", ("kafka", "postgres", "redis")),
    Role("listener", "what a gateway reads of the log", ("kafka",)),
    Role("operator", "the commands of people: status, replays, dead letters", ("kafka", "postgres", "redis")),
    Role("migrator", "topics and schema", ("kafka", "postgres")),
    Role("backup", "copies log and database", ("kafka", "postgres")),
    Role("viewer", "what the public dashboard shows, for Grafana", ("postgres",)),
    Role("restorer", "brings the log back into an empty place; the database's part is the admin's", ("kafka", "redis")),
)


def account_of(name: str) -> Role:
    """The role of that name."""
    return next(role for role in ROLES if role.name == name)


def kafka_grants(settings: Settings) -> dict[str, tuple[Grant, ...]]:
    """By role. READ and WRITE imply DESCRIBE; nobody here may alter anything, or see the rights of others."""
    events, changes, rejected = settings.events_topic, settings.changes_topic, settings.rejected_topic
    topics, groups = "topic", "group"
    made = Grant(topics, GENERATIONS, ("CREATE",), prefix=True)
    return {
        "worker": (
            Grant(topics, events, ("READ", "WRITE")),  # a record on the wrong partition is copied to the right one
            Grant(topics, changes, ("WRITE",)),
            Grant(topics, rejected, ("WRITE",)),
            Grant(topics, GENERATIONS, ("READ", "WRITE"), prefix=True),
            Grant(groups, GENERATIONS, ("READ",), prefix=True),
        ),
        "projector": (
            Grant(topics, events, ("READ",)),
            Grant(topics, changes, ("READ",)),
            Grant(topics, GENERATIONS, ("READ",), prefix=True),
            Grant(groups, membership.PREFIX, ("READ",), prefix=True),
        ),
        "publisher": (
            Grant(topics, events, ("DESCRIBE",)),
            Grant(topics, GENERATIONS, ("READ",), prefix=True),
        ),
        "gateway": (Grant(topics, events, ("WRITE",)),),
        "listener": (
            Grant(topics, events, ("READ",)),
            Grant(topics, GENERATIONS, ("READ",), prefix=True),
            Grant(groups, GENERATIONS, ("DESCRIBE",), prefix=True),
            Grant(groups, membership.PREFIX, ("DESCRIBE",), prefix=True),
        ),
        "operator": (  # it sees how topics are set, which `field doctor` is for, and sets none
            Grant(topics, events, ("READ", "WRITE", "DESCRIBE_CONFIGS")),
            Grant(topics, changes, ("READ", "DELETE", "DESCRIBE_CONFIGS")),
            Grant(topics, rejected, ("READ", "WRITE", "DESCRIBE_CONFIGS")),
            Grant(topics, GENERATIONS, ("READ", "WRITE", "CREATE", "DELETE", "DESCRIBE_CONFIGS"), prefix=True),
            Grant(groups, GENERATIONS, ("READ",), prefix=True),
        ),
        "migrator": (
            Grant(topics, events, ("CREATE", "DESCRIBE")),
            Grant(topics, changes, ("CREATE", "DESCRIBE")),
            Grant(topics, rejected, ("CREATE", "DESCRIBE")),
            made._replace(operations=("CREATE", "DESCRIBE")),
        ),
        "backup": (
            Grant(topics, events, ("READ",)),
            Grant(topics, rejected, ("READ",)),
            Grant(topics, GENERATIONS, ("READ",), prefix=True),  # the state: what is restored is compared with it
        ),
        "restorer": (
            Grant(topics, events, ("READ", "WRITE", "CREATE")),
            *(Grant(topics, name, ("WRITE", "CREATE")) for name in (changes, rejected)),
            Grant(topics, GENERATIONS, ("READ", "WRITE", "CREATE"), prefix=True),
            Grant(groups, GENERATIONS, ("READ",), prefix=True),
        ),
    }


_HOT: Final = (
    *("field:position", "field:at", "field:current", "entanglements", "consciousness:stream"),
    *(f"*:{name}" for name in ("field:position", "field:at", "field:current", "entanglements", "consciousness:stream")),
)
"""Keys of the publisher; every generation but the live one has its name in front."""
_CHANNELS: Final = ("&consciousness:*", "&*:consciousness:*")
_ANYBODY: Final = ("+hello", "+auth", "+ping", "+quit", "+client|setname", "+client|id")
_SCRIPTS: Final = ("+evalsha", "+script|load", "+multi", "+exec", "+discard", "+unwatch")


def redis_rules() -> dict[str, Sequence[str]]:
    """By role: keys, channels and the only commands. None has FLUSHALL, CONFIG, KEYS, DEBUG or their like.

    EVALSHA and SCRIPT LOAD are EVAL in two steps: any script, whose calls are held to the same keys and commands. Redis
    forgets scripts when it starts, so whoever runs them has to be able to load them.
    """
    return {
        "publisher": (
            *(f"~{name}" for name in (*_HOT, "field:generation")),
            *_CHANNELS,
            *(*_ANYBODY, *_SCRIPTS),
            *("+get", "+set", "+setex", "+del", "+hset", "+xadd", "+publish"),
        ),
        "gateway": (
            *(f"%R~{name}" for name in (*_HOT, "field:generation")),
            *("~field:kept", "~*:field:kept", "~gateway:*"),
            *_CHANNELS,
            *(*_ANYBODY, *_SCRIPTS),
            *("+get", "+mget", "+exists", "+set", "+copy", "+expire", "+hmget", "+hset", "+pexpire", "+time"),
            *("+subscribe", "+unsubscribe"),
        ),
        "restorer": (*(f"%R~{name}" for name in _HOT), *_ANYBODY, "+exists"),
        "operator": (
            *(f"~{name}" for name in _HOT),
            *("~consciousness:*", "~*:consciousness:*", "%R~field:generation"),
            *(*_ANYBODY, *_SCRIPTS[2:]),
            *("+get", "+exists", "+hgetall", "+hlen", "+xrevrange", "+xlen", "+ttl", "+del", "+info", "+time"),
        ),
    }
