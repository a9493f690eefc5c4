//! One event that passed validation, and its positional MessagePack form (what msgspec writes of
//! `streams.events.Event`).

use crate::msgpack::{Bad, Reader, Writer};

/// Names of the types by code (`streams.columns.CODES`); there is no code 0.
pub const KINDS: [&str; 13] = [
    "",
    "BREATH",
    "SPIRAL",
    "BLOOM",
    "TOUCH",
    "SACRED_PHRASE",
    "FIELD",
    "ENTANGLE",
    "RELEASE",
    "ENTER",
    "LEAVE",
    "OPT_OUT",
    "OPT_IN",
];
pub const BREATH: u8 = 1;
pub const SPIRAL: u8 = 2;
pub const BLOOM: u8 = 3;
pub const TOUCH: u8 = 4;
pub const SACRED_PHRASE: u8 = 5;
pub const FIELD: u8 = 6;
pub const ENTANGLE: u8 = 7;
pub const RELEASE: u8 = 8;
pub const ENTER: u8 = 9;
pub const LEAVE: u8 = 10;
pub const OPT_OUT: u8 = 11;
pub const OPT_IN: u8 = 12;

/// Values of an event in its positional form.
pub const VALUES: usize = 15;

/// Normalised; strings are borrowed from the record or owned by the caller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event<'a> {
    /// ms since 1970
    pub timestamp: i64,
    /// UUID; the order of the bytes is the order of the text
    pub id: [u8; 16],
    /// code of the type, 1 BREATH to 12 OPT_IN
    pub kind: u8,
    pub device: &'a str,
    /// routing key
    pub key: &'a str,
    /// millionths
    pub intensity: u32,
    pub seq: Option<i64>,
    pub epoch: i64,
    pub x: Option<f64>,
    pub y: Option<f64>,
    pub z: Option<f64>,
    pub room: Option<&'a str>,
    pub user: Option<&'a str>,
    pub target: Option<&'a str>,
    /// of BREATH (radians), else 0
    pub phase: f64,
    /// `data` exactly as msgspec writes the struct of this type: a map without what is absent
    pub data: &'a [u8],
}

impl<'a> Event<'a> {
    /// Reads one event that Python has validated.
    pub fn read(reader: &mut Reader<'a>) -> Result<Event<'a>, Bad> {
        if reader.array()? != VALUES {
            return Err(Bad("an event has 15 values"));
        }
        let timestamp = reader.int()?;
        let id = id_of(reader.str()?.as_bytes()).ok_or(Bad("not a lower-case UUID"))?;
        let kind = kind_of(reader.str()?).ok_or(Bad("an unknown type"))?;
        let device = reader.str()?;
        let key = reader.str()?;
        let intensity = u32::try_from(reader.int()?).map_err(|_| Bad("intensity"))?;
        let seq = reader.opt_int()?;
        let epoch = reader.int()?;
        let (x, y, z) = (reader.opt_float()?, reader.opt_float()?, reader.opt_float()?);
        let (room, user, target) = (reader.opt_str()?, reader.opt_str()?, reader.opt_str()?);
        let data = reader.raw()?;
        let phase = if kind == BREATH { phase_of(data)? } else { 0.0 };
        Ok(Event { timestamp, id, kind, device, key, intensity, seq, epoch, x, y, z, room, user, target, phase, data })
    }

    /// Appends the event as msgspec writes it.
    pub fn write(&self, writer: &mut Writer) {
        writer.array(VALUES);
        writer.int(self.timestamp);
        writer.raw(b"\xd9\x24");
        writer.raw(&id_text(&self.id));
        writer.str(self.name());
        writer.str(self.device);
        writer.str(self.key);
        writer.int(i64::from(self.intensity));
        writer.opt_int(self.seq);
        writer.int(self.epoch);
        writer.opt_float(self.x);
        writer.opt_float(self.y);
        writer.opt_float(self.z);
        writer.opt_str(self.room);
        writer.opt_str(self.user);
        writer.opt_str(self.target);
        writer.raw(self.data);
    }

    /// The type as text.
    pub fn name(&self) -> &'static str {
        KINDS[usize::from(self.kind)]
    }
}

/// Code of a type.
pub fn kind_of(name: &str) -> Option<u8> {
    (1..KINDS.len()).find(|&code| KINDS[code] == name).map(|code| code as u8)
}

/// Room, else the smaller id of a pair, else the device (`streams.events.routing_key`).
#[inline]
pub fn routing_key<'a>(device: &'a str, room: Option<&'a str>, target: Option<&'a str>) -> &'a str {
    match (room, target) {
        (Some(room), _) => room,
        (None, Some(target)) if target < device => target,
        _ => device,
    }
}

/// Where the digits of a byte stand in the text of a UUID.
const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The 36 characters of a UUID, lower-case.
#[inline]
pub fn id_text(id: &[u8; 16]) -> [u8; 36] {
    let mut out = [b'-'; 36];
    for (&byte, &place) in id.iter().zip(&PLACES) {
        out[place] = DIGITS[usize::from(byte >> 4)];
        out[place + 1] = DIGITS[usize::from(byte & 15)];
    }
    out
}

/// A UUID from its text if that is lower-case.
pub fn id_of(text: &[u8]) -> Option<[u8; 16]> {
    let id = uuid_of(text)?;
    if id_text(&id) == *text {
        Some(id)
    } else {
        None
    }
}

/// A UUID from its text, digits of either case.
#[inline]
pub fn uuid_of(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != 36 || [8, 13, 18, 23].iter().any(|&at| text[at] != b'-') {
        return None;
    }
    let mut id = [0; 16];
    let mut bad = 0;
    for (byte, &place) in id.iter_mut().zip(&PLACES) {
        let (high, low) = (NIBBLES[usize::from(text[place])], NIBBLES[usize::from(text[place + 1])]);
        bad |= high | low;
        *byte = high << 4 | low & 15;
    }
    if bad & 0x80 == 0 {
        Some(id)
    } else {
        None
    }
}

/// Value of each hexadecimal digit, 0x80 for what is none.
const NIBBLES: [u8; 256] = {
    let mut table = [0x80; 256];
    let mut value = 0;
    while value < 16 {
        table[DIGITS[value] as usize] = value as u8;
        table[DIGITS[value].to_ascii_uppercase() as usize] = value as u8;
        value += 1;
    }
    table
};

fn phase_of(data: &[u8]) -> Result<f64, Bad> {
    let mut reader = Reader::new(data);
    for _ in 0..reader.map()? {
        if reader.str()? == "phase" {
            return reader.float();
        }
        reader.skip()?;
    }
    Err(Bad("a BREATH without phase"))
}
