//! Entanglements: who echoes whom, and who is bound on purpose.
//!
//! A pair is `low|high`, the smaller id first.

use std::rc::Rc;

use super::entry::Entry;
use super::names::Names;
use super::ordered::Texts;
use super::rooms::Room;
use super::rules::Rules;
use crate::event::{BLOOM, ENTANGLE, KINDS, RELEASE, SACRED_PHRASE, SPIRAL, TOUCH};
use crate::msgpack::{Bad, Reader};

/// Stands between the two ids of a pair; no id may contain it.
pub const SEPARATOR: char = '|';

#[derive(Clone, Copy)]
pub struct Gesture {
    pub second: i64,
    pub device: u32,
    pub x: Option<f64>,
    pub y: f64,
    pub z: f64,
}

/// One pair in one routing key; all times in seconds since the epoch.
#[derive(Clone, Default)]
pub struct Bond {
    /// second of the echo before the last
    pub before: Option<i64>,
    /// second of the last echo
    pub last: Option<i64>,
    /// first second that was the third within a minute
    pub echoed: Option<i64>,
    /// second of the ENTANGLE that still holds
    pub explicit: Option<i64>,
    pub kind: Option<Rc<str>>,
    /// millionths, while explicit
    pub intensity: Option<i64>,
    /// whether its name is in `Bonds.touched`; not kept
    pub is_touched: bool,
}

impl Bond {
    /// When the two became entangled; None when they are not.
    pub fn established(&self) -> Option<i64> {
        match (self.echoed, self.explicit) {
            (Some(echoed), Some(explicit)) => Some(echoed.min(explicit)),
            (echoed, explicit) => echoed.or(explicit),
        }
    }

    /// Not entangled at `second`, and too long without an echo to become so with those that it has.
    pub fn is_stale(&self, second: i64, rules: &Rules) -> bool {
        let horizon = second - rules.echo_window_s - rules.lateness_ms / 1000;
        self.established().is_none() && self.last.map_or(true, |last| last < horizon)
    }

    fn echo(&mut self, second: i64, rules: &Rules) {
        let recent = |then: Option<i64>| then.filter(|then| second - then <= rules.echo_window_s);
        if self.echoed.is_none() && recent(self.before).is_some() {
            self.echoed = Some(second);
        }
        // an echo too old to count is not kept, so that forgetting a stale pair leaves no trace
        self.before = recent(self.last);
        self.last = Some(second);
    }
}

/// Pairs and the gestures of the last two seconds; `touched` gathers the pairs that changed.
#[derive(Default)]
pub struct Bonds {
    pub pairs: Texts<Bond>,
    pub gestures: Texts<Vec<Gesture>>,
    touched: Vec<Rc<str>>,
    touched_max: usize,
    kind: String,
    pair: String,
}

impl Bonds {
    /// Independent bonds, nothing touched yet.
    pub fn copy(&self) -> Bonds {
        let mut pairs = self.pairs.clone();
        pairs.iter_mut().for_each(|(_, bond)| bond.is_touched = false);
        Bonds { pairs, gestures: self.gestures.clone(), ..Bonds::default() }
    }

    /// The pairs that changed, by name.
    pub fn touched(&mut self) -> &[Rc<str>] {
        self.touched.sort();
        self.touched.dedup();
        &self.touched
    }

    pub fn clear_touched(&mut self, rules: &Rules) {
        for name in std::mem::take(&mut self.touched) {
            if let Some((_, bond)) = self.pairs.get_mut(&name, rules.seed) {
                bond.is_touched = false;
            }
        }
    }

