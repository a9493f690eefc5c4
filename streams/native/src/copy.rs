//! Plain events as rows of PostgreSQL's binary COPY: the bytes that `projections/rows.py` makes of them.

use crate::batch;
use crate::chunk::{Places, Taker};
use crate::data;
use crate::event::{Event, ENTANGLE, FIELD, SACRED_PHRASE};
use crate::fold::json;
use crate::msgpack::{Bad, Reader};
use crate::read::MILLION;
use crate::rows::Record;

/// Columns of `raw_staging`.
const COLUMNS: i16 = 17;
const NULL: i32 = -1;
/// 2000-01-01T00:00:00Z, from which PostgreSQL counts microseconds.
const EPOCH_MS: i64 = 946_684_800_000;
const POINT_WITH_SRID: u32 = 0x2000_0001;
const SRID: u32 = 4326;
const JSONB: u8 = 1;
const RECEIVED: &[u8] = b"received";
/// Digits of the milliseconds until the year 9999 (`streams.validate.RECEIVED_DIGITS_MAX`).
const RECEIVED_DIGITS_MAX: usize = 15;
/// Whole numbers up to here are floats.
const EXACT_MAX: i64 = 1 << 53;
/// Types from BREATH to SACRED_PHRASE, which have weights.
pub const WEIGHED: usize = SACRED_PHRASE as usize;

struct Place {
    received_ms: i64,
    offset: i64,
    index: i32,
}

/// Rows of one partition after one another.
pub struct Copied<'t> {
    pub partition: i32,
    /// by type, from BREATH on
    pub weights: &'t [i64; WEIGHED],
    pub to: &'t mut Vec<u8>,
}

impl Taker for Copied<'_> {
    /// Where a copy came from is nothing to its row.
    const MEANT: &'static [&'static [u8]] = &[];

    fn find(&self, _key: &str) -> Option<usize> {
        None
    }

    /// As `streams.validate.received_at`.
    fn received_ms(&self, record: &batch::Record) -> i64 {
        let digits = record.headers.last(RECEIVED).unwrap_or(b"");
        if digits.is_empty() || digits.len() > RECEIVED_DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
            return record.timestamp;
        }
        let said = digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        said.min(record.timestamp)
    }

    fn take(&mut self, record: &batch::Record, received_ms: i64, events: &Record, _places: &Places) -> Option<()> {
        let start = self.to.len();
        for index in 0..events.len() {
            let place = Place { received_ms, offset: record.offset, index: index as i32 };
            let row = events.event(index).ok().and_then(|event| self.row(&event, &place));
            if row.is_none() {
                self.to.truncate(start);
                return None;
            }
        }
        Some(())
    }
}

impl Copied<'_> {
    fn row(&mut self, event: &Event, place: &Place) -> Option<()> {
        let (timestamp, received) = (microseconds(event.timestamp)?, microseconds(place.received_ms)?);
        let weights = self.weights;
        let to = &mut *self.to;
        to.extend_from_slice(&COLUMNS.to_be_bytes());
        field(to, &event.id);
        for text in [Some(event.key), Some(event.device), event.user, event.room, Some(event.name())] {
            optional(to, text.map(str::as_bytes));
        }
        let own = json_data(event, to).ok()?;
        point(to, event.x, event.y);
        real(to, event.z);
        real(to, Some(f64::from(event.intensity) / f64::from(MILLION)));
        real(to, resonance(event, weights, own)?);
        optional(to, event.target.map(str::as_bytes));
        field(to, &timestamp.to_be_bytes());
        field(to, &received.to_be_bytes());
        field(to, &self.partition.to_be_bytes());
        field(to, &place.offset.to_be_bytes());
        field(to, &place.index.to_be_bytes());
        Some(())
    }
}

/// Intensity x weight; a FIELD has its own; none for what does not resonate. `None` where it is too large to be exact.
fn resonance(event: &Event, weights: &[i64; WEIGHED], own: Option<f64>) -> Option<Option<f64>> {
    if event.kind == FIELD {
        return Some(own);
    }
    let weight = match weights.get(usize::from(event.kind) - 1) {
        Some(&weight) => weight,
        None => return Some(None),
    };
    let product = i64::from(event.intensity).checked_mul(weight).filter(|one| one.abs() <= EXACT_MAX)?;
    Some(Some(product as f64 / f64::from(MILLION)))
}

