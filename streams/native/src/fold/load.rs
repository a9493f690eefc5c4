//! A shard out of the value of its changelog record; see `record` for how it is written.

use std::rc::Rc;

use super::duplicates::Window;
use super::entanglements::{member, Bond, Gesture};
use super::entry::Entry;
use super::held::Held;
use super::key::Key;
use super::opts::{Toggle, Toggles};
use super::ordered::Dense;
use super::particles::Parts;
use super::resonance::{Counts, Row, Slot};
use super::rooms::{Room, Session};
use super::rules::Rules;
use super::shard::Shard;
use super::state::State;
use crate::event::{id_of, kind_of, Event, ENTANGLE, SACRED_PHRASE};
use crate::msgpack::{Bad, Reader};

/// The shard of a record and its watermark; Bad when it is of another fold or of another number of shards.
pub fn read_shard(bytes: &[u8], shards: usize, rules: &Rules) -> Result<(Shard, i64), Bad> {
    let from = &mut Reader::new(bytes);
    exactly(from.array()?, 9)?;
    let (version, _partition, _shard, found) = (from.str()?, from.int()?, from.int()?, from.int()?);
    if version != rules.version || found != shards as i64 {
        return Err(Bad("the record of another fold"));
    }
    let position = from.int()?;
    let toggles = list(from, read_toggle)?;
    let mut shard = Shard::new(rules);
    shard.position = position;
    shard.toggles = Toggles::new(toggles, rules.seed);
    for memory in [&mut shard.memories.particles, &mut shard.memories.quantum_fields] {
        for _ in 0..from.array()? {
            memory.put(&read_place(from)?);
        }
    }
    let (count, mut watermark) = (from.map()?, -1);
    shard.keys.reserve_exact(count);
    for _ in 0..count {
        let (held, reached) = Held::read(from, rules)?;
        watermark = watermark.max(reached);
        shard.open += usize::from(held.is_open());
        shard.keys.push(held);
    }
    if !from.done() {
        return Err(Bad("a record has a rest"));
    }
    Ok((shard, watermark))
}

/// One event as `streams.events.Event` is written, with all that the fold will ask of it.
pub fn read_event<'a>(from: &mut Reader<'a>) -> Result<Event<'a>, Bad> {
    let event = Event::read(from)?;
    let whole = match event.kind {
        SACRED_PHRASE => member(event.data, "phrase", Reader::str).is_some(),
        ENTANGLE => event.target.is_some(),
        _ => true,
    };
    let named = [Some(event.device), Some(event.key), event.user, event.target];
    let is_short = named.iter().flatten().all(|name| name.len() <= 0xffff);
    let is_home = event.room.map_or(true, |room| room == event.key);
    if whole && is_short && is_home {
        Ok(event)
    } else {
        Err(Bad("an event that no check has passed"))
    }
}

/// The name of a key and its value.
pub fn read_key(from: &mut Reader, rules: &Rules) -> Result<Key, Bad> {
    let mut key = Key::new(from.str()?);
    read_value(from, &mut key, rules)?;
    Ok(key)
}

fn read_value(from: &mut Reader, key: &mut Key, rules: &Rules) -> Result<(), Bad> {
    exactly(from.array()?, 5)?;
    key.watermark = from.int()?;
    key.settled = from.int()?;
    let seed = rules.seed;
    for _ in 0..from.map()? {
        let device = key.names.add(from.str()?, seed);
        exactly(from.array()?, 3)?;
        key.windows.set(device, Window { epoch: from.int()?, high: from.int()?, seen: from.uint()? });
    }
    for _ in 0..from.array()? {
        let event = read_event(from)?;
        let device = key.names.add(event.device, seed);
        key.is_social |= event.room.is_some() || event.target.is_some();
        key.tail.push(Entry::new(&event, device, &mut key.text));
    }
    exactly(from.array()?, 4)?;
    let mut state = State::default();
    for _ in 0..from.map()? {
        let device = key.names.add(from.str()?, seed);
        state.rows.set(device, Rc::new(read_row(from)?));
    }
    exactly(from.array()?, 4)?;
    let mut session = Session::new(from.int()?, from.int()?);
    session.present = read_twos(from, key, rules)?;
    session.heard = read_twos(from, key, rules)?;
    if session.opened >= 0 {
        key.is_social = true;
        state.social().room = Room::new(session);
    }
    for _ in 0..from.map()? {
        let name = from.str()?;
        state.social().bonds.pairs.add(name.into(), read_bond(from)?, seed);
        key.is_social = true;
    }
    for _ in 0..from.map()? {
        let kind = from.str()?;
        let made = list(from, |from| read_gesture(from, key, rules))?;
        state.social().bonds.gestures.add(kind.into(), made, seed);
    }
    key.base = state;
    Ok(())
}

