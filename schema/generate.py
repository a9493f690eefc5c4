"""Writes the JSON Schemas of the events and their examples: ``python -m schema.generate``.

One source for what is published; the bounds come from ``streams.envelope``, which enforces them. A test holds the
files to this, another one compares the verdicts of schema and validator on generated documents.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec

from projections.gateway import answers
from schema.examples import records
from schema.examples.documents import EXAMPLES
from streams import changes
from streams import envelope as env
from streams import events as ev

ROOT: Final = Path(__file__).parent
Json = dict[str, Any]

ABOUT: Final = {
    ev.BREATH: "Somebody breathes with the others.",
    ev.SPIRAL: "Somebody draws a spiral.",
    ev.BLOOM: "Somebody opens.",
    ev.TOUCH: "Somebody touches: the field, or with target_device another one.",
    ev.SACRED_PHRASE: "Somebody speaks a shared phrase; only its digest is sent, never the words.",
    ev.FIELD: "Harmonics that a device lays into the field.",
    ev.ENTANGLE: "Two devices entangle, until RELEASE from either side.",
    ev.RELEASE: "An explicit entanglement ends.",
    ev.ENTER: "A device enters a room.",
    ev.LEAVE: "A device leaves a room.",
    ev.OPT_OUT: "A device leaves everything collective. Goes to every partition.",
    ev.OPT_IN: "A device rejoins. Goes to every partition.",
}


def _described(schema: Json, description: str) -> Json:
    return schema | ({"description": description} if description else {})


def _plain(value: float) -> int | float:
    return int(value) if value == int(value) else value


def text(pattern: str, description: str = "") -> Json:
    return _described({"type": "string", "pattern": pattern}, description)


def number(low: float, high: float, description: str = "", kind: str = "number") -> Json:
    return _described({"type": kind, "minimum": _plain(low), "maximum": _plain(high)}, description)


def optional(schema: Json) -> Json:
    """null says the same as leaving the field out."""
    if "type" in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def struct(required: dict[str, Json], others: dict[str, Json]) -> Json:
    """An object; unknown fields are allowed, ignored and not stored."""
    out: Json = {"type": "object", "properties": required | {name: optional(one) for name, one in others.items()}}
    return out | ({"required": list(required)} if required else {})


ID: Final = text(env.ID_PATTERN)
COORDINATE: Final = number(-env.BOUND, env.BOUND)
SMALL_ANGLE: Final = number(-env.ANGLE, env.ANGLE, "radians")
SIZE: Final = number(0, env.ANGLE)
UNIT: Final = number(0, 1)
COUNTER: Final = number(0, env.SEQ_MAX, kind="integer")
HARMONIC: Final = struct(dict.fromkeys(("x", "y", "frequency", "amplitude", "phase"), COORDINATE), {})
HARMONICS: Final = {"type": "array", "maxItems": env.HARMONICS, "items": HARMONIC}
DIRECTION: Final = {"anyOf": [ID, number(-1, 1, kind="integer")]}
RATE: Final = number(0, env.RATE, "breaths a minute")

DATA: Final[dict[str, Json]] = {
    ev.BREATH: struct({"phase": SMALL_ANGLE}, {"rate": RATE}),
    ev.SPIRAL: struct(
        {},
        {
            "angle": SMALL_ANGLE,
            "radius": SIZE,
            "turns": number(-env.ANGLE, env.ANGLE),
            "direction": DIRECTION,
        },
    ),
    ev.BLOOM: struct({}, {"radius": SIZE, "petals": number(0, env.PETALS, kind="integer")}),
    ev.TOUCH: struct({}, {"pressure": SIZE, "target_device": ID}),
    ev.SACRED_PHRASE: struct(
        {"phrase": text(env.PHRASE_PATTERN, "digest of the words")}, {"language": text(env.LANGUAGE_PATTERN)}
    ),
    ev.FIELD: struct({}, {"harmonics": HARMONICS, "phase": SMALL_ANGLE, "resonance": UNIT}),
    ev.ENTANGLE: struct(
        {"target_device": ID},
        {"kind": ID | {"default": "bond"}, "intensity": UNIT | {"default": 1}},
    ),
    ev.RELEASE: struct({"target_device": ID}, {}),
}
DEGREES: Final = struct({"phase": number(-env.ANGLE, env.ANGLE, "degrees")}, {"rate": RATE})


def event_schema(kind: str, version: int = 1) -> Json:
    """The schema of one type and version; stands alone, without references."""
    required: dict[str, Json] = {
        "id": text(env.UUID_PATTERN, "UUID made by the sender; its case does not matter"),
        "type": {"const": kind},
        "device_id": ID,
        "timestamp": _timestamp(),
    }
    others: dict[str, Json] = {"user_id": ID}
    (required if kind in env.NEEDS_ROOM else others)["room_id"] = ID
    intensity = number(0, 1, "kept as whole millionths")
    (required if kind in ev.WEIGHED else others)["intensity"] = intensity
    others["seq"] = COUNTER | {"description": "per device, rising"}
    others["epoch"] = COUNTER | {"description": "rising when a device counts anew", "default": 0}
    others["position"] = struct({"x": COORDINATE, "y": COORDINATE}, {"z": COORDINATE})
    data = DEGREES if version == 0 else DATA.get(kind, {"type": "object", "description": "ignored"})
    (required if kind in env.NEEDS_DATA else others)["data"] = data
    if version:
        required["v"] = {"const": version}
    out = struct(required, others)
    if not version:
        out["properties"]["v"] = False
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:the-field:events:{kind.lower()}:v{version}",
        "title": f"{kind}, version {version}",
        "description": ABOUT[kind] + ("" if version else " Without v: the phase is in degrees."),
        **out,
        "examples": EXAMPLES[kind, version],
    }


def changes_schema() -> Json:
    """The schema of the values of field.changes, from the classes that are encoded."""
    schemas, parts = msgspec.json.schema_components((changes.Changes, changes.Marker), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:the-field:changes:v1",
        "title": "A record of field.changes",
        "anyOf": list(schemas),
        "$defs": parts,
    }


def reading_schema() -> Json:
    """The schema of the snapshot in Redis: a reading, and where in the log it stands."""
    (reading,), parts = msgspec.json.schema_components((changes.FieldReading,), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:the-field:reading:v1",
        "title": "The field, as in field:current",
        **reading,
        "type": "object",
        "properties": {
            "rooms_open": {"type": "integer", "description": "all open rooms; the list has FIELD_HOT_ROWS at most"},
            "positions": {
                "type": "object",
                "description": "last offset reflected, by partition",
                "additionalProperties": {"type": "integer"},
            },
            "computed_at": {"type": "integer", "description": "milliseconds since 1970"},
            "generation": {"type": "string"},
            "fold_version": {"type": "string"},
        },
        "required": ["rooms_open", "positions", "computed_at", "generation", "fold_version"],
        "$defs": parts,
    }


def gateway_schema() -> Json:
    """The schemas of the gateway's answers, by path."""
    paths, classes = zip(*answers.ANSWERS.items(), strict=True)
    schemas, parts = msgspec.json.schema_components(classes, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:the-field:gateway:v1",
        "title": "What the gateway answers, by path",
        "type": "object",
        "properties": dict(zip(paths, schemas, strict=True)),
        "$defs": parts,
    }


def files() -> dict[str, bytes]:
    """Everything that is generated: contents by path below ``schema``."""
    out = {f"events/{kind.lower()}/v1.json": _bytes(event_schema(kind)) for kind in ev.TYPES}
    out["events/breath/v0.json"] = _bytes(event_schema(ev.BREATH, 0))
    out["changes/v1.json"] = _bytes(changes_schema())
    out["reading/v1.json"] = _bytes(reading_schema())
    out["gateway/v1.json"] = _bytes(gateway_schema())
    good, bad = records.good(), records.bad()
    out |= {f"examples/good/{one.name}": one.value for one in good}
    out |= {f"examples/bad/{one.name}": one.value for one in bad}
    out["examples/manifest.json"] = _bytes(records.manifest(good, bad))
    return out


def main() -> None:
    """Write the files that differ."""
    for name, content in files().items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)


def _timestamp() -> Json:
    return {
        "description": "event time: RFC 3339, or milliseconds since 1970; kept as whole milliseconds, truncated",
        "anyOf": [text(env.TIME_PATTERN), number(0, ev.TIMESTAMP_MS_MAX)],
    }


def _bytes(document: object) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=True).encode() + b"\n"


if __name__ == "__main__":
    main()
