"""The log of a process: one JSON object a line on standard output, or text for a terminal.

``fields`` lists every field, ``safe`` says what may stand in one, ``lines`` writes them, ``start`` begins it.
Everybody else uses ``logging`` as always, with ``extra=at(...)`` where a line speaks of a place in the log.
"""

from streams.logs.fields import at, request
from streams.logs.start import SELDOM, ends, start

__all__ = ["SELDOM", "at", "ends", "request", "start"]
