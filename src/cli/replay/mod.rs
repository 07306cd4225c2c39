//! `qtx replay`: a journal run again, by the same engine or under other settings.

mod market;
mod what_if;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::settings::SettingsArgs;
use super::{Failure, print};
use crate::host::stop::StopFlag;
use crate::journal::Problem;
use crate::replay::verify::{Range, Report, verify};
use crate::risk::config::Preset;

#[derive(Args)]
#[command(after_help = "\
Exit code 0: every output of the journal is what this engine says too. 1: one differs, or the journal is
damaged. 2: there is no journal to replay.

With other settings (--config, --set, --bar) it is a what-if instead: the recorded market goes through an
engine that has them, its orders to a simulated venue, and decisions and figures stand beside those of
the journal. Settings that are not named are the journal's. Exit code 0, or 2 if the market breaks off.

Examples:
  qtx replay qtx-journal
  qtx replay qtx-journal --from 100000 --to 200000 --json
  qtx replay qtx-journal --set RM_MIN_CONFIDENCE=0.8
      what would a stricter filter have made of the same market?")]
pub struct ReplayArgs {
    /// Folder of the journal
    dir: PathBuf,
    /// First sequence number to compare; what is before it is applied all the same
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Last sequence number to compare
    #[arg(long)]
    to: Option<u64>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print the result as JSON, and nothing else
    #[arg(long)]
    json: bool,
}

/// The result for machines.
#[derive(Serialize)]
struct Answer {
    identical: bool,
    /// Begun with the snapshot behind this sequence number; 0 for the journal's beginning.
    snapshot: u64,
    records: u64,
    events: u64,
    outputs: u64,
    last_sequence: u64,
    /// Null if the journal ends between an event and its outputs.
    state_hash: Option<String>,
    /// Outputs missing behind the last event.
    cut: usize,
    divergence: Option<Diverged>,
    problem: Option<Problem>,
    elapsed_s: f64,
    events_per_s: f64,
}

#[derive(Serialize)]
struct Diverged {
    event_sequence: u64,
    sequence: u64,
    words: String,
}

impl Answer {
    fn of(report: &Report) -> Answer {
        Answer {
            identical: report.is_same(),
            snapshot: report.snapshot,
            records: report.records,
            events: report.events,
            outputs: report.outputs,
            last_sequence: report.last_sequence,
            state_hash: report.state_hash.map(|hash| format!("{hash:032x}")),
            cut: report.cut,
            divergence: report.divergence.as_ref().map(|divergence| Diverged {
                event_sequence: divergence.event_sequence(),
                sequence: divergence.sequence,
                words: divergence.to_string(),
            }),
            problem: report.problem.clone(),
            elapsed_s: report.elapsed_s,
            events_per_s: report.events as f64 / report.elapsed_s.max(1e-9),
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "replayed       {} records: {} events, {} outputs, to sequence {}\n",
            self.records, self.events, self.outputs, self.last_sequence
        );
        if self.snapshot > 0 {
            text += &format!("begun          with the snapshot behind {}\n", self.snapshot);
        }
        if let Some(hash) = &self.state_hash {
            text += &format!("state hash     {hash}\n");
        }
        if self.cut > 0 {
            text += &format!("cut            the last event's group lacks {} outputs\n", self.cut);
        }
        text += &format!("speed          {:.2} million events a second\n", self.events_per_s / 1e6);
        match (&self.divergence, &self.problem) {
            (Some(divergence), _) => {
                text += &format!("DIVERGENCE at event {}\n{}\n", divergence.event_sequence, divergence.words);
            }
            (None, Some(problem)) => text += &format!("PROBLEM {problem}\n"),
            (None, None) => text += "every output is the same\n",
        }
        text
    }
}

pub fn replay(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    let SettingsArgs { config, set, bar } = &args.settings;
    if config.is_some() || !set.is_empty() || bar.is_some() { other(args) } else { same(args) }
}

/// Under other settings.
fn other(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    if args.from != 1 || args.to.is_some() {
        let line = "--from and --to are for comparing outputs: a what-if runs the whole market, since \
                    what is open anywhere in it depends on what came before";
        return Err(Failure::refused(line));
    }
    let opening = market::opening(&args.dir)?;
    let loaded = args.settings.load(Some(&Preset::of("journal", &opening.settings)))?;
    let stop =
        StopFlag::on_signals().map_err(|error| Failure::refused(format!("signal handlers: {error}")))?;
    let found = what_if::what_if(&args.dir, &opening, &loaded.settings, stop)?;
    print(&if args.json { serde_json::to_string_pretty(&found)? + "\n" } else { found.text() })?;
    match found.fault() {
        None => Ok(ExitCode::SUCCESS),
        Some(why) => Err(Failure::refused(format!("{why}; the market ends there"))),
    }
}

/// By the same engine: does it say the same?
fn same(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    let range = Range { from: args.from, to: args.to.unwrap_or(u64::MAX) };
    if range.from > range.to {
        let line = format!("--from {} is behind --to {}", range.from, range.to);
        return Err(Failure::refused(line));
    }
    let show = !args.json && io::stderr().is_terminal();
    let report = verify(&args.dir, range, |sequence| {
        if show {
            // A terminal that is gone takes nothing from the replay.
            let _ = write!(io::stderr(), "\r\x1b[Kreplayed to {sequence}");
        }
    })?;
    if show {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    let answer = Answer::of(&report);
    print(&if args.json { serde_json::to_string_pretty(&answer)? + "\n" } else { answer.text() })?;
    Ok(if report.is_same() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
