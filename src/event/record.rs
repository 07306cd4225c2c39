//! The one binary form of events and outputs: records of 128 bytes.
//!
//! ```text
//!  byte 0        8         16     18        20     21     22     23     24            120    124    128
//!       +--------+---------+------+---------+------+------+------+------+-------------+------+------+
//!       | seq    | recv_ns | kind | instru- | flags| part | parts| zero | payload     | zero | crc  |
//!       | u64    | i64     | u16  | ment u16| u8   | u8   | u8   | u8   | 96 bytes    | u32  | u32  |
//!       +--------+---------+------+---------+------+------+------+------+-------------+------+------+
//! ```
//! Little-endian. `crc` is CRC32C of bytes 0..124, so it covers the sequence number: a record of an
//! older lap in the right slot is not mistaken for a new one. A payload beyond 96 bytes continues in
//! the next records, `part` of `parts`. The last record an event caused carries [`COMMIT`].

use bytemuck::{Pod, Zeroable};

use super::{Event, EventBody, Output, OutputBody};
use crate::num::{InstrumentId, TimeNs};

/// Bytes of a record: two cache lines, a divisor of every disk sector.
pub const RECORD_BYTES: usize = 128;
/// Payload bytes in one record.
pub const PAYLOAD_BYTES: usize = 96;
/// Parts the longest payload takes.
pub const PARTS_MAX: usize = 3;
/// Bytes of the longest payload.
pub const PAYLOAD_BYTES_MAX: usize = PARTS_MAX * PAYLOAD_BYTES;
/// Kinds from here on are outputs.
pub const OUTPUT_KIND_MIN: u16 = 128;
/// Flag: the last output of its event; everything up to here may take effect.
pub const COMMIT: u8 = 1;

/// One slot of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Record {
    /// From 1, without gaps; 0 is a slot being written.
    pub sequence: u64,
    pub recv_ns: i64,
    pub kind: u16,
    pub instrument: u16,
    pub flags: u8,
    pub part: u8,
    pub parts: u8,
    pub zero: u8,
    pub payload: [u8; PAYLOAD_BYTES],
    pub zero_end: u32,
    pub crc: u32,
}

const _: () = assert!(size_of::<Record>() == RECORD_BYTES);
const _: () = assert!(std::mem::offset_of!(Record, recv_ns) == 8);
const _: () = assert!(std::mem::offset_of!(Record, kind) == 16);
const _: () = assert!(std::mem::offset_of!(Record, instrument) == 18);
const _: () = assert!(std::mem::offset_of!(Record, flags) == 20);
const _: () = assert!(std::mem::offset_of!(Record, payload) == 24);
const _: () = assert!(std::mem::offset_of!(Record, crc) == 124);
const _: () = assert!(cfg!(target_endian = "little"), "records are written in native byte order");

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("checksum differs")]
    Checksum,
    #[error("unknown kind {0}")]
    Kind(u16),
    #[error("impossible field in a record of kind {0}")]
    Field(u16),
    #[error("part {part} of {parts} out of place")]
    Part { part: u8, parts: u8 },
}

/// An event or an output, read back.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)]
pub enum Entry {
    Event(Event),
    Output { recv_ns: TimeNs, output: Output, commit: bool },
}

impl Record {
    fn sealed(mut self) -> Record {
        self.crc = self.checksum();
        self
    }

    fn checksum(&self) -> u32 {
        crc32c::crc32c(&bytemuck::bytes_of(self)[..124])
    }

    /// The bytes are what was written.
    pub fn is_intact(&self) -> bool {
        self.sequence != 0 && self.checksum_agrees()
    }

    /// As [`Record::is_intact`], for a copy too, which may be numbered 0.
    pub fn checksum_agrees(&self) -> bool {
        self.crc == self.checksum()
    }

    /// A copy under another number.
    pub fn renumbered(&self, sequence: u64) -> Record {
        Record { sequence, ..*self }.sealed()
    }

    pub fn is_output(&self) -> bool {
        self.kind >= OUTPUT_KIND_MIN
    }

    pub fn is_last_part(&self) -> bool {
        self.part.saturating_add(1) >= self.parts
    }

    /// Name of the record's kind.
    pub fn kind_name(&self) -> &'static str {
        EventBody::KINDS
            .iter()
            .chain(OutputBody::KINDS)
            .find(|(kind, _)| *kind == self.kind)
            .map_or("?", |(_, name)| name)
    }
}

/// Records of one event: `sequence` is the first one's. Returns how many were written.
pub fn encode_event(event: &Event, sequence: u64, sink: impl FnMut(&Record)) -> u64 {
    encode(event.body.kind(), event.body.bytes(), event.recv_ns, event.instrument, false, sequence, sink)
}

/// Records of one output of the event received at `recv_ns`; `commit` marks the event's last.
pub fn encode_output(
    output: &Output,
    recv_ns: TimeNs,
    commit: bool,
    sequence: u64,
    sink: impl FnMut(&Record),
) -> u64 {
    encode(output.body.kind(), output.body.bytes(), recv_ns, output.instrument, commit, sequence, sink)
}

fn encode(
    kind: u16,
    payload: &[u8],
    recv_ns: TimeNs,
    instrument: InstrumentId,
    commit: bool,
    sequence: u64,
    mut sink: impl FnMut(&Record),
) -> u64 {
    let parts = payload.len().div_ceil(PAYLOAD_BYTES).max(1);
    for part in 0..parts {
        let chunk = &payload[part * PAYLOAD_BYTES..payload.len().min((part + 1) * PAYLOAD_BYTES)];
        let mut bytes = [0; PAYLOAD_BYTES];
        bytes[..chunk.len()].copy_from_slice(chunk);
        let last = part + 1 == parts;
        let record = Record {
            sequence: sequence + part as u64,
            recv_ns: recv_ns.0,
            kind,
            instrument: instrument.0,
            flags: if commit && last { COMMIT } else { 0 },
            part: part as u8,
            parts: parts as u8,
            zero: 0,
            payload: bytes,
            zero_end: 0,
            crc: 0,
        };
        sink(&record.sealed());
    }
    parts as u64
}

