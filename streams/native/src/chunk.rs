//! The records of a chunk (`streams/chunks.py`), read and taken as far as they are plain.
//!
//! A record is taken here when every event of it is plain, at home in this partition and no OPT_*, and when its headers
//! say nothing that changes what it means to the taker. Before any other one the cursor stops, for Python to take it.

use crate::batch::{self, record_at, Base};
use crate::event::{OPT_IN, OPT_OUT};
use crate::fold::PartitionFold;
use crate::hash::partition_of;
use crate::read::read_record;
use crate::rows::{Limits, Record, Rows};

const END: u32 = 0;
const TURN: u32 = 1;
const ODD: u32 = 2;

/// Of the keys of a record's events.
pub type Places = [Option<usize>];

/// What the records of a chunk are taken for.
pub trait Taker {
    /// Headers that change what a record means.
    const MEANT: &'static [&'static [u8]];

    /// The place of a key that is known to be at home; one that has none is hashed.
    fn find(&self, key: &str) -> Option<usize>;

    /// When a record was received (ms).
    #[inline]
    fn received_ms(&self, record: &batch::Record) -> i64 {
        record.timestamp
    }

    /// Takes a plain record whole, with what `find` said of each key; None, and nothing taken, where Python is to look.
    fn take(&mut self, record: &batch::Record, received_ms: i64, events: &Record, places: &Places) -> Option<()>;
}

impl Taker for PartitionFold {
    /// Copies, and OPT_* that were sent to all.
    const MEANT: &'static [&'static [u8]] = &[b"received", b"source", b"fanout"];

    #[inline]
    fn find(&self, key: &str) -> Option<usize> {
        PartitionFold::find(self, key)
    }

    fn take(&mut self, record: &batch::Record, _received_ms: i64, events: &Record, places: &Places) -> Option<()> {
        if !self.is_folded(record.offset) {
            for (index, place) in places.iter().enumerate() {
                self.fold_at(*place, record.offset, &events.event(index).ok()?);
            }
            self.folded(record.offset);
        }
        Some(())
    }
}

/// How far a chunk is taken, shared with Python: the layout is that of `streams/native/cursor.py`.
#[repr(C)]
pub struct Cursor {
    pub data: *const u8,
    pub length: u64,
    base_offset: i64,
    first_ms: i64,
    /// time of all records, or -1
    appended_ms: i64,
    /// records from here on are taken
    start: i64,
    /// records from here on are not
    end: i64,
    /// byte of the next record
    at: u64,
    size: u32,
    turn: u32,
    done: u32,
    events: u32,
    records: u32,
    stop: u32,
    /// offset of the last record that was taken, or -1
    reached: i64,
}

/// What is plain here: the limits of the settings, the partition's number and how many there are.
#[derive(Default)]
pub struct Plain {
    pub limits: Limits,
    pub skew_ms: i64,
    pub partition: u32,
    pub partitions: u32,
    pub rows: Rows,
    /// of the keys of a record
    pub places: Vec<Option<usize>>,
}

/// Take on from the cursor until the chunk ends, some `turn` events are taken, or a record is odd.
pub fn run<T: Taker>(taker: &mut T, plain: &mut Plain, cursor: &mut Cursor, section: &[u8]) {
    let appended = if cursor.appended_ms >= 0 { Some(cursor.appended_ms) } else { None };
    let base = Base { offset: cursor.base_offset, timestamp: cursor.first_ms, appended };
    cursor.events = 0;
    cursor.records = 0;
    cursor.stop = END;
    while cursor.done < cursor.size {
        if cursor.events >= cursor.turn {
            cursor.stop = TURN;
            return;
        }
        let (record, next) = match record_at(section, cursor.at as usize, &base) {
            Ok(found) => found,
            Err(_) => return cursor.stop = ODD, // Python says what is wrong with it
        };
        if record.offset >= cursor.end {
            return;
        }
        if record.offset >= cursor.start {
            match take(taker, plain, &record) {
                Some(events) => cursor.events += events,
                None => return cursor.stop = ODD,
            }
            cursor.records += 1;
            cursor.reached = record.offset;
        }
        cursor.at = next as u64;
        cursor.done += 1;
    }
}

/// Take a record that is plain; how many events were in it.
fn take<T: Taker>(taker: &mut T, plain: &mut Plain, record: &batch::Record) -> Option<u32> {
    let mut content_type = None;
    for (name, value) in record.headers.all() {
        if T::MEANT.contains(&name) {
            return None;
        }
        if name == b"content-type" {
            content_type = Some(value?);
        }
    }
    let received_ms = taker.received_ms(record);
    let latest_ms = received_ms.checked_add(plain.skew_ms)?;
    let Plain { limits, partition, partitions, rows, places, .. } = plain;
    let found = read_record(record.value?, content_type, latest_ms, limits, rows)?;
    places.clear();
    for index in 0..found.len() {
        let event = found.event(index).ok()?;
        let place = taker.find(event.key);
        let is_home = place.is_some() || partition_of(event.key, *partitions) == *partition;
        if matches!(event.kind, OPT_IN | OPT_OUT) || !is_home {
            return None;
        }
        places.push(place);
    }
    taker.take(record, received_ms, &found, places)?;
    u32::try_from(found.len()).ok()
}
