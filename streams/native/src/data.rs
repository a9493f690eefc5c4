//! `data` by type: its fields and bounds (`streams.envelope`), read from JSON, written as msgspec writes the struct.

use crate::event::{BREATH, ENTANGLE, KINDS, RELEASE, SACRED_PHRASE, TOUCH};
use crate::json::{Json, Span, ID, LANGUAGE, LOWER_HEX};
use crate::msgpack::Writer;

const BOUND: f64 = 1e9;
const ANGLE: f64 = 1e6;
const RATE: f64 = 1_000.0;
const PETALS: i64 = 10_000;
const HARMONICS: usize = 64;

enum Rule {
    Real(f64, f64),
    Whole(i64, i64),
    Text(u8, usize, usize),
    Direction,
    Harmonics,
}

pub struct Field {
    name: &'static str,
    rule: Rule,
}

const fn field(name: &'static str, rule: Rule) -> Field {
    Field { name, rule }
}

const NAME: Rule = Rule::Text(ID, 1, 64);
/// Most fields that a type has.
const MOST: usize = 4;

/// By code, in the order in which they are written.
static FIELDS: [&[Field]; KINDS.len()] = [
    &[],
    &[field("phase", Rule::Real(-ANGLE, ANGLE)), field("rate", Rule::Real(0.0, RATE))],
    &[
        field("angle", Rule::Real(-ANGLE, ANGLE)),
        field("radius", Rule::Real(0.0, ANGLE)),
        field("turns", Rule::Real(-ANGLE, ANGLE)),
        field("direction", Rule::Direction),
    ],
    &[field("radius", Rule::Real(0.0, ANGLE)), field("petals", Rule::Whole(0, PETALS))],
    &[field("pressure", Rule::Real(0.0, ANGLE)), field("target_device", NAME)],
    &[field("phrase", Rule::Text(LOWER_HEX, 16, 128)), field("language", Rule::Text(LANGUAGE, 2, 35))],
    &[
        field("harmonics", Rule::Harmonics),
        field("phase", Rule::Real(-ANGLE, ANGLE)),
        field("resonance", Rule::Real(0.0, 1.0)),
    ],
    &[field("target_device", NAME), field("kind", NAME), field("intensity", Rule::Real(0.0, 1.0))],
    &[field("target_device", NAME)],
    &[],
    &[],
    &[],
    &[],
];

#[derive(Debug, Clone, Copy)]
pub enum Value {
    Absent,
    Real(f64),
    Whole(i64),
    Text(Span),
    /// how many; they are written already, into a writer of their own
    Harmonics(usize),
}

/// The fields of `data`, in the order of its type.
pub type Values = [Value; MOST];
pub const NOTHING: Values = [Value::Absent; MOST];

/// Where the values of an object come from and go to.
pub struct Source<'s> {
    pub depth_max: u32,
    /// whether null is as good as absent
    pub nulls: bool,
    pub harmonics: &'s mut Writer,
}

/// Reads the object of a type; only its fields within `fields` count, other keys are passed over.
#[inline]
pub fn read(json: &mut Json, kind: u8, fields: (usize, usize), source: &mut Source, values: &mut Values) -> Option<()> {
    let known = FIELDS[usize::from(kind)].get(fields.0..fields.1.min(count_of(kind)))?;
    if source.depth_max < 2 {
        return None; // the object of an event is the first level
    }
    json.expect(b'{')?;
    let (mut seen, mut first) = (0_u8, true);
    while let Some(key) = json.member(first)? {
        first = false;
        let place = match known.iter().position(|one| one.name.as_bytes() == key) {
            Some(place) => place,
            None => {
                json.ignore(key)?;
                continue;
            }
        };
        if seen >> place & 1 == 1 {
            return None; // twice: which one counts is not for here to know
        }
        seen |= 1 << place;
        if !json.null()? {
            values[fields.0 + place] = value(json, &known[place].rule, source)?;
        } else if !source.nulls {
            return None;
        }
    }
    Some(())
}

/// The names of a type's fields, in the order in which they are written.
pub fn names(kind: u8) -> impl Iterator<Item = &'static str> {
    FIELDS[usize::from(kind)].iter().map(|field| field.name)
}

fn count_of(kind: u8) -> usize {
    FIELDS[usize::from(kind)].len()
}

