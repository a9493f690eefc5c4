"""An independent oracle of the fold: DESIGN section 3 written once more, from the text, for clarity and not for speed.

It takes the whole log, decides what is accepted, sorts what was accepted and folds it from the beginning,
every time. It imports nothing of ``streams.fold``: an error has to be made twice to go unseen.

    acceptance   arrival order -> accepted events, toggles, sequence windows
    state        one routing key: sorted events and toggles -> devices, session, pairs, particles
    reading      all keys at a time T -> numbers
    contacts     the recorded conference file -> the numbers that the system must report
"""

from tests.oracle.acceptance import Constants, Log, accept
from tests.oracle.reading import Reading, read
from tests.oracle.tables import Oracle, tables

__all__ = ["Constants", "Log", "Oracle", "Reading", "accept", "read", "tables"]
