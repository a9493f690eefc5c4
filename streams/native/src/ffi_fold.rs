//! The border of the fold: C functions for ctypes. Nothing panics through it and nothing else here is unsafe.
//!
//! Every function answers 0, or 1 with a text to be had by `field_fold_text`. After a panic the fold is gone, and every
//! later call says so.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::slice;

use crate::block::{self, Block};
use crate::chunk::{self, Cursor, Plain};
use crate::event::{OPT_IN, OPT_OUT};
use crate::fold::{read_event, PartitionFold, Rules};
use crate::msgpack::{Bad, Reader, Writer};
use crate::rows::Limits;

/// Bytes of a text that are kept for the next one; what a checkpoint says of a large state is another copy of it.
const TEXT_KEPT: usize = 1 << 22;

/// A fold with the bytes that it says last.
pub struct Handle {
    fold: Option<PartitionFold>,
    text: Vec<u8>,
    plain: Plain,
}

/// A new fold, never null; where its text is not empty, the rules were none.
///
/// With more than `open_max` keys open after a checkpoint all are packed.
///
/// # Safety
/// `rules` points to `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn field_fold_new(
    partition: i64,
    shards: usize,
    open_max: usize,
    rules: *const u8,
    size: usize,
) -> *mut Handle {
    let mut handle = Box::new(Handle { fold: None, text: Vec::new(), plain: Plain::default() });
    let bytes = bytes_of(rules, size);
    let made = catch_unwind(|| Rules::read(bytes).map(|rules| PartitionFold::new(partition, shards, open_max, rules)));
    match made {
        Ok(Ok(fold)) => handle.fold = Some(fold),
        Ok(Err(bad)) => handle.text = bad.0.into(),
        Err(_) => handle.text = b"the fold of a partition cannot be made".to_vec(),
    }
    Box::into_raw(handle)
}

/// # Safety
/// `handle` is of `field_fold_new`, and nobody uses it any more.
#[no_mangle]
pub unsafe extern "C" fn field_fold_free(handle: *mut Handle) {
    drop(Box::from_raw(handle));
}

/// What was said last: the address, its size in `size`. It is good until the next call.
///
/// # Safety
/// `handle` is of `field_fold_new`; `size` points to a number.
#[no_mangle]
pub unsafe extern "C" fn field_fold_text(handle: *const Handle, size: *mut usize) -> *const u8 {
    *size = (*handle).text.len();
    (*handle).text.as_ptr()
}

/// Load a shard from its record.
///
/// # Safety
/// `handle` is of `field_fold_new`; `record` points to `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn field_fold_load(handle: *mut Handle, number: usize, record: *const u8, size: usize) -> i32 {
    let bytes = bytes_of(record, size);
    call(&mut *handle, |fold, _| fold.load_shard(number, bytes))
}

/// The events of the record at `offset`: a MessagePack array of `streams.events.Event`.
///
/// # Safety
/// `handle` is of `field_fold_new`; `events` points to `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn field_fold_events(handle: *mut Handle, offset: i64, events: *const u8, size: usize) -> i32 {
    let bytes = bytes_of(events, size);
    call(&mut *handle, |fold, _| {
        if fold.is_folded(offset) {
            return Ok(());
        }
        let mut from = Reader::new(bytes);
        let mut events = Vec::new();
        for _ in 0..from.array()? {
            events.push(read_event(&mut from)?);
        }
        for event in &events {
            if matches!(event.kind, OPT_IN | OPT_OUT) {
                fold.toggle(offset, event);
            } else {
                fold.fold(offset, event);
            }
        }
        fold.folded(offset);
        Ok(())
    })
}

/// What is plain in chunks: this partition of so many, and the limits of one event (ms, bytes, levels).
///
/// # Safety
/// `handle` is of `field_fold_new`.
#[no_mangle]
pub unsafe extern "C" fn field_fold_plain(
    handle: *mut Handle,
    partition: u32,
    partitions: u32,
    skew_ms: i64,
    event_bytes_max: u64,
    depth_max: u32,
) -> i32 {
    let limits = Limits { event_bytes_max: event_bytes_max as usize, depth_max };
    (*handle).plain = Plain { limits, skew_ms, partition, partitions, ..Plain::default() };
    0
}