#[inline]
fn value(json: &mut Json, rule: &Rule, source: &mut Source) -> Option<Value> {
    match *rule {
        Rule::Real(low, high) => real(json, low, high).map(Value::Real),
        Rule::Whole(low, high) => whole(json, low, high).map(Value::Whole),
        Rule::Text(class, low, high) => json.run(class, low, high).map(Value::Text),
        Rule::Direction if json.peek() == b'"' => json.id().map(Value::Text),
        Rule::Direction => whole(json, -1, 1).map(Value::Whole),
        Rule::Harmonics => harmonics(json, source),
    }
}

#[inline]
fn real(json: &mut Json, low: f64, high: f64) -> Option<f64> {
    let value = json.real()?;
    if low <= value && value <= high {
        Some(value)
    } else {
        None
    }
}

fn whole(json: &mut Json, low: i64, high: i64) -> Option<i64> {
    let value = json.whole()?;
    if low <= value && value <= high {
        Some(value)
    } else {
        None
    }
}

const PARTS: [&str; 5] = ["x", "y", "frequency", "amplitude", "phase"];

fn harmonics(json: &mut Json, source: &mut Source) -> Option<Value> {
    source.harmonics.0.clear();
    if source.depth_max < 3 {
        return None;
    }
    json.expect(b'[')?;
    json.space();
    let mut count = 0;
    if json.peek() == b']' {
        json.at += 1;
        return Some(Value::Absent); // the same as the default, which is not written
    }
    loop {
        if count == HARMONICS || source.depth_max < 4 {
            return None;
        }
        harmonic(json, source.harmonics)?;
        count += 1;
        json.space();
        if json.peek() == b']' {
            json.at += 1;
            return Some(Value::Harmonics(count));
        }
        json.expect(b',')?;
        json.space();
    }
}

fn harmonic(json: &mut Json, out: &mut Writer) -> Option<()> {
    let mut parts = [f64::NAN; PARTS.len()];
    json.expect(b'{')?;
    let mut first = true;
    while let Some(key) = json.member(first)? {
        first = false;
        let place = PARTS.iter().position(|name| name.as_bytes() == key)?;
        if !parts[place].is_nan() {
            return None;
        }
        parts[place] = real(json, -BOUND, BOUND)?;
    }
    out.map(PARTS.len());
    for (name, &part) in PARTS.iter().zip(&parts) {
        if part.is_nan() {
            return None;
        }
        out.str(name);
        out.float(part);
    }
    Some(())
}

/// x, y and z of `position`; z may be absent or null.
pub fn position(json: &mut Json, depth_max: u32) -> Option<(f64, f64, Option<f64>)> {
    if depth_max < 2 {
        return None;
    }
    json.expect(b'{')?;
    let (mut first, mut seen) = (true, 0);
    let (mut x, mut y, mut z) = (None, None, None);
    while let Some(key) = json.member(first)? {
        first = false;
        let (place, bit) = match key {
            b"x" => (&mut x, 1),
            b"y" => (&mut y, 2),
            b"z" => (&mut z, 4),
            _ => {
                json.ignore(key)?;
                continue;
            }
        };
        if seen & bit != 0 {
            return None;
        }
        seen |= bit;
        if bit != 4 || !json.null()? {
            *place = Some(real(json, -BOUND, BOUND)?);
        }
    }
    Some((x?, y?, z))
}

/// Whether a type has no event without the first of its fields.
#[inline]
pub fn needed(kind: u8) -> bool {
    matches!(kind, BREATH | SACRED_PHRASE | ENTANGLE | RELEASE)
}

/// `target_device`, empty for none.
#[inline]
pub fn target(kind: u8, values: &Values) -> Span {
    let place = match kind {
        TOUCH => values[1],
        ENTANGLE | RELEASE => values[0],
        _ => Value::Absent,
    };
    match place {
        Value::Text(span) => span,
        _ => Span::default(),
    }
}

/// Appends the values that are given as a map.
#[inline]
pub fn write(kind: u8, values: &Values, text: &str, harmonics: &Writer, out: &mut Writer) {
    out.map(values.iter().filter(|value| !matches!(value, Value::Absent)).count());
    for (one, value) in FIELDS[usize::from(kind)].iter().zip(values) {
        if !matches!(value, Value::Absent) {
            out.str(one.name);
        }
        match *value {
            Value::Absent => {}
            Value::Real(value) => out.float(value),
            Value::Whole(value) => out.int(value),
            Value::Text(span) => out.str(span.of(text)),
            Value::Harmonics(count) => {
                out.array(count);
                out.raw(&harmonics.0);
            }
        }
    }
}
