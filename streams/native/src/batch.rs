//! Kafka's record batch, format 2, taken apart without copies (kafka.apache.org, "Message Format").

use crate::msgpack::Bad;

/// Bytes before the records.
pub const HEADER_BYTES: usize = 61;
const MAGIC: u8 = 2;
/// Bytes of the header that `length` does not count, and where what the checksum covers begins.
const LENGTH_FROM: usize = 12;
const CHECKED_FROM: usize = 21;
const LOG_APPEND_TIME: i16 = 8;
const TRANSACTIONAL: i16 = 16;
const CONTROL: i16 = 32;
const COMPRESSION: i16 = 7;

/// What stands before the records of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub base_offset: i64,
    /// bytes of the whole batch
    pub bytes: usize,
    pub crc: u32,
    attributes: i16,
    pub last_offset_delta: i32,
    /// ms
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub records: usize,
}

impl Header {
    /// Reads the header at the beginning of `bytes`; the batch may be longer than they are.
    pub fn read(bytes: &[u8]) -> Result<Header, Bad> {
        if bytes.len() < HEADER_BYTES {
            return Err(Bad("a batch is cut within its header"));
        }
        if bytes[16] != MAGIC {
            return Err(Bad("not a batch of format 2"));
        }
        let length = int32(bytes, 8);
        let records = int32(bytes, 57);
        if length < (HEADER_BYTES - LENGTH_FROM) as i32 || records < 0 {
            return Err(Bad("lengths of a batch that cannot be"));
        }
        Ok(Header {
            base_offset: int64(bytes, 0),
            bytes: length as usize + LENGTH_FROM,
            crc: int32(bytes, 17) as u32,
            attributes: i16::from_be_bytes([bytes[21], bytes[22]]),
            last_offset_delta: int32(bytes, 23),
            base_timestamp: int64(bytes, 27),
            max_timestamp: int64(bytes, 35),
            producer_id: int64(bytes, 43),
            records: records as usize,
        })
    }

    /// 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd
    pub fn compression(&self) -> i16 {
        self.attributes & COMPRESSION
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether the checksum of a whole batch is right.
    pub fn checks(&self, batch: &[u8]) -> bool {
        batch.get(CHECKED_FROM..self.bytes).map_or(false, |rest| crate::hash::crc32c(rest, 0) == self.crc)
    }
}

/// One record; its bytes are those of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: i64,
    /// ms: of the broker if the topic says so, else of the producer
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// What the offsets and times of a batch's records are relative to.
#[derive(Debug, Clone, Copy)]
pub struct Base {
    pub offset: i64,
    /// ms
    pub timestamp: i64,
    /// ms: the time of all of them, if the topic's times are the broker's
    pub appended: Option<i64>,
}

/// The record at byte `at` of a section, and where the next one begins.
pub fn record_at<'a>(section: &'a [u8], at: usize, base: &Base) -> Result<(Record<'a>, usize), Bad> {
    let mut cursor = Cursor { bytes: section.get(at..).unwrap_or(&[]) };
    let record = cursor.record(base)?;
    Ok((record, section.len() - cursor.bytes.len()))
}

/// The headers of a record, checked already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a> {
    pub count: usize,
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// In the order of the record.
    pub fn all(self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let mut cursor = Cursor { bytes: self.bytes };
        (0..self.count).map_while(move |_| cursor.header().ok())
    }

    /// The value of the last header of a name (Python makes a dict of them), if it has one.
    pub fn last(self, name: &[u8]) -> Option<&'a [u8]> {
        self.all().filter(|(key, _)| *key == name).last().and_then(|(_, value)| value)
    }
}

/// The records of a batch one after another; after an error there are none.
pub struct Records<'a> {
    base: Base,
    cursor: Cursor<'a>,
    left: usize,
}

impl<'a> Records<'a> {
    /// `section`: the bytes after the header, decompressed.
    pub fn new(header: Header, section: &'a [u8]) -> Self {
        let appended = if header.attributes & LOG_APPEND_TIME != 0 { Some(header.max_timestamp) } else { None };
        let base = Base { offset: header.base_offset, timestamp: header.base_timestamp, appended };
        Records { base, cursor: Cursor { bytes: section }, left: header.records }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let mut found = self.cursor.record(&self.base);
        if self.left == 0 && found.is_ok() && !self.cursor.bytes.is_empty() {
            found = Err(Bad("bytes after the last record"));
        }
        if found.is_err() {
            self.left = 0;
        }
        Some(found)
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn record(&mut self, base: &Base) -> Result<Record<'a>, Bad> {
        let length = self.length()?.ok_or(Bad("a record without a length"))?;
        let mut inner = Cursor { bytes: self.take(length)? };
        inner.take(1)?; // attributes, unused
        let (later, after) = (inner.varint()?, inner.varint()?);
        let timestamp = match base.appended {
            Some(time) => time,
            None => base.timestamp.checked_add(later).ok_or(Bad("a time beyond all"))?,
        };
        let offset = base.offset.checked_add(after).ok_or(Bad("an offset beyond all"))?;
        let (key, value) = (inner.optional()?, inner.optional()?);
        let count = inner.length()?.ok_or(Bad("no number of headers"))?;
        if count > inner.bytes.len() {
            return Err(Bad("more headers than bytes"));
        }
        let headers = Headers { count, bytes: inner.bytes };
        for _ in 0..count {
            inner.header()?;
        }
        if !inner.bytes.is_empty() {
            return Err(Bad("bytes after the last header"));
        }
        Ok(Record { offset, timestamp, key, value, headers })
    }

    fn header(&mut self) -> Result<(&'a [u8], Option<&'a [u8]>), Bad> {
        let key = self.optional()?.ok_or(Bad("a header without a name"))?;
        Ok((key, self.optional()?))
    }

    fn optional(&mut self) -> Result<Option<&'a [u8]>, Bad> {
        match self.length()? {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    /// A length; -1 stands for none.
    fn length(&mut self) -> Result<Option<usize>, Bad> {
        match self.varint()? {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| Bad("a negative length")),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Bad> {
        if length > self.bytes.len() {
            return Err(Bad("a length beyond the end"));
        }
        let (taken, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        Ok(taken)
    }

    /// A zigzag number of at most ten bytes.
    fn varint(&mut self) -> Result<i64, Bad> {
        let mut value = 0_u64;
        for shift in 0..10 {
            let byte = self.take(1)?[0];
            if shift == 9 && byte > 1 {
                return Err(Bad("a number of more than 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << (shift * 7);
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(Bad("a number without end"))
    }
}

fn int32(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn int64(bytes: &[u8], at: usize) -> i64 {
    i64::from(int32(bytes, at)) << 32 | i64::from(int32(bytes, at + 4) as u32)
}
