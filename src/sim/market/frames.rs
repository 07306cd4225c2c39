//! Recorded frames: `recv_ns<TAB>raw`, one a line.

use std::path::Path;

use super::lines::Lines;
use super::{BytesRead, MarketSource, SourceCounts, SourceError};
use crate::num::TimeNs;

/// Longest frame passed whole: the most that `QT_MAX_FRAME_BYTES` allows. Venues stay below 50 kB.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Receive times end before 2250, so that what is added to them stays in 64 bits.
const RECV_NS_MAX: i64 = 8_835_984_000_000_000_000;
/// Digits of the largest `i64`.
const RECV_DIGITS_MAX: usize = 19;
/// One byte more than a frame may have shows the decoder that it is too long.
const LINE_BYTES_MAX: usize = RECV_DIGITS_MAX + 1 + FRAME_BYTES_MAX + 1;

/// A recorded frames file. Raw bytes pass unchanged, UTF-8 or not.
pub struct Frames {
    lines: Lines,
    line: Vec<u8>,
    last: TimeNs,
    counts: SourceCounts,
    ended: bool,
}

impl Frames {
    /// Opens `path`, packed or plain.
    pub fn open(path: &Path) -> Result<Frames, SourceError> {
        Frames::open_counted(path, &BytesRead::default())
    }

    /// As [`Frames::open`]; `read` counts what is read of the file.
    pub fn open_counted(path: &Path, read: &BytesRead) -> Result<Frames, SourceError> {
        let lines = Lines::open(path, read)?;
        Ok(Frames { lines, line: Vec::new(), last: TimeNs(0), counts: SourceCounts::default(), ended: false })
    }

    fn read(&mut self, frame: &mut Vec<u8>) -> Result<Option<TimeNs>, SourceError> {
        let Some(length) = self.lines.read(&mut self.line, LINE_BYTES_MAX)? else { return Ok(None) };
        let head = self.line.get(..RECV_DIGITS_MAX + 1).unwrap_or(&self.line);
        let Some(tab) = head.iter().position(|b| *b == b'\t') else {
            return Err(self.lines.error("line", &self.line, "recv_ns, a tab, the frame"));
        };
        let (recv, raw) = self.line.split_at(tab);
        let raw = raw.get(1..).unwrap_or_default();
        let recv_ns = std::str::from_utf8(recv)
            .ok()
            .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|text| text.parse::<i64>().ok())
            .filter(|recv_ns| *recv_ns <= RECV_NS_MAX)
            .ok_or_else(|| {
                let allowed = format!("nanoseconds since 1970, a whole number from 0 to {RECV_NS_MAX}");
                self.lines.error("recv_ns", recv, allowed)
            })?;
        if length - tab as u64 - 1 > FRAME_BYTES_MAX as u64 {
            self.counts.oversize += 1;
        }
        if TimeNs(recv_ns) < self.last {
            self.counts.clamped += 1;
        }
        self.last = self.last.max(TimeNs(recv_ns));
        frame.extend_from_slice(raw.get(..FRAME_BYTES_MAX + 1).unwrap_or(raw));
        Ok(Some(self.last))
    }
}

impl MarketSource for Frames {
    fn next_frame(&mut self, frame: &mut Vec<u8>) -> Result<Option<TimeNs>, SourceError> {
        frame.clear();
        if self.ended {
            return Ok(None);
        }
        let next = self.read(frame);
        self.ended = !matches!(next, Ok(Some(_)));
        next
    }

    fn counts(&self) -> SourceCounts {
        self.counts
    }
}
