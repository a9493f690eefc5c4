"""One setting: how it is declared, and how its text becomes a value.

Pure. ``settings`` is the list of them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import Any

from streams.errors import SettingError


def setting(
    name: str,
    default: str | int | float,
    reason: str,
    *,
    minimum: int | float | None = None,
    maximum: int | float | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    """A field of ``Settings``: its environment variable, its default, why it is so, and what it may be."""
    metadata = {
        "name": name,
        "reason": reason,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "secret": secret,
    }
    return field(default=default, repr=not secret, metadata=metadata)


def bounds(item: dataclasses.Field[Any]) -> dict[str, Any]:
    """What ``parse`` has to know of a field."""
    return {key: item.metadata[key] for key in ("minimum", "maximum", "choices")}


def parse(
    text: str,
    kind: type,
    name: str,
    *,
    minimum: int | float | None = None,
    maximum: int | float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """The value of a text; raises SettingError that names the setting."""
    if choices and text not in choices:
        raise SettingError(name, f"{text!r} is none of {', '.join(choices)}")
    if kind is str:
        return text
    try:
        value = kind(text)
    except ValueError:
        raise SettingError(name, f"{text!r} is not {'a whole number' if kind is int else 'a number'}") from None
    if not (minimum is None or value >= minimum) or not (maximum is None or value <= maximum):
        raise SettingError(name, f"{text} is outside {minimum}..{'' if maximum is None else maximum}")
    return value
