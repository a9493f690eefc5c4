//! The reader's border to C, for tests: bytes in, MessagePack out, and no panic ever crosses it.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::slice;

use crate::batch::{Header, Records, HEADER_BYTES};
use crate::event::Event;
use crate::hash::{crc32, crc32c, murmur2};
use crate::msgpack::{Bad, Reader, Writer};
use crate::read::read_record;
use crate::rows::{Limits, Rows};

/// Bytes that this library owns until `field_free`.
#[repr(C)]
pub struct Owned {
    bytes: *mut u8,
    length: usize,
}

/// What is asked of `field_read` beside the value.
#[repr(C)]
pub struct Asked {
    latest_ms: i64,
    event_bytes_max: u64,
    depth_max: u32,
    has_content_type: u32,
    content_type: *const u8,
    content_type_length: usize,
}

const DONE: i32 = 0;
const REFUSED: i32 = 1;
const PANIC: i32 = 2;

/// An array of what the record holds: events in their positional form, the bytes of elements that Python is to look at
/// (none in a frame). REFUSED when Python is to look at the whole.
///
/// # Safety
/// `value` and `asked.content_type` are readable for their lengths, `out` is writable.
#[no_mangle]
pub unsafe extern "C" fn field_read(value: *const u8, length: usize, asked: &Asked, out: *mut Owned) -> i32 {
    let value = slice::from_raw_parts(value, length);
    let content_type = slice::from_raw_parts(asked.content_type, asked.content_type_length);
    let content_type = if asked.has_content_type == 1 { Some(content_type) } else { None };
    answer(out, || {
        let limits = Limits { event_bytes_max: asked.event_bytes_max as usize, depth_max: asked.depth_max };
        let mut rows = Rows::default();
        let record = read_record(value, content_type, asked.latest_ms, &limits, &mut rows).ok_or(Bad("not plain"))?;
        let mut writer = Writer::new();
        writer.array(record.len());
        for index in 0..record.len() {
            match record.event(index) {
                Ok(event) => event.write(&mut writer),
                Err(piece) => writer.bin(piece),
            }
        }
        Ok(writer)
    })
}

/// An event in its positional form, read and written again, and its phase.
///
/// # Safety
/// As of `field_read`.
#[no_mangle]
pub unsafe extern "C" fn field_event(value: *const u8, length: usize, out: *mut Owned) -> i32 {
    let value = slice::from_raw_parts(value, length);
    answer(out, || {
        let mut reader = Reader::new(value);
        let event = Event::read(&mut reader)?;
        if !reader.done() {
            return Err(Bad("bytes after the event"));
        }
        let mut writer = Writer::new();
        event.write(&mut writer);
        writer.float(event.phase);
        Ok(writer)
    })
}

/// CRC-32 and CRC-32C of the bytes in two parts, and murmur2 of them.
///
/// # Safety
/// As of `field_read`.
#[no_mangle]
pub unsafe extern "C" fn field_hashes(value: *const u8, length: usize, out: *mut Owned) -> i32 {
    let value = slice::from_raw_parts(value, length);
    answer(out, || {
        let (head, tail) = value.split_at(length / 3);
        let mut writer = Writer::new();
        writer.array(3);
        writer.uint(u64::from(crc32(tail, crc32(head, 0))));
        writer.uint(u64::from(crc32c(tail, crc32c(head, 0))));
        writer.uint(u64::from(murmur2(value)));
        Ok(writer)
    })
}

/// The records of a batch that is not compressed: offset, timestamp, key, value, headers.
///
/// # Safety
/// As of `field_read`.
#[no_mangle]
pub unsafe extern "C" fn field_batch(value: *const u8, length: usize, out: *mut Owned) -> i32 {
    let value = slice::from_raw_parts(value, length);
    answer(out, || {
        let header = Header::read(value)?;
        if header.compression() != 0 || header.is_control() || !header.checks(value) || header.bytes != length {
            return Err(Bad("not a whole batch"));
        }
        let mut writer = Writer::new();
        for record in Records::new(header, &value[HEADER_BYTES..]) {
            let record = record?;
            writer.array(5);
            writer.int(record.offset);
            writer.int(record.timestamp);
            optional(&mut writer, record.key);
            optional(&mut writer, record.value);
            writer.array(record.headers.count);
            for (name, content) in record.headers.all() {
                writer.array(2);
                writer.bin(name);
                optional(&mut writer, content);
            }
        }
        Ok(writer)
    })
}

/// # Safety
/// `owned` is what one of the functions above filled in, and is given back once.
#[no_mangle]
pub unsafe extern "C" fn field_free(owned: Owned) {
    drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(owned.bytes, owned.length)));
}

fn optional(writer: &mut Writer, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => writer.bin(bytes),
        None => writer.nil(),
    }
}

/// Always fills `out`: with what was written, or with a text that says why not.
unsafe fn answer(out: *mut Owned, work: impl FnOnce() -> Result<Writer, Bad>) -> i32 {
    let (code, bytes) = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(writer)) => (DONE, writer.0),
        Ok(Err(Bad(why))) => (REFUSED, why.as_bytes().to_vec()),
        Err(_) => (PANIC, b"panic".to_vec()),
    };
    let boxed = bytes.into_boxed_slice();
    let length = boxed.len();
    out.write(Owned { bytes: Box::into_raw(boxed).cast(), length });
    code
}
