//! MessagePack, written byte for byte as msgspec writes it, and read back without copies.

/// Why bytes were refused; for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bad(pub &'static str);

/// Appends values to its bytes: the smallest form of whole numbers and lengths, floats always of 64 bits.
#[derive(Debug, Default, Clone)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn new() -> Self {
        Writer(Vec::new())
    }

    #[inline]
    pub fn nil(&mut self) {
        self.0.push(0xc0);
    }

    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.0.push(if value { 0xc3 } else { 0xc2 });
    }

    #[inline]
    pub fn int(&mut self, value: i64) {
        if value >= 0 {
            self.uint(value as u64);
        } else if value >= -32 {
            self.0.push(value as u8);
        } else if value >= i64::from(i8::MIN) {
            self.head(0xd0, &(value as i8).to_be_bytes());
        } else if value >= i64::from(i16::MIN) {
            self.head(0xd1, &(value as i16).to_be_bytes());
        } else if value >= i64::from(i32::MIN) {
            self.head(0xd2, &(value as i32).to_be_bytes());
        } else {
            self.head(0xd3, &value.to_be_bytes());
        }
    }

    #[inline]
    pub fn uint(&mut self, value: u64) {
        if value < 0x80 {
            self.0.push(value as u8);
        } else if value <= 0xff {
            self.head(0xcc, &(value as u8).to_be_bytes());
        } else if value <= 0xffff {
            self.head(0xcd, &(value as u16).to_be_bytes());
        } else if value <= 0xffff_ffff {
            self.head(0xce, &(value as u32).to_be_bytes());
        } else {
            self.head(0xcf, &value.to_be_bytes());
        }
    }

    #[inline]
    pub fn float(&mut self, value: f64) {
        self.head(0xcb, &value.to_be_bytes());
    }

    #[inline]
    pub fn str(&mut self, value: &str) {
        let length = value.len();
        if length < 32 {
            self.0.push(0xa0 | length as u8);
        } else if length <= 0xff {
            self.head(0xd9, &[length as u8]);
        } else if length <= 0xffff {
            self.head(0xda, &(length as u16).to_be_bytes());
        } else {
            self.head(0xdb, &(length as u32).to_be_bytes());
        }
        self.raw(value.as_bytes());
    }

    #[inline]
    pub fn bin(&mut self, value: &[u8]) {
        let length = value.len();
        if length <= 0xff {
            self.head(0xc4, &[length as u8]);
        } else if length <= 0xffff {
            self.head(0xc5, &(length as u16).to_be_bytes());
        } else {
            self.head(0xc6, &(length as u32).to_be_bytes());
        }
        self.raw(value);
    }

    #[inline]
    pub fn array(&mut self, length: usize) {
        self.many(0x90, 0xdc, length);
    }

    #[inline]
    pub fn map(&mut self, length: usize) {
        self.many(0x80, 0xde, length);
    }

    /// Bytes that are MessagePack already.
    #[inline]
    pub fn raw(&mut self, value: &[u8]) {
        self.0.extend_from_slice(value);
    }

    pub fn opt_int(&mut self, value: Option<i64>) {
        match value {
            Some(value) => self.int(value),
            None => self.nil(),
        }
    }

    pub fn opt_float(&mut self, value: Option<f64>) {
        match value {
            Some(value) => self.float(value),
            None => self.nil(),
        }
    }

    pub fn opt_str(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.str(value),
            None => self.nil(),
        }
    }

    #[inline]
    fn head(&mut self, code: u8, rest: &[u8]) {
        self.0.push(code);
        self.0.extend_from_slice(rest);
    }

    #[inline]
    fn many(&mut self, small: u8, wide: u8, length: usize) {
        if length < 16 {
            self.0.push(small | length as u8);
        } else if length <= 0xffff {
            self.head(wide, &(length as u16).to_be_bytes());
        } else {
            self.head(wide + 1, &(length as u32).to_be_bytes());
        }
    }
}

/// Reads values one after another; `at` is where the next one begins.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

