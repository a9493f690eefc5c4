//! The value of a record -> its rows: a JSON object, an array of them, or a frame (`streams.validate.read_record`).
//!
//! Only what is plain is read. `None` means that Python is to look: it may still be right, or it is refused with a
//! reason that only Python can name. Nothing that Python refuses is ever read here, and what is read is equal.

use crate::data::{self, Source, NOTHING};
use crate::event::{self, Event, BLOOM, BREATH, ENTER, LEAVE, SACRED_PHRASE, SPIRAL, TOUCH};
use crate::frame;
use crate::json::{Json, ANY, KEY};
use crate::number::Number;
use crate::rows::{Limits, Record, Row, Rows, ROWS_MAX};
use crate::time;

const CONTENT_JSON: &[u8] = b"application/json";
const CONTENT_FRAME: &[u8] = b"application/vnd.field.frame";
pub const TIMESTAMP_MS_MAX: i64 = 253_402_300_799_999;
pub const MILLION: u32 = 1_000_000;

const ID: u32 = 1;
const TYPE: u32 = 2;
const DEVICE: u32 = 4;
const TIMESTAMP: u32 = 8;
const V: u32 = 16;
const NEEDED: u32 = ID | TYPE | DEVICE | TIMESTAMP | V;
const USER: u32 = 32;
const ROOM: u32 = 64;
const SEQ: u32 = 128;
const EPOCH: u32 = 256;
const INTENSITY: u32 = 512;
const POSITION: u32 = 1024;
const DATA: u32 = 2048;
/// An intensity that is not null.
const WEIGHT: u32 = 4096;

/// The rows of a record's value; `latest_ms` is the highest event time that is not yet "future", `content_type` the
/// header of that name if there is one.
pub fn read_record<'r>(
    value: &'r [u8],
    content_type: Option<&[u8]>,
    latest_ms: i64,
    limits: &Limits,
    rows: &'r mut Rows,
) -> Option<Record<'r>> {
    rows.clear();
    if value.len() > u32::MAX as usize {
        return None;
    }
    let framed = value.first() == Some(&frame::FIRST_BYTE);
    if content_type.map_or(false, |name| name != if framed { CONTENT_FRAME } else { CONTENT_JSON }) {
        return None;
    }
    if framed {
        let text = frame::read(value, latest_ms, limits, rows)?;
        return Some(Record::new(text, rows));
    }
    let text = std::str::from_utf8(value).ok()?;
    let mut json = Json { text, at: 0 };
    json.space();
    if json.peek() == b'[' {
        array(&mut json, latest_ms, limits, rows)?;
    } else if value.len() <= limits.event_bytes_max {
        object(&mut json, latest_ms, limits, rows)?;
    } else {
        return None;
    }
    if json.ends() {
        Some(Record::new(text, rows))
    } else {
        None
    }
}

/// The event of a JSON object alone.
pub fn read_json<'r>(piece: &'r [u8], latest_ms: i64, limits: &Limits, rows: &'r mut Rows) -> Option<Event<'r>> {
    if piece.first() != Some(&b'{') {
        return None;
    }
    read_record(piece, None, latest_ms, limits, rows)?.event(0).ok()
}

/// Elements one after another; an odd one costs itself only, unless the brackets of the whole do not match.
fn array(json: &mut Json, latest_ms: i64, limits: &Limits, rows: &mut Rows) -> Option<()> {
    json.at += 1;
    loop {
        json.space();
        if rows.items.len() == ROWS_MAX {
            return None;
        }
        let start = json.at;
        if !element(json, latest_ms, limits, rows) {
            json.at = start;
            let piece = json.element()?;
            if piece.length == 0 && rows.items.is_empty() && json.peek() == b']' {
                return None; // an array of nothing
            }
            rows.push_odd(piece);
        }
        json.at += 1;
        match json.text.as_bytes()[json.at - 1] {
            b',' => {}
            b']' => return Some(()),
            _ => return None,
        }
    }
}

/// Whether the next element is plain; then its row is there, and a comma or a bracket comes next.
#[inline]
fn element(json: &mut Json, latest_ms: i64, limits: &Limits, rows: &mut Rows) -> bool {
    let (start, count) = (json.at, rows.items.len());
    let plain = object(json, latest_ms, limits, rows).is_some() && json.at - start <= limits.event_bytes_max;
    json.space();
    if plain && matches!(json.peek(), b',' | b']') {
        return true;
    }
    rows.items.truncate(count);
    false
}