fn read_row(from: &mut Reader) -> Result<Row, Bad> {
    exactly(from.array()?, 5)?;
    let mut slots = Vec::new();
    for _ in 0..from.map()? {
        let slot = from.int()?;
        exactly(from.array()?, 2)?;
        if slots.last().map_or(false, |last: &Slot| last.0 >= slot) {
            return Err(Bad("slots out of order"));
        }
        slots.push((slot, from.int()?, from.int()?));
    }
    let last_seen = from.int()?;
    let mut spot = None;
    if !from.nil()? {
        exactly(from.array()?, 3)?;
        spot = Some((from.float()?, from.float()?, from.opt_float()?));
    }
    let mut breath = None;
    if !from.nil()? {
        exactly(from.array()?, 2)?;
        breath = Some((from.int()?, from.float()?));
    }
    let mut counts = Counts::default();
    for _ in 0..from.map()? {
        let kind = read_kind(from)?;
        counts.add(kind, from.uint()?);
    }
    Ok(Row { slots, last_seen, spot, breath, counts })
}

fn read_twos(from: &mut Reader, key: &mut Key, rules: &Rules) -> Result<Dense<(i64, i64)>, Bad> {
    let mut twos = Dense::default();
    for _ in 0..from.map()? {
        let device = key.names.add(from.str()?, rules.seed);
        exactly(from.array()?, 2)?;
        twos.set(device, (from.int()?, from.int()?));
    }
    Ok(twos)
}

fn read_bond(from: &mut Reader) -> Result<Bond, Bad> {
    exactly(from.array()?, 6)?;
    Ok(Bond {
        before: from.opt_int()?,
        last: from.opt_int()?,
        echoed: from.opt_int()?,
        explicit: from.opt_int()?,
        kind: from.opt_str()?.map(Rc::from),
        intensity: from.opt_int()?,
        is_touched: false,
    })
}

fn read_gesture(from: &mut Reader, key: &mut Key, rules: &Rules) -> Result<Gesture, Bad> {
    exactly(from.array()?, 5)?;
    let second = from.int()?;
    let device = key.names.add(from.str()?, rules.seed);
    Ok(Gesture { second, device, x: from.opt_float()?, y: from.float()?, z: from.float()? })
}

fn read_toggle(from: &mut Reader) -> Result<Toggle, Bad> {
    exactly(from.array()?, 4)?;
    Ok(Toggle { timestamp: from.int()?, id: read_id(from)?, device: from.str()?.into(), out: from.bool()? })
}

fn read_place<'a>(from: &mut Reader<'a>) -> Result<Parts<'a>, Bad> {
    exactly(from.array()?, 10)?;
    Ok(Parts {
        timestamp: from.int()?,
        id: read_id(from)?,
        device: from.str()?,
        key: from.str()?,
        kind: read_kind(from)?,
        intensity: small(from.int()?)?,
        spot: [from.opt_float()?, from.opt_float()?, from.opt_float()?],
        data: from.raw()?,
    })
}

fn read_id(from: &mut Reader) -> Result<[u8; 16], Bad> {
    id_of(from.str()?.as_bytes()).ok_or(Bad("an id is not a UUID in lower case"))
}

/// A kind of event; 0 of an empty place.
fn read_kind(from: &mut Reader) -> Result<u8, Bad> {
    let name = from.str()?;
    if name.is_empty() {
        return Ok(0);
    }
    kind_of(name).ok_or(Bad("an unknown kind of event"))
}

fn list<'a, T>(from: &mut Reader<'a>, mut read: impl FnMut(&mut Reader<'a>) -> Result<T, Bad>) -> Result<Vec<T>, Bad> {
    let count = from.array()?;
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(read(from)?);
    }
    Ok(found)
}

fn small(value: i64) -> Result<u32, Bad> {
    u32::try_from(value).map_err(|_| Bad("an intensity is out of range"))
}

fn exactly(found: usize, wanted: usize) -> Result<(), Bad> {
    if found == wanted {
        Ok(())
    } else {
        Err(Bad("too many or too few parts"))
    }
}
