"""Structured fields (RFC 9651) as a client reads them: a list of strings with parameters, and nothing else."""

from __future__ import annotations

import re

_INTEGER = re.compile(r"-?[0-9]{1,15}(?![0-9.])")
_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BYTES = re.compile(r":([A-Za-z0-9+/]*=*):")
_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*")
_KEY = re.compile(r"[a-z*][a-z0-9_\-.*]*")

Value = int | str | bool


def fields(text: str) -> dict[str, dict[str, Value]]:
    """By each string of the list its parameters; raises ValueError where it is none, or says one twice."""
    found: dict[str, dict[str, Value]] = {}
    at = 0
    while True:
        name, at = _taken(_STRING, text, at)
        if name in found:
            raise ValueError(f"{name} stands twice in {text}")
        found[name], at = _parameters(text, at)
        at = _blank(text, at)
        if at == len(text):
            return found
        if text[at] != ",":
            raise ValueError(f"no comma at {at} in {text}")
        at = _blank(text, at + 1)


def _parameters(text: str, at: int) -> tuple[dict[str, Value], int]:
    found: dict[str, Value] = {}
    while at < len(text) and text[at] == ";":
        while text[at + 1] == " ":
            at += 1
        key, at = _taken(_KEY, text, at + 1)
        if key in found:
            raise ValueError(f"{key} stands twice in {text}")
        found[key] = True
        if at < len(text) and text[at] == "=":
            found[key], at = _value(text, at + 1)
    return found, at


def _value(text: str, at: int) -> tuple[Value, int]:
    for form in (_INTEGER, _STRING, _BYTES, _TOKEN):
        if match := form.match(text, at):
            shown = match[0] if form in (_INTEGER, _TOKEN) else match[1]
            return (int(shown) if form is _INTEGER else shown), match.end()
    raise ValueError(f"no value at {at} in {text}")


def _taken(form: re.Pattern[str], text: str, at: int) -> tuple[str, int]:
    match = form.match(text, at)
    if match is None:
        raise ValueError(f"{text[at : at + 20]!r} is not what stands there, in {text}")
    return match[match.lastindex or 0], match.end()


def _blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t":
        at += 1
    return at
