//! Names and their numbers: a text is kept once and known by a small number from then on.
//!
//! The tables are hashed with a seed that differs from process to process, because names come from outside. Nothing
//! that is seen depends on it: no table is ever walked in the order of its hashes.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
const OTHER: u64 = 0xd6e8_feb8_6659_fd93;
/// Up to here a look at each name is quicker than a table.
const LINEAR: usize = 4;

/// A new seed for the tables of one fold.
pub fn seed() -> u64 {
    RandomState::new().build_hasher().finish() | 1
}

fn mix(one: u64, other: u64) -> u64 {
    let wide = one as u128 * other as u128;
    wide as u64 ^ (wide >> 64) as u64
}

fn word(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(eight)
}

fn half(bytes: &[u8]) -> u64 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[..4]);
    u32::from_le_bytes(four) as u64
}

/// A seeded hash of some bytes.
#[inline]
pub fn hash(bytes: &[u8], seed: u64) -> u64 {
    let mut state = seed ^ mix(seed ^ ODD, bytes.len() as u64 ^ OTHER);
    let mut rest = bytes;
    while rest.len() > 16 {
        state = mix(word(rest) ^ seed ^ OTHER, word(&rest[8..]) ^ state);
        rest = &rest[16..];
    }
    let count = rest.len();
    let (low, high) = if count >= 8 {
        (word(rest), word(&rest[count - 8..]))
    } else if count >= 4 {
        (half(rest), half(&rest[count - 4..]))
    } else if count > 0 {
        ((rest[0] as u64) << 16 | (rest[count / 2] as u64) << 8 | rest[count - 1] as u64, 0)
    } else {
        (0, 0)
    };
    mix(mix(low ^ seed ^ ODD, high ^ state), OTHER ^ seed)
}

/// Hashes with a seed, for the tables of the standard library.
#[derive(Clone, Copy)]
pub struct Seeded(pub u64);

impl BuildHasher for Seeded {
    type Hasher = Mixing;

    fn build_hasher(&self) -> Mixing {
        Mixing { seed: self.0, state: self.0 }
    }
}

/// See `Seeded`.
pub struct Mixing {
    seed: u64,
    state: u64,
}

impl Hasher for Mixing {
    fn write(&mut self, bytes: &[u8]) {
        self.state = mix(self.state ^ ODD, hash(bytes, self.seed) ^ OTHER);
    }

    fn write_u32(&mut self, value: u32) {
        self.state = mix(self.state ^ ODD, value as u64 ^ self.seed);
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

/// Open addressing over numbers that stand for texts: the upper half of a place is a part of the hash.
#[derive(Clone, Default)]
pub struct Index {
    places: Vec<u64>,
    used: usize,
}

impl Index {
    /// The number whose text `is` the one that is looked for.
    #[inline]
    pub fn find(&self, hashed: u64, mut is: impl FnMut(usize) -> bool) -> Option<usize> {
        if self.places.is_empty() {
            return None;
        }
        let mask = self.places.len() - 1;
        let mut at = hashed as usize & mask;
        loop {
            let place = self.places[at];
            if place == 0 {
                return None;
            }
            if (place ^ hashed) >> 32 == 0 {
                let number = (place as u32 - 1) as usize;
                if is(number) {
                    return Some(number);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Add a number that is not in; `hashes` says the hash of every number before it that is still in use.
    pub fn add(&mut self, hashed: u64, number: usize, hashes: impl Fn(usize) -> Option<u64>) {
        if (self.used + 1) * 2 > self.places.len() {
            let size = (self.places.len() * 2).max(8);
            self.places = vec![0; size];
            self.used = 0;
            for before in 0..number {
                if let Some(known) = hashes(before) {
                    self.put(known, before);
                }
            }
        }
        self.put(hashed, number);
    }

    fn put(&mut self, hashed: u64, number: usize) {
        let mask = self.places.len() - 1;
        let mut at = hashed as usize & mask;
        while self.places[at] != 0 {
            at = (at + 1) & mask;
        }
        self.places[at] = hashed >> 32 << 32 | (number as u64 + 1);
        self.used += 1;
    }
}

/// Texts by number and numbers by text, both in the order of adding.
#[derive(Clone, Default)]
pub struct Names {
    /// all texts, one after the other
    all: String,
    ends: Vec<u32>,
    index: Index,
}

impl Names {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text of a number.
    #[inline]
    pub fn text(&self, number: u32) -> &str {
        let at = number as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.all[start as usize..self.ends[at] as usize]
    }

    #[inline]
    pub fn find(&self, text: &str, seed: u64) -> Option<u32> {
        if self.len() <= LINEAR {
            return (0..self.len() as u32).find(|number| self.text(*number) == text);
        }
        let hashed = hash(text.as_bytes(), seed);
        self.index.find(hashed, |number| self.text(number as u32) == text).map(|at| at as u32)
    }

    /// The number of a text, a new one if need be.
    pub fn add(&mut self, text: &str, seed: u64) -> u32 {
        if let Some(known) = self.find(text, seed) {
            return known;
        }
        let number = self.len();
        self.all.push_str(text);
        self.ends.push(u32::try_from(self.all.len()).expect("names of more than 4 GiB"));
        let mut index = std::mem::take(&mut self.index);
        let hashes = |at: usize| hash(self.text(at as u32).as_bytes(), seed);
        for at in if number == LINEAR { 0 } else { number }..number + 1 {
            if number >= LINEAR {
                index.add(hashes(at), at, |before| Some(hashes(before)));
            }
        }
        self.index = index;
        number as u32
    }
}
