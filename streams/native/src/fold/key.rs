//! One routing key: which events are accepted, and when they become final.
//!
//! `tail` holds the accepted events of the last L before the watermark in their order; `base` is the fold of all
//! before. An event is accepted unless it is a duplicate or late; late ones are counted, not folded.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::duplicates::{admit, judge, Verdict, Window};
use super::entry::{order, Entry};
use super::names::{Names, Seeded};
use super::opts::Toggles;
use super::ordered::Dense;
use super::particles::{Memory, Parts};
use super::rules::Rules;
use super::state::{is_left_out, State};
use crate::event::{Event, BLOOM, FIELD, SACRED_PHRASE};

/// The places of one shard: memory particles and quantum fields.
pub struct Memories {
    pub particles: Memory,
    pub quantum_fields: Memory,
}

impl Memories {
    fn of(&mut self, kind: u8) -> Option<&mut Memory> {
        match kind {
            BLOOM | SACRED_PHRASE => Some(&mut self.particles),
            FIELD => Some(&mut self.quantum_fields),
            _ => None,
        }
    }
}

type Ids = HashMap<([u8; 16], u32), i64, Seeded>;

/// Acceptance, tail and base of one routing key. Times in ms.
///
/// In the order in which an event asks for them: there are many keys, and memory is slow.
#[repr(C)]
pub struct Key {
    pub watermark: i64,
    pub settled: i64,
    pub tail: Vec<Entry>,
    /// the texts of the tail
    pub text: Vec<u8>,
    threshold: usize,
    /// number of the device that the key is called after, once that is known
    own: Option<u32>,
    /// whether there can be a room or a pair: most keys are devices by themselves and have no such rows
    pub is_social: bool,
    /// changed since the last record
    pub is_dirty: bool,
    pub windows: Dense<Window>,
    /// of the devices that are in any part of it
    pub names: Names,
    ids: Option<Ids>,
    pub name: Box<str>,
    pub base: State,
}

impl Key {
    pub fn new(name: &str) -> Key {
        Key {
            name: name.into(),
            watermark: -1,
            settled: -1,
            names: Names::default(),
            windows: Dense::default(),
            tail: Vec::new(),
            text: Vec::new(),
            base: State::default(),
            is_social: false,
            is_dirty: false,
            own: None,
            ids: None,
            threshold: 64,
        }
    }

    /// Take a delivered event into the tail, or say why not.
    pub fn accept(&mut self, event: &Event, rules: &Rules) -> Verdict {
        let timestamp = event.timestamp;
        let floor = self.watermark - rules.lateness_ms;
        let mut device = self.find(event, rules);
        if let Some(seq) = event.seq {
            let window = device.and_then(|number| self.windows.get(number));
            let verdict = judge(window, event.epoch, seq, rules.sequence_window);
            if verdict != Verdict::Accepted {
                return verdict;
            }
        } else if self.last_of_id(event, device, rules) >= floor.max(0) {
            return Verdict::Duplicate;
        }
        if timestamp < floor {
            return Verdict::Late;
        }
        let device = *device.get_or_insert_with(|| self.names.add(event.device, rules.seed));
        if let Some(seq) = event.seq {
            let fresh = || Window { epoch: event.epoch, high: seq, seen: 0 };
            admit(self.windows.entry(device, fresh), event.epoch, seq, rules.sequence_window);
        }
        let entry = Entry::new(event, device, &mut self.text);
        self.insert(entry);
        if let Some(ids) = &mut self.ids {
            let last = ids.entry((event.id, device)).or_insert(-1);
            *last = timestamp.max(*last);
        }
        self.watermark = self.watermark.max(timestamp);
        self.is_social |= event.room.is_some() || event.target.is_some();
        Verdict::Accepted
    }

    /// More is in the tail than is worth to keep there.
    #[inline]
    pub fn is_long(&self) -> bool {
        self.tail.len() > self.threshold
    }

    /// Nothing in the tail is final.
    pub fn is_settled(&self, rules: &Rules) -> bool {
        self.watermark - rules.lateness_ms <= self.settled
    }

