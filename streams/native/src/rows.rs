//! What one record of the log holds: events, and places where only Python knows.

use crate::data::{self, Value, Values};
use crate::event::{routing_key, Event, BREATH};
use crate::json::Span;
use crate::msgpack::Writer;

/// As many events as a record may have (`streams.validate.RECORD_EVENTS_MAX`, `streams.frame.ROWS_MAX`).
pub const ROWS_MAX: usize = 10_000;

/// What one event may be (`streams.envelope.Limits`); the skew is in `latest_ms`, which callers give.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    pub event_bytes_max: usize,
    pub depth_max: u32,
}

/// An event whose texts are places in the record and whose `data` is a place in `Rows`. Of kind 0 it is none, but an
/// element that is not plain: `device` is the place of its bytes, or empty in a frame.
#[derive(Debug, Clone, Copy, Default)]
pub struct Row {
    pub timestamp: i64,
    pub id: [u8; 16],
    pub kind: u8,
    pub intensity: u32,
    pub seq: Option<i64>,
    pub epoch: i64,
    pub x: Option<f64>,
    pub y: Option<f64>,
    pub z: Option<f64>,
    pub phase: f64,
    pub device: Span,
    pub room: Span,
    pub user: Span,
    pub target: Span,
    pub data: (usize, usize),
}

/// Room for the rows of a record, used again and again.
#[derive(Debug, Default)]
pub struct Rows {
    pub items: Vec<Row>,
    pub names: Vec<Span>,
    pub harmonics: Writer,
    data: Writer,
}

impl Rows {
    pub fn clear(&mut self) {
        self.items.clear();
        self.names.clear();
        self.data.0.clear();
    }

    /// Takes a row with its `data`.
    #[inline]
    pub fn push(&mut self, row: &mut Row, values: &Values, text: &str) {
        let start = self.data.0.len();
        data::write(row.kind, values, text, &self.harmonics, &mut self.data);
        row.data = (start, self.data.0.len());
        row.target = data::target(row.kind, values);
        if let (BREATH, Value::Real(phase)) = (row.kind, values[0]) {
            row.phase = phase;
        }
        self.items.push(*row);
    }

    /// Takes an element that is not plain.
    pub fn push_odd(&mut self, piece: Span) {
        self.items.push(Row { device: piece, ..Row::default() });
    }
}

/// A record that is plain as a whole.
#[derive(Debug, Clone, Copy)]
pub struct Record<'r> {
    text: &'r str,
    rows: &'r Rows,
}

impl<'r> Record<'r> {
    pub fn new(text: &'r str, rows: &'r Rows) -> Self {
        Record { text, rows }
    }

    /// At least 1.
    #[allow(clippy::len_without_is_empty)] // no record is empty
    pub fn len(&self) -> usize {
        self.rows.items.len()
    }

    /// The event at a place in the record, `Err` with its bytes (empty in a frame) when Python is to look.
    #[inline]
    pub fn event(&self, index: usize) -> Result<Event<'r>, &'r [u8]> {
        let text = self.text;
        let row = &self.rows.items[index];
        if row.kind == 0 {
            return Err(row.device.of(text).as_bytes());
        }
        let (device, room, target) = (row.device.of(text), row.room.given(text), row.target.given(text));
        Ok(Event {
            timestamp: row.timestamp,
            id: row.id,
            kind: row.kind,
            device,
            key: routing_key(device, room, target),
            intensity: row.intensity,
            seq: row.seq,
            epoch: row.epoch,
            x: row.x,
            y: row.y,
            z: row.z,
            room,
            user: row.user.given(text),
            target,
            phase: row.phase,
            data: &self.rows.data.0[row.data.0..row.data.1],
        })
    }
}
