//! All shards of one partition: the driver's side of the fold, as `streams/fold/partition.py` is.

use super::changes::{self, Heading};
use super::duplicates::Verdict;
use super::load::read_shard;
use super::names::{hash, Index};
use super::particles::drop_outranked;
use super::record::{write_position, write_shard, Place};
use super::rows::{changed_rows, Shown};
use super::rules::Rules;
use super::shard::Shard;
use crate::event::Event;
use crate::msgpack::{Bad, Writer};

/// What a driver stores: rows that changed, and records of the shards that did.
pub struct Checkpoint {
    /// (shard, JSON)
    pub changes: Vec<(usize, Vec<u8>)>,
    /// (shard, MessagePack)
    pub records: Vec<(usize, Vec<u8>)>,
    /// the position record
    pub position: Vec<u8>,
}

/// The fold of one partition.
pub struct PartitionFold {
    partition: i64,
    rules: Rules,
    /// the last record offset folded; before the first, that of the loaded position record (-1: none)
    pub position: i64,
    /// highest accepted timestamp (ms)
    pub watermark: i64,
    /// accepted, duplicate and late events since the start of this object
    pub counts: [i64; 3],
    folded: i64,
    shards: Vec<Shard>,
    shown: Vec<Shown>,
    is_dirty: Vec<bool>,
    /// shards of which this object has shown nothing yet, but somebody before it may have: next time all rows
    is_unshown: Vec<bool>,
    index: Index,
    keys: Vec<Home>,
    /// with more keys open than this after a checkpoint all are packed
    open_max: usize,
}

/// Where a key is; the first bytes of its name are here, so that a search need not go there.
struct Home {
    shard: u32,
    number: u32,
    size: u32,
    start: [u8; SHORT],
}

const SHORT: usize = 24;

impl Home {
    fn new(shard: u32, number: u32, name: &[u8]) -> Home {
        let mut start = [0; SHORT];
        let count = name.len().min(SHORT);
        start[..count].copy_from_slice(&name[..count]);
        Home { shard, number, size: u32::try_from(name.len()).expect("a key of less than 4 GiB"), start }
    }

    #[inline]
    fn is(&self, name: &[u8], shards: &[Shard]) -> bool {
        let size = self.size as usize;
        if size != name.len() {
            return false;
        }
        if size <= SHORT {
            return self.start[..size] == *name;
        }
        self.name(shards) == name
    }

    fn name<'a>(&self, shards: &'a [Shard]) -> &'a [u8] {
        shards[self.shard as usize].keys[self.number as usize].name().as_bytes()
    }
}

impl PartitionFold {
    pub fn new(partition: i64, shards: usize, open_max: usize, rules: Rules) -> PartitionFold {
        PartitionFold {
            partition,
            position: -1,
            watermark: -1,
            counts: [0; 3],
            folded: -1,
            shards: (0..shards).map(|_| Shard::new(&rules)).collect(),
            shown: (0..shards).map(|_| Shown::new()).collect(),
            is_dirty: vec![false; shards],
            is_unshown: vec![true; shards],
            index: Index::default(),
            keys: Vec::new(),
            open_max,
            rules,
        }
    }

    /// Highest record offset that is in any shard; `position` may be behind it after a crash.
    pub fn reached(&self) -> i64 {
        self.shards.iter().map(|shard| shard.position).fold(self.position, i64::max)
    }

    /// Take a shard's state from its changelog record.
    pub fn load_shard(&mut self, number: usize, record: &[u8]) -> Result<(), Bad> {
        let (shard, watermark) = read_shard(record, self.shards.len(), &self.rules)?;
        let place = self.shards.get_mut(number).ok_or(Bad("there is no such shard"))?;
        self.watermark = self.watermark.max(watermark);
        let count = shard.keys.len();
        if std::mem::replace(place, shard).keys.is_empty() {
            (0..count).for_each(|key| self.index_key(number as u32, key as u32));
        } else {
            self.index_keys();
        }
        Ok(())
    }

    /// Whether all of the record at this offset is in.
    pub fn is_folded(&self, offset: i64) -> bool {
        offset <= self.folded
    }

    /// The place of a key of which some event was folded before; it stays there.
    #[inline]
    pub fn find(&self, name: &str) -> Option<usize> {
        let name = name.as_bytes();
        self.index.find(hash(name, self.rules.seed), |at| self.keys[at].is(name, &self.shards))
    }

    /// Fold one valid event (not OPT_*) of the record at `offset`; None when its shard already holds it.
    pub fn fold(&mut self, offset: i64, event: &Event) -> Option<Verdict> {
        self.fold_at(self.find(event.key), offset, event)
    }

