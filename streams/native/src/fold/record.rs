//! A shard at rest: the value of its changelog record, as `ShardRecord` in `streams/fold/shard.py` is written.

use super::entanglements::{Bonds, Gesture};
use super::key::Key;
use super::names::Names;
use super::resonance::Row;
use super::rooms::Session;
use super::rules::Rules;
use super::shard::Shard;
use crate::event::{id_text, KINDS};
use crate::msgpack::Writer;

/// A session that was never opened (-1, -1, nobody present, nobody heard), no pairs, no gestures.
const NOTHING_SOCIAL: &[u8] = &[0x94, 0xff, 0xff, 0x80, 0x80, 0x80, 0x80];

/// Where a shard belongs.
#[derive(Clone, Copy)]
pub struct Place {
    pub partition: i64,
    pub shard: i64,
    pub shards: i64,
}

/// The record of a shard at its position.
pub fn write_shard(to: &mut Writer, place: Place, shard: &Shard, rules: &Rules) {
    to.array(9);
    to.str(&rules.version);
    for number in [place.partition, place.shard, place.shards, shard.position] {
        to.int(number);
    }
    to.array(shard.toggles.ordered.len());
    for toggle in &shard.toggles.ordered {
        to.array(4);
        to.int(toggle.timestamp);
        to.raw(b"\xd9\x24");
        to.raw(&id_text(&toggle.id));
        to.str(&toggle.device);
        to.bool(toggle.out);
    }
    for memory in [&shard.memories.particles, &shard.memories.quantum_fields] {
        memory.write(to);
    }
    to.map(shard.keys.len());
    shard.keys.iter().for_each(|held| held.write(to));
}

/// The record that says how far a partition is folded; `held`: how many of its shards have a record.
pub fn write_position(to: &mut Writer, place: Place, position: i64, held: usize, rules: &Rules) {
    to.array(6);
    to.str(&rules.version);
    for number in [place.partition, place.shard, place.shards, position, held as i64] {
        to.int(number);
    }
}

/// The name of a key and its value.
pub fn write_key(to: &mut Writer, key: &Key) {
    to.str(&key.name);
    to.array(5);
    to.int(key.watermark);
    to.int(key.settled);
    to.map(key.windows.len());
    for (device, window) in key.windows.iter() {
        to.str(key.names.text(device));
        to.array(3);
        to.int(window.epoch);
        to.int(window.high);
        to.uint(window.seen);
    }
    to.array(key.tail.len());
    for entry in &key.tail {
        entry.write(to, &key.name, &key.names, &key.text);
    }
    to.array(4);
    to.map(key.base.rows.len());
    for (device, row) in key.base.rows.iter() {
        to.str(key.names.text(device));
        write_row(to, row);
    }
    match &key.base.social {
        Some(social) => {
            write_session(to, &social.room.session, &key.names);
            write_bonds(to, &social.bonds, &key.names);
        }
        None => to.raw(NOTHING_SOCIAL),
    }
}

fn write_row(to: &mut Writer, row: &Row) {
    to.array(5);
    to.map(row.slots.len());
    for (slot, intensity, weight) in &row.slots {
        to.int(*slot);
        to.array(2);
        to.int(*intensity);
        to.int(*weight);
    }
    to.int(row.last_seen);
    match row.spot {
        None => to.nil(),
        Some((x, y, z)) => {
            to.array(3);
            to.float(x);
            to.float(y);
            to.opt_float(z);
        }
    }
    match row.breath {
        None => to.nil(),
        Some((timestamp, phase)) => {
            to.array(2);
            to.int(timestamp);
            to.float(phase);
        }
    }
    let counts = row.counts.iter();
    to.map(counts.len());
    for (kind, number) in counts {
        to.str(KINDS[kind as usize]);
        to.uint(number);
    }
}

fn write_session(to: &mut Writer, session: &Session, names: &Names) {
    to.array(4);
    to.int(session.opened);
    to.int(session.last);
    for twos in [&session.present, &session.heard] {
        to.map(twos.len());
        for (device, (one, other)) in twos.iter() {
            to.str(names.text(device));
            to.array(2);
            to.int(*one);
            to.int(*other);
        }
    }
}

fn write_bonds(to: &mut Writer, bonds: &Bonds, names: &Names) {
    to.map(bonds.pairs.len());
    for (name, bond) in bonds.pairs.iter() {
        to.str(name);
        to.array(6);
        let seconds = [bond.before, bond.last, bond.echoed, bond.explicit];
        seconds.iter().for_each(|second| to.opt_int(*second));
        to.opt_str(bond.kind.as_deref());
        to.opt_int(bond.intensity);
    }
    to.map(bonds.gestures.len());
    for (kind, made) in bonds.gestures.iter() {
        to.str(kind);
        to.array(made.len());
        made.iter().for_each(|gesture| write_gesture(to, gesture, names));
    }
}

fn write_gesture(to: &mut Writer, gesture: &Gesture, names: &Names) {
    to.array(5);
    to.int(gesture.second);
    to.str(names.text(gesture.device));
    to.opt_float(gesture.x);
    to.float(gesture.y);
    to.float(gesture.z);
}
