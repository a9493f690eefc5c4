//! The frame of `schema/frame.md`: the checks of `streams.frame.unpack`, then its rows as events (`streams.columns`).

use crate::data::{self, Source, Value, NOTHING};
use crate::event::{BREATH, ENTANGLE, ENTER, LEAVE, OPT_IN, RELEASE, TOUCH};
use crate::hash::crc32;
use crate::json::{is, Json, Span, ID};
use crate::read::{MILLION, TIMESTAMP_MS_MAX};
use crate::rows::{Limits, Row, Rows, ROWS_MAX};

pub const FIRST_BYTE: u8 = 0xf1;
const MAGIC: &[u8] = b"\xf1FLD";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 20;
const NAME_BYTES_MAX: usize = 256;
const NAME_MAX: usize = 64;

/// Bytes of a value by column.
const WIDTHS: [usize; 16] = [8, 16, 1, 1, 4, 4, 4, 4, 4, 8, 8, 8, 8, 8, 8, 4];
/// Bits of the columns that are never left out.
const ALWAYS: u16 = 0b1_0111;
const TIMESTAMP: usize = 0;
const UUID: usize = 1;
const TYPE: usize = 2;
const FLAGS: usize = 3;
const DEVICE: usize = 4;
const USER: usize = 5;
const ROOM: usize = 6;
const TARGET: usize = 7;
const INTENSITY: usize = 8;
const SEQ: usize = 9;
const EPOCH: usize = 10;
const X: usize = 11;
const Y: usize = 12;
const Z: usize = 13;
const PHASE: usize = 14;
const DATA_END: usize = 15;

const HAS_SEQ: u8 = 1;
const HAS_POSITION: u8 = 2;
const HAS_Z: u8 = 4;
const HAS_PHASE: u8 = 8;
const FLAGS_KNOWN: u8 = 15;

const BOUND: f64 = 1e9;
const ANGLE: f64 = 1e6;

/// The columns by their place; one that was left out is empty, and reads as zero.
struct Columns<'a>([&'a [u8]; WIDTHS.len()]);

impl Columns<'_> {
    #[inline]
    fn bytes<const N: usize>(&self, column: usize, row: usize) -> [u8; N] {
        let mut out = [0; N];
        if let Some(bytes) = self.0[column].get(row * N..row * N + N) {
            out.copy_from_slice(bytes);
        }
        out
    }

    #[inline]
    fn byte(&self, column: usize, row: usize) -> u8 {
        self.bytes::<1>(column, row)[0]
    }

    /// All codes of a column, none of one that was left out.
    fn codes(&self, column: usize) -> impl Iterator<Item = u32> + '_ {
        self.0[column].chunks_exact(4).map(|code| u32::from_le_bytes([code[0], code[1], code[2], code[3]]))
    }

    #[inline]
    fn code(&self, column: usize, row: usize) -> u32 {
        u32::from_le_bytes(self.bytes(column, row))
    }

    #[inline]
    fn whole(&self, column: usize, row: usize) -> i64 {
        i64::from_le_bytes(self.bytes(column, row))
    }

    #[inline]
    fn real(&self, column: usize, row: usize) -> f64 {
        f64::from_le_bytes(self.bytes(column, row))
    }
}

/// The columns, and the text of the dictionary and of all data.
struct Frame<'a> {
    columns: Columns<'a>,
    text: &'a str,
}

/// Fills `rows`; gives the text that their places mean, or `None` when the frame as a whole is bad or not plain.
pub fn read<'v>(value: &'v [u8], latest_ms: i64, limits: &Limits, rows: &mut Rows) -> Option<&'v str> {
    let (present, count) = header(value)?;
    let mut rest = &value[HEADER_BYTES..];
    let mut columns = Columns([&[]; WIDTHS.len()]);
    for (place, width) in WIDTHS.iter().enumerate() {
        if present >> place & 1 == 1 {
            columns.0[place] = take(&mut rest, count * width)?;
        }
    }
    let (text, data) = dictionary(rest, rows)?;
    let codes = rows.names.len() as u32; // with the one for none
    let known = |&column: &usize| columns.codes(column).all(|code| code < codes);
    if !data_ends(&columns, text.len() - data) || ![DEVICE, USER, ROOM, TARGET].iter().all(known) {
        return None;
    }
    let frame = Frame { columns, text };
    let mut start = data;
    for row in 0..count {
        let end = data + frame.columns.code(DATA_END, row) as usize;
        let late = frame.columns.whole(TIMESTAMP, row) > latest_ms;
        if late || read_row(&frame, row, (start, end), limits, rows).is_none() {
            rows.push_odd(Span::default());
        }
        start = end;
    }
    Some(text)
}

/// Which columns are there, and the number of rows, when the frame is whole and undamaged.
fn header(value: &[u8]) -> Option<(u16, usize)> {
    if value.len() < HEADER_BYTES || !value.starts_with(MAGIC) || value[4] != VERSION || value[5] != 0 {
        return None;
    }
    let number = |at: usize| u32::from_le_bytes([value[at], value[at + 1], value[at + 2], value[at + 3]]);
    let present = u16::from_le_bytes([value[6], value[7]]);
    let (rows, length, crc) = (number(8) as usize, number(12) as usize, number(16));
    let body = &value[HEADER_BYTES..];
    if length != body.len() || rows == 0 || rows > ROWS_MAX || present & ALWAYS != ALWAYS {
        return None;
    }
    if crc != crc32(body, crc32(&value[..HEADER_BYTES - 4], 0)) {
        return None;
    }
    Some((present, rows))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = (rest.get(..length)?, rest.get(length..)?);
    *rest = left;
    Some(taken)
}

