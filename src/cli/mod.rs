//! The command line: arguments, wiring of the rooms, exit codes. 0 is done, 1 is "looked and found a
//! problem", 2 is "can't": one line on standard error says what and what is allowed.

mod config;
mod core;
mod journal;
mod lockstep;
mod market;
mod run;
mod settings;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use self::core::{Core, RECORDS_MAX};
pub use lockstep::{Lockstep, Pace};

const EXAMPLES: &str = "\
Examples:
  qtx run --duration 30                             the made market, a minute a second
  qtx run --market day.tsv.zst --bar 1m --json      recorded frames, figures as JSON
  qtx journal verify qtx-journal                    is every record as it was written?
  qtx config --long                                 every setting, its value, what is allowed";

/// Exchange frames in, risk-managed orders out, every decision in a journal.
#[derive(Parser)]
#[command(name = "qtx", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the engine
    Run(Box<run::RunArgs>),
    /// Look into a journal
    Journal(journal::JournalArgs),
    /// Show every setting, its value and where it came from
    Config(config::ConfigArgs),
}

/// A reason to stop, in one line.
#[derive(Debug)]
pub struct Failure {
    line: String,
    code: u8,
}

impl Failure {
    /// The command can't do what was asked: exit code 2.
    fn refused(reason: impl std::fmt::Display) -> Failure {
        Failure { line: reason.to_string(), code: 2 }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::refused(error)
    }
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Journal(args) => journal::journal(&args),
        Command::Config(args) => config::config(&args),
    };
    result.unwrap_or_else(|failure| {
        eprintln!("qtx: {}", failure.line);
        ExitCode::from(failure.code)
    })
}
