"""Pseudonyms: keyed, never twice, and the same in every language that has the vectors."""

from __future__ import annotations

import hashlib
import hmac
import json

from hypothesis import given

from projections.gateway.pseudonyms import hidden, pseudonym
from streams.events import routing_key
from streams.validate import read_record
from streams.wire import encode_event
from tests.documents import events
from tests.tidy.source import ROOT

VECTORS = ROOT / "schema" / "golden" / "pseudonyms.json"


def test_the_vectors_hold() -> None:
    vectors = json.loads(VECTORS.read_text())["vectors"]
    assert len(vectors) >= 8
    for one in vectors:
        assert pseudonym(one["key"], one["kind"], one["id"]) == one["pseudonym"], one
    assert {one["kind"] for one in vectors} == {"device", "user"}


def test_it_is_what_the_page_says() -> None:
    digest = hmac.new(b"k", b"device:ana", hashlib.sha256).hexdigest()
    assert pseudonym("k", "device", "ana") == "p." + digest[:32]
    assert pseudonym("k", "user", "ana") != pseudonym("k", "device", "ana") != pseudonym("l", "device", "ana")


def test_only_what_has_the_whole_form_is_one_already() -> None:
    form = "p." + "0f" * 16
    assert pseudonym("k", "device", form) == pseudonym("k", "user", form) == form
    for near in (form[:-1], form + "0", form.upper(), "q" + form[1:], "p.ana", form[:-1] + "g"):
        assert pseudonym("k", "device", near) != near


@given(events())
def test_an_event_under_pseudonyms_is_an_event(event) -> None:
    assert hidden("", event) is event
    found = hidden("k", event)
    assert hidden("k", found) == found
    for raw, name in ((event.device_id, found.device_id), (event.user_id, found.user_id), (event.target, found.target)):
        assert (raw is None) == (name is None)
        assert name is None or name.startswith("p.")
    assert found.room_id == event.room_id
    assert found.key == routing_key(found.device_id, found.room_id, found.target)
    assert read_record(encode_event(found), event.timestamp) == [found], "its data name the target by it, too"
