//! Rooms: sessions, who is present since when, who sits, and what the session has seen.
//!
//! Nothing closes by a timer: a session is open at T when its last event is at most five minutes before T.

use super::entry::Entry;
use super::names::Names;
use super::ordered::Dense;
use super::rules::Rules;
use crate::event::{BLOOM, LEAVE, SACRED_PHRASE};

/// (joined, last heard), ms.
pub type Stay = (i64, i64);

/// The latest session of a room. `opened` is -1 before the first.
#[derive(Clone)]
pub struct Session {
    pub opened: i64,
    pub last: i64,
    pub present: Dense<Stay>,
    /// blooms and phrases of every device that was heard in this session
    pub heard: Dense<(i64, i64)>,
}

impl Session {
    pub fn new(opened: i64, last: i64) -> Session {
        Session { opened, last, present: Dense::default(), heard: Dense::default() }
    }

    pub fn is_open(&self, at: i64, rules: &Rules) -> bool {
        self.opened >= 0 && at - self.last <= rules.silence_ms
    }

    /// (joined, device) of those present at `at`, in the order in which they sit down.
    pub fn present(&self, at: i64, names: &Names, rules: &Rules) -> Vec<(i64, u32)> {
        let here = self.present.iter().filter(|(_, stay)| at - stay.1 <= rules.silence_ms);
        let mut stays: Vec<_> = here.map(|(device, stay)| (stay.0, device)).collect();
        stays.sort_by(|one, other| one.0.cmp(&other.0).then_with(|| names.text(one.1).cmp(names.text(other.1))));
        stays
    }

    /// Drop whoever no reading at `at` (ms) or after can show as present; the rest by name.
    pub fn prune(&mut self, at: i64, names: &Names, rules: &Rules) {
        let mut before: Option<u32> = None;
        let mut as_it_was = true;
        for (device, stay) in self.present.iter() {
            let in_order = before.map_or(true, |other| names.text(other) < names.text(device));
            as_it_was &= in_order && at - stay.1 <= rules.silence_ms;
            before = Some(device);
        }
        if as_it_was {
            return;
        }
        let here = self.present.iter().filter(|(_, stay)| at - stay.1 <= rules.silence_ms);
        let mut kept: Vec<_> = here.map(|(device, stay)| (device, *stay)).collect();
        kept.sort_by(|one, other| names.text(one.0).cmp(names.text(other.0)));
        self.present.fill(kept.into_iter());
    }
}

/// A session with what makes its questions quick; `closed` gathers sessions that ended while folding.
pub struct Room {
    pub session: Session,
    pub closed: Vec<Session>,
    /// by device: whether it sits
    seated: Vec<bool>,
    good_until: i64,
}

impl Room {
    pub fn new(session: Session) -> Room {
        Room { session, closed: Vec::new(), seated: Vec::new(), good_until: -1 }
    }

    /// Fold one event of the room; true when it opened a session.
    pub fn hear(&mut self, entry: &Entry, rules: &Rules) -> bool {
        let (at, device) = (entry.timestamp, entry.device);
        let alive = self.session.is_open(at, rules);
        if entry.kind == LEAVE {
            if alive {
                self.session.last = at;
                if self.session.present.remove(device).is_some() {
                    self.good_until = -1;
                }
            }
            return false;
        }
        if !alive {
            let before = std::mem::replace(&mut self.session, Session::new(at, at));
            if before.opened >= 0 {
                self.closed.push(before);
            }
            self.good_until = -1;
        }
        let session = &mut self.session;
        session.last = at;
        match session.present.get_mut(device) {
            Some(stay) if at - stay.1 <= rules.silence_ms => stay.1 = at,
            _ => {
                session.present.set(device, (at, at));
                self.good_until = -1;
            }
        }
        let tally = session.heard.entry(device, || (0, 0));
        tally.0 += (entry.kind == BLOOM) as i64;
        tally.1 += (entry.kind == SACRED_PHRASE) as i64;
        !alive
    }

    /// The device opted out.
    pub fn forget(&mut self, device: u32) {
        self.session.heard.remove(device);
        if self.session.present.remove(device).is_some() {
            self.good_until = -1;
        }
    }

    /// Who sits at `at`: the first 64 present by (joining time, device).
    pub fn seated(&mut self, at: i64, names: &Names, rules: &Rules) -> &[bool] {
        if at > self.good_until {
            let stays = self.session.present(at, names, rules);
            self.seated.clear();
            self.seated.resize(names.len(), false);
            for (_, device) in stays.iter().take(rules.seats) {
                self.seated[*device as usize] = true;
            }
            // until then nobody falls silent; whoever joins or leaves before resets it
            let heard = stays.iter().filter_map(|(_, device)| self.session.present.get(*device));
            let oldest = heard.map(|stay| stay.1).min().unwrap_or(at);
            self.good_until = oldest + rules.silence_ms;
        }
        &self.seated
    }
}

/// Length of the mean of e^(i phase) (Kuramoto's order parameter); 0 with fewer than two phases.
///
/// The same steps as Python's `cmath.rect`, `sum` and `abs` with the same C library: equal to the bit.
pub fn coherence(phases: impl Iterator<Item = f64>) -> f64 {
    let (mut real, mut imaginary, mut count) = (0.0, 0.0, 0);
    for phase in phases {
        real += phase.cos();
        imaginary += phase.sin();
        count += 1;
    }
    if count < 2 {
        return 0.0;
    }
    f64::min(1.0, real.hypot(imaginary) / count as f64)
}
