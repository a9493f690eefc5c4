"""How commands print: JSON as its schema under ``schema/cli`` says."""

from __future__ import annotations

from typing import Any

import msgspec


def print_json(value: Any) -> None:
    """One indented JSON document on standard output."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