/// Fold on in a chunk, as `chunk::run` says.
///
/// # Safety
/// `handle` is of `field_fold_new`; the cursor's data are readable for their length.
#[no_mangle]
pub unsafe extern "C" fn field_fold_chunk(handle: *mut Handle, cursor: *mut Cursor) -> i32 {
    let section = bytes_of((*cursor).data, (*cursor).length as usize);
    let mut plain = std::mem::take(&mut (*handle).plain);
    let answer = call(&mut *handle, |fold, _| {
        chunk::run(fold, &mut plain, &mut *cursor, section);
        Ok(())
    });
    (*handle).plain = plain;
    answer
}

/// Fold the entries of an archive's block, as `block::run` says; 2 when nothing was folded, for Python to look.
///
/// # Safety
/// `handle` is of `field_fold_new`; `block` and what it names are readable.
#[no_mangle]
pub unsafe extern "C" fn field_fold_block(handle: *mut Handle, block: *const Block) -> i32 {
    let block = &*block;
    let frame = bytes_of(block.frame, block.length);
    let offsets = slice::from_raw_parts(block.offsets, block.entries);
    let counts = slice::from_raw_parts(block.counts, block.entries);
    let mut plain = std::mem::take(&mut (*handle).plain);
    let mut taken = false;
    let answer = call(&mut *handle, |fold, _| {
        let entries = offsets.iter().copied().zip(counts.iter().copied());
        taken = block::run(fold, &mut plain.rows, frame, entries, block.start..block.end);
        Ok(())
    });
    (*handle).plain = plain;
    if answer == 0 && !taken {
        2
    } else {
        answer
    }
}

/// A checkpoint; the text is MessagePack: `[[[shard, change], ...], [[shard, record], ...], position record]`.
///
/// # Safety
/// `handle` is of `field_fold_new`; `writer` points to `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn field_fold_checkpoint(handle: *mut Handle, writer: *const u8, size: usize, full: bool) -> i32 {
    let bytes = bytes_of(writer, size);
    call(&mut *handle, |fold, text| {
        let writer = std::str::from_utf8(bytes).map_err(|_| Bad("a writer is text"))?;
        let taken = fold.checkpoint(writer, full)?;
        let mut to = Writer(std::mem::take(text));
        to.array(3);
        for values in [taken.changes, taken.records] {
            to.array(values.len());
            for (shard, value) in values {
                to.array(2);
                to.int(shard as i64);
                to.bin(&value);
            }
        }
        to.bin(&taken.position);
        *text = to.0;
        Ok(())
    })
}

/// Position, watermark, reached, accepted, duplicate and late events, in this order.
///
/// # Safety
/// `handle` is of `field_fold_new`; `numbers` points to six of them.
#[no_mangle]
pub unsafe extern "C" fn field_fold_numbers(handle: *mut Handle, numbers: *mut i64) -> i32 {
    let to = slice::from_raw_parts_mut(numbers, 6);
    call(&mut *handle, |fold, _| {
        to[..3].copy_from_slice(&[fold.position, fold.watermark, fold.reached()]);
        to[3..].copy_from_slice(&fold.counts);
        Ok(())
    })
}

/// Set the position that a position record says.
///
/// # Safety
/// `handle` is of `field_fold_new`.
#[no_mangle]
pub unsafe extern "C" fn field_fold_stand(handle: *mut Handle, position: i64) -> i32 {
    call(&mut *handle, |fold, _| {
        fold.position = position;
        Ok(())
    })
}

unsafe fn bytes_of<'a>(from: *const u8, size: usize) -> &'a [u8] {
    if size == 0 {
        &[]
    } else {
        slice::from_raw_parts(from, size)
    }
}

fn call(handle: &mut Handle, run: impl FnOnce(&mut PartitionFold, &mut Vec<u8>) -> Result<(), Bad>) -> i32 {
    handle.text.clear();
    handle.text.shrink_to(TEXT_KEPT);
    let Handle { fold, text, .. } = handle;
    let done = match fold {
        None => Ok(Err(Bad("this fold has failed before"))),
        Some(fold) => catch_unwind(AssertUnwindSafe(|| run(fold, text))),
    };
    let problem = match done {
        Ok(Ok(())) => return 0,
        Ok(Err(bad)) => bad.0.to_string(),
        Err(panic) => {
            handle.fold = None;
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("the fold has failed: {}", said.unwrap_or("?"))
        }
    };
    handle.text = problem.into_bytes();
    1
}
