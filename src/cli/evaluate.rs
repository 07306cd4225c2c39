//! `qtx evaluate`.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::settings::SettingsArgs;
use crate::evaluate::Scenario;
use crate::risk::config::Preset;

/// A line of any use has a thousandth of it.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// No order leaves, so no gateway has a say in how large one may be.
const GATE_USD: &str = "1000000000000";

#[derive(Args)]
#[command(after_help = "\
Examples:
  qtx evaluate < scenario.jsonl
  RM_MAX_POSITION_USD=5000 qtx evaluate < scenario.jsonl

  {\"type\":\"account\",\"equity\":\"10000\"}
  {\"type\":\"instrument\",\"symbol\":\"BTCUSDT\",\"tick\":\"0.1\",\"step\":\"0.001\",\"min_qty\":\"0.001\",\"min_notional\":\"5\"}
  {\"type\":\"signal\",\"symbol\":\"BTCUSDT\",\"action\":\"LONG\",\"consensus\":\"STRONG\",\"confidence\":\"0.75\",
   \"price\":\"50000\",\"spread_bps\":\"10\",\"atr\":\"1500\",\"ema_200\":\"48000\",\"volume_24h\":\"5000000000\"}   (one line)
  {\"type\":\"price\",\"symbol\":\"BTCUSDT\",\"price\":\"52250\",\"time_ms\":60000}

A line that is refused is answered with an error and changes nothing; the exit code stays 0.")]
pub struct EvaluateArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub fn evaluate(args: &EvaluateArgs) -> Result<ExitCode, Failure> {
    let gate = [("QT_GATE_MAX_ORDER_USD", GATE_USD), ("QT_GATE_MAX_POSITION_USD", GATE_USD)];
    let loaded = args.settings.load(Some(&Preset::new("evaluate", &gate)))?;
    let mut scenario = Scenario::new(&loaded.settings);
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let read = input.by_ref().take(limit).read_until(b'\n', &mut line).map_err(unreadable)?;
        let said = if read == 0 {
            scenario.end()
        } else if line.last() != Some(&b'\n') && line.len() > LINE_BYTES_MAX {
            input.skip_until(b'\n').map_err(unreadable)?;
            scenario.oversized(LINE_BYTES_MAX)
        } else {
            scenario.line(line.strip_suffix(b"\n").unwrap_or(&line))
        };
        // Whoever asks waits for the answer to this line before the next one.
        match output.write_all(said.as_bytes()).and_then(|()| output.flush()) {
            Ok(()) if read == 0 => return Ok(ExitCode::SUCCESS),
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            Err(error) => return Err(Failure::refused(format!("standard output: can't write: {error}"))),
        }
    }
}

fn unreadable(error: io::Error) -> Failure {
    Failure::refused(format!("standard input: can't read: {error}"))
}
