"""Identifiers: of events (UUID, version 7), and the pseudonyms of devices and users."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import time
from typing import Any, Final, Literal

PSEUDONYM: Final = re.compile(r"p\.[0-9a-f]{32}", re.ASCII)


def new_id() -> str:
    """A UUID of version 7 (RFC 9562): 48 bits of milliseconds, the rest random."""
    bits = int.from_bytes((time.time_ns() // 1_000_000 & (1 << 48) - 1).to_bytes(6, "big") + os.urandom(10), "big")
    bits = bits & ~(0xF << 76) | 0x7 << 76
    bits = bits & ~(0x3 << 62) | 0x2 << 62
    digits = f"{bits:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def pseudonym(key: bytes, kind: Literal["device", "user"], name: str) -> str:
    """``name`` as the log may know it; what is a pseudonym already stays, so that none is hashed twice."""
    if PSEUDONYM.fullmatch(name):
        return name
    return "p." + hmac.new(key, f"{kind}:{name}".encode(), hashlib.sha256).hexdigest()[:32]


def disguised(event: dict[str, Any], key: bytes) -> dict[str, Any]:
    """The event with pseudonyms for the device, the user and the device it is aimed at. Rooms are not people."""
    out = event | {"device_id": pseudonym(key, "device", event["device_id"])}
    if event.get("user_id") is not None:
        out["user_id"] = pseudonym(key, "user", event["user_id"])
    data = event.get("data")
    if isinstance(data, dict) and isinstance(data.get("target_device"), str):
        out["data"] = data | {"target_device": pseudonym(key, "device", data["target_device"])}
    return out