    /// `fold` with what `find` said, now or before other events.
    pub fn fold_at(&mut self, known: Option<usize>, offset: i64, event: &Event) -> Option<Verdict> {
        let (number, key) = match known {
            Some(at) => (self.keys[at].shard as usize, self.keys[at].number),
            None => self.place(event.key),
        };
        let shard = &mut self.shards[number];
        if offset <= shard.position {
            return None;
        }
        let verdict = shard.fold(key, event, &self.rules);
        self.counts[verdict as usize] += 1;
        if verdict == Verdict::Accepted {
            self.is_dirty[number] = true;
            self.watermark = self.watermark.max(event.timestamp);
        }
        Some(verdict)
    }

    /// OPT_* goes to every shard that has not got it yet; it counts once.
    pub fn toggle(&mut self, offset: i64, event: &Event) -> Verdict {
        let mut verdict = Verdict::Duplicate;
        for (number, shard) in self.shards.iter_mut().enumerate() {
            if offset > shard.position && shard.toggle(event, &self.rules) == Verdict::Accepted {
                verdict = Verdict::Accepted;
                self.is_dirty[number] = true;
            }
        }
        self.counts[verdict as usize] += 1;
        verdict
    }

    /// All events of the record at this offset are folded.
    pub fn folded(&mut self, offset: i64) {
        self.folded = offset;
        self.position = offset;
    }

    /// Settle and encode the shards that changed since the last checkpoint, and forget that they did.
    ///
    /// `full` while somebody before us may have shown more than we have folded. Bad when the writer's name does not
    /// begin with its generation.
    pub fn checkpoint(&mut self, writer: &str, full: bool) -> Result<Checkpoint, Bad> {
        let generation = writer.split('-').next().and_then(|digits| digits.parse().ok());
        let generation: i64 = generation.ok_or(Bad("a writer is generation-incarnation"))?;
        let dirty: Vec<usize> = (0..self.shards.len()).filter(|number| self.is_dirty[*number]).collect();
        for number in &dirty {
            self.shards[*number].settle(&self.rules);
        }
        drop_outranked(self.shards.iter_mut().map(|shard| &mut shard.memories.particles));
        drop_outranked(self.shards.iter_mut().map(|shard| &mut shard.memories.quantum_fields));
        let mut taken = Checkpoint { changes: Vec::new(), records: Vec::new(), position: Vec::new() };
        for number in dirty {
            let place = self.place_of(number as i64);
            let shard = &mut self.shards[number];
            let whole = full || self.is_unshown[number];
            let changed = changed_rows(shard, &mut self.shown[number], whole, &self.rules);
            shard.clear_dirty();
            if whole || !changed.is_empty() {
                let (position, version) = (self.position, &*self.rules.version);
                let heading = Heading { place, position, writer, generation, version, full: whole };
                let values = changes::write(&heading, &changed);
                taken.changes.extend(values.into_iter().map(|value| (number, value)));
            }
            shard.position = self.position;
            let mut to = Writer(Vec::new());
            write_shard(&mut to, place, shard, &self.rules);
            taken.records.push((number, to.0));
            self.is_unshown[number] &= full;
            self.is_dirty[number] = false;
        }
        if self.open() > self.open_max {
            self.shards.iter_mut().filter(|shard| shard.open > 0).for_each(|shard| shard.pack(&self.rules));
        }
        let held = self.shards.iter().filter(|shard| shard.position >= 0).count();
        let mut to = Writer(Vec::new());
        write_position(&mut to, self.place_of(-1), self.position, held, &self.rules);
        taken.position = to.0;
        Ok(taken)
    }

    /// How many keys are open.
    fn open(&self) -> usize {
        self.shards.iter().map(|shard| shard.open).sum()
    }

    fn place_of(&self, shard: i64) -> Place {
        Place { partition: self.partition, shard, shards: self.shards.len() as i64 }
    }

    /// The shard of a key and its number there; a new key is made.
    #[inline]
    fn place(&mut self, name: &str) -> (usize, u32) {
        if let Some(at) = self.find(name) {
            return (self.keys[at].shard as usize, self.keys[at].number);
        }
        let shard = crc32(name.as_bytes()) as usize % self.shards.len();
        let number = self.shards[shard].add(name);
        self.index_key(shard as u32, number);
        (shard, number)
    }

    fn index_key(&mut self, shard: u32, number: u32) {
        let (at, seed) = (self.keys.len(), self.rules.seed);
        let name = self.shards[shard as usize].keys[number as usize].name().as_bytes();
        self.keys.push(Home::new(shard, number, name));
        let (keys, shards) = (&self.keys, &self.shards);
        let hashes = |at: usize| hash(keys[at].name(shards), seed);
        self.index.add(hashes(at), at, |before| Some(hashes(before)));
    }

    fn index_keys(&mut self) {
        self.index = Index::default();
        self.keys.clear();
        for shard in 0..self.shards.len() {
            for number in 0..self.shards[shard].keys.len() {
                self.index_key(shard as u32, number as u32);
            }
        }
    }
}

/// CRC-32 as zlib's; only a new key asks.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ *byte as u32, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
