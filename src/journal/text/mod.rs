//! A journal as text: one line an entry, for people (`key=value`) and for programs (JSON).
//!
//! Prices and quantities are exact decimals by the instrument rows in the journal itself; an entry
//! in front of its instrument's row shows the bare integers with their unit.

mod event;
mod output;

use std::fmt::{self, Display, Write as _};
use std::io::{self, Write};
use std::path::Path;

use super::read::{JournalReader, Numbered};
use super::{From, JournalError};
use crate::event::record::Entry;
use crate::event::{EventBody, Instrument, InstrumentTable, OutputBody};
use crate::num::{Dec, InstrumentId, Lots, Millis, Size, Ticks, TimeNs};

/// Which entries, and how.
#[derive(Clone, Debug, Default)]
pub struct DumpOptions {
    /// First sequence number; 0 for the start.
    pub from: u64,
    /// Last sequence number; `None` for the end.
    pub to: Option<u64>,
    /// First event's time; `None` for the start.
    pub since: Option<TimeNs>,
    /// Last event's time; `None` for the end. Where time runs backwards the first event behind it ends the dump.
    pub until: Option<TimeNs>,
    /// Name of a kind, as the dump prints it.
    pub kind: Option<String>,
    pub json: bool,
}

/// Why a dump ended early. What came before the damage was written.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("no record kind is called {0:?}; kinds are {1}")]
    Kind(String, String),
    #[error("can't write the dump: {0}")]
    Write(#[from] io::Error),
}

/// Writes a journal's entries to `out`; returns how many.
pub fn dump(dir: &Path, options: &DumpOptions, out: &mut impl Write) -> Result<u64, DumpError> {
    if let Some(kind) = &options.kind {
        check_kind(kind)?;
    }
    let mut reader = match options.since {
        Some(time) => JournalReader::open_at(dir, From::Time(time))?,
        None => JournalReader::open_at(dir, From::Sequence(options.from))?,
    };
    let mut lines = Lines::new(options.json);
    let (mut written, mut begun) = (0, false);
    while let Some(numbered) = reader.next_entry()? {
        if !std::mem::replace(&mut begun, true) {
            // Rows in front of the range give it its scale.
            reader.preamble().events().into_iter().for_each(|event| lines.learn(&Entry::Event(event)));
        }
        lines.learn(&numbered.entry);
        let is_event = matches!(numbered.entry, Entry::Event(_));
        if options.to.is_some_and(|to| numbered.first_sequence > to)
            || (is_event && options.until.is_some_and(|until| recv_ns(&numbered.entry) > until))
        {
            break;
        }
        let wanted = options.kind.as_ref().is_none_or(|kind| kind == kind_of(&numbered.entry));
        if wanted && numbered.first_sequence >= options.from {
            out.write_all(lines.line(&numbered).as_bytes())?;
            written += 1;
        }
    }
    out.flush()?;
    Ok(written)
}

fn check_kind(kind: &str) -> Result<(), DumpError> {
    let names: Vec<&str> = EventBody::KINDS.iter().chain(OutputBody::KINDS).map(|(_, name)| *name).collect();
    if names.contains(&kind) {
        return Ok(());
    }
    Err(DumpError::Kind(kind.to_string(), names.join(", ")))
}

fn recv_ns(entry: &Entry) -> TimeNs {
    match entry {
        Entry::Event(event) => event.recv_ns,
        Entry::Output { recv_ns, .. } => *recv_ns,
    }
}

/// Name of an entry's kind.
pub fn kind_of(entry: &Entry) -> &'static str {
    match entry {
        Entry::Event(event) => event.body.name(),
        Entry::Output { output, .. } => output.body.name(),
    }
}

/// Turns entries into lines; remembers the instruments it has seen.
#[derive(Debug, Default)]
pub struct Lines {
    json: bool,
    instruments: Vec<Option<Instrument>>,
    buffer: String,
}

impl Lines {
    pub fn new(json: bool) -> Lines {
        Lines { json, ..Lines::default() }
    }

    /// Takes note of a whole table.
    pub fn learn_table(&mut self, table: &InstrumentTable) {
        self.instruments = table.iter().map(|(_, row)| Some(*row)).collect();
    }

    /// Takes note of an instrument row.
    pub fn learn(&mut self, entry: &Entry) {
        let Entry::Event(event) = entry else { return };
        let EventBody::Instrument(row) = &event.body else { return };
        if event.instrument.is_none() {
            return;
        }
        let index = event.instrument.index();
        if self.instruments.len() <= index {
            self.instruments.resize(index + 1, None);
        }
        self.instruments[index] = Some(*row); // just made room
    }

    /// An instrument's row, once it was learned.
    pub fn instrument(&self, id: InstrumentId) -> Option<&Instrument> {
        self.instruments.get(id.index()).and_then(Option::as_ref)
    }

