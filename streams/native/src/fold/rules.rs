//! The constants of the fold, as `streams/fold/rules.py` names and explains them.

use super::names;
use crate::event::{BLOOM, BREATH, KINDS, SACRED_PHRASE, SPIRAL, TOUCH};
use crate::msgpack::{Bad, Reader};

/// How many kinds of event there are, and the kind of an empty place.
pub const COUNT: usize = KINDS.len();
/// With these no sum of a slot can leave 64 bits before 2^33 events of full intensity.
const WEIGHT_MAX: i64 = 1_000;
/// Any other rule: some 35 years in milliseconds, so that no sum of times can.
const RULE_MAX: i64 = 1 << 40;

/// All rules, and what a fold derives from them once.
pub struct Rules {
    /// code version and fingerprint, as Python says it
    pub version: String,
    pub lateness_ms: i64,
    pub slot_ms: i64,
    pub slots: i64,
    pub slot_half_life_ms: i64,
    pub rest_weight: i64,
    pub weights: [Option<i64>; COUNT],
    pub particles: usize,
    pub quantum_fields: usize,
    pub silence_ms: i64,
    pub seats: usize,
    pub breath_ms: i64,
    pub echo_distance: f64,
    pub echo_window_s: i64,
    pub sequence_window: i64,
    /// one half; read at run time, so that the compiler cannot put another function in the place of `pow`
    pub half: f64,
    /// of the tables; nothing that is seen depends on it
    pub seed: u64,
}

impl Rules {
    /// From the array `[version, *dataclasses.astuple(rules)]`; Bad when a constant is beyond what this code can count.
    pub fn read(bytes: &[u8]) -> Result<Rules, Bad> {
        let mut from = Reader::new(bytes);
        if from.array()? != 21 {
            return Err(Bad("rules are a version and 20 constants"));
        }
        let version = from.str()?.to_string();
        let [lateness_ms, slot_ms, slots, slot_half_life_ms, rest_weight] = ints(&mut from)?;
        let [breath, touch, spiral, bloom, phrase] = ints(&mut from)?;
        let [particles, quantum_fields, silence_ms, seats, breath_ms] = ints(&mut from)?;
        let echo_distance = from.float()?;
        let [echo_window_s, _half_life, _halvings, sequence_window] = ints(&mut from)?;
        let mut weights = [None; COUNT];
        let given = [(BREATH, breath), (TOUCH, touch), (SPIRAL, spiral), (BLOOM, bloom), (SACRED_PHRASE, phrase)];
        for (kind, weight) in given {
            if weight > WEIGHT_MAX {
                return Err(Bad("a weight is too large"));
            }
            weights[kind as usize] = Some(weight);
        }
        if slot_ms < 1 || slot_half_life_ms < 1 || !(1..=64).contains(&sequence_window) {
            return Err(Bad("a rule is out of range"));
        }
        Ok(Rules {
            version,
            lateness_ms,
            slot_ms,
            slots,
            slot_half_life_ms,
            rest_weight,
            weights,
            particles: particles as usize,
            quantum_fields: quantum_fields as usize,
            silence_ms,
            seats: seats as usize,
            breath_ms,
            echo_distance,
            echo_window_s,
            sequence_window,
            half: "0.5".parse().map_err(|_| Bad("no half"))?,
            seed: names::seed(),
        })
    }
}

fn ints<const N: usize>(from: &mut Reader) -> Result<[i64; N], Bad> {
    let mut found = [0; N];
    for place in &mut found {
        *place = from.int()?;
        if !(0..=RULE_MAX).contains(place) {
            return Err(Bad("a rule is out of range"));
        }
    }
    Ok(found)
}
