"""The AsyncAPI document is whole, refers to files that are there, and says what the code does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from schema.examples.documents import EXAMPLES
from schema.generate import ROOT
from streams import topics
from streams.changes import Changes, Marker, encode
from streams.settings import Settings
from streams.table import position_key, record_key
from streams.validate import CONTENT_FRAME, CONTENT_JSON, CONTENT_NOTHING, REASONS, RECORD_EVENTS_MAX

DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "asyncapi.yaml").read_text())
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, one in node.items():
            if name == "$ref":
                yield one
            else:
                yield from references(one)
    elif isinstance(node, list):
        for one in node:
            yield from references(one)


def resolve(reference: str) -> Any:
    path, _, pointer = reference.partition("#")
    node = json.loads((ROOT / path).read_bytes()) if path else DOCUMENT
    for part in filter(None, pointer.split("/")):
        node = node[part]
    return node


@pytest.mark.parametrize("reference", sorted(set(references(DOCUMENT))))
def test_every_reference_leads_somewhere(reference: str):
    assert resolve(reference)


def test_it_has_the_parts_of_asyncapi_3():
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert resolve(operation["channel"]["$ref"])["address"]
    for channel in DOCUMENT["channels"].values():
        assert channel["messages"]
        assert channel["x-partitioner"]
        assert set(channel.get("parameters", ())) == {part.split("}")[0] for part in channel["address"].split("{")[1:]}


def test_topics_and_their_configuration_are_those_that_are_created():
    settings = Settings()
    channels = {one["bindings"]["kafka"]["topic"]: one for one in DOCUMENT["channels"].values()}
    created = topics.configs(settings)
    assert channels.keys() == created.keys()
    for name, config in created.items():
        channel = channels[name]
        written = channel["bindings"]["kafka"]["topicConfiguration"]
        assert {key: _text(value) for key, value in written.items()} == {key: config[key] for key in written}, name
        assert channel["x-timestamps"] == config.get("message.timestamp.type", "CreateTime")
        left_out = config.keys() - written.keys() - {"message.timestamp.type"}
        assert all(key.startswith(("segment.", "min.cleanable")) for key in left_out), left_out
    assert DOCUMENT["channels"]["changelog"]["address"].format(generation="live") == topics.changelog_topic(settings)


def test_every_event_schema_is_a_message_and_stands_in_a_batch():
    published = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("events/*/*.json")}
    assert {ref for ref in references(MESSAGES) if ref.startswith("events/")} == published
    batch = MESSAGES["batch"]["payload"]["schema"]
    assert set(references(batch)) == published
    assert batch["maxItems"] == RECORD_EVENTS_MAX
    assert {one["$ref"].rsplit("/", 1)[1] for one in DOCUMENT["channels"]["events"]["messages"].values()} == (
        MESSAGES.keys() - {"changes", "rejected", "shard"}
    )


def test_a_batch_of_all_examples_is_valid():
    pairs = [
        (path.relative_to(ROOT).as_posix(), json.loads(path.read_bytes())) for path in ROOT.glob("events/*/*.json")
    ]
    registry: Any = Registry().with_resources([(name, Resource.from_contents(one)) for name, one in pairs])
    validator = Draft202012Validator(MESSAGES["batch"]["payload"]["schema"], registry=registry)
    validator.validate([one for examples in EXAMPLES.values() for one in examples])
    assert not validator.is_valid([])


def test_headers_and_reasons_are_those_of_the_code():
    assert tuple(MESSAGES["rejected"]["headers"]["properties"]["reason"]["enum"]) == REASONS
    kinds = DOCUMENT["components"]["schemas"]["event_headers"]["properties"]["content-type"]["enum"]
    assert [kind.encode() for kind in kinds] == [CONTENT_JSON, CONTENT_FRAME, CONTENT_NOTHING]
    readme = (ROOT / "README.md").read_text()
    assert all(f"| `{reason}` |" in readme for reason in REASONS)


def test_keys_of_the_changelog_fit_their_pattern():
    key = Draft202012Validator(MESSAGES["shard"]["bindings"]["kafka"]["key"])
    assert key.is_valid(record_key(3, 17, "12-0a1b2c3d").decode())
    assert key.is_valid(position_key(3, "12-0a1b2c3d").decode())
    assert not key.is_valid("3/17")


def test_changes_fit_their_schema():
    schema = Draft202012Validator(json.loads((ROOT / "changes/v1.json").read_bytes()))
    change = Changes(0, 1, 2, "1-00000000", 1, "1-x", True, [], [], [("hall", 5)], [("hall", "ana", "ben")])
    marker = Marker(0, 2, "1-00000000", 1, -1, 0, 0, 0)
    for record in (change, marker):
        schema.validate(json.loads(encode(record)))
    assert not schema.is_valid({"record": "changes"})


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
