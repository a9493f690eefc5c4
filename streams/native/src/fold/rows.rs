//! Which session and pair rows of a shard changed since its last record, as JSON (`streams/changes.py`).
//!
//! What was shown of the events that were not final yet may have to be taken back: `Shown` remembers it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::entanglements::{Bond, SEPARATOR};
use super::json;
use super::key::Key;
use super::resonance;
use super::rooms::{coherence, Session};
use super::rules::Rules;
use super::shard::Shard;
use super::state::State;

/// Of one key: the pairs that the not yet final events touched, and the sessions shown that were not final.
#[derive(Default)]
pub struct LastShown {
    pairs: Vec<Rc<str>>,
    sessions: BTreeSet<i64>,
}

/// By routing key.
pub type Shown = BTreeMap<Box<str>, LastShown>;

/// Rows of one kind, one after the other.
#[derive(Default)]
pub struct Rows {
    pub json: Vec<u8>,
    /// (end in `json`, how many rows it counts for)
    pub ends: Vec<(usize, usize)>,
}

impl Rows {
    fn end(&mut self, size: usize) {
        self.ends.push((self.json.len(), size));
    }
}

/// Sessions, pairs, removed sessions, removed pairs.
#[derive(Default)]
pub struct Changed {
    pub rows: [Rows; 4],
}

impl Changed {
    pub fn is_empty(&self) -> bool {
        self.rows.iter().all(|rows| rows.ends.is_empty())
    }
}

/// Rows of the settled shard's changed keys (all keys when `full`); brings `shown` up to date.
pub fn changed_rows(shard: &mut Shard, shown: &mut Shown, full: bool, rules: &Rules) -> Changed {
    let mut numbers: Vec<u32> = if full { (0..shard.keys.len() as u32).collect() } else { shard.dirty.clone() };
    numbers.retain(|number| shard.keys[*number as usize].is_social());
    numbers.sort_by(|one, other| shard.keys[*one as usize].name().cmp(shard.keys[*other as usize].name()));
    let mut changed = Changed::default();
    for number in numbers {
        let mut spare = None;
        let key = shard.keys[number as usize].look(&mut spare, rules);
        let live = key.live(&shard.toggles, rules);
        changed_key(key, live, shown, full, rules, &mut changed);
    }
    changed
}

fn changed_key(key: &mut Key, mut live: State, shown: &mut Shown, full: bool, rules: &Rules, changed: &mut Changed) {
    let [sessions, pairs, gone_sessions, gone_pairs] = &mut changed.rows;
    let before = shown.remove(&key.name).unwrap_or_default();
    let (current, last) = write_sessions(sessions, key, &live, rules);
    for opened in before.sessions.iter().filter(|opened| !last.contains(opened) && !current.contains(opened)) {
        gone_sessions.json.push(b'[');
        json::str(&mut gone_sessions.json, &key.name);
        gone_sessions.json.push(b',');
        json::int(&mut gone_sessions.json, *opened);
        gone_sessions.json.push(b']');
        gone_sessions.end(1);
    }
    let bonds = &mut live.social().bonds;
    let own = bonds.touched().to_vec();
    let base = key.base.social();
    let mut touched = base.bonds.touched().to_vec();
    touched.extend(before.pairs);
    touched.extend(own.iter().cloned());
    if full {
        touched.extend(bonds.pairs.iter().map(|(name, _)| name.clone()));
    }
    touched.sort();
    touched.dedup();
    for name in touched {
        let (low, high) = name.split_once(SEPARATOR).unwrap_or((&name, ""));
        match bonds.pairs.get(&name, rules.seed) {
            Some(bond) if bond.established().is_some() => write_pair(pairs, &key.name, low, high, bond),
            _ => {
                let mut start = b'[';
                for part in [&*key.name, low, high] {
                    gone_pairs.json.push(std::mem::replace(&mut start, b','));
                    json::str(&mut gone_pairs.json, part);
                }
                gone_pairs.json.push(b']');
                gone_pairs.end(1);
            }
        }
    }
    base.bonds.clear_touched(rules);
    base.room.closed.clear();
    if !own.is_empty() || !current.is_empty() {
        shown.insert(key.name.clone(), LastShown { pairs: own, sessions: current });
    }
}

