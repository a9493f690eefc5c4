"""Free ports of 127.0.0.1, for servers that are about to be started."""

from __future__ import annotations

import atexit
import random
import socket
from typing import Final

from streams.errors import SetupError

OWN: Final = range(20_000, 32_768)
"""Below those that Linux gives to outgoing connections: one of them could take a port before its server has it."""


def free() -> int:
    """A port that nobody listens on, and that no other process is told by this function before this one has ended.

    The server of the port is yet to be started, so the port itself cannot be held: that of the same number for UDP,
    which nobody here uses, is held instead. Raises SetupError where there is none.
    """
    for port in random.sample(OWN, len(OWN)):
        promise = socket.socket(type=socket.SOCK_DGRAM)
        try:
            promise.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            promise.close()
            continue
        atexit.register(promise.close)  # which also keeps it until then
        return port
    raise SetupError(f"no port of 127.0.0.1 from {OWN[0]} to {OWN[-1]} is free: stop what uses them")
