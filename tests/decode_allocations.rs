//! Decoding does not allocate: not from the first frame on, not for large frames, not for hostile
//! ones.
#![allow(unsafe_code)] // An allocator can only be counted from inside one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use quantum_trader::decode::{Decoded, Decoder};
use quantum_trader::event::{EventBody, FaultReason};
use quantum_trader::num::TimeNs;
use quantum_trader::venue::builtin_instruments;

struct Counting;

thread_local! {
    /// This thread's: the test harness allocates on its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // While a thread ends its counter is gone and what it does is of no interest.
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
}

// SAFETY: every call is the system allocator's, with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's block, which came from the system allocator.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as in `dealloc`.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BYTES_MAX: usize = 64 * 1024;

/// A depth frame that fills the buffer: some 3,000 levels.
fn large_depth() -> String {
    let mut frame =
        String::from(r#"{"e":"depthUpdate","E":12,"T":11,"s":"BTCUSDT","U":5,"u":9,"pu":4,"a":[],"b":["#);
    let level = |n: usize| format!(r#"["{}.{}","{n}.001"]"#, 20_000 + n, n % 10);
    let levels = (0..).map(level).scan(frame.len() + 2, |bytes, level| {
        *bytes += level.len() + 1;
        (*bytes < BYTES_MAX).then_some(level)
    });
    frame.push_str(&levels.collect::<Vec<_>>().join(","));
    frame.push_str("]}");
    frame
}

fn allocations(decoder: &mut Decoder, frame: &[u8]) -> u64 {
    let before = ALLOCATIONS.get();
    let _ = black_box(decoder.decode(TimeNs(1), black_box(frame)));
    ALLOCATIONS.get() - before
}

#[test]
fn no_frame_allocates_not_even_the_first() {
    let table = builtin_instruments("0.0005").unwrap();
    let depth = large_depth();
    let hostile = [
        ",".repeat(BYTES_MAX),
        "[".repeat(BYTES_MAX),
        "{\"a\":".repeat(BYTES_MAX / 5),
        "[[],".repeat(BYTES_MAX / 4),
        format!("[{}0]", "0,".repeat(BYTES_MAX / 2 - 2)),
        format!("{{\"e\":\"{}\"}}", "\\u00e9".repeat(BYTES_MAX / 6 - 2)),
        format!("{{\"e\":\"trade\",\"s\":\"{}\"}}", "S".repeat(BYTES_MAX / 2)),
        "x".repeat(BYTES_MAX + 1),
        String::new(),
    ];
    for first in hostile.iter().chain([&depth]) {
        // A decoder each, so that no frame profits from the one before.
        let mut decoder = Decoder::new(&table, BYTES_MAX);
        assert_eq!(allocations(&mut decoder, first.as_bytes()), 0, "{:.60}", first);
        assert_eq!(allocations(&mut decoder, depth.as_bytes()), 0, "after {:.60}", first);
    }
}

/// A frame of a usual layout takes another way than one with a blank in it; neither allocates.
#[test]
fn neither_way_allocates() {
    let mut decoder = Decoder::new(&builtin_instruments("0.0005").unwrap(), BYTES_MAX);
    let usual = r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1792000000150,"T":1792000000149,"s":"BTCUSDT","t":7100200300,"p":"61234.50","q":"1","X":"MARKET","m":false}}"#;
    for (frame, fast_frames) in [(usual.to_string(), 1), (format!("{usual} "), 1), (usual.to_string(), 2)] {
        assert_eq!(allocations(&mut decoder, frame.as_bytes()), 0, "{frame}");
        assert_eq!(decoder.fast_frames(), fast_frames);
    }
}

#[test]
fn the_large_frame_is_what_it_claims() {
    let mut decoder = Decoder::new(&builtin_instruments("0.0005").unwrap(), BYTES_MAX);
    let frame = large_depth();
    assert!((BYTES_MAX - 40..=BYTES_MAX).contains(&frame.len()), "{}", frame.len());
    let Ok(Decoded::Event(event)) = decoder.decode(TimeNs(1), frame.as_bytes()) else { panic!() };
    let EventBody::Depth(depth) = event.body else { panic!() };
    assert!(depth.bid_levels > 2_500, "{}", depth.bid_levels);
    let longer = format!("{frame}{}", " ".repeat(40));
    assert_eq!(decoder.decode(TimeNs(1), longer.as_bytes()).unwrap_err().reason, FaultReason::Size);
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    drop(black_box(vec![0u8; 100]));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}