fn microseconds(ms: i64) -> Option<i64> {
    ms.checked_sub(EPOCH_MS)?.checked_mul(1000)
}

/// `data` with its defaults written out, and the resonance that a FIELD says.
fn json_data(event: &Event, to: &mut Vec<u8>) -> Result<Option<f64>, Bad> {
    let start = to.len();
    to.extend_from_slice(&[0, 0, 0, 0, JSONB, b'{']);
    let mut reader = Reader::new(event.data);
    let mut left = reader.map()?;
    let mut next = name_of(&mut reader, left)?;
    let mut own = None;
    for name in data::names(event.kind) {
        if next == Some(name) {
            json::name(to, name);
            if event.kind == FIELD && name == "resonance" {
                own = Some(Reader::new(&reader.bytes[reader.at..]).float()?);
            }
            value(&mut reader, to)?;
            left -= 1;
            next = name_of(&mut reader, left)?;
        } else if let Some(text) = default(event.kind, name) {
            json::name(to, name);
            to.extend_from_slice(text);
        }
    }
    if left != 0 {
        return Err(Bad("a field that its type does not have"));
    }
    to.push(b'}');
    let length = (to.len() - start - 4) as i32;
    to[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(own)
}

fn name_of<'a>(reader: &mut Reader<'a>, left: usize) -> Result<Option<&'a str>, Bad> {
    if left == 0 {
        return Ok(None);
    }
    reader.str().map(Some)
}

/// What stands for a field that is absent (`streams.events`).
fn default(kind: u8, name: &str) -> Option<&'static [u8]> {
    match (kind, name) {
        (FIELD, "harmonics") => Some(b"[]"),
        (FIELD, "phase") => Some(b"0.0"),
        (ENTANGLE, "kind") => Some(b"\"bond\""),
        (ENTANGLE, "intensity") => Some(b"1.0"),
        _ => None,
    }
}

/// A value of `data` from MessagePack to JSON.
fn value(reader: &mut Reader, to: &mut Vec<u8>) -> Result<(), Bad> {
    match reader.peek()? {
        0xcb => json::real(to, reader.float()?),
        0xa0..=0xbf | 0xd9..=0xdb => json::str(to, reader.str()?),
        0x90..=0x9f | 0xdc | 0xdd => {
            to.push(b'[');
            for at in 0..reader.array()? {
                if at > 0 {
                    to.push(b',');
                }
                value(reader, to)?;
            }
            to.push(b']');
        }
        0x80..=0x8f | 0xde | 0xdf => {
            to.push(b'{');
            for _ in 0..reader.map()? {
                json::name(to, reader.str()?);
                value(reader, to)?;
            }
            to.push(b'}');
        }
        _ => json::int(to, reader.int()?),
    }
    Ok(())
}

/// A geometry in its extended binary form.
fn point(to: &mut Vec<u8>, x: Option<f64>, y: Option<f64>) {
    let (x, y) = match (x, y) {
        (Some(x), Some(y)) => (x, y),
        _ => return optional(to, None),
    };
    let mut bytes = [1; 25];
    bytes[1..5].copy_from_slice(&POINT_WITH_SRID.to_le_bytes());
    bytes[5..9].copy_from_slice(&SRID.to_le_bytes());
    bytes[9..17].copy_from_slice(&x.to_le_bytes());
    bytes[17..].copy_from_slice(&y.to_le_bytes());
    field(to, &bytes);
}

fn real(to: &mut Vec<u8>, value: Option<f64>) {
    match value {
        Some(value) => field(to, &value.to_be_bytes()),
        None => optional(to, None),
    }
}

fn optional(to: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => field(to, bytes),
        None => to.extend_from_slice(&NULL.to_be_bytes()),
    }
}

#[inline]
fn field(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
    to.extend_from_slice(bytes);
}
