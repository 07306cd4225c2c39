//! The market of a journal: what a run began with, and the market data in it.

use std::path::Path;

use crate::cli::Failure;
use crate::engine::SettingsPieces;
use crate::event::record::Entry;
use crate::event::{BarSource, Event, EventBody, InstrumentTable};
use crate::journal::JournalReader;
use crate::num::{Dec, TimeNs};
use crate::risk::config::Settings;
use crate::sim::market::{EventSource, SourceError, Watch};

/// What the first start of a journal began with.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    pub run_id: u64,
    pub start: TimeNs,
    pub settings: Settings,
    pub instruments: InstrumentTable,
    /// Bars from before it.
    pub history: Vec<Event>,
    /// Of the account, as the venue stated it first.
    pub wallet: Option<Dec>,
}

/// Reads up to the first market data.
///
/// # Errors
/// What is no journal, or ends before its settings.
pub(super) fn opening(dir: &Path) -> Result<Opening, Failure> {
    let mut reader = JournalReader::open(dir)?;
    let (mut rows, mut pieces, mut settings) = (Vec::new(), SettingsPieces::default(), None);
    let (mut begun, mut history, mut wallet) = (None, Vec::new(), None);
    while let Some(numbered) = reader.next_entry()? {
        let Entry::Event(event) = numbered.entry else { continue };
        match event.body {
            EventBody::RunStart(start) if begun.is_none() => begun = Some((start.run_id, event.recv_ns)),
            EventBody::Instrument(row) => rows.push(row),
            EventBody::ConfigText(piece) => {
                let complete = pieces.take(&piece).map_err(|error| Failure::refused(error.to_string()))?;
                settings = settings.or(complete);
            }
            EventBody::Bar(bar) if bar.source == BarSource::History => history.push(event),
            EventBody::AccountUpdate(update) => wallet = wallet.or(Some(update.wallet)),
            _ if is_market(&event) => break,
            _ => {}
        }
    }
    let (Some((run_id, start)), Some(settings), Some(instruments)) =
        (begun, settings, InstrumentTable::new(rows))
    else {
        return Err(Failure::refused(format!("{}: the journal ends before its settings", dir.display())));
    };
    Ok(Opening { run_id, start, settings, instruments, history, wallet })
}

/// What came from the market, and signals from outside: everything that does not follow from decisions.
fn is_market(event: &Event) -> bool {
    match &event.body {
        EventBody::Bar(bar) => bar.source != BarSource::History,
        body => matches!(
            body,
            EventBody::AggTrade(_)
                | EventBody::Trade(_)
                | EventBody::Quote(_)
                | EventBody::Depth(_)
                | EventBody::MarkPrice(_)
                | EventBody::Ticker(_)
                | EventBody::ForceOrder(_)
                | EventBody::Signal(_)
        ),
    }
}

/// The market data of a journal, up to where it can be read.
///
/// # Errors
/// What is no journal.
pub(super) fn recorded_market(dir: &Path) -> Result<Box<dyn EventSource>, Failure> {
    Ok(Box::new(RecordedMarket { reader: JournalReader::open(dir)?, newest: TimeNs(i64::MIN) }))
}

struct RecordedMarket {
    reader: JournalReader,
    newest: TimeNs,
}

impl EventSource for RecordedMarket {
    fn next_event(&mut self, event: &mut Event, _: &Watch<'_>) -> Result<bool, SourceError> {
        // Damage ends the market here: the reading of what is recorded names it.
        while let Ok(Some(numbered)) = self.reader.next_entry() {
            match numbered.entry {
                Entry::Event(found) if is_market(&found) => {
                    self.newest = self.newest.max(found.recv_ns);
                    *event = Event { recv_ns: self.newest, ..found };
                    return Ok(true);
                }
                _ => {}
            }
        }
        Ok(false)
    }
}
