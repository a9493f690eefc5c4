"""What a program of set-up says that builds one thing: a line when it did, a line when it could not."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from deploy.local.cache import Echo
from streams.errors import FieldError


def told(what: str, build: Callable[[Echo], bool], otherwise: str = "") -> int:
    """The exit code. ``build`` returns whether there was anything to do; ``otherwise``: what happens without it."""
    begun = time.monotonic()
    try:
        if build(lambda line: print(f"  {line}", flush=True)):
            print(f"  {what} is built ({time.monotonic() - begun:.1f} s)", flush=True)
    except (FieldError, OSError) as error:
        print(f"  {what} is not built{otherwise}: {error}", file=sys.stderr, flush=True)
        return 1
    return 0
