"""A shard: some routing keys of a partition, whole, in one record with one position.

Pure. The shard is the unit of atomicity: what one event did to any table is in the same changelog record.
"""

from __future__ import annotations

from typing import Final

import msgspec

from streams.errors import FoldVersionError
from streams.events import BLOOM, FIELD, OPT_OUT, SACRED_PHRASE, Event
from streams.fold.duplicates import Verdict
from streams.fold.key import Key, KeyRecord
from streams.fold.opts import Effect, Toggle, Toggles
from streams.fold.particles import Memory, Remembered, newest, remember
from streams.fold.rules import Rules
from streams.fold.state import State, left_out


class ShardRecord(msgspec.Struct, array_like=True):
    """A ``Shard`` at rest: the value of its changelog record (MessagePack, positional)."""

    fold_version: str
    partition: int
    shard: int
    shards: int
    position: int
    toggles: list[Toggle]
    particles: list[Remembered]
    quantum_fields: list[Remembered]
    keys: dict[str, KeyRecord]


class _Head(msgspec.Struct, array_like=True):
    fold_version: str
    partition: int
    shard: int
    shards: int
    position: int


class _Position(_Head, array_like=True):
    """A partition's position record; ``held``: how many of its shards have a record."""

    held: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ShardRecord, strict=False).decode
_decode_head = msgspec.msgpack.Decoder(_Head).decode
_decode_position = msgspec.msgpack.Decoder(_Position).decode

_HEAD_FIELDS: Final = len(_Head.__struct_fields__)
_HEAD_ARRAY: Final = bytes([0x90 + _HEAD_FIELDS])
_ARRAYS: Final = frozenset(0x90 + len(kind.__struct_fields__) for kind in (ShardRecord, _Position))
"""The first byte of our records: MessagePack arrays of so many."""
_SHORT_TEXT: Final = 0xA0
_NUMBERS: Final = {0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}
"""Bytes of a whole number by its first one, else 1; what is no number is refused by the decoder."""


class Shard:
    """Keys, toggles and memories. ``dirty`` names the keys that changed since the last record."""

    __slots__ = ("_memories", "dirty", "keys", "number", "particles", "partition", "position", "quantum_fields",
                 "rules", "shards", "toggles", "weights")  # fmt: skip

    def __init__(
        self, partition: int, number: int, shards: int, rules: Rules, record: ShardRecord | None = None
    ) -> None:
        record = record or ShardRecord(rules.version, partition, number, shards, -1, [], [], [], {})
        self.shards = shards
        self.partition = partition
        self.number = number
        self.rules = rules
        self.weights = rules.weights()
        self.position = record.position
        self.toggles = Toggles(record.toggles)
        self.particles = Memory(rules.particles, record.particles)
        self.quantum_fields = Memory(rules.quantum_fields, record.quantum_fields)
        self._memories = {BLOOM: self.particles, SACRED_PHRASE: self.particles, FIELD: self.quantum_fields}
        self.keys = {name: Key(key) for name, key in record.keys.items()}
        self.dirty: set[str] = set()

    @classmethod
    def decode(cls, value: bytes, rules: Rules, any_version: bool = False) -> Shard:
        """From a changelog value; raises FoldVersionError when another fold wrote it.

        ``any_version``: only to look at it, as far as its records have the form of ours.
        """
        head = _head(value)
        if not any_version:
            check_version(value, rules)
        return cls(head.partition, head.shard, head.shards, rules, _record(value))

    def fold(self, event: Event) -> Verdict:
        """Fold one event of this shard (not OPT_*)."""
        key = self.keys.get(event.key)
        if key is None:
            key = self.keys[event.key] = Key()
        verdict = key.accept(event, self.rules)
        if not verdict:
            self.dirty.add(event.key)
            if len(key.tail) > key.threshold:
                key.advance(self.toggles, self._memories, self.rules, self.weights)
        return verdict

    def take(self, event: Event) -> None:
        """Fold one event that was accepted elsewhere, by the whole log (not OPT_*)."""
        key = self.keys.get(event.key)
        if key is None:
            key = self.keys[event.key] = Key()
        key.take(event)
        self.dirty.add(event.key)
        if len(key.tail) > key.threshold:
            key.advance(self.toggles, self._memories, self.rules, self.weights)

    def toggle(self, event: Event) -> Verdict:
        """OPT_OUT or OPT_IN, which concerns every key: never late, and moves no watermark."""
        out = event.type == OPT_OUT
        for key in self.keys.values():  # what is final must not depend on when it was last looked at
            key.advance(self.toggles, self._memories, self.rules, self.weights)
        effect = self.toggles.add(event.timestamp, event.id, event.device_id, out)
        if effect is Effect.DUPLICATE:
            return Verdict.DUPLICATE
        self.dirty.update(self.keys)
        if effect is Effect.SWITCH and out:
            for name, key in self.keys.items():
                if event.timestamp < key.settled:
                    key.base.forget(event.device_id)
                    self.particles.forget(event.device_id, name)
                    self.quantum_fields.forget(event.device_id, name)
        return Verdict.ACCEPTED

    def settle(self) -> None:
        """Bring all changed keys to the form that depends on the accepted events alone."""
        for name in self.dirty:
            key = self.keys[name]
            key.advance(self.toggles, self._memories, self.rules, self.weights)
            key.base.prune(key.settled, key.watermark, self.rules)
        self.particles.settle(self.toggles)
        self.quantum_fields.settle(self.toggles)

    def encode(self, position: int) -> bytes:
        """The record of this shard at ``position``; ``settle`` first."""
        self.position = position
        return _encode(
            ShardRecord(
                self.rules.version, self.partition, self.number, self.shards, position, self.toggles.ordered,
                self.particles.places, self.quantum_fields.places,
                {name: key.record() for name, key in self.keys.items()},
            )
        )  # fmt: skip

    def live(self, name: str) -> State:
        """One key's state with all accepted events; ``settle`` first."""
        return self.keys[name].live(self.toggles, self.rules, self.weights)

    def remembered(self, event_types: tuple[str, ...]) -> list[Remembered]:
        """The newest places of a memory with those of the events that are not final yet; ``settle`` first."""
        memory = self._memories[event_types[0]]
        recent = [
            remember(entry[5])
            for key in self.keys.values()
            for entry in key.tail
            if entry[5].type in event_types and not (self.toggles.devices and left_out(self.toggles, entry[5]))
        ]
        merged = Memory(memory.capacity, newest([*memory.places, *recent], memory.capacity))
        merged.settle(self.toggles)
        return merged.places

    @property
    def watermark(self) -> int:
        """Highest accepted timestamp of all keys (ms); -1 for none."""
        return max((key.watermark for key in self.keys.values()), default=-1)


