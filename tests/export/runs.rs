//! Whole runs: their tables add up to their summaries, and say of each order what its words say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use quantum_trader::event::record::Entry;
use quantum_trader::event::*;
use quantum_trader::journal::JournalReader;
use quantum_trader::num::{Dec, Lots, OrderId, TimeNs};
use quantum_trader::observe::Stats;
use tempfile::TempDir;

use super::tables::{Rows, exported};

/// A run in this process' folder, and its tables.
struct Run {
    entries: Vec<(u64, Entry)>,
    stats: Stats,
    tables: BTreeMap<&'static str, Rows>,
    _dir: TempDir,
}

impl Run {
    fn new(args: &[&str]) -> Run {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal");
        run(&journal, dir.path(), args);
        let (mut reader, mut entries, mut stats) =
            (JournalReader::open(&journal).unwrap(), Vec::new(), Stats::default());
        while let Some(numbered) = reader.next_entry().unwrap() {
            stats.take(numbered.first_sequence, &numbered.entry);
            entries.push((numbered.first_sequence, numbered.entry));
        }
        let (report, tables) = exported(&journal, &dir.path().join("tables"));
        assert_eq!((report.entries, report.ended, report.live), (entries.len() as u64, true, false));
        assert_eq!(report.committed_sequence, report.last_sequence);
        assert_eq!(report.problem, None);
        Run { entries, stats, tables, _dir: dir }
    }

    fn events(&self) -> impl Iterator<Item = &EventBody> {
        self.entries.iter().filter_map(|(_, entry)| match entry {
            Entry::Event(event) => Some(&event.body),
            Entry::Output { .. } => None,
        })
    }
}

fn run(journal: &Path, ring: &Path, args: &[&str]) -> PathBuf {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qtx"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("RM_") || name.starts_with("QT_") {
            command.env_remove(&*name);
        }
    }
    command.args(["run", "--speed", "max", "--journal"]).arg(journal);
    let output = command.arg("--ring-dir").arg(ring).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    journal.to_path_buf()
}

/// Sums and counts are the summary's.
fn adds_up(run: &Run) {
    let Run { stats, tables, .. } = run;
    let closed = &stats.closed;
    let (trades, decisions) = (&tables["trades"], &tables["decisions"]);
    assert_eq!(trades.len() as u64, closed.count);
    assert_eq!(trades.sum("pnl"), {
        let mut sum = closed.gains;
        sum += closed.losses;
        sum
    });
    assert_eq!(trades.sum("fees"), closed.fees);
    assert_eq!(trades.sum("slippage"), closed.slippage);
    assert_eq!(trades.sum("r_multiple"), closed.r_sum);
    let wins = trades.column("pnl").iter().filter(|pnl| Dec::parse(pnl).unwrap().0 > 0).count();
    assert_eq!(wins as u64, closed.wins);
    assert_eq!(trades.count("side", "LONG") as u64, closed.longs);
    for (state, count) in &closed.by_state {
        assert_eq!(trades.count("state", state) as u64, *count, "{state}");
    }
    assert_eq!(decisions.count("approved", "true") as u64, stats.approved);
    assert_eq!(decisions.len() as u64, stats.approved + stats.rejections());
    for (rule, count) in &stats.rejected {
        assert_eq!(decisions.count("rule", rule) as u64, *count, "{rule}");
    }
    assert_eq!(tables["fills"].len() as u64, stats.fills);
    assert_eq!(tables["orders"].len() as u64, stats.orders);
    assert_eq!(tables["orders"].count("kind", "StopMarket") as u64, stats.stops_placed);
    assert_eq!(tables["events"].len(), run.entries.len());
    assert_eq!(tables["events"].count("output", "false") as u64, stats.events);
    let last = |name| tables["equity"].column(name).last().map(|text| Dec::parse(text).unwrap());
    assert_eq!((last("equity"), last("wallet")), (stats.equity, stats.wallet));
    let bars: u64 = stats.by_instrument.values().map(|per| per.bars).sum();
    let flat: u64 =
        tables["bars"].column("flat_before").iter().map(|text| text.parse::<u64>().unwrap()).sum();
    assert_eq!(tables["bars"].len() as u64 + flat, bars);
}

/// Results of fills are the trade's account.
fn accounts_balance(run: &Run) -> usize {
    let mut of_fills: BTreeMap<&str, (Dec, Dec)> = BTreeMap::new();
    for fill in run.tables["fills"].maps().filter(|fill| fill["applied"] == "true") {
        let sums = of_fills.entry(fill["trade"]).or_default();
        if !fill["realised"].is_empty() {
            sums.0 += Dec::parse(fill["realised"]).unwrap();
        }
        sums.1 += Dec::parse(fill["fee"]).unwrap();
    }
    for trade in run.tables["trades"].maps() {
        let (realised, fees) = of_fills[trade["trade"]];
        let dec = |name| Dec::parse(trade[name]).unwrap();
        assert_eq!(fees, dec("fees"), "{}", trade["trade"]);
        assert_eq!(realised - fees + dec("funding"), dec("pnl"), "{}", trade["trade"]);
    }
    run.tables["trades"].len()
}

