//! The records of a chunk (`streams/chunks.py`), read and folded as far as they are plain.
//!
//! A record is folded here when every event of it is plain, at home in this partition and no OPT_*, and when its
//! headers say nothing about where it came from. Before any other one the cursor stops, and Python takes that record.

use crate::batch::{record_at, Base, Record};
use crate::event::{Event, OPT_IN, OPT_OUT};
use crate::fold::PartitionFold;
use crate::hash::partition_of;
use crate::read::read_record;
use crate::rows::{Limits, Rows};

const END: u32 = 0;
const TURN: u32 = 1;
const ODD: u32 = 2;
/// Headers that change what a record means: copies, and OPT_* that were sent to all.
const MEANT: [&[u8]; 3] = [b"received", b"source", b"fanout"];

/// How far a chunk is folded, shared with Python: the layout is that of `streams/native/cursor.py`.
#[repr(C)]
pub struct Cursor {
    pub data: *const u8,
    pub length: u64,
    base_offset: i64,
    first_ms: i64,
    /// time of all records, or -1
    appended_ms: i64,
    /// records from here on are folded
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
}

/// What is plain here: the limits of the settings, the partition's number and how many there are.
#[derive(Default)]
pub struct Plain {
    pub limits: Limits,
    pub skew_ms: i64,
    pub partition: u32,
    pub partitions: u32,
    pub rows: Rows,
}

/// Fold on from the cursor until the chunk ends, some `turn` events are folded, or a record is odd.
pub fn run(fold: &mut PartitionFold, plain: &mut Plain, cursor: &mut Cursor, section: &[u8]) {
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
            match take(fold, plain, &record) {
                Some(events) => cursor.events += events,
                None => return cursor.stop = ODD,
            }
            cursor.records += 1;
        }
        cursor.at = next as u64;
        cursor.done += 1;
    }
}

/// Fold a record that is plain; how many events were in it.
fn take(fold: &mut PartitionFold, plain: &mut Plain, record: &Record) -> Option<u32> {
    let mut content_type = None;
    for (name, value) in record.headers.all() {
        if MEANT.contains(&name) {
            return None;
        }
        if name == b"content-type" {
            content_type = Some(value?);
        }
    }
    let latest_ms = record.timestamp.checked_add(plain.skew_ms)?;
    let (partition, partitions) = (plain.partition, plain.partitions);
    let found = read_record(record.value?, content_type, latest_ms, &plain.limits, &mut plain.rows)?;
    for index in 0..found.len() {
        let event = found.event(index).ok()?;
        if matches!(event.kind, OPT_IN | OPT_OUT) || !is_home(fold, &event, partition, partitions) {
            return None;
        }
    }
    if !fold.is_folded(record.offset) {
        for index in 0..found.len() {
            fold.fold(record.offset, &found.event(index).ok()?);
        }
        fold.folded(record.offset);
    }
    u32::try_from(found.len()).ok()
}

/// A key that the fold knows was at home before: only a new one is hashed.
#[inline]
fn is_home(fold: &PartitionFold, event: &Event, partition: u32, partitions: u32) -> bool {
    fold.knows(event.key) || partition_of(event.key, partitions) == partition
}
