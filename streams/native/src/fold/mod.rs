//! The fold of one partition, as `streams/fold` is: the same verdicts, the same records to the byte, the same changes.

mod changes;
mod duplicates;
mod entanglements;
mod entry;
mod held;
pub mod json;
mod key;
mod load;
mod names;
mod opts;
mod ordered;
mod particles;
mod partition;
mod record;
mod resonance;
mod rooms;
mod rows;
mod rules;
mod shard;
mod state;

pub use load::read_event;
pub use partition::PartitionFold;
pub use rules::Rules;
