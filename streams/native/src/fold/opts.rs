//! Who has left everything collective, and when: the toggles of every device, kept for ever.
//!
//! A toggle stands in the order of events by (timestamp, id, device); before events of the same timestamp and id.

use std::rc::Rc;

use super::names::Names;

/// (timestamp in ms, id).
pub type Place = (i64, [u8; 16]);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Toggle {
    pub timestamp: i64,
    pub id: [u8; 16],
    pub device: Rc<str>,
    pub out: bool,
}

/// What a delivered toggle does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Duplicate,
    Nothing,
    Switch,
}

/// OPT_OUT and OPT_IN of all devices that ever sent one.
#[derive(Default)]
pub struct Toggles {
    pub ordered: Vec<Toggle>,
    devices: Names,
    own: Vec<Vec<(Place, bool)>>,
    seed: u64,
}

impl Toggles {
    pub fn new(mut toggles: Vec<Toggle>, seed: u64) -> Toggles {
        toggles.sort();
        let mut made = Toggles { seed, ..Toggles::default() };
        for toggle in &toggles {
            made.own(&toggle.device).push(((toggle.timestamp, toggle.id), toggle.out));
        }
        made.ordered = toggles;
        made
    }

    /// Nobody ever sent one.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// Take a toggle in; says whether it is known, changes nothing, or switches the device's part.
    pub fn add(&mut self, toggle: Toggle) -> Effect {
        let place = (toggle.timestamp, toggle.id);
        let own = self.own(&toggle.device);
        let at = own.partition_point(|known| known.0 < place);
        if own.get(at).map_or(false, |known| known.0 == place) {
            return Effect::Duplicate;
        }
        let was_out = at > 0 && own[at - 1].1;
        own.insert(at, (place, toggle.out));
        let effect = if was_out == toggle.out { Effect::Nothing } else { Effect::Switch };
        let at = self.ordered.partition_point(|known| *known <= toggle);
        self.ordered.insert(at, toggle);
        effect
    }

    /// Whether the device is out when `sender`'s event of that place comes in the order.
    pub fn is_out(&self, device: &str, place: Place, sender: &str) -> bool {
        let own = match self.devices.find(device, self.seed) {
            None => return false,
            Some(number) => &self.own[number as usize],
        };
        let mut at = own.partition_point(|known| known.0 < place);
        if own.get(at).map_or(false, |known| known.0 == place) && device <= sender {
            at += 1;
        }
        at > 0 && own[at - 1].1
    }

    /// Whether the device opted out at or after a place.
    pub fn is_emptied(&self, device: &str, place: Place) -> bool {
        let number = match self.devices.find(device, self.seed) {
            None => return false,
            Some(number) => number,
        };
        let last = self.own[number as usize].iter().rev().find(|known| known.1);
        last.map_or(false, |known| place <= known.0)
    }

    /// Toggles with start <= timestamp < end (ms; None: to the last), in order.
    pub fn between(&self, start: i64, end: Option<i64>) -> &[Toggle] {
        if self.ordered.last().map_or(true, |last| last.timestamp < start) {
            return &[];
        }
        let before = |time: i64| self.ordered.partition_point(|known| known.timestamp < time);
        &self.ordered[before(start)..end.map_or(self.ordered.len(), before)]
    }

    fn own(&mut self, device: &str) -> &mut Vec<(Place, bool)> {
        let number = self.devices.add(device, self.seed) as usize;
        if number == self.own.len() {
            self.own.push(Vec::new());
        }
        &mut self.own[number]
    }
}
