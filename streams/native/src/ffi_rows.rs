//! The border of the rows: C functions for ctypes (`streams/native/rows.py`). Nothing panics through it.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::slice;

use crate::chunk::{self, Cursor, Plain};
use crate::copy::{Copied, WEIGHED};
use crate::rows::Limits;

/// What is plain, what weighs how much, and the rows that were made last.
pub struct Maker {
    plain: Plain,
    weights: [i64; WEIGHED],
    rows: Vec<u8>,
}

/// A new one, never null; the weights are those of the types from BREATH on.
///
/// # Safety
/// `weights` points to five numbers.
#[no_mangle]
pub unsafe extern "C" fn field_rows_new(
    weights: *const i64,
    partitions: u32,
    skew_ms: i64,
    event_bytes_max: u64,
    depth_max: u32,
) -> *mut Maker {
    let mut own = [0; WEIGHED];
    own.copy_from_slice(slice::from_raw_parts(weights, WEIGHED));
    let limits = Limits { event_bytes_max: event_bytes_max as usize, depth_max };
    let plain = Plain { limits, skew_ms, partition: 0, partitions, ..Plain::default() };
    Box::into_raw(Box::new(Maker { plain, weights: own, rows: Vec::new() }))
}

/// # Safety
/// `maker` is of `field_rows_new`, and nobody uses it any more.
#[no_mangle]
pub unsafe extern "C" fn field_rows_free(maker: *mut Maker) {
    drop(Box::from_raw(maker));
}

/// The rows of plain records on from the cursor, as `chunk::run` says; 1 after a panic.
///
/// # Safety
/// `maker` is of `field_rows_new`; the cursor's data are readable for their length.
#[no_mangle]
pub unsafe extern "C" fn field_rows_make(maker: *mut Maker, partition: u32, cursor: *mut Cursor) -> i32 {
    let length = (*cursor).length as usize;
    let section = if length == 0 { &[] } else { slice::from_raw_parts((*cursor).data, length) };
    let Maker { plain, weights, rows } = &mut *maker;
    rows.clear();
    plain.partition = partition;
    let done = catch_unwind(AssertUnwindSafe(|| {
        let mut taker = Copied { partition: partition as i32, weights, to: rows };
        chunk::run(&mut taker, plain, &mut *cursor, section);
    }));
    i32::from(done.is_err())
}

/// The rows that were made last: the address, their bytes in `size`. They are good until the next call.
///
/// # Safety
/// `maker` is of `field_rows_new`; `size` points to a number.
#[no_mangle]
pub unsafe extern "C" fn field_rows_last(maker: *const Maker, size: *mut usize) -> *const u8 {
    *size = (*maker).rows.len();
    (*maker).rows.as_ptr()
}
