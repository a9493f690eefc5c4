//! Resonance: what every device contributes, in slots of ten seconds; and what it reads as at a time T.

use super::entry::Entry;
use super::rules::{Rules, COUNT};
use crate::event::BREATH;

/// (slot, sum of intensity in millionths x weight, sum of weights).
pub type Slot = (i64, i64, i64);

/// One device's part in one routing key.
#[derive(Clone)]
pub struct Row {
    /// in the order in which they came
    pub slots: Vec<Slot>,
    pub last_seen: i64,
    pub spot: Option<(f64, f64, Option<f64>)>,
    /// (ms, radians)
    pub breath: Option<(i64, f64)>,
    pub counts: Counts,
}

impl Default for Row {
    fn default() -> Self {
        Row { slots: Vec::new(), last_seen: -1, spot: None, breath: None, counts: Counts::default() }
    }
}

/// How many events of each kind, in the order in which the kinds came.
#[derive(Clone, Default)]
pub struct Counts {
    order: [u8; COUNT],
    kinds: usize,
    numbers: [u64; COUNT],
}

impl Counts {
    #[inline]
    pub fn add(&mut self, kind: u8, number: u64) {
        let known = &mut self.numbers[kind as usize];
        if *known == 0 {
            self.order[self.kinds] = kind;
            self.kinds += 1;
        }
        *known += number;
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u8, u64)> + '_ {
        self.order[..self.kinds].iter().map(move |&kind| (kind, self.numbers[kind as usize]))
    }
}

/// Fold one event into its device's row; events come in their order.
#[inline]
pub fn hear(row: &mut Row, entry: &Entry, rules: &Rules) {
    let timestamp = entry.timestamp;
    if let Some(weight) = rules.weights[entry.kind as usize] {
        add(&mut row.slots, (timestamp / rules.slot_ms, entry.intensity as i64 * weight, weight));
    }
    row.last_seen = timestamp;
    if let (Some(x), Some(y)) = (entry.x(), entry.y()) {
        row.spot = Some((x, y, entry.z()));
    }
    if entry.kind == BREATH {
        row.breath = Some((timestamp, entry.phase));
    }
    row.counts.add(entry.kind, 1);
}

/// Add one slot to others.
#[inline]
pub fn add(slots: &mut Vec<Slot>, slot: Slot) {
    let is_later = slots.last().map_or(true, |last| last.0 < slot.0); // nearly all come in order
    let known = if is_later { None } else { slots.iter_mut().rev().find(|known| known.0 == slot.0) };
    match known {
        Some(known) => {
            known.1 += slot.1;
            known.2 += slot.2;
        }
        None => slots.push(slot),
    }
}

/// The first slot that a reading at or after the watermark can still use.
pub fn oldest(watermark: i64, rules: &Rules) -> i64 {
    watermark.div_euclid(rules.slot_ms) - rules.slots + 1
}

/// Resonance 0..1 at time `at` (ms): slots decay by halves, silence returns to one half. `slots` in their order.
pub fn read(slots: impl Iterator<Item = Slot>, at: i64, rules: &Rules) -> f64 {
    let now = at.div_euclid(rules.slot_ms);
    let (mut above, mut below) = (rules.rest_weight as f64 * 0.5 * 1_000_000.0, rules.rest_weight as f64);
    for (slot, intensity, weight) in slots {
        let age = now - slot;
        if 0 <= age && age < rules.slots {
            let decay = rules.half.powf((age * rules.slot_ms) as f64 / rules.slot_half_life_ms as f64);
            above += decay * intensity as f64;
            below += decay * weight as f64;
        }
    }
    above / (below * 1_000_000.0)
}
