//! RFC 3339, as `streams.envelope.TIME_PATTERN` reads it.

const MINUTE_MS: i64 = 60_000;
const FRACTION_MAX: usize = 64;
/// Where an offset could lead out of 1970 to 9999, Python looks.
const FIRST_DAY: &[u8] = b"1970-01-01";
const LAST_DAY: &[u8] = b"9999-12-31";

/// Milliseconds since 1970, truncated; `None` when this is not plainly a moment of 1970 to 9999.
pub fn parse(text: &[u8]) -> Option<i64> {
    let fixed = text.get(..19)?;
    let separators = fixed[4] == b'-' && fixed[7] == b'-' && fixed[10] | 0x20 == b't' && fixed[13] == b':';
    if !separators || fixed[16] != b':' {
        return None;
    }
    let year = number(&fixed[..2])? * 100 + number(&fixed[2..4])?;
    let days = days(year, number(&fixed[5..7])?, number(&fixed[8..10])?)?;
    let seconds = number(&fixed[17..19])?;
    if seconds > 59 {
        return None;
    }
    let mut ms = (days * 1_440 + clock(&fixed[11..16])?) * MINUTE_MS + seconds * 1_000;
    let mut rest = &text[19..];
    if rest.first() == Some(&b'.') {
        let length = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 || length > FRACTION_MAX {
            return None;
        }
        let digit = |at: usize| if at < length { i64::from(rest[1 + at] - b'0') } else { 0 };
        ms += digit(0) * 100 + digit(1) * 10 + digit(2);
        rest = &rest[1 + length..];
    }
    match rest {
        b"Z" | b"z" => Some(ms),
        [sign @ (b'+' | b'-'), away @ ..] if away.len() == 5 => {
            if fixed.starts_with(FIRST_DAY) || fixed.starts_with(LAST_DAY) {
                return None;
            }
            let away = clock(away)? * MINUTE_MS;
            Some(if *sign == b'+' { ms - away } else { ms + away })
        }
        _ => None,
    }
}

/// Two digits.
fn number(text: &[u8]) -> Option<i64> {
    match text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0')),
        _ => None,
    }
}

/// Minutes of `HH:MM`.
fn clock(text: &[u8]) -> Option<i64> {
    let (hours, minutes) = (number(&text[..2])?, number(&text[3..])?);
    if hours > 23 || minutes > 59 || text[2] != b':' {
        return None;
    }
    Some(hours * 60 + minutes)
}

/// Days from 1970 by the Gregorian calendar, whose years begin in March here (`streams.envelope._minute`).
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year < 1970 || day < 1 || day > last {
        return None;
    }
    let year = year - i64::from(month <= 2);
    Some(year * 365 + year / 4 - year / 100 + year / 400 + (153 * ((month + 9) % 12) + 2) / 5 + day - 719_469)
}
