//! `qtx soak`: engine, gateway and venue in one thread, in storms drawn from seeds.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::{Failure, print};
use crate::host::stop::StopFlag;
use crate::journal::read::Numbered;
use crate::journal::text::Lines;
use crate::num::NS_PER_HOUR;
use crate::num::planted::{Bug, plant};
use crate::soak::{Campaign, Failed, World, finish};

/// Seeds between two lines of progress.
const SHOW_EVERY: u64 = 50;

#[derive(Args)]
#[command(after_help = "\
Each seed is a world of its own: a market, an engine with its gateway, the simulated venue, and what goes
wrong between them. Connections are cut, messages lost, doubled and late, requests refused or unanswered,
clocks and journals lost, the process killed. Then the weather clears, and within 30 simulated seconds
engine and venue must agree on every position, order and balance, every position protected.

Exit code 0: every seed did. 1: one did not; the line names it, and --seed runs it again with its journal.

Examples:
  qtx soak --seeds 2000
  qtx soak --from 100000 --seeds 100000 --json
  qtx soak --seed 42")]
pub struct SoakArgs {
    /// How many seeds to run
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this one seed alone and print its journal
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Threads that run seeds; 0 is one a core
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Print which states, words and rows of the recovery table were reached
    #[arg(long)]
    coverage: bool,
    /// Print the result as JSON, and nothing else
    #[arg(long)]
    json: bool,
}

pub(super) fn soak(args: &SoakArgs) -> Result<ExitCode, Failure> {
    if let Some(bug) = std::env::var_os("PLANT_DEFECT") {
        let name = bug.to_string_lossy();
        if !plant(&name) {
            let names = Bug::ALL.map(|(name, _)| name).join(", ");
            let line = format!("PLANT_DEFECT={name}: a build with --features planted-defect takes {names}");
            return Err(Failure::refused(line));
        }
    }
    match args.seed {
        Some(seed) => one(seed, args.json),
        None => many(args),
    }
}

/// One seed, with its journal and the weather it met.
fn one(seed: u64, as_json: bool) -> Result<ExitCode, Failure> {
    let mut world = World::of_seed(seed).map_err(Failure::refused)?;
    let clears = world.weather.clears;
    let outcome = world.run_until(clears).and_then(|()| finish(&mut world));
    let mut lines = Lines::new(as_json);
    lines.learn_table(world.instruments());
    for (number, entry) in (1..).zip(world.entries()) {
        let line = lines.line(&Numbered { first_sequence: number, last_sequence: number, entry: *entry });
        print(&format!("{}\n", line.trim_end()))?;
    }
    let weather = world.weather.describe();
    let said = match &outcome {
        Ok(outcome) => format!(
            "seed {seed}: settled after {} ms, journal {:016x}",
            outcome.settled_ns / 1_000_000,
            outcome.hash
        ),
        Err(failure) => format!("seed {seed}: {failure}\n{}", world.describe()),
    };
    // Beside the journal, not in it.
    let _ = writeln!(io::stderr(), "{weather}{said}");
    Ok(ExitCode::from(u8::from(outcome.is_err())))
}

fn many(args: &SoakArgs) -> Result<ExitCode, Failure> {
    let stop =
        StopFlag::on_signals().map_err(|error| Failure::refused(format!("signal handlers: {error}")))?;
    let Some(end) = args.from.checked_add(args.seeds) else {
        return Err(Failure::refused(format!(
            "--from {} with --seeds {}: beyond the last seed",
            args.from, args.seeds
        )));
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if args.threads == 0 { cores } else { args.threads };
    let (began, shown) = (Instant::now(), !args.json && io::stderr().is_terminal());
    let campaign = Campaign::run(args.from..end, threads, |done| {
        if shown && done.is_multiple_of(SHOW_EVERY) {
            let _ = write!(io::stderr(), "\r\x1b[K{done} of {} seeds", args.seeds);
        }
        !stop.is_set()
    });
    if shown {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    let wall_s = began.elapsed().as_secs_f64();
    if args.json {
        print(&format!("{}\n", as_json(&campaign, wall_s)))?
    } else {
        print(&as_text(&campaign, wall_s, args.coverage))?
    }
    Ok(ExitCode::from(u8::from(campaign.failed > 0)))
}

fn as_json(campaign: &Campaign, wall_s: f64) -> serde_json::Value {
    let (reached, pairs) = campaign.pairs_reached();
    json!({
        "seeds": campaign.seeds,
        "failed": campaign.failed,
        "failures": campaign.failures,
        "figures": campaign.figures,
        "settled_ms_max": campaign.settled_ms_max(),
        "in_question": campaign.in_question,
        "simulated_hours": campaign.simulated_ns / NS_PER_HOUR,
        "wall_seconds": wall_s,
        "journals": format!("{:016x}", campaign.hash),
        "coverage": { "pairs_reached": reached, "pairs": pairs, "rows_missed": campaign.rows_missed() },
    })
}

fn as_text(campaign: &Campaign, wall_s: f64, coverage: bool) -> String {
    let figures = &campaign.figures;
    let (reached, pairs) = campaign.pairs_reached();
    let mut text = format!(
        "seeds       {}, {} failed; {} simulated hours in {wall_s:.0} s\n\
         events      {}; {} orders, {} entries, {} fills, {} trades closed\n\
         processes   {} starts, {} deaths, {} of them inside a group of outputs, {} journals lost\n\
         faults      {} requests, {} silences\n\
         settled     within {} ms; {} orders rightly in question then\n\
         protection  {} ms at most without stops for all, {} ms at the venue in fair weather\n\
         duplicates  {} orders; {} requests during a ban; {} entries on stale data\n\
         coverage    {reached} of {pairs} pairs of state and word; rows missed: {}\n\
         journals    {:016x}\n",
        campaign.seeds,
        campaign.failed,
        campaign.simulated_ns / NS_PER_HOUR,
        figures.events,
        figures.orders,
        figures.entries,
        figures.fills,
        figures.trades_closed,
        figures.starts,
        figures.deaths,
        figures.groups_cut,
        figures.journals_lost,
        figures.faults,
        figures.bans,
        campaign.settled_ms_max(),
        campaign.in_question,
        figures.unprotected_ms_max,
        figures.bare_ms_max,
        figures.duplicate_orders,
        figures.sent_during_ban,
        figures.stale_entries,
        match campaign.rows_missed() {
            missed if missed.is_empty() => "none".to_owned(),
            missed => missed.join(", "),
        },
        campaign.hash,
    );
    for Failed { seed, what } in &campaign.failures {
        text += &format!("seed {seed}: {what}\n");
    }
    if coverage {
        text += &format!("\n{}", campaign.coverage_text());
    }
    text
}
