"""Writes ``openapi.json``, the description (OpenAPI 3.1) of all HTTP paths: ``python -m schema.openapi``.

Answers come from the classes that are encoded, events from ``schema.generate``; a test holds the file to this, and
schemathesis holds the gateway to the file.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from projections.gateway import (
    answers,
    archaeology,
    calculator,
    digging,
    history,
    intake,
    procedures,
    routes_state,
    vectors,
)
from schema.generate import ID, ROOT, event_schema, text
from streams import changes
from streams import envelope as env
from streams import events as ev
from streams.fold.reading import RoomReading
from streams.validate import REASONS, RECORD_EVENTS_MAX

Json = dict[str, Any]
FILE: Final = ROOT / "openapi.json"
BASE: Final = "/api/consciousness"
REF: Final = "#/components/schemas/{name}"
EVENT: Final = {"$ref": REF.format(name="Event")}

ANSWERS: Final[dict[str, Any]] = {
    "/state": answers.Answer[answers.Brief],
    "/snapshot": answers.Answer[answers.Snapshot],
    "/metrics": answers.Answer[answers.Figures],
    "/history": answers.Answer[answers.History],
    "/rooms": answers.Answer[answers.Rooms],
    "/rooms/{room_id}": answers.Answer[RoomReading],
    "/entanglements": answers.Answer[answers.Pairs],
    "/particles": answers.Answer[answers.Particles],
    "/field": answers.Answer[calculator.FieldStrength],
    "/archaeology": answers.Answer[archaeology.Events],
    "/archaeology/patterns": answers.Answer[digging.Patterns],
}
"""What each reading path below ``BASE`` answers."""
OTHERS: Final = (answers.About, answers.Health, intake.SyncAnswer, changes.FieldReading)

ABOUT: Final = {
    "/state": "The field in brief.",
    "/snapshot": "The whole field: rooms, pairs, particles, quantum fields.",
    "/metrics": "How busy the field and this gateway are.",
    "/history": "Minutes, hours or days that had events, rising.",
    "/rooms": "The open rooms by name.",
    "/rooms/{room_id}": "One room, open or over.",
    "/entanglements": "The living entanglements, of all or of one device.",
    "/particles": "The memory particles, newest first.",
    "/field": "How strongly the field is felt on a grid, or at points.",
    "/archaeology": "Events of the past, newest first.",
    "/archaeology/patterns": "Rhythm, bursts, synchrony, sequences and trend of events of the past.",
}

_NUMBER: Final = r"[+-]?[0-9]{1,9}(\.[0-9]{1,6})?"
_PLACE: Final = f"{_NUMBER},{_NUMBER}"


def listed(names: tuple[str, ...]) -> Json:
    """One of them, or several with commas between."""
    one = f"({'|'.join(names)})"
    return text(f"^{one}(,{one})*$")


def limit(rows: tuple[int, int]) -> Json:
    return {"type": "integer", "minimum": 1, "default": rows[0], "description": f"at most {rows[1]} are answered"}


TIME: Final = {"anyOf": [text(env.TIME_PATTERN), {"type": "integer", "minimum": 0, "maximum": ev.TIMESTAMP_MS_MAX}]}
CURSOR: Final = {"type": "string", "description": "next of the page before"}
BOX: Final = text(f"^{_PLACE},{_PLACE}$", "x0,y0,x1,y1; edges included")
AT_LEAST: Final = text(
    "^([0-9a-f]{8}~)?[0-9]{1,4}:[0-9]{1,18}(,[0-9]{1,4}:[0-9]{1,18})*$",
    "partition:offset, as in the answer to sync, and before ~ its log; waits until the answer reflects them",
)
TYPES: Final = listed(archaeology.SHOWN)
PAST: Final = {
    "from": TIME, "until": TIME, "type": TYPES, "room": ID, "device": ID, "box": BOX,
    "min_intensity": {"type": "number", "minimum": 0, "maximum": 1},
}  # fmt: skip
PARAMETERS: Final[dict[str, dict[str, Json]]] = {
    "/state": {"at_least": AT_LEAST},
    "/snapshot": {"at_least": AT_LEAST},
    "/metrics": {},
    "/history": {
        "from": TIME, "until": TIME, "resolution": {"enum": ["auto", "1min", "1h", "1d"], "default": "auto"},
        "limit": limit(history.POINTS), "cursor": CURSOR,
    },
    "/rooms": {"limit": limit(routes_state.ROOMS), "cursor": CURSOR, "at_least": AT_LEAST},
    "/rooms/{room_id}": {"at_least": AT_LEAST},
    "/entanglements": {"device": ID, "limit": limit(routes_state.PAIRS), "cursor": CURSOR, "at_least": AT_LEAST},
    "/particles": {"box": BOX, "limit": limit(routes_state.PARTICLES), "cursor": CURSOR, "at_least": AT_LEAST},
    "/field": {
        "grid": text("^[1-9][0-9]{0,1}(x[1-9][0-9]{0,1})?$", "64, or 80x60: columns and rows"),
        "box": BOX, "points": text(f"^{_PLACE}(;{_PLACE})*$", "x,y;x,y; without grid and box"),
        "phase": {"type": "number", "minimum": -env.ANGLE, "maximum": env.ANGLE, "description": "instead of its own"},
        "resonance": {"type": "number", "minimum": 0, "maximum": 1, "description": "instead of its own"},
        "at_least": AT_LEAST,
    },
    "/archaeology": PAST | {"limit": limit(archaeology.ROWS), "cursor": CURSOR},
    "/archaeology/patterns": PAST | {"kind": listed(digging.KINDS)},
}  # fmt: skip
LISTENING: Final = {
    "types": listed(ev.TYPES), "room": text("^[^,]+(,[^,]+)*$"), "device": text("^[^,]+(,[^,]+)*$"), "box": BOX,
    "min_intensity": PAST["min_intensity"], "include": listed(("events", "field", "rooms", "entanglements")),
    "last_event_id": text(f"^{vectors.PATTERN}$", "an id of a message, as the header Last-Event-ID"),
    "from": TIME, "speed": {"type": "number", "exclusiveMinimum": 0, "description": "of the past; none: all at once"},
    "token": {"type": "string", "description": "for browsers, which can set no header here"},
}  # fmt: skip


def document() -> Json:
    """All of it."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The field",
            "version": "1",
            "description": "Devices in, dashboards out. Every answer of a reading path says what it reflects.",
        },
        "servers": [{"url": "/"}],
        "paths": {**_about(), **{BASE + path: _reading(path) for path in ANSWERS}, **_in(), **_push(), **_trpc()},
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "where /api/ says that tokens are asked for",
                }
            },
        },
    }


