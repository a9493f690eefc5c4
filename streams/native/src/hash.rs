//! CRC-32 as in zlib, CRC-32C as in Kafka, MurmurHash2 as in Kafka's partitioner (`streams.table`).

const ZLIB: u32 = 0xedb8_8320;
const CASTAGNOLI: u32 = 0x82f6_3b78;
const SLICES: usize = 16;

type Tables = [[u32; 256]; SLICES];

/// `tables[n][byte]`: what a byte adds to the checksum with n more bytes after it.
const fn tables(polynomial: u32) -> Tables {
    let mut tables = [[0; 256]; SLICES];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ polynomial } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut slice = 1;
    while slice < SLICES {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[slice - 1][byte];
            tables[slice][byte] = crc >> 8 ^ tables[0][(crc & 0xff) as usize];
            byte += 1;
        }
        slice += 1;
    }
    tables
}

static ZLIB_TABLES: Tables = tables(ZLIB);
static CASTAGNOLI_TABLES: Tables = tables(CASTAGNOLI);

/// CRC-32 of `bytes`, going on from the checksum `before` of what stands before them (0 for nothing).
pub fn crc32(bytes: &[u8], before: u32) -> u32 {
    reflected(&ZLIB_TABLES, bytes, before)
}

/// CRC-32C, likewise.
pub fn crc32c(bytes: &[u8], before: u32) -> u32 {
    reflected(&CASTAGNOLI_TABLES, bytes, before)
}

fn reflected(tables: &Tables, bytes: &[u8], before: u32) -> u32 {
    let mut crc = !before;
    let mut chunks = bytes.chunks_exact(SLICES);
    for chunk in &mut chunks {
        let word = |at: usize| u32::from_le_bytes([chunk[at], chunk[at + 1], chunk[at + 2], chunk[at + 3]]);
        crc = four(tables, 12, word(0) ^ crc)
            ^ four(tables, 8, word(4))
            ^ four(tables, 4, word(8))
            ^ four(tables, 0, word(12));
    }
    for &byte in chunks.remainder() {
        crc = crc >> 8 ^ tables[0][usize::from(crc as u8 ^ byte)];
    }
    !crc
}

/// What four bytes add with `after` more bytes of their chunk after them.
#[inline]
fn four(tables: &Tables, after: usize, word: u32) -> u32 {
    let [one, two, three, four] = word.to_le_bytes();
    tables[after + 3][usize::from(one)]
        ^ tables[after + 2][usize::from(two)]
        ^ tables[after + 1][usize::from(three)]
        ^ tables[after][usize::from(four)]
}

/// Shard of a routing key within its partition.
pub fn shard_of(key: &str, shards: u32) -> u32 {
    crc32(key.as_bytes(), 0) % shards
}

/// Partition of a routing key.
pub fn partition_of(key: &str, partitions: u32) -> u32 {
    (murmur2(key.as_bytes()) & 0x7fff_ffff) % partitions
}

/// MurmurHash2, 32 bits, with Kafka's seed.
pub fn murmur2(bytes: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let mut hashed = 0x9747_b28c ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(MULTIPLIER);
        hashed = hashed.wrapping_mul(MULTIPLIER) ^ (word ^ word >> 24).wrapping_mul(MULTIPLIER);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let word = rest.iter().rev().fold(0, |sum, &byte| sum << 8 | u32::from(byte));
        hashed = (hashed ^ word).wrapping_mul(MULTIPLIER);
    }
    hashed = (hashed ^ hashed >> 13).wrapping_mul(MULTIPLIER);
    hashed ^ hashed >> 15
}
