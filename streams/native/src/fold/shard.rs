//! A shard: some routing keys of a partition, whole, in one record with one position.
//!
//! The shard is the unit of atomicity: what one event did to any table is in the same changelog record.

use super::duplicates::Verdict;
use super::held::Held;
use super::key::Memories;
use super::opts::{Effect, Toggle, Toggles};
use super::particles::Memory;
use super::rules::Rules;
use crate::event::{Event, OPT_OUT};
use crate::msgpack::Writer;

/// Keys, toggles and memories. `dirty` names the keys that changed since the last record.
pub struct Shard {
    pub position: i64,
    pub toggles: Toggles,
    pub memories: Memories,
    /// in the order in which they came
    pub keys: Vec<Held>,
    pub dirty: Vec<u32>,
    /// how many of its keys are open
    pub open: usize,
}

impl Shard {
    pub fn new(rules: &Rules) -> Shard {
        Shard {
            position: -1,
            toggles: Toggles::new(Vec::new(), rules.seed),
            memories: Memories {
                particles: Memory::new(rules.particles),
                quantum_fields: Memory::new(rules.quantum_fields),
            },
            keys: Vec::new(),
            dirty: Vec::new(),
            open: 0,
        }
    }

    /// Fold one event of one of its keys (not OPT_*).
    #[inline]
    pub fn fold(&mut self, number: u32, event: &Event, rules: &Rules) -> Verdict {
        let key = self.keys[number as usize].open(&mut self.open, rules);
        let verdict = key.accept(event, rules);
        if verdict == Verdict::Accepted {
            if !key.is_dirty {
                key.is_dirty = true;
                self.dirty.push(number);
            }
            if key.is_long() {
                key.advance(&self.toggles, &mut self.memories, rules);
            }
        }
        verdict
    }

    /// A new key; its number.
    pub fn add(&mut self, name: &str) -> u32 {
        self.keys.push(Held::new(name));
        self.open += 1;
        u32::try_from(self.keys.len() - 1).expect("more keys than numbers")
    }

    /// OPT_OUT or OPT_IN, which concerns every key: never late, and moves no watermark.
    pub fn toggle(&mut self, event: &Event, rules: &Rules) -> Verdict {
        for key in self.keys.iter_mut().filter_map(Held::opened) {
            // what is final must not depend on when it was last looked at
            key.advance(&self.toggles, &mut self.memories, rules);
        }
        let (timestamp, out) = (event.timestamp, event.kind == OPT_OUT);
        let effect = self.toggles.add(Toggle { timestamp, id: event.id, device: event.device.into(), out });
        if effect == Effect::Duplicate {
            return Verdict::Duplicate;
        }
        self.dirty = (0..self.keys.len() as u32).collect();
        self.keys.iter_mut().for_each(|held| held.mark(true));
        if effect == Effect::Switch && out {
            let mut names = Vec::new();
            for held in self.keys.iter_mut().filter(|held| timestamp < held.settled()) {
                if held.mentions(event.device) {
                    held.open(&mut self.open, rules).forget(event.device, rules);
                }
                names.push(held.name().as_bytes());
            }
            names.sort_unstable();
            let is_its = |name: &[u8]| names.binary_search(&name).is_ok();
            self.memories.particles.forget(event.device, is_its);
            self.memories.quantum_fields.forget(event.device, is_its);
        }
        Verdict::Accepted
    }

    /// Bring all changed keys to the form that depends on the accepted events alone.
    pub fn settle(&mut self, rules: &Rules) {
        for number in &self.dirty {
            if let Some(key) = self.keys[*number as usize].opened() {
                key.advance(&self.toggles, &mut self.memories, rules);
                key.prune(rules);
            }
        }
        self.memories.particles.settle(&self.toggles);
        self.memories.quantum_fields.settle(&self.toggles);
    }

    /// Nothing has changed any more.
    pub fn clear_dirty(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            self.keys[number as usize].mark(false);
        }
    }

    /// Pack its keys; those that have changed must be settled and shown.
    pub fn pack(&mut self, rules: &Rules) {
        let mut to = Writer::new();
        for held in self.keys.iter_mut().filter(|held| held.is_open()) {
            to.0.clear();
            held.write(&mut to);
            held.pack(&to.0, rules);
            self.open -= usize::from(!held.is_open());
        }
    }
}