    /// Fold one event of a room, or (`room` is None) of a pair outside rooms.
    pub fn hear(&mut self, entry: &Entry, text: &[u8], room: Option<&mut Room>, names: &Names, rules: &Rules) {
        let second = entry.timestamp / 1000;
        if let Some(target) = entry.target(text) {
            let device = names.text(entry.device);
            if target == device {
                return;
            }
            match entry.kind {
                TOUCH => self.echo(device, target, second, rules),
                ENTANGLE => self.bind(device, target, second, entry.data(text), rules),
                RELEASE => self.release(device, target, rules),
                _ => (),
            }
        } else if let (Some(room), SPIRAL | BLOOM | TOUCH | SACRED_PHRASE) = (room, entry.kind) {
            self.gesture(entry, text, second, room.seated(entry.timestamp, names, rules), names, rules);
        }
    }

    /// The device opted out: its gestures and all its pairs go. `number` when it is one of the key's names.
    pub fn forget(&mut self, device: &str, number: Option<u32>, rules: &Rules) {
        if let Some(number) = number {
            self.gestures.iter_mut().for_each(|(_, made)| made.retain(|gesture| gesture.device != number));
        }
        let is_its = |name: &Rc<str>| name.split(SEPARATOR).any(|one| one == device);
        let gone: Vec<_> = self.pairs.iter().filter(|(name, _)| is_its(name)).map(|(name, _)| name.clone()).collect();
        for name in gone {
            if let Some(bond) = self.pairs.remove(&name, rules.seed) {
                self.touch(name, bond.is_touched);
            }
        }
    }

    /// Drop what no later event (none is before `floor_ms`) can still build on; sort the rest.
    pub fn prune(&mut self, floor_ms: i64, rules: &Rules) {
        let second = floor_ms.div_euclid(1000);
        let is_recent = |made: &Vec<Gesture>| made.last().map_or(false, |last| last.second >= second - 1);
        self.gestures.sort(is_recent, rules.seed);
        self.pairs.sort(|bond| !bond.is_stale(second, rules), rules.seed);
    }

    fn gesture(&mut self, entry: &Entry, text: &[u8], second: i64, seated: &[bool], names: &Names, rules: &Rules) {
        let mut kind = std::mem::take(&mut self.kind);
        kind.clear();
        kind.push_str(KINDS[entry.kind as usize]);
        if entry.kind == SACRED_PHRASE {
            kind.push(':');
            kind.push_str(data_str(entry.data(text), "phrase").expect("a phrase was checked"));
        }
        let mut made = std::mem::take(self.gestures.entry(&kind, Vec::new, rules.seed));
        if made.first().map_or(false, |first| first.second < second - 1) {
            made.retain(|gesture| gesture.second >= second - 1);
        }
        let device = entry.device;
        let own = Gesture { second, device, x: entry.x(), y: plain(entry.y()), z: plain(entry.z()) };
        if seated[device as usize] {
            for other in &made {
                let is_there = other.device != device && seated[other.device as usize];
                if is_there && is_near(other, &own, rules.echo_distance) {
                    self.echo(names.text(device), names.text(other.device), second, rules);
                }
            }
        }
        made.push(own);
        *self.gestures.entry(&kind, Vec::new, rules.seed) = made;
        self.kind = kind;
    }

    fn echo(&mut self, one: &str, other: &str, second: i64, rules: &Rules) {
        self.with_pair(one, other, |bonds, pair| {
            let fresh = match bonds.pairs.get_mut(pair, rules.seed) {
                Some((_, bond)) if bond.last == Some(second) => return,
                Some((_, bond)) => {
                    bond.echo(second, rules);
                    None
                }
                None => Some(Bond { last: Some(second), ..Bond::default() }),
            };
            bonds.store(pair, fresh, rules);
        });
    }

    fn bind(&mut self, one: &str, other: &str, second: i64, data: &[u8], rules: &Rules) {
        let kind = data_str(data, "kind").unwrap_or("bond");
        let intensity = to_millionths(data_float(data, "intensity").unwrap_or(1.0));
        self.with_pair(one, other, |bonds, pair| {
            let mut fresh = None;
            let bond = match bonds.pairs.get_mut(pair, rules.seed) {
                Some((_, bond)) => bond,
                None => fresh.insert(Bond::default()),
            };
            if bond.is_stale(second, rules) {
                *bond = Bond { is_touched: bond.is_touched, ..Bond::default() };
            }
            bond.explicit = bond.explicit.or(Some(second));
            bond.kind = Some(kind.into());
            bond.intensity = Some(intensity);
            bonds.store(pair, fresh, rules);
        });
    }

