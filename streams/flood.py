"""The flood limit: too many bad records among the recent ones, and somebody should look."""

from __future__ import annotations

from streams.settings import Settings


class Flood:
    """Counts bad records among the last ``flood_window`` ones; a record is bad when half of it is rejected."""

    def __init__(self, settings: Settings) -> None:
        self._ring = bytearray(settings.flood_window)
        self._limit = settings.flood_share * settings.flood_window
        self._at = 0
        self.records = 0
        self.bad = 0

    def good(self, records: int) -> None:
        """Note so many good records: cheap while none of the window is bad."""
        for _ in range(min(records, len(self._ring)) if self.bad else 0):
            self.add(False)
            records -= 1
        self.records += records

    def add(self, bad: bool) -> bool:
        """Note one record; True when the window is full and too much of it is bad."""
        self.bad += bad - self._ring[self._at]
        self._ring[self._at] = bad
        self._at += 1
        if self._at == len(self._ring):
            self._at = 0
        self.records += 1
        return bad and self.records >= len(self._ring) and self.bad >= self._limit
