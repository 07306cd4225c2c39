//! `qtx ctl`: the operator's word to a running engine.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Failure, print};
use crate::event::CommandKind;
use crate::live::control::{
    Answer, Done, Request, SOCKET, Status, TAKE_UP_DEADLINE, Trouble, TroubleKind, connect,
};

/// The engine answers within its own deadline; this much more means it hangs.
const PATIENCE: Duration = Duration::from_secs(5);
/// A status of 32 positions and every limit has a twentieth of it.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Args)]
#[command(after_help = "\
Examples:
  qtx ctl status                        state, equity, drawdown, positions with their stops, feeds
  qtx ctl halt                          no more entries; stops stay, what is unprotected is closed
  qtx ctl reduce                        no more entries; exits go on
  qtx ctl resume                        trade again: nothing but this leaves HALTED or REDUCING
  qtx ctl flatten                       close every position at market; the state stays
  qtx ctl close BTCUSDT                 close one
  qtx ctl --journal runs/btc status --json | jq .positions

Exit codes: 0 done, and in the journal; 1 handed over, but not known to be taken up; 2 can't.")]
pub struct CtlArgs {
    /// Folder of the engine's journal
    #[arg(long, value_name = "DIR", default_value = super::DEFAULT_JOURNAL, global = true)]
    journal: PathBuf,
    /// JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: CtlCommand,
}

#[derive(Subcommand)]
enum CtlCommand {
    /// How the engine stands
    Status,
    /// No entries; cancels, protective orders and closing what is unprotected only
    Halt,
    /// Exits only
    Reduce,
    /// Trade again
    Resume,
    /// Close every position
    Flatten,
    /// Close the position of one instrument
    Close { symbol: String },
}

impl CtlCommand {
    fn request(&self) -> Request {
        match self {
            CtlCommand::Status => Request::status(),
            CtlCommand::Halt => Request::command(CommandKind::Halt, None),
            CtlCommand::Reduce => Request::command(CommandKind::Reduce, None),
            CtlCommand::Resume => Request::command(CommandKind::Resume, None),
            CtlCommand::Flatten => Request::command(CommandKind::Flatten, None),
            CtlCommand::Close { symbol } => Request::command(CommandKind::Close, Some(symbol)),
        }
    }
}

pub fn ctl(args: &CtlArgs) -> Result<ExitCode, Failure> {
    let answer = ask(&args.journal, &args.command.request())?;
    match answer {
        Answer::Status(status) => show(args.json, status.as_ref(), Status::to_string)?,
        Answer::Done(done) => show(args.json, &done, describe)?,
        Answer::Error(Trouble { kind, message }) => {
            // Known to have changed nothing, or not known to have changed anything.
            let code = if kind == TroubleKind::Late { 1 } else { 2 };
            return Err(Failure { line: message, code });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show<T: serde::Serialize>(json: bool, answer: &T, text: impl Fn(&T) -> String) -> Result<(), Failure> {
    print(&if json { serde_json::to_string_pretty(answer)? + "\n" } else { text(answer) + "\n" })
}

fn describe(done: &Done) -> String {
    let symbol = done.symbol.as_ref().map_or(String::new(), |symbol| format!(" {symbol}"));
    let cause = done.cause.as_ref().map_or(String::new(), |cause| format!(" ({cause})"));
    let note = done.note.as_ref().map_or(String::new(), |note| format!("; {note}"));
    format!(
        "{}{symbol} taken up, journal record {}: {}{cause}{note}",
        done.command, done.sequence, done.state
    )
}

/// One request, one answer.
fn ask(dir: &Path, request: &Request) -> Result<Answer, Failure> {
    let refuse = |what: &str, error: &io::Error| {
        Failure::refused(format!("{}: {what}: {error}", dir.join(SOCKET).display()))
    };
    let mut stream = connect(dir).map_err(|error| unreachable(dir, &error))?;
    let patience = Some(TAKE_UP_DEADLINE + PATIENCE);
    stream
        .set_read_timeout(patience)
        .and_then(|()| stream.set_write_timeout(patience))
        .map_err(|error| refuse("can't set a deadline", &error))?;
    let line = serde_json::to_string(request)? + "\n";
    // An engine that refuses may answer before it has read; what it says tells more than the failed write.
    let written = stream.write_all(line.as_bytes());
    let mut answer = String::new();
    let read = BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut answer);
    match (read, written) {
        (Ok(_), _) if answer.ends_with('\n') => serde_json::from_str(&answer).map_err(|error| {
            Failure::refused(format!("the engine's answer is not understood (another version?): {error}"))
        }),
        (Ok(_), Err(error)) => Err(refuse("can't ask", &error)),
        (Ok(_), Ok(())) => Err(Failure::refused("the engine hung up without an answer")),
        (Err(error), _) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            let line = "no answer in time: the engine's control thread hangs".to_string();
            Err(Failure { line, code: 1 })
        }
        (Err(error), _) => Err(refuse("can't read the answer", &error)),
    }
}

/// Why nobody answers at the socket, and what to do.
fn unreachable(dir: &Path, error: &io::Error) -> Failure {
    let shown = dir.display();
    Failure::refused(match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => format!(
            "{shown}: no engine is running there (no {SOCKET}); --journal DIR names the folder of the one meant"
        ),
        ErrorKind::ConnectionRefused => {
            format!("{shown}: the engine that ran there is gone; its {SOCKET} was left behind")
        }
        ErrorKind::PermissionDenied => {
            format!("{shown}: no permission: only the user who started the engine, or root, may control it")
        }
        _ => format!("{shown}: can't reach the engine: {error}"),
    })
}
