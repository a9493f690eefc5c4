//! What a device has sent already: its highest (epoch, seq) and which of the 64 numbers up to it arrived.

/// What acceptance says of one delivered event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted = 0,
    Duplicate = 1,
    Late = 2,
}

/// `seen` has bit i set when the number `high - i` was accepted.
#[derive(Clone, Copy)]
pub struct Window {
    pub epoch: i64,
    pub high: i64,
    pub seen: u64,
}

/// Verdict on (epoch, seq); changes nothing.
#[inline]
pub fn judge(window: Option<&Window>, epoch: i64, seq: i64, size: i64) -> Verdict {
    let window = match window {
        None => return Verdict::Accepted,
        Some(window) => window,
    };
    if epoch != window.epoch {
        return if epoch > window.epoch { Verdict::Accepted } else { Verdict::Late };
    }
    let behind = window.high - seq;
    if behind < 0 {
        Verdict::Accepted
    } else if behind >= size {
        Verdict::Late
    } else if window.seen >> behind & 1 == 1 {
        Verdict::Duplicate
    } else {
        Verdict::Accepted
    }
}

/// Remember an accepted (epoch, seq).
#[inline]
pub fn admit(window: &mut Window, epoch: i64, seq: i64, size: i64) {
    if epoch > window.epoch {
        *window = Window { epoch, high: seq, seen: 1 };
        return;
    }
    let ahead = seq - window.high;
    if ahead > 0 {
        window.high = seq;
        let mask = if size == 64 { u64::MAX } else { (1 << size) - 1 };
        window.seen = if ahead >= size { 1 } else { (window.seen << ahead | 1) & mask };
    } else {
        window.seen |= 1 << -ahead;
    }
}
