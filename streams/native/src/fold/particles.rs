//! Memory particles and quantum fields: the most recent N by (timestamp, id), kept per shard, merged on reading.
//!
//! What a device leaves behind when it opts out is an empty place: it is never shown but still counts,
//! so that the number of shards and partitions changes nothing in the merged N.

use super::entry::Entry;
use super::opts::Toggles;
use crate::event::{id_text, KINDS};
use crate::msgpack::Writer;

/// More than this many places above the capacity are not waited for.
const SPARE: usize = 1024;
const NO_DATA: [u8; 1] = [0x80];

/// One place. An empty one has no key; its device stays, unseen: it decides the order of equal ids.
#[derive(Clone, Copy)]
struct Place {
    timestamp: i64,
    id: [u8; 16],
    spot: [Option<f64>; 3],
    /// device, key and data in the memory's text
    start: usize,
    size: u32,
    intensity: u32,
    device: u16,
    key: u16,
    kind: u8,
}

/// Where a place stands in the order of all.
type Rank<'a> = (i64, &'a [u8; 16], &'a [u8]);

/// What a place is made of.
pub struct Parts<'a> {
    pub timestamp: i64,
    pub id: [u8; 16],
    pub device: &'a str,
    pub key: &'a str,
    pub kind: u8,
    pub intensity: u32,
    pub spot: [Option<f64>; 3],
    pub data: &'a [u8],
}

impl<'a> Parts<'a> {
    /// The place that an event takes.
    pub fn of(entry: &Entry, device: &'a str, key: &'a str, text: &'a [u8]) -> Parts<'a> {
        Parts {
            timestamp: entry.timestamp,
            id: entry.id,
            device,
            key,
            kind: entry.kind,
            intensity: entry.intensity,
            spot: [entry.x(), entry.y(), entry.z()],
            data: entry.data(text),
        }
    }
}

impl Place {
    fn device<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start..][..self.device as usize]
    }

    fn key<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start + self.device as usize..][..self.key as usize]
    }

    fn data<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start..self.start + self.size as usize][self.device as usize + self.key as usize..]
    }

    fn rank<'a>(&'a self, text: &'a [u8]) -> Rank<'a> {
        (self.timestamp, &self.id, self.device(text))
    }

    /// Nobody and nothing is in it any more.
    fn empty(&mut self, text: &mut Vec<u8>) {
        let start = text.len();
        text.extend_from_within(self.start..self.start + self.device as usize);
        text.extend_from_slice(&NO_DATA);
        let size = (text.len() - start) as u32;
        *self = Place { start, size, kind: 0, intensity: 0, spot: [None; 3], key: 0, ..*self };
    }
}

/// The places of one shard whose events are final.
pub struct Memory {
    capacity: usize,
    places: Vec<Place>,
    /// the texts of all places, and of some that were
    text: Vec<u8>,
}

impl Memory {
    pub fn new(capacity: usize) -> Memory {
        Memory { capacity, places: Vec::new(), text: Vec::new() }
    }

    /// Take a place; `settle` drops what is too much, and long before the memory is full of it, so does this.
    pub fn add(&mut self, parts: &Parts) {
        self.put(parts);
        if self.places.len() > 2 * self.capacity + SPARE {
            self.newest();
        }
    }

    /// Take a place of a record.
    pub fn put(&mut self, parts: &Parts) {
        let start = self.text.len();
        for part in [parts.device.as_bytes(), parts.key.as_bytes(), parts.data] {
            self.text.extend_from_slice(part);
        }
        self.places.push(Place {
            timestamp: parts.timestamp,
            id: parts.id,
            spot: parts.spot,
            start,
            size: (self.text.len() - start) as u32,
            intensity: parts.intensity,
            device: u16::try_from(parts.device.len()).expect("a device id of at most 64 bytes"),
            key: u16::try_from(parts.key.len()).expect("a key of at most 64 bytes"),
            kind: parts.kind,
        });
    }

    /// Empty all places of a device in the keys that `is_its` says: its OPT_OUT came late.
    pub fn forget(&mut self, device: &str, is_its: impl Fn(&[u8]) -> bool) {
        for place in &mut self.places {
            if place.device(&self.text) == device.as_bytes() && is_its(place.key(&self.text)) {
                place.empty(&mut self.text);
            }
        }
    }

    /// Keep the newest N in order, and empty the places of those who opted out since.
    pub fn settle(&mut self, toggles: &Toggles) {
        self.newest();
        if toggles.is_empty() {
            return;
        }
        for place in &mut self.places {
            let device = as_text(place.device(&self.text));
            if place.kind != 0 && toggles.is_emptied(device, (place.timestamp, place.id)) {
                place.empty(&mut self.text);
            }
        }
    }

    /// As the list of `Remembered` is written.
    pub fn write(&self, to: &mut Writer) {
        to.array(self.places.len());
        for place in &self.places {
            to.array(10);
            to.int(place.timestamp);
            to.raw(b"\xd9\x24");
            to.raw(&id_text(&place.id));
            to.str(as_text(place.device(&self.text)));
            to.str(as_text(place.key(&self.text)));
            to.str(KINDS[place.kind as usize]);
            to.int(place.intensity as i64);
            place.spot.iter().for_each(|part| to.opt_float(*part));
            to.raw(place.data(&self.text));
        }
    }

    fn newest(&mut self) {
        let text = &self.text;
        self.places.sort_by(|one, other| one.rank(text).cmp(&other.rank(text)));
        let surplus = self.places.len().saturating_sub(self.capacity);
        self.places.drain(..surplus);
        self.tidy();
    }

    /// Give up the texts of places that are gone, when they are the most.
    fn tidy(&mut self) {
        let used: usize = self.places.iter().map(|place| place.size as usize).sum();
        if self.text.len() <= 2 * used + 4096 {
            return;
        }
        let mut text = Vec::with_capacity(used);
        for place in &mut self.places {
            let start = text.len();
            text.extend_from_slice(&self.text[place.start..place.start + place.size as usize]);
            place.start = start;
        }
        self.text = text;
    }
}

/// Drop what the memories of one partition can never show together: the newest N of all stay.
///
/// A place in a memory is final, so N newer ones stay newer; nothing merged ever changes by this.
pub fn drop_outranked<'a>(memories: impl Iterator<Item = &'a mut Memory>) {
    let mut memories: Vec<_> = memories.collect();
    let capacity = memories.first().map_or(0, |memory| memory.capacity);
    let ranks = memories.iter().flat_map(|memory| memory.places.iter().map(move |place| place.rank(&memory.text)));
    let mut ranks: Vec<_> = ranks.collect();
    if ranks.len() <= 2 * capacity {
        return;
    }
    let at = ranks.len() - capacity;
    let (timestamp, id, device) = *ranks.select_nth_unstable(at).1;
    let (id, device) = (*id, device.to_vec());
    for memory in &mut memories {
        let text = &memory.text;
        memory.places.retain(|place| place.rank(text) >= (timestamp, &id, &device[..]));
    }
}

fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it came as text")
}