def schemas() -> Json:
    """Of answers, events and problems."""
    _, found = msgspec.json.schema_components((*ANSWERS.values(), *OTHERS), ref_template=REF)
    found["FieldStrength"]["properties"]["values"] = {"type": "array", "items": {"type": "number"}}
    found["DugEvent"]["properties"]["data"] = {"type": "object"}
    found["Problem"] = _problem()
    names = []
    for kind in ev.TYPES:
        name = f"Event_{kind}"
        schema = event_schema(kind)
        found[name] = {key: value for key, value in schema.items() if not key.startswith("$")}
        names.append({"$ref": REF.format(name=name)})
    found["Event"] = {"anyOf": names}
    return found


def _problem() -> Json:
    plain = {"type": "string"}
    return {
        "title": "Problem",
        "description": "What went wrong (RFC 9457). code is for programs, detail for people.",
        "type": "object",
        "properties": {"type": plain, "title": plain, "status": {"type": "integer"}, "code": plain, "detail": plain},
        "required": ["type", "title", "status", "code", "detail"],
    }


def _told(schema: Json, description: str, headers: tuple[str, ...] = ()) -> Json:
    """A 200."""
    out: Json = {"description": description, "content": {"application/json": {"schema": schema}}}
    if headers:
        out["headers"] = {name: {"schema": {"type": "string"}} for name in headers}
    return out


