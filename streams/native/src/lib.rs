//! What Python calls where it would be too slow by itself. `streams/native/__init__.py` is the other side.

mod event;
mod ffi_fold;
mod fold;
mod msgpack;
