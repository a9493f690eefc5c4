//! MessagePack as msgspec writes it: the smallest form of every whole number, floats always in eight bytes.

use std::fmt;

/// Bytes that are not what they should be, with a word about what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad(pub String);

impl Bad {
    pub fn new(text: &str) -> Bad {
        Bad(text.to_string())
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

/// Appends values to its bytes.
#[derive(Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn nil(&mut self) {
        self.0.push(0xc0);
    }

    pub fn bool(&mut self, value: bool) {
        self.0.push(if value { 0xc3 } else { 0xc2 });
    }

    pub fn int(&mut self, value: i64) {
        if value >= 0 {
            return self.uint(value as u64);
        }
        if value >= -32 {
            self.0.push(value as u8);
        } else if value >= -0x80 {
            self.0.extend_from_slice(&[0xd0, value as u8]);
        } else if value >= -0x8000 {
            self.tagged(0xd1, &(value as i16).to_be_bytes());
        } else if value >= -0x8000_0000 {
            self.tagged(0xd2, &(value as i32).to_be_bytes());
        } else {
            self.tagged(0xd3, &value.to_be_bytes());
        }
    }

    pub fn uint(&mut self, value: u64) {
        if value < 0x80 {
            self.0.push(value as u8);
        } else if value < 0x100 {
            self.0.extend_from_slice(&[0xcc, value as u8]);
        } else if value < 0x1_0000 {
            self.tagged(0xcd, &(value as u16).to_be_bytes());
        } else if value < 0x1_0000_0000 {
            self.tagged(0xce, &(value as u32).to_be_bytes());
        } else {
            self.tagged(0xcf, &value.to_be_bytes());
        }
    }

    pub fn float(&mut self, value: f64) {
        self.tagged(0xcb, &value.to_bits().to_be_bytes());
    }

    pub fn str(&mut self, text: &str) {
        self.text(text.as_bytes());
    }

    /// Text whose bytes are known to be UTF-8.
    pub fn text(&mut self, bytes: &[u8]) {
        let count = bytes.len();
        if count < 32 {
            self.0.push(0xa0 | count as u8);
        } else if count < 0x100 {
            self.0.extend_from_slice(&[0xd9, count as u8]);
        } else if count < 0x1_0000 {
            self.tagged(0xda, &(count as u16).to_be_bytes());
        } else {
            self.tagged(0xdb, &(count as u32).to_be_bytes());
        }
        self.0.extend_from_slice(bytes);
    }

    pub fn array(&mut self, count: usize) {
        self.header(count, 0x90, 0xdc);
    }

    pub fn map(&mut self, count: usize) {
        self.header(count, 0x80, 0xde);
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn header(&mut self, count: usize, small: u8, medium: u8) {
        if count < 16 {
            self.0.push(small | count as u8);
        } else if count < 0x1_0000 {
            self.tagged(medium, &(count as u16).to_be_bytes());
        } else {
            self.tagged(medium + 1, &(count as u32).to_be_bytes());
        }
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.0.push(tag);
        self.0.extend_from_slice(bytes);
    }
}

/// Reads values one after the other.
pub struct Reader<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    pub fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub fn peek(&self) -> Result<u8, Bad> {
        self.bytes.get(self.at).copied().ok_or_else(|| Bad::new("the bytes end too early"))
    }

    /// True and past it when there is a nil here.
    pub fn nil(&mut self) -> Result<bool, Bad> {
        let found = self.peek()? == 0xc0;
        self.at += found as usize;
        Ok(found)
    }

    pub fn bool(&mut self) -> Result<bool, Bad> {
        let tag = self.tag()?;
        match tag {
            0xc2 => Ok(false),
            0xc3 => Ok(true),
            _ => Err(odd("a bool", tag)),
        }
    }

    pub fn int(&mut self) -> Result<i64, Bad> {
        let tag = self.tag()?;
        Ok(match tag {
            0x00..=0x7f => tag as i64,
            0xe0..=0xff => tag as i8 as i64,
            0xcc..=0xcf => {
                let value = self.big(1 << (tag - 0xcc))?;
                i64::try_from(value).map_err(|_| Bad::new("a whole number is too large"))?
            }
            0xd0 => self.big(1)? as u8 as i8 as i64,
            0xd1 => self.big(2)? as u16 as i16 as i64,
            0xd2 => self.big(4)? as u32 as i32 as i64,
            0xd3 => self.big(8)? as i64,
            _ => return Err(odd("a whole number", tag)),
        })
    }

