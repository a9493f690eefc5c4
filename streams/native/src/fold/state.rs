//! The state of one routing key: device rows, room, gestures and pairs, folded in the order of events.
//!
//! The fold keeps one of these for the events that are final (the base) and folds the last ten seconds on a copy
//! of it whenever somebody reads.

use std::rc::Rc;

use super::entanglements::Bonds;
use super::entry::Entry;
use super::names::Names;
use super::opts::{Toggle, Toggles};
use super::ordered::Dense;
use super::resonance::{self, Row};
use super::rooms::{Room, Session};
use super::rules::Rules;

/// Rows, room, gestures and pairs of one key.
#[derive(Default)]
pub struct State {
    /// shared with the copy that a reading makes, until one of the two changes a row
    pub rows: Dense<Rc<Row>>,
    /// none before somebody meets somebody: most keys are devices by themselves
    pub social: Option<Box<Social>>,
}

/// What is between devices.
pub struct Social {
    pub room: Room,
    pub bonds: Bonds,
}

impl Default for Social {
    fn default() -> Self {
        Social { room: Room::new(Session::new(-1, -1)), bonds: Bonds::default() }
    }
}

impl Social {
    fn copy(&self) -> Social {
        Social { room: Room::new(self.room.session.clone()), bonds: self.bonds.copy() }
    }
}

impl State {
    /// Independent: nothing closed and nothing touched yet.
    pub fn copy(&self) -> State {
        let social = self.social.as_ref().map(|social| Box::new(social.copy()));
        State { rows: self.rows.clone(), social }
    }

    /// What is between devices, made if there is none.
    pub fn social(&mut self) -> &mut Social {
        self.social.get_or_insert_with(Box::default)
    }

    /// The room, if the key may be one.
    pub fn room(&self) -> Option<&Room> {
        self.social.as_ref().map(|social| &social.room)
    }

    /// Fold events in order, with the toggles of the same stretch of time between them.
    pub fn fold(
        &mut self,
        entries: &[Entry],
        text: &[u8],
        toggles: &[Toggle],
        register: &Toggles,
        names: &Names,
        rules: &Rules,
    ) {
        let mut waiting = toggles.iter().peekable();
        for entry in entries {
            while let Some(toggle) = waiting.peek() {
                let place = (toggle.timestamp, &toggle.id, &*toggle.device);
                if place > (entry.timestamp, &entry.id, names.text(entry.device)) {
                    break;
                }
                self.toggle(toggle, names, rules);
                waiting.next();
            }
            if !is_left_out(register, entry, text, names) {
                self.hear(entry, text, names, rules);
            }
        }
        waiting.for_each(|toggle| self.toggle(toggle, names, rules));
    }

    /// The device opted out.
    pub fn forget(&mut self, device: &str, names: &Names, rules: &Rules) {
        let number = names.find(device, rules.seed);
        if let Some(number) = number {
            self.rows.remove(number);
        }
        if let Some(social) = &mut self.social {
            number.into_iter().for_each(|number| social.room.forget(number));
            social.bonds.forget(device, number, rules);
        }
    }

    /// Drop what no later event (none is before `floor_ms`) and no later reading can need.
    ///
    /// What may be dropped and come again is sorted, so that the record's bytes do not tell when this was called.
    pub fn prune(&mut self, floor_ms: i64, watermark: i64, names: &Names, rules: &Rules) {
        let oldest = resonance::oldest(watermark, rules);
        for (_, row) in self.rows.iter_mut() {
            if row.slots.iter().any(|slot| slot.0 < oldest) {
                Rc::make_mut(row).slots.retain(|slot| slot.0 >= oldest);
            }
        }
        if let Some(social) = &mut self.social {
            let session = &mut social.room.session;
            session.prune(floor_ms.min(session.last), names, rules); // its row says who was there last
            social.bonds.prune(floor_ms, rules);
        }
    }

    fn toggle(&mut self, toggle: &Toggle, names: &Names, rules: &Rules) {
        if toggle.out {
            self.forget(&toggle.device, names, rules);
        }
    }

    fn hear(&mut self, entry: &Entry, text: &[u8], names: &Names, rules: &Rules) {
        let row = self.rows.entry(entry.device, Rc::default);
        resonance::hear(Rc::make_mut(row), entry, rules);
        if !entry.is_social() {
            return;
        }
        let Social { room, bonds } = self.social();
        if !entry.is_in_room() {
            return bonds.hear(entry, text, None, names, rules);
        }
        if room.hear(entry, rules) {
            bonds.gestures.clear();
        }
        bonds.hear(entry, text, Some(room), names, rules);
    }
}

/// The event's device, or the one that it names, is out at that moment.
pub fn is_left_out(register: &Toggles, entry: &Entry, text: &[u8], names: &Names) -> bool {
    if register.is_empty() {
        return false;
    }
    let (place, sender) = ((entry.timestamp, entry.id), names.text(entry.device));
    register.is_out(sender, place, sender)
        || entry.target(text).map_or(false, |target| register.is_out(target, place, sender))
}
