//! A key as its shard holds it: open, or packed as its record has it until somebody asks for it.
//!
//! Packed it is a sixth of what it is open. To open a packed key is what a recovery does, so nothing that is seen can
//! tell when a key was packed; only a settled key is, because its record says all of it.

use super::key::Key;
use super::load::read_key;
use super::record::write_key;
use super::rules::Rules;
use crate::msgpack::{Bad, Reader, Writer};

const READABLE: &str = "what was packed was written or read here";

pub enum Held {
    Open(Box<Key>),
    Packed(Packed),
}

/// The name and the value of a settled key, one after the other, and what a shard asks of it without opening it.
pub struct Packed {
    bytes: Box<[u8]>,
    is_social: bool,
    is_dirty: bool,
}

impl Held {
    pub fn new(name: &str) -> Held {
        Held::Open(Box::new(Key::new(name)))
    }

    /// The next key of a record, packed if it is settled; and its watermark. Bad where it is none.
    pub fn read(from: &mut Reader, rules: &Rules) -> Result<(Held, i64), Bad> {
        let start = from.at;
        let key = read_key(from, rules)?;
        let watermark = key.watermark;
        let mut held = Held::Open(Box::new(key));
        held.pack(&from.bytes[start..from.at], rules);
        Ok((held, watermark))
    }

    pub fn name(&self) -> &str {
        match self {
            Held::Open(key) => &key.name,
            Held::Packed(packed) => Reader::new(&packed.bytes).str().expect(READABLE),
        }
    }

    /// To fold into; `open` counts the keys that are open.
    #[inline]
    pub fn open(&mut self, open: &mut usize, rules: &Rules) -> &mut Key {
        if let Held::Packed(packed) = self {
            *self = Held::Open(Box::new(packed.key(rules)));
            *open += 1;
        }
        match self {
            Held::Open(key) => key,
            Held::Packed(_) => unreachable!("it was just opened"),
        }
    }

    /// The key when it is open.
    pub fn opened(&mut self) -> Option<&mut Key> {
        match self {
            Held::Open(key) => Some(key),
            Held::Packed(_) => None,
        }
    }

    /// The key to look at; `spare` is for one that is packed, and stays so.
    pub fn look<'a>(&'a mut self, spare: &'a mut Option<Key>, rules: &Rules) -> &'a mut Key {
        match self {
            Held::Open(key) => key,
            Held::Packed(packed) => spare.insert(packed.key(rules)),
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self, Held::Open(_))
    }

    pub fn is_social(&self) -> bool {
        match self {
            Held::Open(key) => key.is_social,
            Held::Packed(packed) => packed.is_social,
        }
    }

    /// Whether it has changed since the last record.
    pub fn mark(&mut self, is_dirty: bool) {
        match self {
            Held::Open(key) => key.is_dirty = is_dirty,
            Held::Packed(packed) => packed.is_dirty = is_dirty,
        }
    }

    /// What is before (ms) is final.
    pub fn settled(&self) -> i64 {
        match self {
            Held::Open(key) => key.settled,
            Held::Packed(packed) => packed.settled().expect(READABLE),
        }
    }

    /// Whether there may be anything of a device in it.
    pub fn mentions(&self, device: &str) -> bool {
        match self {
            Held::Open(_) => true,
            Held::Packed(packed) => packed.bytes.windows(device.len()).any(|some| some == device.as_bytes()),
        }
    }

    /// As a record has it: name and value.
    pub fn write(&self, to: &mut Writer) {
        match self {
            Held::Open(key) => write_key(to, key),
            Held::Packed(packed) => to.raw(&packed.bytes),
        }
    }

    /// Be packed as what was written or read of it, if it is settled.
    pub fn pack(&mut self, bytes: &[u8], rules: &Rules) {
        if let Held::Open(key) = self {
            if key.is_settled(rules) {
                let (is_social, is_dirty) = (key.is_social, key.is_dirty);
                *self = Held::Packed(Packed { bytes: bytes.into(), is_social, is_dirty });
            }
        }
    }
}

impl Packed {
    fn key(&self, rules: &Rules) -> Key {
        let mut key = read_key(&mut Reader::new(&self.bytes), rules).expect(READABLE);
        key.is_social |= self.is_social; // it may have had rows of which nothing is left
        key.is_dirty = self.is_dirty;
        key
    }

    fn settled(&self) -> Result<i64, Bad> {
        let from = &mut Reader::new(&self.bytes);
        from.str()?;
        from.array()?;
        from.int()?;
        from.int()
    }
}
