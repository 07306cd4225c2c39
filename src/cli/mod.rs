//! The command line: arguments, wiring of the rooms, exit codes. 0 is done, 1 is "looked and found a
//! problem", 2 is "can't": one line on standard error says what and what is allowed.

mod backtest;
mod config;
mod ctl;
mod doctor;
mod evaluate;
mod export;
mod journal;
mod market;
mod progress;
mod record;
mod replay;
mod run;
mod settings;
#[cfg(feature = "server")]
mod sim;
#[cfg(feature = "server")]
mod soak;

use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Where the journal goes, and is looked for, when nobody says: replaced by every such run.
const DEFAULT_JOURNAL: &str = "qtx-journal";

const EXAMPLES: &str = "\
Examples:
  qtx run --duration 30                             the made market, twenty seconds a second
  qtx run --market day.tsv.zst --bar 1m --json      recorded frames, figures as JSON
  qtx backtest --candles btcusdt.csv.zst --risk both
                                                    with the risk layer and without it
  qtx ctl status                                    how the engine stands, from another terminal
  qtx record --out btc.tsv.zst --duration 3600      an hour of the venue's market, to run again
  qtx sim                                           the simulated venue alone, for other programs
  qtx soak --seeds 2000                             does everything come to rest after a storm?
  qtx journal verify qtx-journal                    is every record as it was written?
  qtx replay qtx-journal                            does the engine say the same again?
  qtx journal export qtx-journal --to tables        Parquet files of what happened
  qtx evaluate < scenario.jsonl                     what would the risk layer do?
  qtx doctor                                        is this host tuned for the engine?
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
    /// Recorded data through the engine: what the rules would have made of it
    Backtest(Box<backtest::BacktestArgs>),
    /// Ask or tell a running engine
    Ctl(ctl::CtlArgs),
    /// Public market streams to a frames file
    Record(record::RecordArgs),
    /// Serve the simulated venue to other programs
    #[cfg(feature = "server")]
    Sim(Box<sim::SimArgs>),
    /// Engine, gateway and venue in simulated storms: does everything come to rest?
    #[cfg(feature = "server")]
    Soak(soak::SoakArgs),
    /// Look into a journal
    Journal(journal::JournalArgs),
    /// Run a journal again and compare every output
    Replay(replay::ReplayArgs),
    /// Scenario lines in, decisions out
    Evaluate(evaluate::EvaluateArgs),
    /// Is this host tuned for low latency? What was found, what is wanted, and how to get there
    Doctor(doctor::DoctorArgs),
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
        Command::Backtest(args) => backtest::backtest(&args),
        Command::Ctl(args) => ctl::ctl(&args),
        Command::Record(args) => record::record(&args),
        #[cfg(feature = "server")]
        Command::Sim(args) => sim::sim(&args),
        #[cfg(feature = "server")]
        Command::Soak(args) => soak::soak(&args),
        Command::Journal(args) => journal::journal(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Evaluate(args) => evaluate::evaluate(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Config(args) => config::config(&args),
    };
    result.unwrap_or_else(|failure| {
        // Nobody may be listening; the exit code still says it.
        let _ = writeln!(io::stderr(), "qtx: {}", failure.line);
        ExitCode::from(failure.code)
    })
}

/// Writes to standard output. A reader that closed the pipe has seen enough (`qtx config | head`);
/// anything else that keeps the text from arriving is a failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::refused(format!("standard output: can't write: {error}")))
        }
        _ => Ok(()),
    }
}

/// A whole file of at most `bytes_max` bytes; a device without end costs no memory.
fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(bytes_max + 1).read_to_end(&mut content))
        .map_err(|error| Failure::refused(format!("{}: can't read: {error}", path.display())))?;
    if content.len() as u64 > bytes_max {
        let line = format!("{}: longer than the {bytes_max} bytes allowed", path.display());
        return Err(Failure::refused(line));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::config::Setting;

    const UNIT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/quantum-trader.service"));

    /// Values of a key of the unit, in order.
    fn values(key: &str) -> Vec<&'static str> {
        UNIT.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
    }

    fn variables() -> Vec<(&'static str, &'static str)> {
        let pairs = values("Environment").into_iter().flat_map(str::split_ascii_whitespace);
        pairs.map(|pair| pair.split_once('=').unwrap()).collect()
    }

    #[test]
    fn what_the_unit_starts_is_what_the_command_line_takes() {
        let [line] = values("ExecStart")[..] else { panic!("one command") };
        let line = variables()
            .iter()
            .fold(line.to_string(), |line, (name, value)| line.replace(&format!("${{{name}}}"), value));
        assert!(!line.contains('$'), "{line}");
        let parse = |line: &str| Cli::try_parse_from(line.split_ascii_whitespace()).map(|cli| cli.command);
        assert!(matches!(parse(&line), Ok(Command::Run(_))), "{line}");
        assert!(parse(&format!("{line} --no-such-flag")).is_err());
        assert!(line.contains(" --venue binance-testnet "), "no real money unless somebody says so");
    }

    #[test]
    fn variables_of_the_unit_are_settings_keys_or_its_own() {
        const OTHERS: [&str; 5] =
            ["QTX_VENUE", "QTX_SYMBOLS", "XDG_STATE_HOME", "QT_API_KEY_FILE", "QT_API_SECRET_FILE"];
        for (name, _) in variables() {
            assert!(OTHERS.contains(&name) || Setting::named(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_unit_permits_what_the_engine_asks_of_the_machine() {
        assert_eq!(values("LimitMEMLOCK"), ["infinity"]);
        assert_eq!(values("LimitRTPRIO"), ["99"]);
        assert_eq!(values("RestrictRealtime"), [""; 0]);
        // The ring must outlive the process, and a second Ctrl-C is no failure.
        assert_eq!(values("RuntimeDirectoryPreserve"), ["yes"]);
        assert_eq!((values("Restart"), values("SuccessExitStatus")), (vec!["on-failure"], vec!["130"]));
    }
}