#[inline]
fn object(json: &mut Json, latest_ms: i64, limits: &Limits, rows: &mut Rows) -> Option<()> {
    if limits.depth_max < 1 {
        return None;
    }
    json.expect(b'{')?;
    let mut row = Row::default();
    let (mut seen, mut first) = (0, true);
    let (mut values, mut later) = (NOTHING, None);
    while let Some(key) = json.member(first)? {
        first = false;
        let before = seen;
        if key != b"data" {
            seen = field(json, key, limits, &mut row, seen)?;
            continue;
        }
        seen |= DATA;
        if before == seen {
            return None; // twice: which one counts is not for here to know
        }
        if json.null()? {
            continue;
        }
        if row.kind != 0 {
            let mut source = Source { depth_max: limits.depth_max, nulls: true, harmonics: &mut rows.harmonics };
            data::read(json, row.kind, (0, usize::MAX), &mut source, &mut values)?;
        } else {
            later = Some(json.element()?); // its form depends on the type, which is still to come
        }
    }
    if let Some(span) = later.filter(|_| row.kind != 0) {
        let mut source = Source { depth_max: limits.depth_max, nulls: true, harmonics: &mut rows.harmonics };
        let mut again = Json { text: json.text, at: span.start as usize };
        data::read(&mut again, row.kind, (0, usize::MAX), &mut source, &mut values)?;
        if again.at != (span.start + span.length) as usize {
            return None;
        }
    }
    let missing = seen & NEEDED != NEEDED
        || data::needed(row.kind) && matches!(values[0], data::Value::Absent)
        || matches!(row.kind, ENTER | LEAVE) && row.room.length == 0
        || matches!(row.kind, BREATH | SPIRAL | BLOOM | TOUCH | SACRED_PHRASE) && seen & WEIGHT == 0;
    if missing || row.timestamp > latest_ms {
        return None;
    }
    rows.push(&mut row, &values, json.text);
    Some(())
}

/// Takes the value of a key; gives `seen` with its bit.
#[inline]
fn field(json: &mut Json, key: &[u8], limits: &Limits, row: &mut Row, seen: u32) -> Option<u32> {
    let bit = match key {
        b"id" => {
            row.id = uuid(json)?;
            ID
        }
        b"type" => {
            row.kind = event::kind_of(json.run(KEY, 1, 16)?.of(json.text))?;
            TYPE
        }
        b"device_id" => {
            row.device = json.id()?;
            DEVICE
        }
        b"timestamp" => {
            row.timestamp = timestamp(json)?;
            TIMESTAMP
        }
        b"v" => {
            if json.whole()? != 1 {
                return None;
            }
            V
        }
        b"user_id" => {
            row.user = json.optional_id()?;
            USER
        }
        b"room_id" => {
            row.room = json.optional_id()?;
            ROOM
        }
        b"seq" => {
            row.seq = count(json)?;
            SEQ
        }
        b"epoch" => {
            row.epoch = count(json)?.unwrap_or(0);
            EPOCH
        }
        b"intensity" => {
            if json.null()? {
                return once(seen, INTENSITY);
            }
            row.intensity = millionths(json.real()?)?;
            return once(seen, INTENSITY).map(|seen| seen | WEIGHT);
        }
        b"position" => {
            if !json.null()? {
                let (x, y, z) = data::position(json, limits.depth_max)?;
                (row.x, row.y, row.z) = (Some(x), Some(y), z);
            }
            POSITION
        }
        _ => {
            json.ignore(key)?;
            return Some(seen);
        }
    };
    once(seen, bit)
}

#[inline]
fn once(seen: u32, bit: u32) -> Option<u32> {
    if seen & bit == 0 {
        Some(seen | bit)
    } else {
        None
    }
}

#[inline]
fn uuid(json: &mut Json) -> Option<[u8; 16]> {
    let bytes = json.text.as_bytes().get(json.at..json.at + 38)?;
    if bytes[0] != b'"' || bytes[37] != b'"' {
        return None;
    }
    json.at += 38;
    event::uuid_of(&bytes[1..37])
}

/// Whole milliseconds: a number, or RFC 3339.
#[inline]
fn timestamp(json: &mut Json) -> Option<i64> {
    if json.peek() == b'"' {
        return time::parse(json.run(ANY, 20, 96)?.of(json.text).as_bytes());
    }
    let value = match json.number()? {
        Number::Whole { negative: false, digits } => i64::try_from(digits).ok()?,
        Number::Real(value) if (0.0..=TIMESTAMP_MS_MAX as f64).contains(&value) => value as i64, // truncated
        _ => return None,
    };
    if value <= TIMESTAMP_MS_MAX {
        Some(value)
    } else {
        None
    }
}

/// 0..2^63-1, or none for null.
#[inline]
fn count(json: &mut Json) -> Option<Option<i64>> {
    if json.null()? {
        return Some(None);
    }
    let value = json.whole()?;
    if value < 0 {
        None
    } else {
        Some(Some(value))
    }
}

/// 0..1 in millionths, half to even, as Python rounds.
#[inline]
fn millionths(value: f64) -> Option<u32> {
    if !(0.0..=1.0).contains(&value) {
        return None;
    }
    let exact = value * f64::from(MILLION);
    let whole = exact as u32;
    let rest = exact - f64::from(whole);
    let up = rest > 0.5 || rest == 0.5 && whole % 2 == 1;
    Some(whole + u32::from(up))
}
