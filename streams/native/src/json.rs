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
        if self.length == 0 {
            None
        } else {
            Some(self.of(text))
        }
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
    pub fn rest(&self) -> &'a [u8] {
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
        if self.null()? {
            Some(Span::default())
        } else {
            self.id()
        }
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
