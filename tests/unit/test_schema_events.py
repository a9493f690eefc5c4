"""The published schemas are what the validator does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema
from jsonschema import Draft202012Validator

from schema.generate import ROOT, files
from streams.events import TIMESTAMP_MS_MAX, TYPES, Event
from streams.validate import REASONS, Limits, Rejection, read_record
from tests.documents import mutated, plain_values

NOT_IN_SCHEMA = frozenset(("future", "too_large", "too_deep"))
"""Rules about more than one event's fields: time of receiving, bytes, nesting of ignored fields."""
SCHEMAS = {path.relative_to(ROOT).as_posix(): json.loads(path.read_bytes()) for path in ROOT.glob("events/*/*.json")}
VALIDATORS = {name: Draft202012Validator(schema) for name, schema in SCHEMAS.items()}
MANIFEST: dict[str, Any] = json.loads((ROOT / "examples/manifest.json").read_bytes())


def by_schema(document: object) -> bool:
    return any(validator.is_valid(document) for validator in VALIDATORS.values())


def by_validator(document: object) -> Event | Rejection:
    value = json.dumps(document).encode()
    (item,) = read_record(b"[" + value + b"]", TIMESTAMP_MS_MAX)
    return item


def made_from(schema: Any) -> st.SearchStrategy[Any]:
    """Documents of a schema.

    Objects are put together here: hypothesis-jsonschema 0.23.1, the last one, reaches for a part of hypothesis that
    is gone (``many.more``) when it makes objects. It makes all that is within them.
    """
    if "anyOf" in schema:
        return st.one_of([made_from(one) for one in schema["anyOf"]])
    null = st.none() if "null" in schema.get("type", ()) else st.nothing()
    if "properties" in schema or "object" in schema.get("type", ()):
        fields = {name: made_from(one) for name, one in schema.get("properties", {}).items() if one is not False}
        needed = {name: fields.pop(name) for name in schema.get("required", ())}
        return null | st.fixed_dictionaries(needed, optional=fields | {"other": plain_values})
    if "items" in schema:
        return null | st.lists(made_from(schema["items"]), max_size=3)
    return from_schema(schema)


def agree(document: object) -> None:
    item = by_validator(document)
    if isinstance(item, Rejection) and item.reason in NOT_IN_SCHEMA:
        return
    assert by_schema(document) == isinstance(item, Event), item


def test_committed_files_are_the_generated_ones():
    generated = files()
    for name, content in generated.items():
        assert (ROOT / name).read_bytes() == content, f"{name}: run python -m schema.generate"
    folders = ("events", "changes", "reading", "gateway", "examples/good", "examples/bad")
    present = {path.relative_to(ROOT).as_posix() for folder in folders for path in (ROOT / folder).rglob("*.*")}
    assert present == generated.keys() - {"examples/manifest.json"}


def test_every_type_has_a_schema_that_is_one():
    assert {name.split("/")[1] for name in SCHEMAS} == {kind.lower() for kind in TYPES}
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_examples_of_a_schema_are_valid_for_both(name: str):
    assert SCHEMAS[name]["examples"]
    for document in SCHEMAS[name]["examples"]:
        assert VALIDATORS[name].is_valid(document)
        assert isinstance(by_validator(document), Event)
        assert sum(validator.is_valid(document) for validator in VALIDATORS.values()) == 1


@given(mutated())
@settings(max_examples=1_500, deadline=None)
def test_mutated_documents_get_one_verdict(document: object):
    agree(document)


@given(st.deferred(lambda: st.one_of([made_from(SCHEMAS[name]) for name in sorted(SCHEMAS)])))
@settings(max_examples=300, deadline=None)
def test_documents_made_from_the_schemas_are_events(document: object):
    assert by_schema(document)
    agree(document)


@given(plain_values)
@settings(max_examples=300, deadline=None)
def test_other_json_gets_one_verdict(document: object):
    agree(document)


@pytest.mark.parametrize("entry", MANIFEST["good"], ids=lambda entry: entry["file"])
def test_good_examples_are_events(entry: dict[str, Any]):
    value = (ROOT / "examples" / entry["file"]).read_bytes()
    items = read_record(value, MANIFEST["received_ms"])
    assert [type(item) for item in items] == [Event] * entry["events"]


@pytest.mark.parametrize("entry", MANIFEST["bad"], ids=lambda entry: entry["file"])
def test_bad_examples_have_their_reason_at_their_place(entry: dict[str, Any]):
    value = (ROOT / "examples" / entry["file"]).read_bytes()
    header = entry["content_type"].encode() if "content_type" in entry else None
    items = read_record(value, MANIFEST["received_ms"], Limits(), header)
    assert len(items) == entry["items"]
    item = items[entry["index"]]
    assert isinstance(item, Rejection)
    assert item.detail.isascii()
    assert (item.index, item.reason) == (entry["index"], entry["reason"])
    assert Path(entry["file"]).name.startswith(entry["reason"])
    assert item.raw == value or entry["items"] > 1 or value.startswith(b"[")


def test_every_reason_has_a_bad_example():
    assert {entry["reason"] for entry in MANIFEST["bad"]} == set(REASONS)
