//! The little JSON that changes and rows are made of, written as msgspec does.

use std::io::Write;

/// A string with its quotes.
pub fn str(to: &mut Vec<u8>, text: &str) {
    to.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => to.extend_from_slice(&[b'\\', byte]),
            b'\n' => to.extend_from_slice(b"\\n"),
            b'\t' => to.extend_from_slice(b"\\t"),
            b'\r' => to.extend_from_slice(b"\\r"),
            8 => to.extend_from_slice(b"\\b"),
            12 => to.extend_from_slice(b"\\f"),
            0..=31 => put(to, format_args!("\\u{:04x}", byte)),
            _ => to.push(byte),
        }
    }
    to.push(b'"');
}

pub fn int(to: &mut Vec<u8>, value: i64) {
    put(to, format_args!("{}", value));
}

pub fn bool(to: &mut Vec<u8>, value: bool) {
    to.extend_from_slice(if value { b"true" } else { b"false" });
}

/// A float below 1e16: the fewest digits that say it, with an exponent below a hundred-thousandth.
pub fn real(to: &mut Vec<u8>, value: f64) {
    let start = to.len();
    if value != 0.0 && value.abs() < 1e-5 {
        return put(to, format_args!("{:e}", value));
    }
    put(to, format_args!("{}", value));
    if !to[start..].contains(&b'.') {
        to.extend_from_slice(b".0");
    }
}

/// null or the value.
pub fn optional<T>(to: &mut Vec<u8>, value: Option<T>, write: impl Fn(&mut Vec<u8>, T)) {
    match value {
        None => to.extend_from_slice(b"null"),
        Some(value) => write(to, value),
    }
}

/// `"name":` after a comma, unless it is the first.
pub fn name(to: &mut Vec<u8>, name: &str) {
    if !matches!(to.last(), Some(b'{')) {
        to.push(b',');
    }
    put(to, format_args!("\"{}\":", name));
}

fn put(to: &mut Vec<u8>, text: std::fmt::Arguments) {
    to.write_fmt(text).expect("memory takes all");
}
