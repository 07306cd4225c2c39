//! A start after another at a venue elsewhere: what the journal says is taken up, the venue is asked what
//! happened meanwhile, and only then is anything new begun.

use std::path::Path;

use super::journal::archive_options;
use crate::cli::Failure;
use crate::engine::Engine;
use crate::event::{ConfigChange, ConfigText, Event, EventBody};
use crate::journal::{JournalError, Resumed};
use crate::num::{Lots, TimeNs};
use crate::replay::{Recovery, RecoveryError};
use crate::risk::config::Settings;
use crate::risk::off;

/// The journal in `dir`, if there is one to go on with; or one whose starts all ended in their openings,
/// behind which this one begins as in a new one.
pub(super) fn find(dir: &Path, settings: &Settings) -> Result<(Option<Recovery>, Option<Resumed>), Failure> {
    if !dir.exists() {
        return Ok((None, None));
    }
    match Recovery::open_with(dir, archive_options(settings)) {
        Ok(recovery) => Ok((Some(recovery), None)),
        Err(RecoveryError::NoState(begun)) => Ok((None, Some(*begun))),
        Err(RecoveryError::Journal(JournalError::NoJournal { .. })) => Ok((None, None)),
        Err(error) => Err(Failure::refused(error.to_string())),
    }
}

/// The events by which settings other than the engine's come into force; none if they are the same.
pub(super) fn change(engine: &Engine, settings: &Settings) -> Vec<Event> {
    if *engine.settings() == off::in_force(settings) {
        return Vec::new();
    }
    let event = |body| Event::global(TimeNs(0), body);
    let announced = event(EventBody::ConfigChange(ConfigChange { digest: settings.digest() }));
    let text = settings.to_toml();
    let pieces = ConfigText::split(&text).map(|piece| event(EventBody::ConfigText(piece)));
    std::iter::once(announced).chain(pieces).collect()
}

/// For the operator: what was found, a line each.
pub(super) fn notes(recovery: &Recovery) -> Vec<String> {
    let engine = &recovery.engine;
    let found = &recovery.recovered;
    let from = match found.snapshot {
        0 => "from its beginning".to_string(),
        sequence => format!("from the snapshot at {sequence}"),
    };
    let mut notes = vec![format!(
        "the journal goes on behind {}: {} records only the ring had, {} read again {from}",
        recovery.resumed.last_sequence, recovery.resumed.recovered.from_ring, found.replayed
    )];
    if found.completed > 0 {
        notes.push(format!("its last event lacked {} outputs, which had no effect yet", found.completed));
    }
    notes.extend(found.notes.iter().cloned());
    let held = engine.trades().iter().filter(|trade| !trade.finished && trade.open() != Lots::ZERO);
    let rows: Vec<_> = engine.instruments().collect();
    let held: Vec<String> = held
        .filter_map(|trade| {
            let row = rows.get(trade.instrument.index())?;
            let signed = Lots(trade.open().0 * trade.side().sign());
            Some(format!("{} {}", row.symbol, row.quantity(signed)))
        })
        .collect();
    if !held.is_empty() {
        notes.push(format!("taken over: {}", held.join(", ")));
    }
    notes
}
