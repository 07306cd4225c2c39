//! What every rule of a decision saw and asked for: more than the journal's one record of it, and
//! computed again from the events.

use std::io::{self, Write};

use serde::Serialize;

use crate::engine::Engine;
use crate::event::{Output, OutputBody};
use crate::num::TimeNs;
use crate::risk::check::{Check, Observed};

/// One decision, as a line of `rules.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    /// Sequence number of the Decision.
    seq: u64,
    time: String,
    symbol: &'a str,
    side: &'static str,
    approved: bool,
    rules: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    rule: &'static str,
    passed: bool,
    /// `null`: there was nothing to look at.
    observed: Option<String>,
    threshold: Option<String>,
}

impl Row {
    fn of(check: &Check) -> Row {
        Row {
            rule: check.rule.as_str(),
            passed: check.passed,
            observed: text(check.observed),
            threshold: text(check.threshold),
        }
    }
}

fn text(value: Observed) -> Option<String> {
    match value {
        Observed::Missing => None,
        Observed::Consensus(consensus) => Some(consensus.to_string()),
        Observed::ConsensusSet(set) => Some(set.to_string()),
        Observed::State(state) => Some(state.to_string()),
        Observed::Number(_) | Observed::Ratio { .. } => Some(value.to_dec().to_string()),
    }
}

/// Writes the rules behind a Decision that `engine` has just made; nothing for other outputs.
pub(super) fn write(
    out: &mut impl Write,
    engine: &Engine,
    sequence: u64,
    at: TimeNs,
    output: &Output,
) -> io::Result<()> {
    let OutputBody::Decision(decision) = &output.body else { return Ok(()) };
    let Some(market) = engine.market(output.instrument) else { return Ok(()) };
    let line = Line {
        seq: sequence,
        time: at.to_string(),
        symbol: market.instrument.symbol.as_str(),
        side: decision.side.direction(),
        approved: decision.approved,
        rules: engine.checks().iter().map(Row::of).collect(),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}