def _refused(description: str, *headers: str) -> Json:
    out: Json = {
        "description": description,
        "content": {"application/problem+json": {"schema": {"$ref": REF.format(name="Problem")}}},
    }
    return out | ({"headers": {name: {"schema": {"type": "string"}} for name in headers}} if headers else {})


BAD: Final = _refused("a parameter or body that cannot be")
AWAY: Final = _refused("a store is away, or too much is asked at once", "Retry-After")
OTHER: Final = _refused("another problem")


def _get(summary: str, answer: Json, parameters: list[Json] | None = None, **others: Json) -> Json:
    operation: Json = {"summary": summary, "responses": {"200": answer, "400": BAD, **_by_status(others)}}
    return operation | ({"parameters": parameters} if parameters else {})


def _by_status(others: Json) -> Json:
    return {name.removeprefix("s"): one for name, one in sorted(others.items())} | {"default": OTHER}


def _parameters(found: dict[str, Json]) -> list[Json]:
    return [{"name": name, "in": "query", "schema": schema} for name, schema in found.items()]


def _ref(kind: Any) -> Json:
    (schema,), _ = msgspec.json.schema_components((kind,), ref_template=REF)
    return schema


def _about() -> Json:
    flag = {"type": "object", "additionalProperties": {"type": "boolean"}}
    anything = {"type": "object", "required": ["openapi", "paths"]}
    return {
        "/api/": {"get": _get("What is served here.", _told(_ref(answers.About), "links"))},
        "/api/openapi.json": {"get": _get("This description.", _told(anything, "OpenAPI 3.1", ("ETag",)))},
        "/api/health": {"get": _get("How all parts are.", _told(_ref(answers.Health), "also while parts are away"))},
        "/api/health/live": {"get": _get("Whether this process works.", _told(flag, "it does"))},
        "/api/health/ready": {"get": _get("Whether it can say what the field is.", _told(flag, "it can"), s503=AWAY)},
    }


def _reading(path: str) -> Json:
    parameters = _parameters(PARAMETERS[path])
    if path.endswith("{room_id}"):
        parameters.insert(0, {"name": "room_id", "in": "path", "required": True, "schema": ID})
    if path not in ("/metrics", "/archaeology"):
        tag = "the ETag of an answer that is at hand"
        parameters.append({"name": "If-None-Match", "in": "header", "schema": {"type": "string"}, "description": tag})
    more = {"s404": _refused("no such room")} if path.endswith("{room_id}") else {}
    if "at_least" in PARAMETERS[path]:
        more["s410"] = _refused("the positions are of a log that is not read any more")
        more["s504"] = _refused("not yet: the field has not come so far", "Retry-After")
    answer = _told(_ref(ANSWERS[path]), "what it is, what it reflects, and how it was found", ("ETag", "Cache-Control"))
    same = {"description": "the same as If-None-Match names"}
    return {"get": _get(ABOUT[path], answer, parameters, s304=same, s503=AWAY, **more)}


