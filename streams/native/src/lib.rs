//! The compiled reader and fold: the same verdicts and bytes as the Python of `streams`, which stays their oracle.

pub mod batch;
pub mod data;
pub mod event;
pub mod ffi_read;
pub mod frame;
pub mod hash;
pub mod json;
pub mod msgpack;
pub mod number;
pub mod read;
pub mod rows;
pub mod time;
