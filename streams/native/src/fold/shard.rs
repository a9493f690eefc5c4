//! A shard: some routing keys of a partition, whole, in one record with one position.
//!
//! The shard is the unit of atomicity: what one event did to any table is in the same changelog record.

use super::duplicates::Verdict;
use super::key::{Key, Memories};
use super::opts::{Effect, Toggle, Toggles};
use super::particles::Memory;
use super::rules::Rules;
use super::state::State;
use crate::event::{Event, OPT_OUT};

/// Keys, toggles and memories. `dirty` names the keys that changed since the last record.
pub struct Shard {
    pub position: i64,
    pub toggles: Toggles,
    pub memories: Memories,
    /// in the order in which they came
    pub keys: Vec<Key>,
    pub dirty: Vec<u32>,
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
        }
    }

    /// Fold one event of one of its keys (not OPT_*).
    #[inline]
    pub fn fold(&mut self, number: u32, event: &Event, rules: &Rules) -> Verdict {
        let key = &mut self.keys[number as usize];
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
        self.keys.push(Key::new(name));
        u32::try_from(self.keys.len() - 1).expect("more keys than numbers")
    }

    /// OPT_OUT or OPT_IN, which concerns every key: never late, and moves no watermark.
    pub fn toggle(&mut self, event: &Event, rules: &Rules) -> Verdict {
        for key in &mut self.keys {
            // what is final must not depend on when it was last looked at
            key.advance(&self.toggles, &mut self.memories, rules);
        }
        let (timestamp, out) = (event.timestamp, event.kind == OPT_OUT);
        let effect = self.toggles.add(Toggle { timestamp, id: event.id, device: event.device.into(), out });
        if effect == Effect::Duplicate {
            return Verdict::Duplicate;
        }
        self.dirty = (0..self.keys.len() as u32).collect();
        self.keys.iter_mut().for_each(|key| key.is_dirty = true);
        if effect == Effect::Switch && out {
            let past: Vec<_> = self.keys.iter_mut().filter(|key| timestamp < key.settled).collect();
            let mut names = Vec::with_capacity(past.len());
            for key in past {
                key.forget(event.device, rules);
                names.push(key.name.as_bytes());
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
            let key = &mut self.keys[*number as usize];
            key.advance(&self.toggles, &mut self.memories, rules);
            key.prune(rules);
        }
        self.memories.particles.settle(&self.toggles);
        self.memories.quantum_fields.settle(&self.toggles);
    }

    /// One key's state with all accepted events; `settle` first.
    pub fn live(&self, number: u32, rules: &Rules) -> State {
        self.keys[number as usize].live(&self.toggles, rules)
    }

    /// Nothing has changed any more.
    pub fn clear_dirty(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            self.keys[number as usize].is_dirty = false;
        }
    }

    /// Highest accepted timestamp of all keys (ms); -1 for none.
    pub fn watermark(&self) -> i64 {
        self.keys.iter().map(|key| key.watermark).max().unwrap_or(-1)
    }
}
