"""The tree of everything this system raises on purpose.

FieldError                  exit_code, and a line that a person can act on
  SettingError              a setting is misspelled or impossible
  InputError                a file or an argument cannot be used
  LogError                  has topic, partition, offset
    FoldVersionError        state was written by another version of the fold
    FloodError              half of the recent records are bad
    DeliveryError           a write to the log was not acknowledged
    StalledError            the worker makes no progress
    HistoryError            records of the log are neither in Kafka nor in an archive
    OtherLogError           the state is further than the log: it is of another log
  WireError                 bytes that are not events (reason, detail)
  ArchiveError              bytes that are no archive of the log, or no longer what was written
  PartUnavailable           Kafka, PostgreSQL or Redis does not answer
  StoreError                the embedded log cannot be read or written
  ProjectionError           a projection cannot go on from where it is
  SetupError                a part cannot be brought to this machine or started on it
  SchemaError               the database's schema is not one that this version can migrate
  BackupError               a backup is not whole, or what was restored is not what was saved
"""

from __future__ import annotations


class FieldError(Exception):
    """Base of the tree; ``str(error)`` is one clear line that says what to do next."""

    exit_code = 1


class SettingError(FieldError):
    """A setting is misspelled, missing or impossible."""

    exit_code = 2

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"setting {name}: {problem}")
        self.name = name


class InputError(FieldError):
    """A file or an argument of a command cannot be used; the line names it."""

    exit_code = 2


class LogError(FieldError):
    """Something about one place of the log; carries topic, partition and offset."""

    def __init__(self, message: str, *, topic: str, partition: int, offset: int = -1) -> None:
        super().__init__(f"{message} [{topic}/{partition}@{offset}]")
        self.topic = topic
        self.partition = partition
        self.offset = offset


class FoldVersionError(LogError):
    """State was written by another version of the fold: replay instead of mixing the two."""

    exit_code = 4


class FloodError(LogError):
    """Too many of the recent records are bad: somebody should look before the log is skipped."""

    exit_code = 3


class DeliveryError(LogError):
    """A write was not acknowledged; the process must leave and start from its last checkpoint."""

    exit_code = 5


class StalledError(LogError):
    """Lag grows, nothing is folded and nothing is committed."""

    exit_code = 6


class HistoryError(LogError):
    """Records that have to be read again are no longer anywhere."""

    exit_code = 11


class OtherLogError(LogError):
    """The state stands further than the log ends: it was folded from another log, or this one has lost its end."""

    exit_code = 12


class WireError(FieldError):
    """Bytes that are not events. ``reason`` is one of ``validate.REASONS``."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class ArchiveError(FieldError):
    """Bytes that are no file of an archive, or no longer what was written; the text goes on from the file's name."""

    exit_code = 11


class PartUnavailable(FieldError):
    """Kafka, PostgreSQL or Redis does not answer."""

    exit_code = 7

    def __init__(self, part: str, problem: str) -> None:
        super().__init__(f"{part} does not answer: {problem}")
        self.part = part


class StoreError(FieldError):
    """The file of the embedded log cannot be read or written: the line says what to do with it."""

    exit_code = 14


class ProjectionError(FieldError):
    """A projection cannot go on from where it is."""

    exit_code = 8


class SchemaError(FieldError):
    """The database's schema is newer than this version, or one of its migrations was changed afterwards."""

    exit_code = 9


class SetupError(FieldError):
    """A part cannot be brought to this machine or started on it; the message has the end of its log."""

    exit_code = 10


class BackupError(FieldError):
    """A backup is not whole, or what was restored of it is not what was saved."""

    exit_code = 15