/// Deeper values are refused by `skip`: nothing of ours nests like that.
const DEPTH_MAX: usize = 64;

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    pub fn done(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The code of the next value, which stays to be read.
    #[inline]
    pub fn peek(&self) -> Result<u8, Bad> {
        self.bytes.get(self.at).copied().ok_or(Bad("too short"))
    }

    /// Whether the next value is nil; it is taken if so.
    #[inline]
    pub fn nil(&mut self) -> Result<bool, Bad> {
        let found = self.peek()? == 0xc0;
        self.at += usize::from(found);
        Ok(found)
    }

    pub fn bool(&mut self) -> Result<bool, Bad> {
        match self.code()? {
            0xc2 => Ok(false),
            0xc3 => Ok(true),
            _ => Err(Bad("not a bool")),
        }
    }

    #[inline]
    pub fn int(&mut self) -> Result<i64, Bad> {
        Ok(match self.code()? {
            code @ 0..=0x7f => i64::from(code),
            code @ 0xe0..=0xff => i64::from(code as i8),
            0xcc => i64::from(self.fixed::<1>()?[0]),
            0xcd => i64::from(u16::from_be_bytes(self.fixed()?)),
            0xce => i64::from(u32::from_be_bytes(self.fixed()?)),
            0xcf => {
                let wide = u64::from_be_bytes(self.fixed()?);
                if wide > i64::MAX as u64 {
                    return Err(Bad("a whole number beyond 2^63-1"));
                }
                wide as i64
            }
            0xd0 => i64::from(i8::from_be_bytes(self.fixed()?)),
            0xd1 => i64::from(i16::from_be_bytes(self.fixed()?)),
            0xd2 => i64::from(i32::from_be_bytes(self.fixed()?)),
            0xd3 => i64::from_be_bytes(self.fixed()?),
            _ => return Err(Bad("not a whole number")),
        })
    }

    /// A whole number from 0 to 2^64-1.
    pub fn uint(&mut self) -> Result<u64, Bad> {
        if self.peek()? == 0xcf {
            self.at += 1;
            return Ok(u64::from_be_bytes(self.fixed()?));
        }
        let value = self.int()?;
        if value < 0 {
            return Err(Bad("a negative number"));
        }
        Ok(value as u64)
    }

    /// A float, or a whole number as one.
    #[inline]
    pub fn float(&mut self) -> Result<f64, Bad> {
        match self.peek()? {
            0xcb => {
                self.at += 1;
                Ok(f64::from_be_bytes(self.fixed()?))
            }
            0xca => {
                self.at += 1;
                Ok(f64::from(f32::from_be_bytes(self.fixed()?)))
            }
            0xcf => Ok(self.uint()? as f64),
            _ => Ok(self.int()? as f64),
        }
    }

    #[inline]
    pub fn str(&mut self) -> Result<&'a str, Bad> {
        let length = match self.code()? {
            code @ 0xa0..=0xbf => usize::from(code & 0x1f),
            0xd9 => self.length::<1>()?,
            0xda => self.length::<2>()?,
            0xdb => self.length::<4>()?,
            _ => return Err(Bad("not a text")),
        };
        std::str::from_utf8(self.take(length)?).map_err(|_| Bad("not UTF-8"))
    }

    pub fn bin(&mut self) -> Result<&'a [u8], Bad> {
        let length = match self.code()? {
            0xc4 => self.length::<1>()?,
            0xc5 => self.length::<2>()?,
            0xc6 => self.length::<4>()?,
            _ => return Err(Bad("not bytes")),
        };
        self.take(length)
    }

    /// Number of elements, which follow. Every element is at least a byte: no more of them than bytes are believed.
    pub fn array(&mut self) -> Result<usize, Bad> {
        let length = match self.code()? {
            code @ 0x90..=0x9f => usize::from(code & 0x0f),
            0xdc => self.length::<2>()?,
            0xdd => self.length::<4>()?,
            _ => return Err(Bad("not an array")),
        };
        self.believe(length)
    }

    /// Number of pairs, which follow.
    pub fn map(&mut self) -> Result<usize, Bad> {
        let length = match self.code()? {
            code @ 0x80..=0x8f => usize::from(code & 0x0f),
            0xde => self.length::<2>()?,
            0xdf => self.length::<4>()?,
            _ => return Err(Bad("not a map")),
        };
        self.believe(length)
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

    /// The bytes of the next value, whatever it is.
    pub fn raw(&mut self) -> Result<&'a [u8], Bad> {
        let start = self.at;
        self.skip()?;
        Ok(&self.bytes[start..self.at])
    }

    /// Passes over the next value, whatever it is.
    pub fn skip(&mut self) -> Result<(), Bad> {
        self.skip_within(DEPTH_MAX)
    }

    fn skip_within(&mut self, depth: usize) -> Result<(), Bad> {
        let values = match self.peek()? {
            0x80..=0x8f | 0xde | 0xdf => self.map()? * 2,
            0x90..=0x9f | 0xdc | 0xdd => self.array()?,
            0xa0..=0xbf | 0xd9..=0xdb => return self.str().map(|_| ()),
            0xc4..=0xc6 => return self.bin().map(|_| ()),
            0xca | 0xcb => return self.float().map(|_| ()),
            0xcf => return self.uint().map(|_| ()),
            0xc0 | 0xc2 | 0xc3 => return self.take(1).map(|_| ()),
            _ => return self.int().map(|_| ()),
        };
        if depth == 0 {
            return Err(Bad("nested too deep"));
        }
        for _ in 0..values {
            self.skip_within(depth - 1)?;
        }
        Ok(())
    }

    #[inline]
    fn code(&mut self) -> Result<u8, Bad> {
        let code = self.peek()?;
        self.at += 1;
        Ok(code)
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Bad> {
        let rest = self.bytes.get(self.at..).unwrap_or(&[]);
        let taken = rest.get(..length).ok_or(Bad("too short"))?;
        self.at += length;
        Ok(taken)
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn length<const N: usize>(&mut self) -> Result<usize, Bad> {
        Ok(self.fixed::<N>()?.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)))
    }

    fn believe(&self, length: usize) -> Result<usize, Bad> {
        if length > self.bytes.len() - self.at {
            return Err(Bad("a length beyond the end"));
        }
        Ok(length)
    }
}
