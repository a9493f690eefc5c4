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
#[derive(Clone)]
pub struct Place {
    pub timestamp: i64,
    pub id: [u8; 16],
    kind: u8,
    intensity: u32,
    spot: [Option<f64>; 3],
    /// device, key, data
    text: Box<[u8]>,
    device: u16,
    key: u16,
}

/// Where a place stands in the order of all.
pub type Rank<'a> = (i64, &'a [u8; 16], &'a [u8]);

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

impl Place {
    pub fn new(parts: &Parts) -> Place {
        let mut text = Vec::with_capacity(parts.device.len() + parts.key.len() + parts.data.len());
        text.extend_from_slice(parts.device.as_bytes());
        text.extend_from_slice(parts.key.as_bytes());
        text.extend_from_slice(parts.data);
        Place {
            timestamp: parts.timestamp,
            id: parts.id,
            kind: parts.kind,
            intensity: parts.intensity,
            spot: parts.spot,
            text: text.into_boxed_slice(),
            device: u16::try_from(parts.device.len()).expect("a device id of at most 64 bytes"),
            key: u16::try_from(parts.key.len()).expect("a key of at most 64 bytes"),
        }
    }

    /// The place that an event takes.
    pub fn of(entry: &Entry, device: &str, key: &str, text: &[u8]) -> Place {
        Place::new(&Parts {
            timestamp: entry.timestamp,
            id: entry.id,
            device,
            key,
            kind: entry.kind,
            intensity: entry.intensity,
            spot: [entry.x(), entry.y(), entry.z()],
            data: entry.data(text),
        })
    }

    pub fn rank(&self) -> Rank<'_> {
        (self.timestamp, &self.id, &self.text[..self.device as usize])
    }

    pub fn device(&self) -> &str {
        as_text(&self.text[..self.device as usize])
    }

    /// "" of an empty one.
    pub fn key(&self) -> &str {
        as_text(&self.text[self.device as usize..][..self.key as usize])
    }

    pub fn write(&self, to: &mut Writer) {
        to.array(10);
        to.int(self.timestamp);
        to.raw(b"\xd9\x24");
        to.raw(&id_text(&self.id));
        to.str(self.device());
        to.str(self.key());
        to.str(KINDS[self.kind as usize]);
        to.int(self.intensity as i64);
        self.spot.iter().for_each(|part| to.opt_float(*part));
        to.raw(&self.text[self.device as usize + self.key as usize..]);
    }

    /// The place with nobody and nothing in it.
    fn vacant(&self) -> Place {
        Place::new(&Parts {
            timestamp: self.timestamp,
            id: self.id,
            device: self.device(),
            key: "",
            kind: 0,
            intensity: 0,
            spot: [None; 3],
            data: &NO_DATA,
        })
    }
}

/// The places of one shard whose events are final.
pub struct Memory {
    capacity: usize,
    pub places: Vec<Place>,
}

impl Memory {
    pub fn new(capacity: usize, places: Vec<Place>) -> Memory {
        Memory { capacity, places }
    }

    /// Take a place; `settle` drops what is too much, and long before the memory is full of it, so does this.
    pub fn add(&mut self, place: Place) {
        self.places.push(place);
        if self.places.len() > 2 * self.capacity + SPARE {
            self.newest();
        }
    }

    /// Empty all places of a device in the keys that `is_its` says: its OPT_OUT came late.
    pub fn forget(&mut self, device: &str, is_its: impl Fn(&str) -> bool) {
        for place in &mut self.places {
            if place.device() == device && is_its(place.key()) {
                *place = place.vacant();
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
            if toggles.is_emptied(place.device(), (place.timestamp, place.id)) {
                *place = place.vacant();
            }
        }
    }

    fn newest(&mut self) {
        self.places.sort_by(|one, other| one.rank().cmp(&other.rank()));
        let surplus = self.places.len().saturating_sub(self.capacity);
        self.places.drain(..surplus);
    }
}

/// Drop what the memories of one partition can never show together: the newest N of all stay.
///
/// A place in a memory is final, so N newer ones stay newer; nothing merged ever changes by this.
pub fn drop_outranked<'a>(memories: impl Iterator<Item = &'a mut Memory>) {
    let mut memories: Vec<_> = memories.collect();
    let capacity = memories.first().map_or(0, |memory| memory.capacity);
    let mut ranks: Vec<_> = memories.iter().flat_map(|memory| memory.places.iter().map(Place::rank)).collect();
    if ranks.len() <= 2 * capacity {
        return;
    }
    let at = ranks.len() - capacity;
    let (timestamp, id, device) = *ranks.select_nth_unstable(at).1;
    let (id, device) = (*id, device.to_vec());
    for memory in &mut memories {
        memory.places.retain(|place| place.rank() >= (timestamp, &id, &device[..]));
    }
}

fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it came as text")
}
