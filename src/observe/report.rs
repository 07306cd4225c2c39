//! The reporter: reads every record behind the hot path, writes lines, keeps the figures.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Lines, Stats};
use crate::event::record::{Assembler, Entry, Record};
use crate::event::{EventBody, FaultReason, Output, OutputBody, Rule, StopMove};
use crate::num::{InstrumentId, NS_PER_SEC, Side, TimeNs};

/// What goes to the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// Nothing: standard output is the machine's.
    Quiet,
    /// Decisions, exits, alarms; repeated rejections once a minute of simulated time.
    Lines,
    /// Everything the log has.
    All,
}

/// The status line is drawn at most this often.
const STATUS_EVERY: Duration = Duration::from_millis(250);
/// The same rejection, stop trail or refusal of the same instrument is shown again after this long.
const REPEAT_AFTER_NS: i64 = 60 * NS_PER_SEC;

/// What the terminal shows once in a while instead of every time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Repeat {
    Rejected { long: bool, rule: Rule },
    Trailed,
    Refused(FaultReason),
}

/// Figures the command reads when the run has ended.
pub type Shared = Arc<Mutex<Stats>>;

/// Consumes the journal, off the hot path.
pub struct Reporter {
    assembler: Assembler,
    lines: Lines,
    stats: Shared,
    console: Console,
    log: Option<BufWriter<File>>,
    log_failed: bool,
    status: Option<Instant>,
    status_drawn: bool,
    shown: BTreeMap<(InstrumentId, Repeat), TimeNs>,
}

impl Reporter {
    /// `log` gets every line.
    pub fn new(lines: Lines, console: Console, log: Option<File>) -> (Reporter, Shared) {
        let stats = Shared::default();
        let status = (console != Console::Quiet && io::stderr().is_terminal()).then(Instant::now);
        let reporter = Reporter {
            assembler: Assembler::default(),
            lines,
            stats: Arc::clone(&stats),
            console,
            log: log.map(BufWriter::new),
            log_failed: false,
            status,
            status_drawn: false,
            shown: BTreeMap::new(),
        };
        (reporter, stats)
    }

    /// Takes the next record of the journal.
    pub fn take(&mut self, record: &Record) {
        // The ring was checked on the way out; what does not decode here is in `verify`'s report.
        if let Ok(Some(entry)) = self.assembler.push(record) {
            let first = record.sequence.saturating_sub(record.part.into());
            self.entry(first, record.sequence, &entry);
        }
    }

    /// Takes the next entry, of the records `first` to `last`.
    pub fn entry(&mut self, first: u64, last: u64, entry: &Entry) {
        let mut stats = lock(&self.stats);
        stats.records += last.saturating_sub(first) + 1;
        stats.take(first, entry);
        let now = stats.now;
        drop(stats);
        match entry {
            Entry::Event(event) => {
                if let Some(line) = self.lines.event(event) {
                    let on_console = match (self.console, &event.body) {
                        (Console::Quiet, _) => false,
                        (Console::Lines, EventBody::DecodeFault(fault)) => {
                            self.is_due(now, event.instrument, Repeat::Refused(fault.reason))
                        }
                        _ => true,
                    };
                    self.line(now, &line, on_console);
                }
            }
            Entry::Output { output, .. } => {
                let on_console = self.on_console(now, output);
                for line in self.lines.output(output) {
                    self.line(now, &line, on_console);
                }
            }
        }
        self.draw_status();
    }

    /// Whether the terminal shows an output's lines.
    fn on_console(&mut self, now: TimeNs, output: &Output) -> bool {
        match (self.console, &output.body) {
            (Console::Quiet, _) => false,
            (Console::All, _) => true,
            (Console::Lines, OutputBody::Votes(_) | OutputBody::BarClosed(_) | OutputBody::Equity(_)) => {
                false
            }
            (Console::Lines, OutputBody::Decision(d)) if !d.approved => {
                let repeat = Repeat::Rejected { long: d.side == Side::Buy, rule: d.rule };
                self.is_due(now, output.instrument, repeat)
            }
            (Console::Lines, OutputBody::StopMoved(m)) if m.kind == StopMove::Trailing => {
                self.is_due(now, output.instrument, Repeat::Trailed)
            }
            (Console::Lines, _) => true,
        }
    }

    /// Whether a repeating line was not shown for a while; notes that it is now.
    fn is_due(&mut self, now: TimeNs, id: InstrumentId, repeat: Repeat) -> bool {
        let recent = self.shown.get(&(id, repeat)).is_some_and(|at| now.since(*at) < REPEAT_AFTER_NS);
        if !recent {
            self.shown.insert((id, repeat), now);
        }
        !recent
    }

    fn line(&mut self, now: TimeNs, line: &str, on_console: bool) {
        if on_console {
            self.clear_status();
            // A closed terminal must not end the run; the log still has the line.
            let _ = writeln!(io::stdout(), "{now} {line}");
        }
        if let Some(log) = self.log.as_mut()
            && let Err(error) = writeln!(log, "{now} {line}")
            && !std::mem::replace(&mut self.log_failed, true)
        {
            let _ = writeln!(io::stderr(), "trade_decisions.log: {error}; further lines may be missing");
        }
    }

    fn draw_status(&mut self) {
        let Some(last) = self.status.as_mut() else { return };
        if last.elapsed() < STATUS_EVERY {
            return;
        }
        *last = Instant::now();
        let stats = lock(&self.stats);
        let equity = stats.equity.map_or_else(|| "-".to_string(), |e| format!("{e:.2}"));
        let text = format!(
            "{}  equity {equity}  drawdown {:.2}%  open {}  closed {}  approved {}  rejected {}",
            stats.now,
            stats.daily_drawdown.to_f64_lossy() * 100.0,
            stats.open_now,
            stats.closed.count,
            stats.approved,
            stats.rejections(),
        );
        drop(stats);
        let _ = write!(io::stderr(), "\r\x1b[K{text}");
        let _ = io::stderr().flush();
        self.status_drawn = true;
    }

    fn clear_status(&mut self) {
        if std::mem::take(&mut self.status_drawn) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.clear_status();
        if let Some(log) = self.log.as_mut()
            && let Err(error) = log.flush()
        {
            let _ = writeln!(io::stderr(), "trade_decisions.log: {error}; the last lines may be missing");
        }
    }
}

/// The figures; a panic elsewhere does not make them unreadable.
fn lock(stats: &Shared) -> MutexGuard<'_, Stats> {
    stats.lock().unwrap_or_else(PoisonError::into_inner)
}
