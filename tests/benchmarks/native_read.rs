//! How long the compiled reader takes: `native_read FILE LATEST_MS ROUNDS`, for a file of values, each after its length
//! (u32, little-endian). Prints events, bytes and the best round's nanoseconds.

use std::time::Instant;

use field::{read, rows};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let file = std::fs::read(&arguments[1]).expect("a file of values");
    let latest_ms: i64 = arguments[2].parse().expect("milliseconds");
    let rounds: usize = arguments[3].parse().expect("rounds");
    let mut values: Vec<&[u8]> = Vec::new();
    let mut rest = &file[..];
    while !rest.is_empty() {
        let length = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
        values.push(&rest[4..4 + length]);
        rest = &rest[4 + length..];
    }
    let limits = rows::Limits { event_bytes_max: 65_536, depth_max: 16 };
    let mut rows = rows::Rows::default();
    let (mut best, mut events, mut sum) = (u128::MAX, 0, 0);
    for _ in 0..rounds {
        let start = Instant::now();
        events = 0;
        for value in &values {
            let record = read::read_record(value, None, latest_ms, &limits, &mut rows).expect("plain");
            for index in 0..record.len() {
                let event = record.event(index).expect("plain");
                sum += event.timestamp as usize % 7 + event.data.len() + event.key.len();
                events += 1;
            }
        }
        best = best.min(start.elapsed().as_nanos());
    }
    println!("{events} {} {best} {sum}", values.iter().map(|value| value.len()).sum::<usize>());
}
