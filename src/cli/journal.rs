//! `qtx journal`.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::export::{ExportArgs, export};
use super::{Failure, print};
use crate::journal::{DumpError, DumpOptions, dump, info, verify};
use crate::num::TimeNs;

#[derive(Args)]
#[command(after_help = "\
Examples:
  qtx journal info qtx-journal
  qtx journal dump qtx-journal --kind Decision --json | head
  qtx journal dump qtx-journal --since 2026-01-31T23:00 --until 2026-02-01
  qtx journal verify qtx-journal && echo intact
  qtx journal export qtx-journal --to tables")]
pub struct JournalArgs {
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Subcommand)]
enum JournalCommand {
    /// What the folder holds
    Info {
        dir: PathBuf,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Every event and output, a line each
    Dump {
        dir: PathBuf,
        /// First sequence number
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Last sequence number
        #[arg(long)]
        to: Option<u64>,
        /// Not what was received before this UTC time, such as 2026-01-31T23:59:59.999Z
        #[arg(long)]
        since: Option<TimeNs>,
        /// Not what was received after this UTC time
        #[arg(long)]
        until: Option<TimeNs>,
        /// Only this kind, such as Decision, Order, Fill, TradeClosed
        #[arg(long)]
        kind: Option<String>,
        /// JSON lines instead of text
        #[arg(long)]
        json: bool,
    },
    /// Check every record of archive and ring; exit code 1 on a problem
    Verify {
        dir: PathBuf,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Tables for analysis: Parquet files, or comma-separated values
    Export(ExportArgs),
}

pub fn journal(args: &JournalArgs) -> Result<ExitCode, Failure> {
    match &args.command {
        JournalCommand::Info { dir, json } => {
            let info = info(dir)?;
            if *json {
                print(&(serde_json::to_string_pretty(&info)? + "\n"))?;
            } else {
                print(&format!("{info}\n"))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        JournalCommand::Dump { dir, from, to, since, until, kind, json } => {
            let (from, to, since, until) = (*from, *to, *since, *until);
            let options = DumpOptions { from, to, since, until, kind: kind.clone(), json: *json };
            let mut out = BufWriter::new(io::stdout().lock());
            let result = dump(dir, &options, &mut out).and_then(|_| out.flush().map_err(DumpError::Write));
            match result {
                Ok(()) => Ok(ExitCode::SUCCESS),
                // `qtx journal dump | head` is a normal way to look.
                Err(DumpError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => {
                    Ok(ExitCode::SUCCESS)
                }
                Err(error) => Err(error.into()),
            }
        }
        JournalCommand::Verify { dir, json } => {
            let report = verify(dir)?;
            if *json {
                print(&(serde_json::to_string_pretty(&report)? + "\n"))?;
            } else {
                print(&format!("{report}\n"))?;
            }
            Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        JournalCommand::Export(args) => export(args),
    }
}
