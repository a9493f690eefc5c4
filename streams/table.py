"""Where a routing key lives, and how the table of shards names its records.

Pure. A changelog key is ``partition/shard/writer``; ``writer`` is the group's generation and the incarnation
of the process, so a late write of a process that lost its partitions can never replace a newer one:
readers take the highest position of a shard over all writers.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Final

POSITION: Final = "position"
_KEYS_CACHED: Final = 1 << 18


@lru_cache(maxsize=_KEYS_CACHED)
def partition_of(key: str, partitions: int) -> int:
    """Partition of a routing key, as Kafka's own default partitioner says (murmur2)."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


@lru_cache(maxsize=_KEYS_CACHED)
def shard_of(key: str, shards: int) -> int:
    """Shard of a routing key within its partition."""
    return zlib.crc32(key.encode()) % shards


def record_key(partition: int, shard: int, writer: str) -> bytes:
    """Changelog key of a shard's record."""
    return f"{partition}/{shard}/{writer}".encode()


def position_key(partition: int, writer: str) -> bytes:
    """Changelog key of a partition's position record."""
    return f"{partition}/{POSITION}/{writer}".encode()


def parse_key(key: bytes) -> tuple[int, int | None, str]:
    """(partition, shard or None for the position record, writer); raises ValueError."""
    partition, shard, writer = key.decode().split("/", 2)
    return int(partition), None if shard == POSITION else int(shard), writer


def murmur2(data: bytes) -> int:
    """MurmurHash2, 32 bits, with Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2)."""
    mask, multiplier = 0xFFFFFFFF, 0x5BD1E995
    length = len(data)
    hashed = 0x9747B28C ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * multiplier & mask
        word = (word ^ word >> 24) * multiplier & mask
        hashed = (hashed * multiplier & mask) ^ word
    if whole < length:
        hashed = (hashed ^ int.from_bytes(data[whole:], "little")) * multiplier & mask
    hashed = (hashed ^ hashed >> 13) * multiplier & mask
    return hashed ^ hashed >> 15
