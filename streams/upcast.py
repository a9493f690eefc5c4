"""Upcasters: an event of an older version, as parsed JSON, becomes the same event of version 1.

Pure. A version that was published once is read for ever; the golden log in ``tests/golden`` holds each of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from streams import events as ev
from streams.envelope import ANGLE
from streams.errors import WireError


def breath_0(plain: dict[str, Any]) -> dict[str, Any]:
    """BREATH before versions were written down: no ``v``, phase in degrees."""
    data = plain.get("data")
    if isinstance(data, dict) and isinstance(phase := data.get("phase"), int | float) and not isinstance(phase, bool):
        if math.isfinite(phase) and not -ANGLE <= phase <= ANGLE:
            raise WireError("bad_value", f"data.phase is outside {-ANGLE:g}..{ANGLE:g}")
        data = {**data, "phase": math.radians(phase)}
    return {**plain, "v": 1, "data": data}


UPCASTERS: Final[Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]]] = MappingProxyType({ev.BREATH: breath_0})
"""By type, for events without ``v``."""
