//! An accepted event in the tail of its key.

use std::cmp::Ordering;

use super::names::Names;
use crate::event::{id_text, Event, KINDS, VALUES};
use crate::msgpack::Writer;

const HAS_X: u8 = 1;
const HAS_Y: u8 = 2;
const HAS_Z: u8 = 4;
const HAS_ROOM: u8 = 8;
const HAS_USER: u8 = 16;
const HAS_TARGET: u8 = 32;
const HAS_SEQ: u8 = 64;

/// What is known of it; its texts (user, target, data) stand one after the other in the key's `text`.
#[derive(Clone, Copy)]
pub struct Entry {
    pub timestamp: i64,
    pub id: [u8; 16],
    pub epoch: i64,
    seq: i64,
    spot: [f64; 3],
    /// radians
    pub phase: f64,
    /// number in the key's names
    pub device: u32,
    pub intensity: u32,
    start: u32,
    size: u32,
    user: u16,
    target: u16,
    pub kind: u8,
    has: u8,
}

impl Entry {
    /// The entry of an event; its texts go to the end of `text`.
    pub fn new(event: &Event, device: u32, text: &mut Vec<u8>) -> Entry {
        let start = text.len();
        let (user, target) = (event.user.unwrap_or(""), event.target.unwrap_or(""));
        text.extend_from_slice(user.as_bytes());
        text.extend_from_slice(target.as_bytes());
        text.extend_from_slice(event.data);
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        Entry {
            timestamp: event.timestamp,
            id: event.id,
            epoch: event.epoch,
            seq: event.seq.unwrap_or(-1),
            spot: [event.x.unwrap_or(0.0), event.y.unwrap_or(0.0), event.z.unwrap_or(0.0)],
            phase: event.phase,
            device,
            intensity: event.intensity,
            start: u32::try_from(start).expect("a tail of more than 4 GiB"),
            size: (text.len() - start) as u32,
            user: u16::try_from(user.len()).expect("a user id of at most 64 bytes"),
            target: u16::try_from(target.len()).expect("a target id of at most 64 bytes"),
            kind: event.kind,
            has: flag(event.x.is_some(), HAS_X)
                | flag(event.y.is_some(), HAS_Y)
                | flag(event.z.is_some(), HAS_Z)
                | flag(event.room.is_some(), HAS_ROOM)
                | flag(event.user.is_some(), HAS_USER)
                | flag(event.target.is_some(), HAS_TARGET)
                | flag(event.seq.is_some(), HAS_SEQ),
        }
    }

    pub fn x(&self) -> Option<f64> {
        self.part(HAS_X, 0)
    }

    pub fn y(&self) -> Option<f64> {
        self.part(HAS_Y, 1)
    }

    pub fn z(&self) -> Option<f64> {
        self.part(HAS_Z, 2)
    }

    /// Whether it happened in a room; then the key is the room.
    pub fn is_in_room(&self) -> bool {
        self.has & HAS_ROOM != 0
    }

    pub fn is_social(&self) -> bool {
        self.has & (HAS_ROOM | HAS_TARGET) != 0
    }

    /// The device that it names.
    pub fn target<'a>(&self, text: &'a [u8]) -> Option<&'a str> {
        let from = self.start as usize + self.user as usize;
        self.optional(HAS_TARGET, &text[from..from + self.target as usize])
    }

    pub fn data<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        let from = self.start as usize;
        &text[from + self.user as usize + self.target as usize..from + self.size as usize]
    }

    /// Where its texts begin.
    pub fn start(&self) -> usize {
        self.start as usize
    }

    /// So many bytes before its texts are gone.
    pub fn move_down(&mut self, count: usize) {
        self.start -= count as u32;
    }

    /// As `streams.events.Event` is written.
    pub fn write(&self, to: &mut Writer, key: &str, names: &Names, text: &[u8]) {
        let user = &text[self.start as usize..self.start as usize + self.user as usize];
        to.array(VALUES);
        to.int(self.timestamp);
        to.raw(b"\xd9\x24");
        to.raw(&id_text(&self.id));
        to.str(KINDS[self.kind as usize]);
        to.str(names.text(self.device));
        to.str(key);
        to.int(self.intensity as i64);
        to.opt_int(Some(self.seq).filter(|_| self.has & HAS_SEQ != 0));
        to.int(self.epoch);
        [self.x(), self.y(), self.z()].iter().for_each(|part| to.opt_float(*part));
        to.opt_str(if self.is_in_room() { Some(key) } else { None });
        to.opt_str(self.optional(HAS_USER, user));
        to.opt_str(self.target(text));
        to.raw(self.data(text));
    }

    fn part(&self, flag: u8, at: usize) -> Option<f64> {
        if self.has & flag != 0 {
            Some(self.spot[at])
        } else {
            None
        }
    }

    fn optional<'a>(&self, flag: u8, bytes: &'a [u8]) -> Option<&'a str> {
        if self.has & flag == 0 {
            return None;
        }
        Some(std::str::from_utf8(bytes).expect("it came as text"))
    }
}

/// The order of events: (timestamp, id, device, epoch, seq or -1).
#[inline]
pub fn order(one: &Entry, other: &Entry, names: &Names) -> Ordering {
    let times = one.timestamp.cmp(&other.timestamp);
    times.then_with(|| one.id.cmp(&other.id)).then_with(|| {
        let devices = names.text(one.device).cmp(names.text(other.device));
        devices.then((one.epoch, one.seq).cmp(&(other.epoch, other.seq)))
    })
}
