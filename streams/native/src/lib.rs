//! What Python calls where it would be too slow by itself: the same verdicts and bytes as the Python of `streams`,
//! which stays the oracle. `streams/native/*.py` is the other side.

pub mod batch;
pub mod block;
pub mod chunk;
pub mod copy;
pub mod data;
pub mod event;
pub mod ffi_fold;
pub mod ffi_read;
pub mod ffi_rows;
pub mod fold;
pub mod frame;
pub mod hash;
pub mod json;
pub mod msgpack;
pub mod number;
pub mod read;
pub mod rows;
pub mod time;
