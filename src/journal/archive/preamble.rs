//! What a reader must know to make sense of records: the start in force, its instruments and settings.
//!
//! A segment that does not begin with them carries copies in front of its first record.

use super::super::header::Header;
use crate::event::record::{Assembler, Entry, RECORD_BYTES, Record};
use crate::event::{ConfigText, Event, EventBody, Instrument, RunStart};
use crate::journal::Identity;
use crate::num::InstrumentId;

const RUN_START: u16 = 1;
const CONFIG_TEXT: u16 = 2;
const INSTRUMENT: u16 = 3;
const CONFIG_CHANGE: u16 = 49;

/// RunStart, the rows of the instrument table and the pieces of the settings that are in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preamble {
    /// Copies of their records, numbered 0, in this order: one RunStart, rows, pieces.
    start: Option<Record>,
    instruments: Vec<Record>,
    config: Vec<Record>,
}

/// Whether a segment ends before this event, so that what is in force changes only where one begins.
pub(super) fn changes_config(record: &Record) -> bool {
    record.kind == CONFIG_CHANGE
}

/// Whether the run of records that a segment begins with may go on with this one.
pub(super) fn is_opening(record: &Record) -> bool {
    record.is_output() || matches!(record.kind, RUN_START | CONFIG_TEXT | INSTRUMENT | CONFIG_CHANGE)
}

impl Preamble {
    /// Takes note of the next record. A record that was taken already changes nothing.
    pub(in crate::journal) fn take(&mut self, record: &Record) {
        match record.kind {
            RUN_START => {
                *self = Preamble { start: Some(record.renumbered(0)), ..Preamble::default() };
            }
            INSTRUMENT => {
                let place = |held: &Record| (held.instrument, held.part);
                let copy = record.renumbered(0);
                match self.instruments.iter_mut().find(|held| place(held) == place(record)) {
                    Some(held) => *held = copy,
                    None => self.instruments.push(copy),
                }
            }
            CONFIG_TEXT => {
                let piece = u16::from_le_bytes([record.payload[0], record.payload[1]]);
                self.config.truncate(piece.into());
                self.config.push(record.renumbered(0));
            }
            _ => {}
        }
    }

    /// Without a RunStart, as only made-up journals are, there are none.
    fn records(&self) -> impl Iterator<Item = &Record> {
        let rest = self.start.iter().flat_map(|_| self.instruments.iter().chain(&self.config));
        self.start.iter().chain(rest)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.records().flat_map(|record| bytemuck::bytes_of(record).iter().copied()).collect()
    }

    /// Reads what stands behind a segment's header. Else where in `bytes`, what was expected, what found.
    pub(super) fn read(bytes: &[u8], header: &Header) -> Result<Preamble, (usize, String, String)> {
        let mut preamble = Preamble::default();
        for (at, chunk) in bytes.chunks_exact(RECORD_BYTES).enumerate() {
            let record: Record = bytemuck::pod_read_unaligned(chunk);
            let wrong = |expected: &str, found: String| Err((at * RECORD_BYTES, expected.to_string(), found));
            if !record.checksum_agrees() {
                return wrong("a record whose checksum agrees", "one whose checksum differs".to_string());
            }
            let in_place = (at == 0) == (record.kind == RUN_START);
            if record.sequence != 0 || !in_place || record.is_output() || !is_opening(&record) {
                let found = format!("sequence {}, {}", record.sequence, record.kind_name());
                return wrong("RunStart, Instrument rows and ConfigText, numbered 0", found);
            }
            preamble.take(&record);
        }
        match preamble.run_start() {
            Some(start) if !is_of(&start, &header.identity()) => {
                let found = format!("run {}, build {}, epoch {}", start.run_id, start.build_id, start.epoch);
                Err((0, "RunStart of the header's run".to_string(), found))
            }
            None if !bytes.is_empty() => {
                Err((0, "RunStart".to_string(), "a record that is none".to_string()))
            }
            _ => Ok(preamble),
        }
    }

    /// Whether the same records would be written of both.
    pub(super) fn says_as(&self, other: &Preamble) -> bool {
        self.records().eq(other.records())
    }

    pub fn is_empty(&self) -> bool {
        self.records().next().is_none()
    }

    /// The events it is made of, in the order in which a start journals them.
    pub fn events(&self) -> Vec<Event> {
        let mut assembler = Assembler::default();
        let entries = self.records().filter_map(|record| assembler.push(&record.renumbered(1)).ok()?);
        let event = |entry| if let Entry::Event(event) = entry { Some(event) } else { None };
        entries.filter_map(event).collect()
    }

    pub fn run_start(&self) -> Option<RunStart> {
        self.events().into_iter().find_map(|event| match event.body {
            EventBody::RunStart(start) => Some(start),
            _ => None,
        })
    }

    pub fn instruments(&self) -> Vec<(InstrumentId, Instrument)> {
        let row = |event: Event| match event.body {
            EventBody::Instrument(row) => Some((event.instrument, row)),
            _ => None,
        };
        self.events().into_iter().filter_map(row).collect()
    }

    /// The settings as TOML.
    pub fn config_text(&self) -> String {
        let piece = |event: &Event| match &event.body {
            EventBody::ConfigText(text) => Some(ConfigText::bytes(text).to_vec()),
            _ => None,
        };
        let bytes: Vec<u8> = self.events().iter().filter_map(piece).flatten().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn is_of(start: &RunStart, identity: &Identity) -> bool {
    (start.run_id, start.build_id, start.epoch) == (identity.run_id, identity.build_id, identity.epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_those_of_the_events() {
        let name = |kind| EventBody::KINDS.iter().find(|(code, _)| *code == kind).unwrap().1;
        let kinds = [RUN_START, CONFIG_TEXT, INSTRUMENT, CONFIG_CHANGE];
        assert_eq!(kinds.map(name), ["RunStart", "ConfigText", "Instrument", "ConfigChange"]);
    }
}
