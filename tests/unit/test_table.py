"""Routing keys to partitions, and the names of records."""

import pytest

from streams.table import murmur2, parse_key, partition_of, position_key, record_key

# figures that Kafka's own test suite expects, as unsigned 32-bit numbers
KNOWN = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("data", "signed"), KNOWN.items())
def test_murmur2_is_kafkas(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed & 0xFFFFFFFF


def test_partition_is_the_positive_hash_modulo() -> None:
    assert partition_of("foobar", 4) == (-790332482 & 0x7FFFFFFF) % 4


def test_keys_name_partition_shard_and_writer() -> None:
    assert parse_key(record_key(3, 17, "5-deadbeef")) == (3, 17, "5-deadbeef")
    assert parse_key(position_key(3, "5-deadbeef")) == (3, None, "5-deadbeef")