/// The entries, none first, as places in the text, an empty one where an entry is no id; and where `data` begins in it.
fn dictionary<'v>(mut rest: &'v [u8], rows: &mut Rows) -> Option<(&'v str, usize)> {
    let count = take(&mut rest, 4)?;
    let count = u32::from_le_bytes([count[0], count[1], count[2], count[3]]) as usize;
    let lengths = take(&mut rest, count.checked_mul(4)?)?;
    let text = std::str::from_utf8(rest).ok()?;
    rows.names.clear();
    rows.names.push(Span::default());
    let mut start = 0;
    for length in lengths.chunks_exact(4) {
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if length > NAME_BYTES_MAX {
            return None;
        }
        let name = rest.get(start..start + length)?;
        let good = length <= NAME_MAX && name.iter().all(|&byte| is(byte, ID));
        let length_known = if good { length as u32 } else { 0 };
        rows.names.push(Span { start: start as u32, length: length_known });
        start += length;
    }
    Some((text, start))
}

/// Whether the ends of data rise, and lead to the end of the frame.
fn data_ends(columns: &Columns, bytes: usize) -> bool {
    let mut last = 0;
    for end in columns.codes(DATA_END) {
        if end < last {
            return false;
        }
        last = end;
    }
    last as usize == bytes
}

/// Takes a row as an event; `None` when anything about it needs a careful look.
#[inline]
fn read_row(frame: &Frame, at: usize, blob: (usize, usize), limits: &Limits, rows: &mut Rows) -> Option<()> {
    let columns = &frame.columns;
    let mut row = numbers(columns, at)?;
    let name = |column: usize| {
        let code = columns.code(column, at) as usize;
        let span = rows.names[code];
        let bad = code > 0 && span.length == 0;
        (!bad).then_some(span)
    };
    (row.device, row.user, row.room) = (name(DEVICE)?, name(USER)?, name(ROOM)?);
    let target = name(TARGET)?;
    if row.device.length == 0 || matches!(row.kind, ENTER | LEAVE) && row.room.length == 0 {
        return None;
    }
    let mut values = NOTHING;
    if blob.0 < blob.1 {
        let (start, end) = blob;
        let mut json = Json { text: frame.text.get(..end)?, at: start };
        json.space();
        let mut source = Source { depth_max: limits.depth_max, nulls: false, harmonics: &mut rows.harmonics };
        data::read(&mut json, row.kind, in_blob(row.kind)?, &mut source, &mut values)?;
        if end - start > limits.event_bytes_max || !json.ends() {
            return None;
        }
    }
    match row.kind {
        BREATH if columns.byte(FLAGS, at) & HAS_PHASE != 0 => values[0] = Value::Real(columns.real(PHASE, at)),
        TOUCH if target.length > 0 => values[1] = Value::Text(target),
        RELEASE | ENTANGLE if target.length > 0 => values[0] = Value::Text(target),
        _ => {}
    }
    if let (ENTANGLE, Value::Absent) = (row.kind, values[2]) {
        values[2] = Value::Real(1.0); // the default of the rest of a bond, which msgspec writes
    }
    if data::needed(row.kind) && matches!(values[0], Value::Absent) {
        return None;
    }
    rows.push(&mut row, &values, frame.text);
    Some(())
}

/// The numbers of a row when all of them are in range, those that do not count as well.
#[inline]
fn numbers(columns: &Columns, at: usize) -> Option<Row> {
    let (kind, flags) = (columns.byte(TYPE, at), columns.byte(FLAGS, at));
    let (timestamp, intensity) = (columns.whole(TIMESTAMP, at), columns.code(INTENSITY, at));
    let (seq, epoch) = (columns.whole(SEQ, at), columns.whole(EPOCH, at));
    let (x, y, z) = (columns.real(X, at), columns.real(Y, at), columns.real(Z, at));
    let good = (0..=TIMESTAMP_MS_MAX).contains(&timestamp)
        && (1..=OPT_IN).contains(&kind)
        && flags <= FLAGS_KNOWN
        && intensity <= MILLION
        && seq >= 0
        && epoch >= 0
        && x.abs() <= BOUND
        && y.abs() <= BOUND
        && z.abs() <= BOUND
        && columns.real(PHASE, at).abs() <= ANGLE;
    if !good || flags & (HAS_POSITION | HAS_Z) == HAS_Z {
        return None;
    }
    let has = |flag: u8| flags & flag != 0;
    Some(Row {
        timestamp,
        id: columns.bytes(UUID, at),
        kind,
        intensity,
        seq: has(HAS_SEQ).then_some(seq),
        epoch,
        x: has(HAS_POSITION).then_some(x),
        y: has(HAS_POSITION).then_some(y),
        z: has(HAS_Z).then_some(z),
        ..Row::default()
    })
}

/// Which fields of its `data` a type has in its blob; `None` for a type that has no blob.
fn in_blob(kind: u8) -> Option<(usize, usize)> {
    match kind {
        BREATH | ENTANGLE => Some((1, usize::MAX)),
        TOUCH => Some((0, 1)),
        kind if kind < RELEASE => Some((0, usize::MAX)),
        _ => None,
    }
}