    /// The line of an entry, with its newline.
    pub fn line(&mut self, numbered: &Numbered) -> &str {
        let (recv_ns, instrument, commit) = match &numbered.entry {
            Entry::Event(event) => (event.recv_ns, event.instrument, None),
            Entry::Output { recv_ns, output, commit } => (*recv_ns, output.instrument, Some(*commit)),
        };
        let mut fields = self.fields(self.json, instrument);
        fields.open();
        fields.int("seq", numbered.first_sequence);
        fields.int("recv_ns", recv_ns.0);
        fields.put("time", recv_ns);
        fields.put("kind", kind_of(&numbered.entry));
        fields.symbol(instrument);
        if let Some(commit) = commit {
            fields.flag("commit", commit);
        }
        fields.open_payload();
        fields.payload(&numbered.entry);
        fields.close();
        &self.buffer
    }

    /// What an entry says beyond its head: the JSON object that is `fields` of its line.
    pub fn payload(&mut self, entry: &Entry) -> &str {
        let instrument = match entry {
            Entry::Event(event) => event.instrument,
            Entry::Output { output, .. } => output.instrument,
        };
        let mut fields = self.fields(true, instrument);
        fields.open();
        fields.payload(entry);
        self.buffer.push('}');
        &self.buffer
    }

    fn fields(&mut self, json: bool, instrument: InstrumentId) -> Fields<'_> {
        self.buffer.clear();
        let row = self.instruments.get(instrument.index()).and_then(Option::as_ref);
        Fields { text: &mut self.buffer, json, row }
    }
}

/// Writes the fields of one entry in either form. Writing to a `String` cannot fail.
struct Fields<'a> {
    text: &'a mut String,
    json: bool,
    row: Option<&'a Instrument>,
}

impl Fields<'_> {
    fn open(&mut self) {
        if self.json {
            self.text.push('{');
        }
    }

    fn open_payload(&mut self) {
        if self.json {
            self.name("fields");
            self.text.push('{');
        }
    }

    fn payload(&mut self, entry: &Entry) {
        match entry {
            Entry::Event(event) => event::write(&event.body, self),
            Entry::Output { output, .. } => output::write(&output.body, self),
        }
    }

    fn close(&mut self) {
        self.text.push_str(if self.json { "}}\n" } else { "\n" });
    }

    fn name(&mut self, name: &str) {
        if self.json {
            let comma = if self.text.ends_with('{') { "" } else { "," };
            let _ = write!(self.text, "{comma}\"{name}\":");
        } else {
            let space = if self.text.is_empty() { "" } else { " " };
            let _ = write!(self.text, "{space}{name}=");
        }
    }

    fn int(&mut self, name: &str, value: impl Into<i128>) {
        self.name(name);
        let _ = write!(self.text, "{}", value.into());
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.name(name);
        self.text.push_str(if value { "true" } else { "false" });
    }

    /// Text: quoted in JSON, and elsewhere where it would not read as one word.
    fn put(&mut self, name: &str, value: impl Display) {
        self.name(name);
        let value = value.to_string();
        let plain =
            !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if self.json || !plain {
            let quoted = serde_json::to_string(&value).unwrap_or_default(); // a string always has a form
            self.text.push_str(&quoted);
        } else {
            self.text.push_str(&value);
        }
    }

    /// The instrument's name; its number in front of its row; nothing for none.
    fn symbol(&mut self, id: InstrumentId) {
        match self.row {
            Some(row) => self.put("symbol", row.symbol),
            None if id.is_none() => {}
            None => self.put("symbol", format_args!("#{}", id.0)),
        }
    }

    fn word(&mut self, name: &str, value: impl fmt::Debug) {
        self.put(name, format_args!("{value:?}"));
    }

    fn dec(&mut self, name: &str, value: Dec) {
        self.put(name, value);
    }

    fn price(&mut self, name: &str, ticks: Ticks) {
        match self.row {
            Some(row) => self.put(name, row.price(ticks).display(u32::from(row.price_places))),
            None => self.word(name, ticks),
        }
    }

    fn lots(&mut self, name: &str, lots: Lots) {
        match self.row {
            Some(row) => self.put(name, row.quantity(lots).display(u32::from(row.quantity_places))),
            None => self.word(name, lots),
        }
    }

    fn size(&mut self, name: &str, size: Size) {
        match self.row {
            Some(row) => self.put(name, row.size(size)),
            None => self.word(name, size),
        }
    }

    /// A venue time, in milliseconds; left out where the frame had none.
    fn ms(&mut self, name: &str, ms: Millis) {
        if ms != 0 {
            self.int(name, ms);
        }
    }

    fn ns(&mut self, name: &str, at: TimeNs) {
        self.int(name, at.0);
    }

    /// An order id; left out for none.
    fn order(&mut self, name: &str, id: crate::num::OrderId) {
        if !id.is_none() {
            self.put(name, id);
        }
    }
}