/// Puts records back together. Feed it the journal in order.
#[derive(Clone, Debug)]
pub struct Assembler {
    payload: [u8; PAYLOAD_BYTES_MAX],
    parts_seen: u8,
    kind: u16,
}

impl Default for Assembler {
    fn default() -> Self {
        Assembler { payload: [0; PAYLOAD_BYTES_MAX], parts_seen: 0, kind: 0 }
    }
}

impl Assembler {
    /// `Ok(None)` while parts are missing.
    pub fn push(&mut self, record: &Record) -> Result<Option<Entry>, RecordError> {
        if !record.is_intact() {
            return Err(RecordError::Checksum);
        }
        let size = if record.is_output() {
            OutputBody::payload_size(record.kind)
        } else {
            EventBody::payload_size(record.kind)
        };
        let size = size.ok_or(RecordError::Kind(record.kind))?;
        let expected_parts = size.div_ceil(PAYLOAD_BYTES).max(1);
        let continues = self.parts_seen == 0 || self.kind == record.kind;
        if usize::from(record.parts) != expected_parts || record.part != self.parts_seen || !continues {
            self.parts_seen = 0;
            return Err(RecordError::Part { part: record.part, parts: record.parts });
        }
        let offset = usize::from(record.part) * PAYLOAD_BYTES;
        self.payload[offset..offset + PAYLOAD_BYTES].copy_from_slice(&record.payload);
        self.kind = record.kind;
        if !record.is_last_part() {
            self.parts_seen += 1;
            return Ok(None);
        }
        self.parts_seen = 0;
        self.entry(record, size).map(Some).ok_or(RecordError::Field(record.kind))
    }

    fn entry(&self, record: &Record, size: usize) -> Option<Entry> {
        let payload = &self.payload[..size];
        let recv_ns = TimeNs(record.recv_ns);
        let instrument = InstrumentId(record.instrument);
        Some(if record.is_output() {
            let body = OutputBody::from_bytes(record.kind, payload)?;
            let commit = record.flags & COMMIT != 0;
            Entry::Output { recv_ns, output: Output { instrument, body }, commit }
        } else {
            let body = EventBody::from_bytes(record.kind, payload)?;
            Entry::Event(Event { recv_ns, instrument, body })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::*;
    use crate::num::{Dec, Ticks};

    fn collect(event: &Event, sequence: u64) -> Vec<Record> {
        let mut records = Vec::new();
        encode_event(event, sequence, |r| records.push(*r));
        records
    }

    #[test]
    fn long_payloads_split_and_join() {
        let instrument = btcusdt();
        let event = Event {
            recv_ns: TimeNs(7),
            instrument: InstrumentId(3),
            body: EventBody::Instrument(instrument),
        };
        let records = collect(&event, 41);
        assert_eq!(
            records.iter().map(|r| (r.sequence, r.part, r.parts)).collect::<Vec<_>>(),
            [(41, 0, 2), (42, 1, 2)]
        );
        let mut assembler = Assembler::default();
        assert_eq!(assembler.push(&records[0]), Ok(None));
        assert_eq!(assembler.push(&records[1]), Ok(Some(Entry::Event(event))));
        assert_eq!(assembler.push(&records[1]), Err(RecordError::Part { part: 1, parts: 2 }));
        assert_eq!(assembler.push(&records[0]), Ok(None), "a stray part is forgotten");
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let body = EventBody::Timer(Timer { count: 9 });
        let record = collect(&Event::global(TimeNs(1), body), 5)[0];
        for bit in 0..RECORD_BYTES * 8 {
            let mut damaged = record;
            bytemuck::bytes_of_mut(&mut damaged)[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Assembler::default().push(&damaged), Err(RecordError::Checksum), "bit {bit}");
        }
    }

    #[test]
    fn impossible_fields_are_refused_even_with_a_right_checksum() {
        let body = EventBody::Command(Command { command: CommandKind::Halt, pad: [0; 7] });
        let mut record = collect(&Event::global(TimeNs(1), body), 5)[0];
        record.payload[0] = 200;
        assert_eq!(Assembler::default().push(&record.sealed()), Err(RecordError::Field(41)));
        record.kind = 99;
        assert_eq!(Assembler::default().push(&record.sealed()), Err(RecordError::Kind(99)));
    }

    #[test]
    fn commit_marks_the_last_part_only() {
        let alarm =
            Alarm { order: crate::num::OrderId(4), value: -2021, kind: AlarmKind::StopRefused, pad: [0; 7] };
        let output = Output { instrument: InstrumentId(1), body: OutputBody::Alarm(alarm) };
        let mut records = Vec::new();
        encode_output(&output, TimeNs(5), true, 9, |r| records.push(*r));
        assert_eq!(records[0].flags, COMMIT);
        let entry = Assembler::default().push(&records[0]);
        assert_eq!(entry, Ok(Some(Entry::Output { recv_ns: TimeNs(5), output, commit: true })));
    }

    #[test]
    fn kinds_are_unique_and_on_their_side() {
        let mut all: Vec<u16> = EventBody::KINDS.iter().chain(OutputBody::KINDS).map(|k| k.0).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(EventBody::KINDS.iter().all(|k| k.0 < OUTPUT_KIND_MIN));
        assert!(OutputBody::KINDS.iter().all(|k| k.0 >= OUTPUT_KIND_MIN));
        let _ = (Dec::ONE, Ticks(1));
    }
}