    pub fn uint(&mut self) -> Result<u64, Bad> {
        if self.peek()? == 0xcf {
            self.at += 1;
            return self.big(8);
        }
        u64::try_from(self.int()?).map_err(|_| Bad::new("a whole number is negative"))
    }

    /// A float, or a whole number as one.
    pub fn float(&mut self) -> Result<f64, Bad> {
        let tag = self.peek()?;
        match tag {
            0xcb => {
                self.at += 1;
                Ok(f64::from_bits(self.big(8)?))
            }
            0xca => {
                self.at += 1;
                Ok(f32::from_bits(self.big(4)? as u32) as f64)
            }
            0xcf => Ok(self.uint()? as f64),
            _ => Ok(self.int()? as f64),
        }
    }

    pub fn str(&mut self) -> Result<&'a str, Bad> {
        let tag = self.tag()?;
        let count = match tag {
            0xa0..=0xbf => (tag & 0x1f) as usize,
            0xd9..=0xdb => self.big(1 << (tag - 0xd9))? as usize,
            _ => return Err(odd("a string", tag)),
        };
        std::str::from_utf8(self.take(count)?).map_err(|_| Bad::new("a string is not UTF-8"))
    }

    pub fn opt_int(&mut self) -> Result<Option<i64>, Bad> {
        Ok(if self.nil()? { None } else { Some(self.int()?) })
    }

    pub fn opt_float(&mut self) -> Result<Option<f64>, Bad> {
        Ok(if self.nil()? { None } else { Some(self.float()?) })
    }

    pub fn opt_str(&mut self) -> Result<Option<&'a str>, Bad> {
        Ok(if self.nil()? { None } else { Some(self.str()?) })
    }

    pub fn array(&mut self) -> Result<usize, Bad> {
        self.header(0x90, 0xdc, "an array")
    }

    pub fn map(&mut self) -> Result<usize, Bad> {
        self.header(0x80, 0xde, "a map")
    }

    /// Past one value, whatever it is; its bytes.
    pub fn skip(&mut self) -> Result<&'a [u8], Bad> {
        let start = self.at;
        let mut left: u64 = 1;
        while left > 0 {
            left -= 1;
            let tag = self.tag()?;
            match tag {
                0x80..=0x8f => left += 2 * (tag & 15) as u64,
                0x90..=0x9f => left += (tag & 15) as u64,
                0xa0..=0xbf => drop(self.take((tag & 31) as usize)?),
                0xc4..=0xc6 | 0xd9..=0xdb => {
                    let count = self.big(1 << (tag - if tag < 0xd0 { 0xc4 } else { 0xd9 }))?;
                    self.take(count as usize)?;
                }
                0xca => drop(self.take(4)?),
                0xcb => drop(self.take(8)?),
                0xcc..=0xcf => drop(self.take(1 << (tag - 0xcc))?),
                0xd0..=0xd3 => drop(self.take(1 << (tag - 0xd0))?),
                0xdc | 0xdd => left += self.big(2 << (tag - 0xdc))?,
                0xde | 0xdf => left += 2 * self.big(2 << (tag - 0xde))?,
                0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => (),
                _ => return Err(odd("a value", tag)),
            }
        }
        Ok(&self.bytes[start..self.at])
    }

    fn header(&mut self, small: u8, medium: u8, what: &str) -> Result<usize, Bad> {
        let tag = self.tag()?;
        if tag & 0xf0 == small {
            Ok((tag & 15) as usize)
        } else if tag == medium {
            Ok(self.big(2)? as usize)
        } else if tag == medium + 1 {
            Ok(self.big(4)? as usize)
        } else {
            Err(odd(what, tag))
        }
    }

    fn tag(&mut self) -> Result<u8, Bad> {
        let tag = self.peek()?;
        self.at += 1;
        Ok(tag)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Bad> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| Bad::new("the bytes end too early"))?;
        let found = &self.bytes[self.at..end];
        self.at = end;
        Ok(found)
    }

    fn big(&mut self, count: usize) -> Result<u64, Bad> {
        Ok(self.take(count)?.iter().fold(0, |value, &byte| value << 8 | byte as u64))
    }
}

fn odd(wanted: &str, tag: u8) -> Bad {
    Bad(format!("{} was expected, not 0x{:02x}", wanted, tag))
}