    fn release(&mut self, one: &str, other: &str, rules: &Rules) {
        self.with_pair(one, other, |bonds, pair| {
            let (name, bond) = match bonds.pairs.get_mut(pair, rules.seed) {
                Some((name, bond)) if bond.explicit.is_some() => (name.clone(), bond),
                _ => return,
            };
            let was_touched = std::mem::replace(&mut bond.is_touched, true);
            if bond.last.is_none() {
                bonds.pairs.remove(pair, rules.seed);
            } else {
                bond.explicit = None;
                bond.kind = None;
                bond.intensity = None;
            }
            bonds.touch(name, was_touched);
        });
    }

    /// Call with the pair's name, smaller id first.
    fn with_pair(&mut self, one: &str, other: &str, call: impl FnOnce(&mut Bonds, &str)) {
        let mut pair = std::mem::take(&mut self.pair);
        pair.clear();
        let (low, high) = if one < other { (one, other) } else { (other, one) };
        pair.push_str(low);
        pair.push(SEPARATOR);
        pair.push_str(high);
        call(self, &pair);
        self.pair = pair;
    }

    /// The pair has changed; `fresh` when it was not there before.
    fn store(&mut self, pair: &str, fresh: Option<Bond>, rules: &Rules) {
        let name = match fresh {
            Some(bond) => {
                let name: Rc<str> = pair.into();
                self.pairs.add(name.clone(), Bond { is_touched: true, ..bond }, rules.seed);
                name
            }
            None => match self.pairs.get_mut(pair, rules.seed) {
                Some((name, bond)) if !bond.is_touched => {
                    bond.is_touched = true;
                    name.clone()
                }
                _ => return,
            },
        };
        self.touch(name, false);
    }

    fn touch(&mut self, name: Rc<str>, is_known: bool) {
        if is_known {
            return;
        }
        if self.touched.len() > self.touched_max {
            self.touched(); // pairs that went and came again are in it twice
            self.touched_max = 2 * self.touched.len() + 64;
        }
        self.touched.push(name);
    }
}

fn plain(part: Option<f64>) -> f64 {
    part.filter(|value| *value != 0.0).unwrap_or(0.0) // minus nothing is nothing
}

fn is_near(one: &Gesture, other: &Gesture, distance: f64) -> bool {
    let (x, own_x) = match (one.x, other.x) {
        (Some(x), Some(own_x)) => (x, own_x),
        _ => return true,
    };
    let (across, up, deep) = (x - own_x, one.y - other.y, one.z - other.z);
    across * across + up * up + deep * deep <= distance * distance
}

/// 0..1 as whole millionths, round half even.
fn to_millionths(value: f64) -> i64 {
    let scaled = value * 1_000_000.0;
    let floor = scaled.floor();
    let up = scaled - floor > 0.5 || (scaled - floor == 0.5 && floor % 2.0 != 0.0);
    floor as i64 + up as i64
}

fn data_str<'a>(data: &'a [u8], name: &str) -> Option<&'a str> {
    member(data, name, |from| from.str())
}

fn data_float(data: &[u8], name: &str) -> Option<f64> {
    member(data, name, |from| from.float())
}

/// The value of a name in a map; None when there is none of that kind.
pub fn member<'a, T>(data: &'a [u8], name: &str, read: impl Fn(&mut Reader<'a>) -> Result<T, Bad>) -> Option<T> {
    let mut from = Reader::new(data);
    for _ in 0..from.map().ok()? {
        if from.str().ok()? == name {
            return read(&mut from).ok();
        }
        from.skip().ok()?;
    }
    None
}