/// What the words on one order come to, read in the plainest way. A word that it is not known counts once a minute
/// has gone by since it was sent.
fn ended(run: &Run, id: OrderId, sent: TimeNs) -> &'static str {
    let (mut accepted, mut state) = (false, "Sent");
    for (_, entry) in &run.entries {
        let Entry::Event(Event { recv_ns, body: EventBody::OrderUpdate(update), .. }) = entry else {
            continue;
        };
        if update.order != id {
            continue;
        }
        match update.status {
            OrderStatus::Filled => return "Filled",
            OrderStatus::Canceled => return "Canceled",
            OrderStatus::Expired => return "Expired",
            OrderStatus::Rejected if !accepted => return "Rejected",
            OrderStatus::NotFound if recv_ns.since(sent) >= 60_000_000_000 => {
                return if accepted { "Canceled" } else { "Rejected" };
            }
            OrderStatus::NotFound | OrderStatus::Unknown => state = "Unknown",
            OrderStatus::Accepted if !accepted => (accepted, state) = (true, "Working"),
            OrderStatus::Triggered => (accepted, state) = (true, "Triggered"),
            _ => {}
        }
    }
    state
}

fn orders_are_what_their_words_say(run: &Run) -> BTreeMap<String, usize> {
    let mut by_id: BTreeMap<&str, BTreeMap<&str, &str>> =
        run.tables["orders"].maps().map(|row| (row["order"], row)).collect();
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for (_, entry) in &run.entries {
        let Entry::Output { recv_ns, output: Output { body: OutputBody::Order(order), .. }, .. } = entry
        else {
            continue;
        };
        let row = by_id.remove(order.id.to_string().as_str()).unwrap();
        let state = ended(run, order.id, *recv_ns);
        // The engine itself gives it up for unanswered, before the venue has said a word.
        assert!(row["state"] == state || (row["state"] == "Unknown" && state == "Sent"), "{state}: {row:?}");
        let fills = run.events().filter_map(|body| match body {
            EventBody::Fill(fill) if fill.order == order.id => Some(fill),
            _ => None,
        });
        let (mut lots, mut fees) = (Lots::ZERO, Dec::ZERO);
        fills.for_each(|fill| {
            lots += fill.quantity;
            fees += fill.fee;
        });
        // The share that was filled, whatever the instrument's step.
        let share = |name| Dec::parse(row[name]).unwrap().0;
        assert_eq!(share("filled") * order.quantity.wide(), share("quantity") * lots.wide(), "{row:?}");
        assert_eq!(Dec::parse(row["fees"]).unwrap(), fees);
        assert_eq!(
            row["ended_ns"].is_empty(),
            matches!(row["state"], "Sent" | "Working" | "Triggered" | "Unknown")
        );
        *states.entry(row["state"].to_string()).or_default() += 1;
    }
    assert!(by_id.is_empty(), "rows of no order: {by_id:?}");
    states
}

#[test]
fn the_tables_of_a_run_add_up_to_its_summary() {
    let run = Run::new(&["--market", "synthetic:7", "--transport", "direct", "--duration", "900"]);
    adds_up(&run);
    assert!(accounts_balance(&run) > 5, "{} trades", run.tables["trades"].len());
    let states = orders_are_what_their_words_say(&run);
    assert!(states["Filled"] > 10 && states["Canceled"] > 5, "{states:?}");
    assert_eq!(run.tables["fills"].count("applied", "false"), 0);
}

/// Over sockets, where a venue can keep silent.
#[cfg(feature = "server")]
#[test]
fn so_do_those_of_a_run_whose_stops_are_refused_or_lost() {
    use std::collections::BTreeSet;

    for (stops, code) in [("refuse", "-4131"), ("swallow", "-2013")] {
        let setting = format!("QT_SIM_STOPS={stops}");
        let run = Run::new(&["--market", "synthetic:7", "--duration", "150", "--set", &setting]);
        adds_up(&run);
        accounts_balance(&run);
        let states = orders_are_what_their_words_say(&run);
        assert!(states["Rejected"] > 0, "{stops}: {states:?}");
        let orders = run.tables["orders"].maps();
        let refused: BTreeSet<_> =
            orders.filter(|row| row["state"] == "Rejected").map(|row| row["code"].to_string()).collect();
        assert_eq!(refused, BTreeSet::from([code.to_string()]), "{stops}");
    }
}
