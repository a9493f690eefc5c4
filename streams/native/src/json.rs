//! A scanner of plain JSON: no escapes in strings, no numbers of more than 19 digits.
//!
//! `None` stands everywhere for "this is not plain": whether it is right nevertheless, others decide.

/// A piece of the text that is scanned; ids have at least one byte, so an empty one stands for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub length: u32,
}

impl Span {
    #[inline]
    pub fn of<'a>(self, text: &'a str) -> &'a str {
        &text[self.start as usize..(self.start + self.length) as usize]
    }

    #[inline]
    pub fn given(self, text: &str) -> Option<&str> {
        if self.length == 0 { None } else { Some(self.of(text)) }
    }
}

/// Classes of bytes that a string may be made of.
pub const ID: u8 = 1;
pub const KEY: u8 = 2;
pub const LOWER_HEX: u8 = 4;
pub const LANGUAGE: u8 = 8;
pub const ANY: u8 = 16;
const SPACE: u8 = 64;
/// Where a scanner of brackets has to look: quotes, brackets and commas.
const MARK: u8 = 128;

const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        let letter = byte.is_ascii_alphanumeric();
        table[at] = if letter || matches!(byte, b'_' | b'.' | b':' | b'-') { ID } else { 0 }
            | if letter || byte == b'_' { KEY } else { 0 }
            | if byte.is_ascii_digit() || matches!(byte, b'a'..=b'f') { LOWER_HEX } else { 0 }
            | if letter || byte == b'-' { LANGUAGE } else { 0 }
            | if byte < b' ' || byte == b'"' || byte == b'\\' { 0 } else { ANY }
            | if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') { SPACE } else { 0 }
            | if matches!(byte, b'"' | b'[' | b']' | b'{' | b'}' | b',') { MARK } else { 0 };
        at += 1;
    }
    table
};

#[inline]
pub fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// A number as it is written: 19 digits always fit.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    Whole { negative: bool, digits: u64 },
    Real(f64),
}

const DIGITS_MAX: usize = 19;
const EXPONENT_DIGITS_MAX: usize = 4;
/// Powers of ten that a float holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
    1e20, 1e21, 1e22,
];
/// Up to here every whole number is a float.
const EXACT_MAX: u64 = 1 << 53;
/// Deeper brackets within an odd element are not followed.
const NESTED_MAX: u32 = 64;

