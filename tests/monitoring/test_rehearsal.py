"""The rehearsal of alerts itself: it does not pass where the pager is told of more than it should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import stack
from tests.monitoring import alerts


class Field:
    """What is seen of one: alerts that fire, that are held back, and that its pager is told of."""

    def __init__(self) -> None:
        self.alerts: set[str] = set()
        self.held: set[str] = set()
        self.told: list[tuple[str, str]] = []

    def cause(self) -> None:
        """A part is away: two alerts fire, of which one is held back."""
        self.alerts = {"FieldPartDown", "FieldStale"}
        self.held = {"FieldStale"}
        self.told.append(("trigger", "FieldPartDown"))

    def clear(self) -> None:
        self.told.append(("resolve", "FieldPartDown"))
        self.alerts = set()

    def firing(self) -> set[str]:
        return self.alerts

    def held_back(self) -> set[str]:
        return self.held & self.alerts


@pytest.fixture
def field(monkeypatch: pytest.MonkeyPatch) -> Field:
    monkeypatch.setattr(alerts, "SETTLE_S", 0.0)
    monkeypatch.setattr(alerts, "until", lambda condition, what, timeout_s=0: stack.until(condition, what, 0.1))
    return Field()


def see(field: Field, **words: Any) -> list[alerts.Row]:
    seen: Any = field
    watched: Any = type("", (), {"firing": field.firing, "told": field.firing, "held_back": field.held_back})
    scene = alerts.Scene(seen, watched, seen)
    scene.see("a part", ("FieldPartDown", "FieldStale"), field.cause, field.clear, **{"held": {"FieldStale"}} | words)
    return scene.rows


def test_what_is_told_and_what_is_held_back_is_in_the_rows(field: Field) -> None:
    assert [(row.alert, row.pager) for row in see(field)] == [("FieldPartDown", "told"), ("FieldStale", "held back")]


@pytest.mark.parametrize("when", ["cause", "clear"])
@pytest.mark.parametrize("other", ["FieldStale", "FieldNoEvents"])
def test_it_fails_where_the_pager_is_told_of_another(
    field: Field, monkeypatch: pytest.MonkeyPatch, when: str, other: str
) -> None:
    does = getattr(field, when)

    def and_more() -> None:
        does()
        field.told.append(("trigger", other))

    monkeypatch.setattr(field, when, and_more)
    with pytest.raises(AssertionError, match=other):
        see(field)
    field.told.clear()
    see(field, besides={other})


def test_it_fails_where_what_should_be_held_back_is_not(field: Field) -> None:
    with pytest.raises(AssertionError, match="FieldPartDown"):
        see(field, held={"FieldPartDown", "FieldStale"})


def test_a_rule_that_was_changed_for_a_fault_is_put_back(tmp_path: Path) -> None:
    rules, read = tmp_path / "alerts.yml", []
    rules.write_text("free < 0.1")
    with (
        pytest.raises(AssertionError, match="of the fault"),
        alerts.changed(rules, "< 0.1", "< 0.5", lambda: read.append(rules.read_text())),
    ):
        raise AssertionError("of the fault")
    assert read == ["free < 0.5", "free < 0.1"]
