//! `qtx soak`: engine, gateway and venue in one thread, in storms drawn from seeds.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, value_parser};
use serde_json::json;

use super::{Failure, print};
use crate::host::stop::StopFlag;
use crate::journal::read::Numbered;
use crate::journal::text::Lines;
use crate::num::planted::{Bug, plant};
use crate::soak::{Campaign, Peak, Row, Story};

/// Seeds between two lines of progress.
const SHOW_EVERY: u64 = 50;
/// As shells report a process that SIGINT ended: what was done until then is printed.
const EXIT_INTERRUPTED: u8 = 130;

#[derive(Args)]
#[command(after_help = "\
Each seed is a world of its own: a market, an engine with its gateway, the simulated venue, and what goes
wrong between them. Connections are cut, messages lost, doubled and late, requests refused or unanswered,
clocks and journals lost, the process killed. Then the weather clears, and within 30 simulated seconds
engine and venue must agree on every position, order and balance, every position protected.

Exit code 0: every seed did. 1: one did not; its line names it, and --seed runs it again with its journal.
130: interrupted; what was done until then is printed.

Examples:
  qtx soak --seeds 2000
  qtx soak --from 100000 --seeds 100000 --json
  qtx soak --seed 42")]
pub struct SoakArgs {
    /// How many seeds to run
    #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this one seed alone and print its journal
    #[arg(long, conflicts_with_all = ["seeds", "from", "threads"])]
    seed: Option<u64>,
    /// Threads that run seeds; 0 is one a core
    #[arg(long, default_value_t = 0, value_parser = value_parser!(u16).range(0..=256))]
    threads: u16,
    /// Print which states, words and rows of the recovery table were reached
    #[arg(long)]
    coverage: bool,
    /// Print the result as JSON, and nothing else; of one seed its journal, a line each, and then the result
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
        Some(seed) => one(seed, args),
        None => many(args),
    }
}

/// One seed, with its journal and the weather it met.
fn one(seed: u64, args: &SoakArgs) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let story = Story::of(seed);
    let mut lines = Lines::new(args.json);
    if let Some(world) = &story.world {
        lines.learn_table(world.instruments());
        for (number, entry) in (1..).zip(world.entries()) {
            let numbered = Numbered { first_sequence: number, last_sequence: number, entry: *entry };
            print(&format!("{}\n", lines.line(&numbered).trim_end()))?;
        }
    }
    let campaign = Campaign::of_one(&story);
    let wall_s = began.elapsed().as_secs_f64();
    if args.json {
        print(&format!("{}\n", as_json(&campaign, seed..=seed, wall_s, false)))?;
    }
    let weather = story.world.as_ref().map_or_else(String::new, |world| world.weather.describe());
    let said = match &story.result {
        Ok(outcome) => {
            let ms = outcome.settled_ns / 1_000_000;
            format!("seed {seed}: settled after {ms} ms, journal {:016x}", outcome.hash)
        }
        Err(_) => campaign.failures.iter().map(|failed| failed.text()).collect(),
    };
    let coverage = if args.coverage { format!("\n{}", campaign.coverage.text()) } else { String::new() };
    // Beside the journal, not in it.
    let _ = writeln!(io::stderr(), "{weather}{}{coverage}", said.trim_end());
    Ok(ExitCode::from(u8::from(story.result.is_err())))
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
    let threads = if args.threads == 0 { cores } else { args.threads.into() };
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
        let asked = args.from..=end - 1;
        print(&format!("{}\n", as_json(&campaign, asked, wall_s, stop.is_set())))?
    } else {
        print(&as_text(&campaign, wall_s, args.coverage))?
    }
    if stop.is_set() {
        let _ = writeln!(io::stderr(), "qtx: interrupted after {} of {} seeds", campaign.seeds, args.seeds);
        return Ok(ExitCode::from(EXIT_INTERRUPTED));
    }
    Ok(ExitCode::from(u8::from(campaign.failed > 0)))
}

fn as_json(
    campaign: &Campaign,
    asked: RangeInclusive<u64>,
    wall_s: f64,
    interrupted: bool,
) -> serde_json::Value {
    let coverage = &campaign.coverage;
    let pairs = coverage.pairs().map(|pair| {
        json!({
            "state": format!("{:?}", pair.state),
            "word": format!("{:?}", pair.word),
            "count": pair.count,
            "impossible": pair.impossible,
            "test": pair.rare,
        })
    });
    let rows: BTreeMap<_, _> = Row::ALL.into_iter().map(|row| (row.name(), coverage.row(row))).collect();
    json!({
        "first_seed": asked.start(),
        "last_seed": asked.end(),
        "interrupted": interrupted,
        "seeds": campaign.seeds,
        "failed": campaign.failed,
        "failures": campaign.failures,
        "figures": campaign.figures,
        "longest": {
            "settled": campaign.settled,
            "unprotected": campaign.unprotected,
            "bare": campaign.bare,
            "strange": campaign.strange,
            "apart": campaign.apart,
        },
        "in_question": campaign.in_question,
        "simulated_hours": campaign.simulated_hours(),
        "wall_seconds": wall_s,
        "journals": format!("{:016x}", campaign.hash),
        "coverage": {
            "pairs": pairs.collect::<Vec<_>>(),
            "pairs_missed": coverage.pairs_missed(),
            "rows": rows,
            "rows_missed": coverage.rows_missed(),
        },
    })
}

fn as_text(campaign: &Campaign, wall_s: f64, coverage: bool) -> String {
    let figures = &campaign.figures;
    let missed = |what: &str, missed: Vec<String>| match missed.is_empty() {
        true => format!("no {what} missed"),
        false => format!("{what} missed: {}", missed.join(", ")),
    };
    let rows = campaign.coverage.rows_missed().into_iter().map(str::to_owned).collect();
    let at = |peak: Peak| format!("{} ms (seed {})", peak.ms, peak.seed);
    let mut text = format!(
        "seeds       {}, {} failed; {} simulated hours in {wall_s:.0} s\n\
         events      {}; {} orders, {} entries, {} fills, {} trades closed\n\
         processes   {} starts, {} deaths, {} of them inside a group of outputs, {} journals lost\n\
         faults      {} requests, {} silences, {} starts in them\n\
         settled     within {}; {} orders rightly in question then; apart again for {} at most\n\
         protection  {} at most without stops for all, {} at the venue in fair weather\n\
         duplicates  {} orders; {} requests during a ban; {} entries on stale data\n\
         coverage    {} of {} pairs of state and word; {}; {}\n\
         journals    {:016x}\n",
        campaign.seeds,
        campaign.failed,
        campaign.simulated_hours(),
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
        figures.starts_in_ban,
        at(campaign.settled),
        campaign.in_question,
        at(campaign.apart),
        at(campaign.unprotected),
        at(campaign.bare),
        figures.duplicate_orders,
        figures.sent_during_ban,
        figures.stale_entries,
        campaign.coverage.pairs().filter(|pair| pair.count > 0).count(),
        campaign.coverage.pairs().count(),
        missed("pair", campaign.coverage.pairs_missed()),
        missed("row of recovery", rows),
        campaign.hash,
    );
    for failed in &campaign.failures {
        text += &failed.text();
    }
    if coverage {
        text += &format!("\n{}", campaign.coverage.text());
    }
    text
}
