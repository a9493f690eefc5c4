//! A shard out of the value of its changelog record; see `record` for how it is written.

use std::rc::Rc;

use super::duplicates::Window;
use super::entanglements::{member, Bond, Gesture};
use super::entry::Entry;
use super::key::{Key, Memories};
use super::opts::{Toggle, Toggles};
use super::ordered::Dense;
use super::particles::{Memory, Parts, Place};
use super::resonance::{Counts, Row};
use super::rooms::{Room, Session};
use super::rules::{kind_of, Rules, BREATH, ENTANGLE, SACRED_PHRASE};
use super::shard::Shard;
use super::state::State;
use crate::event::Event;
use crate::msgpack::{Bad, Reader};

/// The shard of a record; Bad when it is of another fold or of another number of shards.
pub fn read_shard(bytes: &[u8], shards: usize, rules: &Rules) -> Result<Shard, Bad> {
    let from = &mut Reader::new(bytes);
    exactly(from.array()?, 9)?;
    let (version, _partition, _shard, found) = (from.str()?, from.int()?, from.int()?, from.int()?);
    if version != rules.version || found != shards as i64 {
        return Err(Bad::new("the record of another fold"));
    }
    let position = from.int()?;
    let toggles = list(from, read_toggle)?;
    let particles = list(from, read_place)?;
    let quantum_fields = list(from, read_place)?;
    let mut shard = Shard::new(rules);
    shard.position = position;
    shard.toggles = Toggles::new(toggles, rules.seed);
    shard.memories = Memories {
        particles: Memory::new(rules.particles, particles),
        quantum_fields: Memory::new(rules.quantum_fields, quantum_fields),
    };
    for _ in 0..from.map()? {
        let mut key = Key::new(from.str()?);
        read_key(from, &mut key, rules)?;
        shard.keys.push(key);
    }
    if !from.is_done() {
        return Err(Bad::new("a record has a rest"));
    }
    Ok(shard)
}

/// One event as `streams.events.Event` is written.
pub fn read_event<'a>(from: &mut Reader<'a>) -> Result<Event<'a>, Bad> {
    exactly(from.array()?, 15)?;
    let mut event = Event {
        timestamp: from.int()?,
        id: read_id(from)?,
        kind: kind_of(from.str()?)?,
        device: from.str()?,
        key: from.str()?,
        intensity: small(from.int()?)?,
        seq: from.opt_int()?,
        epoch: from.int()?,
        x: from.opt_float()?,
        y: from.opt_float()?,
        z: from.opt_float()?,
        room: from.opt_str()?,
        user: from.opt_str()?,
        target: from.opt_str()?,
        phase: 0.0,
        data: from.skip()?,
    };
    let wanted = |found: bool| if found { Ok(()) } else { Err(Bad::new("the data of an event lacks something")) };
    match event.kind {
        BREATH => {
            let phase = member(event.data, "phase", |from| from.float());
            wanted(phase.is_some())?;
            event.phase = phase.unwrap_or(0.0);
        }
        SACRED_PHRASE => wanted(member(event.data, "phrase", |from| from.str()).is_some())?,
        ENTANGLE => wanted(event.target.is_some())?,
        _ => (),
    }
    let named = [Some(event.device), Some(event.key), event.user, event.target];
    if event.room.map_or(false, |room| room != event.key) || named.iter().flatten().any(|name| name.len() > 0xffff) {
        return Err(Bad::new("an event does not belong to its key"));
    }
    Ok(event)
}

fn read_key(from: &mut Reader, key: &mut Key, rules: &Rules) -> Result<(), Bad> {
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
    key.is_social |= session.opened >= 0;
    state.room = Room::new(session);
    for _ in 0..from.map()? {
        let name = from.str()?;
        state.bonds.pairs.add(name.into(), read_bond(from)?, seed);
        key.is_social = true;
    }
    for _ in 0..from.map()? {
        let kind = from.str()?;
        let made = list(from, |from| read_gesture(from, key, rules))?;
        state.bonds.gestures.add(kind.into(), made, seed);
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
        let kind = kind_of(from.str()?)?;
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

fn read_place(from: &mut Reader) -> Result<Place, Bad> {
    exactly(from.array()?, 10)?;
    Ok(Place::new(&Parts {
        timestamp: from.int()?,
        id: read_id(from)?,
        device: from.str()?,
        key: from.str()?,
        kind: kind_of(from.str()?)?,
        intensity: small(from.int()?)?,
        spot: [from.opt_float()?, from.opt_float()?, from.opt_float()?],
        data: from.skip()?,
    }))
}

/// The bytes of an id in lower-case text with dashes.
fn read_id(from: &mut Reader) -> Result<[u8; 16], Bad> {
    let text = from.str()?.as_bytes();
    let bad = || Bad::new("an id is not a UUID in lower case");
    let mut id = [0; 16];
    if text.len() != 36 {
        return Err(bad());
    }
    let mut at = 0;
    for (number, byte) in id.iter_mut().enumerate() {
        if matches!(number, 4 | 6 | 8 | 10) {
            if text[at] != b'-' {
                return Err(bad());
            }
            at += 1;
        }
        for digit in &text[at..at + 2] {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return Err(bad()),
            };
            *byte = *byte << 4 | value;
        }
        at += 2;
    }
    Ok(id)
}

fn list<'a, T>(
    from: &mut Reader<'a>, mut read: impl FnMut(&mut Reader<'a>) -> Result<T, Bad>,
) -> Result<Vec<T>, Bad> {
    let count = from.array()?;
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(read(from)?);
    }
    Ok(found)
}

fn small(value: i64) -> Result<u32, Bad> {
    u32::try_from(value).map_err(|_| Bad::new("an intensity is out of range"))
}

fn exactly(found: usize, wanted: usize) -> Result<(), Bad> {
    if found == wanted {
        Ok(())
    } else {
        Err(Bad(format!("{} parts where {} belong", found, wanted)))
    }
}
