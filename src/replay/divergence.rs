//! Where a journal and an engine part, in words.

use std::fmt;

use crate::event::record::Entry;
use crate::event::{Event, Instrument, InstrumentTable, Output};
use crate::journal::read::Numbered;
use crate::journal::text::Lines;

/// How recorded and computed differ.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // one at a time, boxed where it is carried
pub enum Difference {
    /// Another output, or one where the other has none.
    Output {
        /// Which of the event's outputs, from 1.
        number: usize,
        recorded: Option<Output>,
        computed: Option<Output>,
    },
    /// The recorded output is the last of its event by its flag and should not be, or the other way round.
    Commit { number: usize, recorded: bool },
    /// The output carries another time than its event.
    Time { number: usize },
    /// The journal does not begin as one, or its settings can't be read.
    Opening(String),
}

/// The first place where they differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Divergence {
    /// Sequence number of the record at which it showed.
    pub sequence: u64,
    /// The event, and its sequence number. `None` in front of the first.
    pub event: Option<(u64, Event)>,
    pub difference: Difference,
    /// For printing.
    pub rows: Vec<Instrument>,
}

impl Divergence {
    /// The event's sequence number; the record's where there is none.
    pub fn event_sequence(&self) -> u64 {
        self.event.map_or(self.sequence, |(sequence, _)| sequence)
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Lines::new(false);
        if let Some(table) = InstrumentTable::new(self.rows.clone()) {
            lines.learn_table(&table);
        }
        let mut text = |sequence: u64, entry: Entry| {
            let numbered = Numbered { first_sequence: sequence, last_sequence: sequence, entry };
            lines.line(&numbered).trim_end().to_string()
        };
        let event = self.event.map(|(sequence, event)| text(sequence, Entry::Event(event)));
        writeln!(f, "event     {}", event.as_deref().unwrap_or("none"))?;
        let recv_ns = self.event.map_or(crate::num::TimeNs(0), |(_, event)| event.recv_ns);
        match &self.difference {
            Difference::Output { number, recorded, computed } => {
                let mut side = |output: &Option<Output>| match output {
                    Some(output) => {
                        text(self.sequence, Entry::Output { recv_ns, output: *output, commit: false })
                    }
                    None => "nothing more".to_string(),
                };
                let (recorded, computed) = (side(recorded), side(computed));
                write!(f, "output {number}\nrecorded  {recorded}\ncomputed  {computed}")
            }
            Difference::Commit { number, recorded } => {
                let words = |last: bool| if last { "the event's last" } else { "not the event's last" };
                let (recorded, computed) = (words(*recorded), words(!recorded));
                write!(f, "output {number}\nrecorded  {recorded}\ncomputed  {computed}")
            }
            Difference::Time { number } => write!(f, "output {number} has another time than its event"),
            Difference::Opening(why) => write!(f, "{why}"),
        }
    }
}
