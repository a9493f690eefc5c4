"""Every version and form ever published still reads, and folds to the digests written down."""

from __future__ import annotations

import json
from collections import Counter

from streams.events import TYPES, Event
from streams.fold.rules import DEFAULT_RULES
from streams.frame import FIRST_BYTE
from streams.validate import read_record
from tests.golden.write import DIGESTS, fold, read_log
from tests.oracle import Oracle
from tests.property.adapter import against_oracle, play


def test_the_log_folds_to_its_digests():
    expected = json.loads(DIGESTS.read_text())
    assert expected["fold_version"] == DEFAULT_RULES.version, "another fold: say why, then write the digests anew"
    assert fold(read_log()) == expected


def test_the_log_folds_as_the_oracle_says():
    records = [
        [item for item in read_record(record.value, record.received) if isinstance(item, Event)]
        for record in read_log()
    ]
    arrivals = [event for record in records for event in record]
    newest = max(event.timestamp for event in arrivals)
    assert not against_oracle(play(records, DEFAULT_RULES), Oracle.of(arrivals), [newest, newest + 60_000])


def test_the_log_holds_every_type_and_form():
    records = read_log()
    forms = Counter(record.value[:1] for record in records)
    assert min(forms[b"{"], forms[b"["], forms[FIRST_BYTE]) >= 5
    kinds = Counter(
        item.type
        for record in records
        for item in read_record(record.value, record.received)
        if isinstance(item, Event)
    )
    assert kinds.keys() == set(TYPES)
    old = [record for record in records if b'"BREATH"' in record.value and b'"v":1' not in record.value]
    assert len(old) >= 3


def test_the_log_has_duplicates_late_and_bad_events():
    written = json.loads(DIGESTS.read_text())
    assert min(written["counts"].values()) >= 3
    assert len(written["rejected"]) >= 3


def test_a_changed_event_changes_the_digests():
    records = read_log()
    assert fold(records[:-1])["digests"] != fold(records)["digests"]
