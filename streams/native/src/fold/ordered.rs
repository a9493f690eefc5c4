//! Maps that keep the order in which their keys came, as Python's dict does: a key that is deleted and comes again
//! stands at the end, one that gets a new value stays where it is.

use std::rc::Rc;

use super::names::{hash, Index};

const NOWHERE: u32 = u32::MAX;
/// Up to here a look at each item is quicker than a table.
const LINEAR: usize = 4;

/// A map of small numbers, those of some `Names`.
#[derive(Clone)]
pub struct Dense<T> {
    items: Vec<Option<(u32, T)>>,
    /// where a number's item is; empty while there are few
    places: Vec<u32>,
    dead: usize,
}

impl<T> Default for Dense<T> {
    fn default() -> Self {
        Dense { items: Vec::new(), places: Vec::new(), dead: 0 }
    }
}

impl<T> Dense<T> {
    pub fn len(&self) -> usize {
        self.items.len() - self.dead
    }

    #[inline]
    pub fn get(&self, number: u32) -> Option<&T> {
        let at = self.place(number)?;
        self.items[at].as_ref().map(|item| &item.1)
    }

    #[inline]
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let at = self.place(number)?;
        self.items[at].as_mut().map(|item| &mut item.1)
    }

    /// Set a value; a new key goes to the end.
    pub fn set(&mut self, number: u32, value: T) {
        if let Some(known) = self.get_mut(number) {
            *known = value;
            return;
        }
        if self.items.capacity() == 0 {
            self.items.reserve_exact(1); // most maps have one
        }
        self.items.push(Some((number, value)));
        let count = self.items.len();
        if count > LINEAR {
            let from = if self.places.is_empty() { 0 } else { count - 1 };
            for (at, item) in self.items.iter().enumerate().skip(from) {
                if let Some((number, _)) = item {
                    let place = *number as usize;
                    if self.places.len() <= place {
                        self.places.resize(place + 1, NOWHERE);
                    }
                    self.places[place] = at as u32;
                }
            }
        }
    }

    #[inline]
    fn place(&self, number: u32) -> Option<usize> {
        if self.places.is_empty() {
            return self.items.iter().position(|item| item.as_ref().map_or(false, |item| item.0 == number));
        }
        let at = *self.places.get(number as usize)? as usize;
        if at < self.items.len() {
            Some(at)
        } else {
            None
        }
    }

    /// The value of a key, made if it is not there.
    #[inline]
    pub fn entry(&mut self, number: u32, make: impl FnOnce() -> T) -> &mut T {
        if self.get(number).is_none() {
            self.set(number, make());
        }
        self.get_mut(number).expect("it was just set")
    }

    pub fn remove(&mut self, number: u32) -> Option<T> {
        let at = self.place(number)?;
        let (_, value) = self.items[at].take()?;
        if let Some(place) = self.places.get_mut(number as usize) {
            *place = NOWHERE;
        }
        self.dead += 1;
        if self.dead > 16 && self.dead * 2 > self.items.len() {
            let items = std::mem::take(&mut self.items);
            self.fill(items.into_iter().flatten());
        }
        Some(value)
    }

    /// Have just these, in this order.
    pub fn fill(&mut self, items: impl Iterator<Item = (u32, T)>) {
        self.items.clear();
        self.dead = 0;
        self.places.clear();
        for (number, value) in items {
            self.set(number, value);
        }
    }

    /// Keys and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.items.iter().flatten().map(|(number, value)| (*number, value))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.items.iter_mut().flatten().map(|(number, value)| (*number, value))
    }
}

/// A map of texts.
#[derive(Clone)]
pub struct Texts<T> {
    items: Vec<Option<(Rc<str>, T)>>,
    index: Index,
    dead: usize,
}

impl<T> Default for Texts<T> {
    fn default() -> Self {
        Texts { items: Vec::new(), index: Index::default(), dead: 0 }
    }
}

impl<T> Texts<T> {
    pub fn len(&self) -> usize {
        self.items.len() - self.dead
    }

    /// The value of a name, made if it is not there.
    pub fn entry(&mut self, name: &str, make: impl FnOnce() -> T, seed: u64) -> &mut T {
        match self.place(name, seed) {
            Some(at) => self.items[at].as_mut().map(|(_, value)| value).expect("a name that is found is there"),
            None => self.add(name.into(), make(), seed),
        }
    }

    /// The name as it is kept, and its value.
    #[inline]
    pub fn get_mut(&mut self, name: &str, seed: u64) -> Option<(&Rc<str>, &mut T)> {
        let at = self.place(name, seed)?;
        self.items[at].as_mut().map(|(known, value)| (&*known, value))
    }

    pub fn get(&self, name: &str, seed: u64) -> Option<&T> {
        let at = self.place(name, seed)?;
        self.items[at].as_ref().map(|(_, value)| value)
    }

    /// Add a name that is not in, at the end.
    pub fn add(&mut self, name: Rc<str>, value: T, seed: u64) -> &mut T {
        let (at, hashed) = (self.items.len(), hash(name.as_bytes(), seed));
        self.items.push(Some((name, value)));
        let items = &self.items;
        self.index.add(hashed, at, |before| items[before].as_ref().map(|(known, _)| hash(known.as_bytes(), seed)));
        self.items[at].as_mut().map(|(_, value)| value).expect("it was just added")
    }

    pub fn remove(&mut self, name: &str, seed: u64) -> Option<T> {
        let at = self.place(name, seed)?;
        let (_, value) = self.items[at].take()?;
        self.dead += 1;
        if self.dead > 16 && self.dead * 2 > self.items.len() {
            let items = std::mem::take(&mut self.items);
            self.fill(items.into_iter().flatten(), seed);
        }
        Some(value)
    }

    /// Have just these, in this order.
    pub fn fill(&mut self, items: impl Iterator<Item = (Rc<str>, T)>, seed: u64) {
        self.clear();
        for (name, value) in items {
            self.add(name, value, seed);
        }
    }

    pub fn clear(&mut self) {
        self.items.clear();
        self.index = Index::default();
        self.dead = 0;
    }

    /// Keep those that `is_kept` says, and put them in the order of their names.
    pub fn sort(&mut self, mut is_kept: impl FnMut(&T) -> bool, seed: u64) {
        let mut before: Option<&str> = None;
        let mut as_it_was = self.dead == 0;
        for (name, value) in self.items.iter().flatten() {
            as_it_was &= before.map_or(true, |other| other < &**name) && is_kept(value);
            before = Some(name);
        }
        if as_it_was {
            return;
        }
        let mut items: Vec<_> = std::mem::take(&mut self.items).into_iter().flatten().collect();
        items.retain(|(_, value)| is_kept(value));
        items.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.fill(items.into_iter(), seed);
    }

    /// Names and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&Rc<str>, &T)> {
        self.items.iter().flatten().map(|(name, value)| (name, value))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Rc<str>, &mut T)> {
        self.items.iter_mut().flatten().map(|(name, value)| (&*name, value))
    }

    #[inline]
    fn place(&self, name: &str, seed: u64) -> Option<usize> {
        let hashed = hash(name.as_bytes(), seed);
        let is = |at: usize| self.items[at].as_ref().map_or(false, |(known, _)| **known == *name);
        self.index.find(hashed, is)
    }
}
