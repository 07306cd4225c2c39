//! The engine that follows a journal, entry by entry.

use super::{Difference, Divergence};
use crate::engine::{Engine, Outbox, SettingsChange, SettingsPieces};
use crate::event::record::Entry;
use crate::event::{Event, EventBody, Instrument, InstrumentTable, Output};
use crate::num::TimeNs;

/// An engine made from a journal's opening, stepped through its events, compared with its outputs.
#[derive(Debug)]
pub struct Follower {
    stage: Stage,
    change: SettingsChange,
    out: Box<Outbox>,
    /// Of `out`, how many were compared.
    compared: usize,
    /// The newest event, and its sequence number.
    event: Option<(u64, Event)>,
    events: u64,
    outputs: u64,
}

#[derive(Debug)]
enum Stage {
    /// The engine is not known yet: who it is, what it trades and by which settings.
    Opening(Opening),
    Running(Box<Engine>),
}

/// Events until the settings are complete.
#[derive(Debug, Default)]
struct Opening {
    events: Vec<Event>,
    rows: Vec<Instrument>,
    pieces: SettingsPieces,
}

/// What the journal has not of the newest event: it ended before its commit.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Of the event.
    pub recv_ns: TimeNs,
    /// Everything it causes.
    pub caused: Vec<Output>,
    /// Of that, what is not recorded; at least one.
    pub missing: Vec<Output>,
}

impl Default for Follower {
    fn default() -> Follower {
        Follower::new()
    }
}

impl Follower {
    /// Follows a journal from its first record.
    pub fn new() -> Follower {
        Follower::with(Stage::Opening(Opening::default()))
    }

    /// Goes on with an engine, from the event behind the last one it applied.
    pub fn resume(engine: Engine) -> Follower {
        Follower::with(Stage::Running(Box::new(engine)))
    }

    fn with(stage: Stage) -> Follower {
        Follower {
            stage,
            change: SettingsChange::default(),
            out: Outbox::new(),
            compared: 0,
            event: None,
            events: 0,
            outputs: 0,
        }
    }

    /// The engine, once the opening was seen.
    pub fn engine(&self) -> Option<&Engine> {
        match &self.stage {
            Stage::Opening(_) => None,
            Stage::Running(engine) => Some(engine),
        }
    }

    pub fn into_engine(self) -> Option<Engine> {
        match self.stage {
            Stage::Opening(_) => None,
            Stage::Running(engine) => Some(*engine),
        }
    }

    /// Events and outputs taken so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.events, self.outputs)
    }

    /// The newest event.
    pub fn event(&self) -> Option<&(u64, Event)> {
        self.event.as_ref()
    }

    /// Whether everything the newest event caused was recorded, so that the engine's state is one between
    /// two events.
    pub fn is_settled(&self) -> bool {
        self.compared == self.out.outputs().len() && self.engine().is_some()
    }

    /// Where the journal ends inside a group: what is missing.
    pub fn cut(&self) -> Option<Cut> {
        let (_, missing) = self.out.outputs().split_at_checked(self.compared)?;
        let (_, event) = self.event.filter(|_| !missing.is_empty())?;
        let (caused, missing) = (self.out.outputs().to_vec(), missing.to_vec());
        Some(Cut { recv_ns: event.recv_ns, caused, missing })
    }

    /// Takes the next entry; `sequence` is its first record's.
    ///
    /// # Errors
    /// The first difference between what is recorded and what was computed. The follower can go on: it
    /// keeps what it computed.
    pub fn take(&mut self, sequence: u64, entry: &Entry) -> Result<(), Box<Divergence>> {
        match entry {
            Entry::Event(event) => self.take_event(sequence, event),
            Entry::Output { recv_ns, output, commit } => {
                self.take_output(sequence, *recv_ns, output, *commit)
            }
        }
    }

    fn take_event(&mut self, sequence: u64, event: &Event) -> Result<(), Box<Divergence>> {
        let before = match self.out.outputs().get(self.compared) {
            Some(output) => {
                let (number, computed) = (self.compared + 1, Some(*output));
                Err(self.diverges(sequence, Difference::Output { number, recorded: None, computed }))
            }
            None => Ok(()),
        };
        (self.event, self.compared) = (Some((sequence, *event)), 0);
        self.events += 1;
        self.out.clear();
        let applied = self.apply(event).map_err(|why| self.diverges(sequence, Difference::Opening(why)));
        before.and(applied)
    }

    fn apply(&mut self, event: &Event) -> Result<(), String> {
        match &mut self.stage {
            Stage::Running(engine) => {
                engine.step(event, &mut self.out);
                if self.change.concerns(&event.body) {
                    self.change.take(&event.body, engine).map_err(|error| error.to_string())?;
                }
            }
            Stage::Opening(opening) => {
                if let Some(engine) = opening.take(event, &mut self.out)? {
                    self.stage = Stage::Running(Box::new(engine));
                }
            }
        }
        Ok(())
    }

    fn take_output(
        &mut self,
        sequence: u64,
        recv_ns: TimeNs,
        recorded: &Output,
        commit: bool,
    ) -> Result<(), Box<Divergence>> {
        let outputs = self.out.outputs();
        let (index, computed) = (self.compared, outputs.get(self.compared));
        let last = index + 1 >= outputs.len();
        let on_time = self.event.is_some_and(|(_, event)| event.recv_ns == recv_ns);
        let number = index + 1;
        let difference = if computed != Some(recorded) {
            let (recorded, computed) = (Some(*recorded), computed.copied());
            Some(Difference::Output { number, recorded, computed })
        } else if commit != last {
            Some(Difference::Commit { number, recorded: commit })
        } else if !on_time {
            Some(Difference::Time { number })
        } else {
            None
        };
        self.compared = (index + 1).min(outputs.len());
        self.outputs += 1;
        match difference {
            Some(difference) => Err(self.diverges(sequence, difference)),
            None => Ok(()),
        }
    }

    #[cold]
    fn diverges(&self, sequence: u64, difference: Difference) -> Box<Divergence> {
        let rows = match &self.stage {
            Stage::Opening(opening) => opening.rows.clone(),
            Stage::Running(engine) => engine.instruments().copied().collect(),
        };
        Box::new(Divergence { sequence, event: self.event, difference, rows })
    }
}

impl Opening {
    /// Collects until the last piece of the settings; then makes the engine and has it see all of it.
    fn take(&mut self, event: &Event, out: &mut Outbox) -> Result<Option<Engine>, String> {
        if matches!(event.body, EventBody::RunStart(_)) {
            // A start that ended in its opening decided nothing: the next one opens anew.
            *self = Opening::default();
        } else if self.events.is_empty() {
            return Err("a journal begins with RunStart".to_string());
        }
        self.events.push(*event);
        let settings = match &event.body {
            EventBody::Instrument(row) if event.instrument.index() == self.rows.len() => {
                self.rows.push(*row);
                None
            }
            EventBody::ConfigText(piece) => self.pieces.take(piece).map_err(|error| error.to_string())?,
            EventBody::RunStart(_) => None,
            _ => {
                let name = event.body.name();
                return Err(format!("{name} where instrument rows in order and settings were expected"));
            }
        };
        let Some(settings) = settings else { return Ok(None) };
        let table = InstrumentTable::new(std::mem::take(&mut self.rows))
            .ok_or_else(|| "more instruments than there are ids".to_string())?;
        let mut engine = Engine::new(&settings, &table);
        for event in &self.events {
            engine.step(event, out);
        }
        Ok(Some(engine))
    }
}