def _in() -> Json:
    """What devices send. A list of events is bounded here as one request is in practice."""
    batch = {"type": "array", "items": EVENT, "minItems": 1, "maxItems": RECORD_EVENTS_MAX}
    inner = {"type": "object", "properties": {"events": batch}, "required": ["events"]}
    verdicts = _told(
        _ref(intake.SyncAnswer), "stored, with the verdict of each event", ("RateLimit", "RateLimit-Policy")
    )
    sync = _post("One event or many, JSON or gzip; answered when they are on the log.", verdicts,
                 {"anyOf": [EVENT, batch, inner]})  # fmt: skip
    sync["description"] = "Reasons of verdicts: " + ", ".join(REASONS) + "."
    body = {
        "type": "object",
        "properties": {"device_id": ID, "timestamp": {"type": "integer", "minimum": 0, "maximum": ev.TIMESTAMP_MS_MAX}},
        "required": ["device_id"],
    }
    said = {
        "type": "object",
        "properties": {
            "device_id": ID, "out": {"type": "boolean"},
            "positions": {"type": "object", "additionalProperties": {"type": "integer"}}, "log": {"type": "string"},
        },
        "required": ["device_id", "out", "positions", "log"],
    }  # fmt: skip
    opts = {
        f"{BASE}/{name}": {"post": _post(summary, _told(said, "stored"), body)}
        for name, summary in (
            ("opt-out", "A device leaves everything collective."), ("opt-in", "It begins afresh."),
        )
    }  # fmt: skip
    return {f"{BASE}/sync": {"post": sync}, **opts}


def _post(summary: str, answer: Json, body: Json) -> Json:
    return {
        "summary": summary,
        "security": [{}, {"token": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": answer,
            "400": BAD,
            "401": _refused("no token, or one that does not count", "WWW-Authenticate"),
            "403": _refused("another device's"),
            "413": _refused("too large, before or after inflating"),
            "415": _refused("neither JSON nor gzip"),
            "422": _refused("no event is good; with the verdict of each"),
            "429": _refused("too many in this time", "Retry-After", "RateLimit", "RateLimit-Policy"),
            "503": _refused("the log does not take it: nothing was acknowledged", "Retry-After"),
            "default": OTHER,
        },
    }


def _push() -> Json:
    stream: Json = {
        "summary": "What comes, as Server-Sent Events; with from= or last_event_id= what was, before.",
        "parameters": _parameters(LISTENING),
        "responses": {
            "200": {"description": "events, field, rooms, entanglements, live, bye",
                    "content": {"text/event-stream": {"schema": {"type": "string"}}}},
            "410": _refused("so far back the log does not reach"), "422": BAD, "503": AWAY, "default": OTHER,
        },
    }  # fmt: skip
    socket = {
        "summary": "The same as a WebSocket, over which devices publish, too: schema/push.md.",
        "responses": {"101": {"description": "a WebSocket"}, "default": OTHER},
    }
    return {f"{BASE}/stream": {"get": stream}, f"{BASE}/ws": {"get": socket}}


def _trpc() -> Json:
    """Described, not spelt out: its clients have the protocol themselves."""
    queries = sorted(name for name, one in procedures.PROCEDURES.items() if one.kind == "query")
    mutations = sorted(name for name, one in procedures.PROCEDURES.items() if one.kind == "mutation")
    batch = {"name": "batch", "in": "query", "schema": {"enum": ["1"]}, "description": "several names, with commas"}
    given = {"name": "input", "in": "query", "schema": {"type": "string"}, "description": "JSON"}
    answers_ = {
        "200": _told({}, "the envelope, or a list of them"),
        "207": _told({}, "a list of envelopes that differ in status"),
        "default": _told({}, "the envelope of an error"),
    }

    def operation(kind: str, names: list[str], more: Json, *parameters: Json) -> Json:
        name = {"name": "procedure", "in": "path", "required": True, "schema": {"enum": names}}
        summary = f"{kind} by tRPC (version 11)."
        return {"summary": summary, "parameters": [name, *parameters], "responses": answers_, **more}

    body: Json = {"requestBody": {"content": {"application/json": {"schema": {}}}}}
    return {
        "/api/trpc/{procedure}": {
            "get": operation("Queries", queries, {}, batch, given),
            "post": operation("Mutations", mutations, body, batch),
        }
    }


def content() -> bytes:
    """The bytes of the file."""
    return json.dumps(document(), indent=1, ensure_ascii=True).encode() + b"\n"


def main() -> None:
    """Writes the file when it differs."""
    if not FILE.exists() or FILE.read_bytes() != content():
        FILE.write_bytes(content())


if __name__ == "__main__":
    main()