/// Rows of all sessions of a key; the openings of those that are not final, and of those that are.
fn write_sessions(rows: &mut Rows, key: &Key, live: &State, rules: &Rules) -> (BTreeSet<i64>, BTreeSet<i64>) {
    let (mut current, mut last) = (BTreeSet::new(), BTreeSet::new());
    for session in key.base.room().into_iter().flat_map(|room| &room.closed) {
        last.insert(session.opened);
        write_session(rows, key, session, true, rules);
    }
    for session in live.room().into_iter().flat_map(|room| &room.closed) {
        current.insert(session.opened);
        write_session(rows, key, session, false, rules);
    }
    if let Some(session) = live.room().map(|room| &room.session).filter(|session| session.opened >= 0) {
        current.insert(session.opened);
        write_session(rows, key, session, false, rules);
        let start = rows.json.len() - NO_READING.len();
        rows.json.truncate(start);
        let (step, felt) = read(key, live, session, rules);
        json::name(&mut rows.json, "coherence");
        json::real(&mut rows.json, step);
        json::name(&mut rows.json, "resonance");
        json::real(&mut rows.json, felt);
        rows.json.push(b'}');
        let end = rows.json.len();
        rows.ends.last_mut().expect("it was just written").0 = end;
    }
    (current, last)
}

const NO_READING: &[u8] = b",\"coherence\":null,\"resonance\":null}";

fn write_session(rows: &mut Rows, key: &Key, session: &Session, is_final: bool, rules: &Rules) {
    let stays = session.present(session.last, &key.names, rules);
    let to = &mut rows.json;
    to.push(b'{');
    json::name(to, "room_id");
    json::str(to, &key.name);
    json::name(to, "opened");
    json::int(to, session.opened);
    json::name(to, "last");
    json::int(to, session.last);
    json::name(to, "final");
    json::bool(to, is_final);
    let tallies = |of: fn(&(i64, i64)) -> i64| session.heard.iter().map(|(_, tally)| of(tally)).sum();
    for (name, number) in [
        ("present", stays.len() as i64),
        ("seated", stays.len().min(rules.seats) as i64),
        ("devices", session.heard.len() as i64),
        ("blooms", tallies(|tally| tally.0)),
        ("phrases", tallies(|tally| tally.1)),
    ] {
        json::name(to, name);
        json::int(to, number);
    }
    json::name(to, "participants");
    to.push(b'[');
    for (rank, (joined, device)) in stays.iter().enumerate() {
        to.extend_from_slice(if rank == 0 { b"[" } else { b",[" });
        json::str(to, key.names.text(*device));
        to.push(b',');
        json::int(to, *joined);
        to.push(b',');
        json::bool(to, rank < rules.seats);
        to.push(b']');
    }
    to.push(b']');
    to.extend_from_slice(NO_READING);
    rows.end(1 + stays.len());
}

/// Coherence of those who sit, and resonance of all, at the key's watermark.
fn read(key: &Key, live: &State, session: &Session, rules: &Rules) -> (f64, f64) {
    let at = key.watermark;
    let stays = session.present(session.last, &key.names, rules);
    let mut seats: Vec<_> = stays.iter().take(rules.seats).map(|stay| stay.1).collect();
    seats.sort_by(|one, other| key.names.text(*one).cmp(key.names.text(*other)));
    let breaths = seats.iter().filter_map(|device| live.rows.get(*device)?.breath);
    let step = coherence(breaths.filter(|breath| at - breath.0 <= rules.breath_ms).map(|breath| breath.1));
    let mut slots: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for (_, row) in live.rows.iter() {
        for (slot, intensity, weight) in &row.slots {
            let sums = slots.entry(*slot).or_default();
            sums.0 += intensity;
            sums.1 += weight;
        }
    }
    let all = slots.into_iter().map(|(slot, (intensity, weight))| (slot, intensity, weight));
    (step, resonance::read(all, at, rules))
}

fn write_pair(rows: &mut Rows, key: &str, low: &str, high: &str, bond: &Bond) {
    let to = &mut rows.json;
    to.push(b'{');
    for (name, text) in [("routing_key", key), ("low", low), ("high", high)] {
        json::name(to, name);
        json::str(to, text);
    }
    json::name(to, "established");
    json::optional(to, bond.established(), json::int);
    json::name(to, "explicit");
    json::bool(to, bond.explicit.is_some());
    json::name(to, "kind");
    json::optional(to, bond.kind.as_deref(), json::str);
    json::name(to, "intensity");
    json::optional(to, bond.intensity, json::int);
    json::name(to, "last");
    json::optional(to, bond.last, json::int);
    to.push(b'}');
    rows.end(1);
}