    /// Fold into the base what no later event can come before.
    pub fn advance(&mut self, register: &Toggles, memories: &mut Memories, rules: &Rules) {
        let floor = self.watermark - rules.lateness_ms;
        if floor <= self.settled {
            return;
        }
        let toggles = register.between(self.settled, Some(floor));
        let end = self.tail.partition_point(|entry| entry.timestamp < floor);
        let entries = &self.tail[..end];
        if !entries.is_empty() || !toggles.is_empty() {
            self.base.fold(entries, &self.text, toggles, register, &self.names, rules);
        }
        for entry in entries {
            if let Some(memory) = memories.of(entry.kind) {
                if !is_left_out(register, entry, &self.text, &self.names) {
                    let device = self.names.text(entry.device);
                    memory.add(&Parts::of(entry, device, &self.name, &self.text));
                }
            }
        }
        self.shed(end);
        self.settled = floor;
    }

    /// The state with all accepted events: the base and the tail. Call `advance` before.
    pub fn live(&self, register: &Toggles, rules: &Rules) -> State {
        let mut state = self.base.copy();
        let toggles = register.between(self.settled, None);
        state.fold(&self.tail, &self.text, toggles, register, &self.names, rules);
        state
    }

    /// The device opted out, before what is final.
    pub fn forget(&mut self, device: &str, rules: &Rules) {
        self.base.forget(device, &self.names, rules);
    }

    pub fn prune(&mut self, rules: &Rules) {
        if self.tail.capacity() > 4 * self.tail.len() + 8 {
            self.tail.shrink_to_fit(); // who is quiet from now on keeps what he needs
            self.text.shrink_to_fit();
        }
        self.base.prune(self.settled, self.watermark, &self.names, rules);
    }

    /// The device's number. Most keys are called after their only device: one comparison of two near texts.
    #[inline]
    fn find(&mut self, event: &Event, rules: &Rules) -> Option<u32> {
        if event.device != event.key {
            return self.names.find(event.device, rules.seed);
        }
        if self.own.is_none() {
            self.own = self.names.find(event.device, rules.seed);
        }
        self.own
    }

    fn insert(&mut self, entry: Entry) {
        let names = &self.names;
        match self.tail.last() {
            Some(last) if order(last, &entry, names) != Ordering::Less => {
                let at = self.tail.partition_point(|known| order(known, &entry, names) != Ordering::Greater);
                self.tail.insert(at, entry);
            }
            _ => {
                if self.tail.capacity() == 0 {
                    self.tail.reserve_exact(1); // many devices are seldom heard
                }
                self.tail.push(entry);
            }
        }
    }

    /// Take the first entries out of the tail; nobody asks for their texts any more.
    fn shed(&mut self, end: usize) {
        if let Some(ids) = &mut self.ids {
            for entry in &self.tail[..end] {
                if ids.get(&(entry.id, entry.device)) == Some(&entry.timestamp) {
                    ids.remove(&(entry.id, entry.device));
                }
            }
        }
        self.tail.drain(..end);
        let used = self.tail.iter().map(Entry::start).min().unwrap_or(self.text.len());
        self.text.drain(..used);
        self.tail.iter_mut().for_each(|entry| entry.move_down(used));
        self.threshold = 2 * self.tail.len() + 64;
    }

    /// Highest timestamp in the tail with this id of this device; -1 for none.
    fn last_of_id(&mut self, event: &Event, device: Option<u32>, rules: &Rules) -> i64 {
        let tail = &self.tail;
        let ids = self.ids.get_or_insert_with(|| {
            // built when the first event without seq comes: most devices number theirs
            let mut ids = Ids::with_hasher(Seeded(rules.seed));
            ids.extend(tail.iter().map(|entry| ((entry.id, entry.device), entry.timestamp)));
            ids
        });
        device.and_then(|number| ids.get(&(event.id, number)).copied()).unwrap_or(-1)
    }
}
