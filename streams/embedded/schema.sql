-- Format 1 of the embedded log. Offsets start at 0 and have no gaps; times are epoch milliseconds.

-- One row a partition; their number is for the life of the file.
-- received_ms never goes back, moved_ms is when the folded position last moved, delivered the offset up to which
-- copies and dead letters have been written.
CREATE TABLE partitions (
    partition INTEGER PRIMARY KEY,
    next_offset INTEGER NOT NULL DEFAULT 0,
    received_ms INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT -1,
    moved_ms INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The log of record. headers: MessagePack [[name, bytes], ...], NULL for none.
CREATE TABLE records (
    partition INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    key BLOB,
    headers BLOB,
    value BLOB,
    PRIMARY KEY (partition, "offset")
) STRICT;

-- What the changelog is with Kafka: the newest record of each shard; shard -1 is the position of the partition.
CREATE TABLE shards (
    partition INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    position INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (partition, shard)
) STRICT;

-- Dead letters: key is the place of the original (topic/partition/offset/index), as in the topic.
CREATE TABLE rejected (
    key TEXT PRIMARY KEY,
    partition INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    value BLOB NOT NULL
) STRICT;

-- Events, accepted, duplicate, late and copied ones, of the state as it stands.
CREATE TABLE counts (
    name TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT;