def check_version(value: bytes, rules: Rules) -> None:
    """Raises FoldVersionError when another fold wrote a record."""
    head = _head(value)
    if head.fold_version != rules.version:
        raise FoldVersionError(
            f"shard {head.shard} was folded by version {head.fold_version}, this is {rules.version}: "
            "run `field replay` to rebuild the state with this fold",
            topic="changelog", partition=head.partition, offset=head.position,
        )  # fmt: skip


def record_position(value: bytes) -> int:
    """Position of a shard's or a partition's record, without decoding the rest."""
    return _head(value).position


def record_version(value: bytes) -> str:
    """Version of the fold that wrote a shard's or a partition's record."""
    return _head(value).fold_version


def record_shards(value: bytes) -> int:
    """How many shards the partition was divided into when the record was written."""
    return _head(value).shards


def position_record(partition: int, shards: int, position: int, rules: Rules, held: int) -> bytes:
    """The record that says how far a partition is folded, and how many of its shards have a record by then."""
    return _encode(_Position(rules.version, partition, -1, shards, position, held))


def record_held(value: bytes) -> int:
    """How many shards had a record when this position record was written."""
    return _decode_position(value).held


def _head(value: bytes) -> _Head:
    """The first fields alone: a decoder would look through all of the record, which may have hundreds of kilobytes."""
    try:
        return _decode_head(_front(value) or value)
    except msgspec.DecodeError as error:
        raise _not_ours(error) from error


def _front(value: bytes) -> bytes:
    """An array of the first fields, a short text and numbers; nothing where a record does not begin as ours do."""
    if len(value) < 2 or value[0] not in _ARRAYS or value[1] & 0xE0 != _SHORT_TEXT:
        return b""
    end = 2 + (value[1] & 0x1F)
    for _ in range(_HEAD_FIELDS - 1):
        if end >= len(value):
            return b""
        end += _NUMBERS.get(value[end], 1)
    return _HEAD_ARRAY + value[1:end]


def _record(value: bytes) -> ShardRecord:
    try:
        return _decode(value)
    except msgspec.DecodeError as error:
        raise _not_ours(error) from error


def _not_ours(error: Exception) -> FoldVersionError:
    return FoldVersionError(
        f"a record of the changelog is not of this version ({error}): run `field replay` to rebuild the state",
        topic="changelog", partition=-1,
    )  # fmt: skip
