//! Numbers of plain JSON: at most 19 digits, and floats that are rounded correctly.

use crate::json::Json;

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
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// Up to here every whole number is a float.
const EXACT_MAX: u64 = 1 << 53;
impl Json<'_> {
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
        if count <= most {
            Some(count)
        } else {
            None
        }
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
        if value.is_finite() {
            Some(value)
        } else {
            None
        }
    }
}
