//! The values of `field.changes`: rows of a shard that changed, in one record or in several.

use super::json;
use super::record::Place;
use super::rows::{Changed, Rows};

/// Rows in one record, somebody in a room counted as one (PART_ROWS_MAX of `streams/changes.py`).
const PART_ROWS_MAX: usize = 10_000;
const NAMES: [&str; 4] = ["sessions", "pairs", "removed_sessions", "removed_pairs"];

/// What every record of a shard's changes says.
pub struct Heading<'a> {
    pub place: Place,
    pub position: i64,
    pub writer: &'a str,
    pub generation: i64,
    pub version: &'a str,
    pub full: bool,
}

/// The records, in their order.
pub fn write(heading: &Heading, changed: &Changed) -> Vec<Vec<u8>> {
    let all = [0, 1, 2, 3].map(|kind| (0, changed.rows[kind].ends.len()));
    let sizes = changed.rows.iter().flat_map(|rows| rows.ends.iter().map(|end| end.1));
    if sizes.sum::<usize>() <= PART_ROWS_MAX {
        return vec![record(heading, changed, &all, false)];
    }
    let parts = divide(changed);
    let last = parts.len() - 1;
    parts.iter().enumerate().map(|(number, part)| record(heading, changed, part, number < last)).collect()
}

/// Which rows of each kind (from, to) are in which part; a session stays whole, however many are in it.
fn divide(changed: &Changed) -> Vec<[(usize, usize); 4]> {
    let mut parts: Vec<[(usize, usize); 4]> = Vec::new();
    let mut room = 0;
    for (kind, rows) in changed.rows.iter().enumerate() {
        for (at, (_, size)) in rows.ends.iter().enumerate() {
            if *size > room || parts.is_empty() {
                parts.push([(0, 0); 4]);
                room = PART_ROWS_MAX;
            }
            let part = parts.last_mut().expect("there is one");
            if part[kind].1 == 0 {
                part[kind].0 = at;
            }
            part[kind].1 = at + 1;
            room = room.saturating_sub(*size);
        }
    }
    parts
}

fn record(heading: &Heading, changed: &Changed, part: &[(usize, usize); 4], more: bool) -> Vec<u8> {
    let mut to = b"{\"record\":\"changes\"".to_vec();
    for (name, number) in
        [("partition", heading.place.partition), ("shard", heading.place.shard), ("position", heading.position)]
    {
        json::name(&mut to, name);
        json::int(&mut to, number);
    }
    json::name(&mut to, "writer");
    json::str(&mut to, heading.writer);
    json::name(&mut to, "generation");
    json::int(&mut to, heading.generation);
    json::name(&mut to, "fold_version");
    json::str(&mut to, heading.version);
    json::name(&mut to, "full");
    json::bool(&mut to, heading.full);
    for (kind, (from, until)) in part.iter().enumerate() {
        json::name(&mut to, NAMES[kind]);
        write_rows(&mut to, &changed.rows[kind], *from, *until);
    }
    json::name(&mut to, "more");
    json::bool(&mut to, more);
    to.push(b'}');
    to
}

fn write_rows(to: &mut Vec<u8>, rows: &Rows, from: usize, until: usize) {
    to.push(b'[');
    let mut start = if from == 0 { 0 } else { rows.ends[from - 1].0 };
    for (end, _) in &rows.ends[from..until] {
        to.extend_from_slice(&rows.json[start..*end]);
        to.push(b',');
        start = *end;
    }
    if until > from {
        to.pop();
    }
    to.push(b']');
}