/// Where the next quote is: eight bytes at a time, the lowest of them that becomes zero gets its high bit set.
#[inline]
fn quote(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut chunks = bytes.chunks_exact(8);
    let mut at = 0;
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        let word = u64::from_le_bytes(word) ^ ONES * b'"' as u64;
        let zero = word.wrapping_sub(ONES) & !word & ONES << 7;
        if zero != 0 {
            return Some(at + zero.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    chunks.remainder().iter().position(|&byte| byte == b'"').map(|rest| at + rest)
}

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub struct Json<'a> {
    pub text: &'a str,
    pub at: usize,
}

impl<'a> Json<'a> {
    /// The byte at the place, 0 at the end: outside of strings no JSON has one.
    #[inline]
    pub fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    pub fn space(&mut self) {
        while is(self.peek(), SPACE) {
            self.at += 1;
        }
    }

    #[inline]
    pub fn expect(&mut self, byte: u8) -> Option<()> {
        if self.peek() == byte {
            self.at += 1;
            Some(())
        } else {
            None
        }
    }

    /// Whether nothing but space follows.
    #[inline]
    pub fn ends(&mut self) -> bool {
        self.space();
        self.at == self.text.len()
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or(&[])
    }

    /// The next key of an object, up to its value; `Some(None)` at the end of the object. Whether a key that is not
    /// known is a plain string, `ignore` sees.
    #[inline]
    pub fn member(&mut self, first: bool) -> Option<Option<&'a [u8]>> {
        self.space();
        match self.peek() {
            b'}' => {
                self.at += 1;
                return Some(None);
            }
            b',' if !first => {
                self.at += 1;
                self.space();
            }
            _ if first => {}
            _ => return None,
        }
        self.expect(b'"')?;
        let rest = self.rest();
        let key = &rest[..quote(rest)?];
        self.at += key.len() + 1;
        self.space();
        self.expect(b':')?;
        self.space();
        Some(Some(key))
    }

    /// A string of `low` to `high` bytes of one class.
    #[inline]
    pub fn run(&mut self, class: u8, low: usize, high: usize) -> Option<Span> {
        self.expect(b'"')?;
        let rest = self.rest();
        let length = rest.iter().position(|&byte| !is(byte, class))?;
        if rest[length] != b'"' || length < low || length > high {
            return None;
        }
        let start = self.at;
        self.at += length + 1;
        Some(Span { start: start as u32, length: length as u32 })
    }

    #[inline]
    pub fn id(&mut self) -> Option<Span> {
        self.run(ID, 1, 64)
    }

    /// An id, or none at all for null.
    #[inline]
    pub fn optional_id(&mut self) -> Option<Span> {
        if self.null()? { Some(Span::default()) } else { self.id() }
    }

    /// Whether the value is null, which is taken then.
    #[inline]
    pub fn null(&mut self) -> Option<bool> {
        if self.peek() != b'n' {
            return Some(false);
        }
        self.word(b"null").map(|_| true)
    }

    #[inline]
    fn word(&mut self, word: &[u8]) -> Option<()> {
        if !self.rest().starts_with(word) {
            return None;
        }
        self.at += word.len();
        Some(())
    }

    /// A finite number, whole or not, as a float.
    #[inline]
    pub fn real(&mut self) -> Option<f64> {
        match self.number()? {
            Number::Whole { negative, digits } => Some(if negative { -(digits as f64) } else { digits as f64 }),
            Number::Real(value) => Some(value),
        }
    }

    /// A number without point and exponent, within i64.
    #[inline]
    pub fn whole(&mut self) -> Option<i64> {
        match self.number()? {
            Number::Whole { negative, digits } => {
                let value = i64::try_from(digits).ok()?;
                Some(if negative { -value } else { value })
            }
            Number::Real(_) => None,
        }
    }

    /// Passes over the value of a key that nobody knows: a string, a number, true, false or null.
    pub fn ignore(&mut self, key: &[u8]) -> Option<()> {
        if !key.iter().all(|&byte| is(byte, ANY)) {
            return None;
        }
        match self.peek() {
            b'"' => self.run(ANY, 0, usize::MAX).map(|_| ()),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number().map(|_| ()),
        }
    }

    /// -0 is not plain: as a whole number it has no sign, as a float it has one.
    #[inline]
    pub fn number(&mut self) -> Option<Number> {
        let start = self.at;
        let negative = self.peek() == b'-';
        self.at += usize::from(negative);
        let leading_zero = self.peek() == b'0';
        let (mut digits, mut count) = (0_u64, 0);
        if leading_zero {
            self.at += 1;
        } else {
            count = self.digits(&mut digits, DIGITS_MAX)?;
            if count == 0 {
                return None;
            }
        }
        let mut exponent = 0_i32;
        let next = self.peek();
        if next != b'.' && next | 0x20 != b'e' {
            let plain = !(negative && digits == 0);
            return if plain { Some(Number::Whole { negative, digits }) } else { None };
        }
        if next == b'.' {
            self.at += 1;
            let from = self.at;
            while count == 0 && self.peek() == b'0' {
                self.at += 1;
            }
            self.digits(&mut digits, DIGITS_MAX - count)?;
            exponent = -i32::try_from(self.at - from).ok()?;
            if exponent == 0 {
                return None;
            }
        }
        if self.peek() | 0x20 == b'e' {
            exponent += self.exponent()?;
        }
        self.valued(start, negative, digits, exponent).map(Number::Real)
    }

    /// Appends at most `most` digits to `value`, gives how many; more are not plain.
    #[inline]
    fn digits(&mut self, value: &mut u64, most: usize) -> Option<usize> {
        let (mut sum, mut count) = (*value, 0);
        for &byte in self.rest() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            sum = sum.wrapping_mul(10).wrapping_add(u64::from(digit)); // of no meaning beyond `most`
            count += 1;
        }
        self.at += count;
        *value = sum;
        if count <= most { Some(count) } else { None }
    }

    fn exponent(&mut self) -> Option<i32> {
        self.at += 1;
        let negative = self.peek() == b'-';
        self.at += usize::from(negative || self.peek() == b'+');
        let mut value = 0;
        if self.digits(&mut value, EXPONENT_DIGITS_MAX)? == 0 {
            return None;
        }
        let value = value as i32;
        Some(if negative { -value } else { value })
    }

    /// The float nearest to `digits` times ten to `exponent`: one operation on exact floats is rounded correctly
    /// (Clinger 1990); what is not exact is left to the standard library.
    #[inline]
    fn valued(&self, start: usize, negative: bool, digits: u64, exponent: i32) -> Option<f64> {
        let power = exponent.unsigned_abs() as usize;
        if digits <= EXACT_MAX && power < POWERS.len() {
            let value = digits as f64;
            let value = if exponent < 0 { value / POWERS[power] } else { value * POWERS[power] };
            return Some(if negative { -value } else { value });
        }
        let value: f64 = self.text[start..self.at].parse().ok()?;
        if value.is_finite() { Some(value) } else { None }
    }

    /// Passes over one value by strings, brackets and commas alone, up to the comma or closing bracket after it, as
    /// `streams.diagnose.pieces` does; `None` when the brackets of the whole cannot match.
    pub fn element(&mut self) -> Option<Span> {
        let start = self.at;
        let (mut opened, mut depth) = (0_u64, 0);
        loop {
            self.at += self.rest().iter().position(|&byte| is(byte, MARK))?;
            match self.peek() {
                b'"' => {
                    self.quoted()?;
                    continue;
                }
                b',' if depth > 0 => {}
                b'[' | b'{' => {
                    if depth == NESTED_MAX {
                        return None;
                    }
                    depth += 1;
                    opened = opened << 1 | u64::from(self.peek() == b'{');
                }
                close => {
                    if depth == 0 {
                        return Some(self.stripped(start));
                    }
                    if (opened & 1 == 1) != (close == b'}') {
                        return None;
                    }
                    depth -= 1;
                    opened >>= 1;
                }
            }
            self.at += 1;
        }
    }

    fn quoted(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            self.at += self.rest().iter().position(|&byte| byte == b'"' || byte == b'\\')?;
            if self.peek() == b'"' {
                self.at += 1;
                return Some(());
            }
            self.at += 2;
        }
    }

    fn stripped(&self, start: usize) -> Span {
        let mut end = self.at;
        while end > start && is(self.text.as_bytes()[end - 1], SPACE) {
            end -= 1;
        }
        Span { start: start as u32, length: (end - start) as u32 }
    }
}
