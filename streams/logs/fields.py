"""Every field that a line may have: the only list. ``deploy/LOGS.md`` is held to it.

Names are those of the Elastic Common Schema where it has one, else ``kafka.*`` and ``field.*``.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Field(NamedTuple):
    """``kind`` is that of JSON; ``always``: in every line."""

    name: str
    kind: str
    text: str
    always: bool = False


FIELDS: Final = (
    Field("@timestamp", "string", "when it was said: RFC 3339, UTC, milliseconds", True),
    Field("log.level", "string", "DEBUG, INFO, WARNING, ERROR or CRITICAL", True),
    Field("message", "string", "one line for people, 2,000 characters at most", True),
    Field("ecs.version", "string", "version of the Elastic Common Schema that the names follow", True),
    Field("service.name", "string", "field", True),
    Field(
        "service.node.role",
        "string",
        "the process (worker, gateway, ...; supervisor, embedded), or the step (migrate, ...)",
        True,
    ),
    Field("process.pid", "number", "process id", True),
    Field("log.logger", "string", "who says it: a module of ours, or a library", True),
    Field("field.generation", "string", "the generation that this process belongs to", True),
    Field("kafka.topic", "string", "the topic that the line speaks of"),
    Field("kafka.partition", "number", "and the partition"),
    Field("kafka.offset", "number", "and the offset; it identifies an event without telling who sent it"),
    Field("field.reason", "string", "why a record was rejected (one of `streams.validate.REASONS`)"),
    Field("http.request.method", "string", "of the request that the line speaks of"),
    Field("http.route", "string", "its route, with the names of parameters in place of their values"),
    Field("http.response.status_code", "number", "what it was answered"),
    Field("event.duration", "number", "how long that took, in nanoseconds"),
    Field("process.exit_code", "number", "the process ends with it"),
    Field("error.type", "string", "class of an exception"),
    Field("error.message", "string", "its text, of exceptions whose text tells no payload"),
    Field("error.stack_trace", "string", "where it came from: files, lines and functions, the innermost last"),
)

ATTRIBUTE: Final = "field_of_the_line"
"""Under this name ``extra`` carries fields in a record of ``logging``."""


def at(
    topic: str | None = None, partition: int | None = None, offset: int | None = None, reason: str | None = None
) -> dict[str, Any]:
    """``extra`` for a line about a place in the log; an offset below 0 is none. ``reason``: of a rejection."""
    found = {"kafka.topic": topic, "kafka.partition": partition, "kafka.offset": offset, "field.reason": reason}
    return with_fields({name: value for name, value in found.items() if value not in (None, -1)})


def request(method: str, route: str, status: int | None = None, seconds: float | None = None) -> dict[str, Any]:
    """``extra`` for a line about a request: its route, never its path, which may hold ids."""
    found = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": status,
        "event.duration": None if seconds is None else int(seconds * 1e9),
    }
    return with_fields({name: value for name, value in found.items() if value is not None})


def with_fields(found: dict[str, Any]) -> dict[str, Any]:
    """``extra`` with any fields of the list."""
    return {ATTRIBUTE: found}


def page() -> str:
    """The table of all fields, Markdown."""
    rows = ["| field | kind | in every line | what |", "| --- | --- | --- | --- |"]
    rows += [f"| `{one.name}` | {one.kind} | {'yes' if one.always else ''} | {one.text} |" for one in FIELDS]
    return "\n".join(rows) + "\n"
