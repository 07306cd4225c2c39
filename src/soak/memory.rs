//! A journal in memory: the entries, and a hash of the records they would be on disk.

use crate::engine::Engine;
use crate::event::record::{Entry, Record, encode_event, encode_output};
use crate::event::{Event, Order, Output, OutputBody};
use crate::journal::ring::Full;
use crate::live::Recorder;
use crate::num::{InstrumentId, TimeNs};
use crate::replay::Follower;

/// FNV-1a's numbers, 64 bits.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// What a process has written.
#[derive(Debug)]
pub struct Memory {
    pub entries: Vec<Entry>,
    sequence: u64,
    /// Over all records ever written, lost ones too: of the run, not of the journal.
    pub hash: u64,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory { entries: Vec::new(), sequence: 0, hash: FNV_OFFSET }
    }
}

impl Memory {
    fn fold(&mut self, entry: Entry, write: impl FnOnce(u64, &mut dyn FnMut(&Record)) -> u64) {
        let mut hash = self.hash;
        // A record's checksum is over its number and all it holds.
        let mut note = |record: &Record| hash = (hash ^ u64::from(record.crc)).wrapping_mul(FNV_PRIME);
        self.sequence += write(self.sequence + 1, &mut note);
        self.hash = hash;
        self.entries.push(entry);
    }

    /// Another journal, of the same run.
    pub fn begin_anew(&mut self) {
        *self = Memory { hash: self.hash, ..Memory::default() };
    }

    /// Events with what they caused, newest last: how many entries the newest `events` take.
    pub fn tail(&self, events: usize) -> usize {
        let starts = self.entries.iter().enumerate().rev().filter(|(_, e)| matches!(e, Entry::Event(_)));
        starts.map(|(at, _)| self.entries.len() - at).take(events).last().unwrap_or(0)
    }
}

impl Recorder for Memory {
    const TIMED: bool = false;

    fn has_room(&mut self, _: u64) -> bool {
        true
    }

    fn share_ppm(&mut self) -> u32 {
        0
    }

    fn event(&mut self, event: &Event) -> Result<(), Full> {
        self.fold(Entry::Event(*event), |sequence, sink| encode_event(event, sequence, sink));
        Ok(())
    }

    fn outputs(&mut self, recv_ns: TimeNs, outputs: &[Output]) -> Result<(), Full> {
        for (i, output) in outputs.iter().enumerate() {
            let commit = i + 1 == outputs.len();
            let entry = Entry::Output { recv_ns, output: *output, commit };
            self.fold(entry, |sequence, sink| encode_output(output, recv_ns, commit, sequence, sink));
        }
        Ok(())
    }
}

/// What a start finds in a journal.
pub struct Recovered {
    pub engine: Engine,
    /// Decided at the last event, whose outputs were cut: never sent.
    pub never_sent: Vec<(InstrumentId, Order)>,
}

/// The engine of a journal, as a start makes it again; `None` if there is none to be made. `snapshot` is
/// one taken behind so many entries.
///
/// # Errors
/// The journal is not what this engine writes, or the snapshot is none.
pub fn recover(
    memory: &mut Memory,
    snapshot: Option<&(Vec<u8>, usize)>,
) -> Result<Option<Recovered>, String> {
    let (mut follower, from) = match snapshot.filter(|(_, at)| *at <= memory.entries.len()) {
        Some((bytes, at)) => {
            let (engine, _) = Engine::restore(bytes).map_err(|error| error.to_string())?;
            (Follower::resume(engine), *at)
        }
        None => (Follower::new(), 0),
    };
    for (sequence, entry) in memory.entries.iter().enumerate().skip(from) {
        follower.take(sequence as u64 + 1, entry).map_err(|divergence| divergence.to_string())?;
    }
    let mut never_sent = Vec::new();
    if let Some(cut) = follower.cut() {
        let complete: Vec<Output> = cut.missing;
        for (i, output) in complete.iter().enumerate() {
            let (recv_ns, commit) = (cut.recv_ns, i + 1 == complete.len());
            let entry = Entry::Output { recv_ns, output: *output, commit };
            memory.fold(entry, |sequence, sink| encode_output(output, recv_ns, commit, sequence, sink));
        }
        let order = |output: &Output| match output.body {
            OutputBody::Order(order) => Some((output.instrument, order)),
            _ => None,
        };
        never_sent.extend(cut.caused.iter().filter_map(order));
    }
    Ok(follower.into_engine().map(|engine| Recovered { engine, never_sent }))
}
