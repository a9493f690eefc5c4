//! The entries of an archive's block (`streams/archive/format.py`), whose events stand in one frame.

use std::ops::Range;

use crate::event::{OPT_IN, OPT_OUT};
use crate::fold::PartitionFold;
use crate::read::{read_record, TIMESTAMP_MS_MAX};
use crate::rows::{Limits, Rows};

/// Those of the archive's reader: what was valid once stays so.
const LIMITS: Limits = Limits { event_bytes_max: 16_384, depth_max: 100 };

/// A block as Python hands it over: the layout is that of `streams/native/fold.py`.
#[repr(C)]
pub struct Block {
    pub frame: *const u8,
    pub length: usize,
    pub offsets: *const i64,
    pub counts: *const u32,
    pub entries: usize,
    /// entries from here on are folded
    pub start: i64,
    /// entries from here on are not
    pub end: i64,
}

/// Fold the entries, (offset, events), of a range of offsets; false, and nothing folded, where an event is not plain or
/// their counts are not those of the frame.
pub fn run(
    fold: &mut PartitionFold,
    rows: &mut Rows,
    frame: &[u8],
    entries: impl Iterator<Item = (i64, u32)> + Clone,
    range: Range<i64>,
) -> bool {
    let found = if frame.is_empty() { None } else { read_record(frame, None, TIMESTAMP_MS_MAX, &LIMITS, rows) };
    let held = found.as_ref().map_or(0, |record| record.len());
    if entries.clone().map(|(_, count)| count as usize).sum::<usize>() != held
        || found.is_none() && !frame.is_empty()
        || (0..held).any(|at| found.map_or(true, |record| record.event(at).is_err()))
    {
        return false;
    }
    let mut at = 0;
    for (offset, count) in entries {
        let next = at + count as usize;
        if range.contains(&offset) && !fold.is_folded(offset) {
            for event in (at..next).filter_map(|at| found.and_then(|record| record.event(at).ok())) {
                if matches!(event.kind, OPT_IN | OPT_OUT) {
                    fold.toggle(offset, &event);
                } else {
                    fold.fold(offset, &event);
                }
            }
            fold.folded(offset);
        }
        at = next;
    }
    true
}
