//! The summary of a run: the same figures as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{LatencyNs, SocketSummary, Stage, Stages, Stats};
use crate::decode::Skip;
use crate::event::InstrumentTable;
use crate::num::{Dec, Rounding};

/// What the loop counted beside the journal.
#[derive(Clone, Debug, Default)]
pub struct LoopCounts {
    /// Frames taken from the market.
    pub frames: u64,
    /// Of these, frames that became market events.
    pub taken: u64,
    /// Of these, frames the decoder answered by their layout alone.
    pub fast: u64,
    /// Frames that are no events, by [`Skip`].
    pub skipped: [u64; Skip::ALL.len()],
    /// Frames received before the one in front of them.
    pub out_of_order: u64,
    /// `None` where the allocator is not the counting one.
    pub hot_allocations: Option<u64>,
    /// By reading sockets over TLS.
    pub tls_allocations: Option<u64>,
    /// Minor and major, of the hot thread.
    pub hot_page_faults: Option<u64>,
    /// Frames the journal had no room for.
    pub dropped: u64,
    /// Longest order → first report in the simulation, ns.
    pub sim_round_trip_ns_max: Option<u64>,
    /// Times the loop waited for the drain.
    pub overruns: u64,
    /// Marked to the last prices.
    pub final_equity: Option<Dec>,
    /// Of every price, where the figures from the journal see one a second.
    pub max_daily_drawdown: Option<Dec>,
    /// Of the engine's state at the end.
    pub state_hash: Option<u128>,
}

/// The journal's end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct JournalSummary {
    pub records: u64,
    pub bytes: u64,
    pub durable_seq: u64,
    pub overruns: u64,
    pub path: String,
}

/// Figures of the shadow engine; null where there is none.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ShadowSummary {
    /// Everything up to this sequence number was computed again.
    pub verified_seq: Option<u64>,
    /// Events whose recorded outputs differ from the computed ones.
    pub divergences: Option<u64>,
    /// The first of them, in words.
    pub found: Vec<String>,
    pub snapshots: u64,
    /// What the shadow could not write, or why it ended.
    pub failures: Vec<String>,
}

/// One instrument's figures.
#[derive(Clone, Debug, Serialize)]
pub struct InstrumentSummary {
    pub bars: u64,
    pub approved: u64,
    pub rejected: u64,
    pub fills: u64,
    pub trades_closed: u64,
    pub realized_pnl: Exact,
}

/// An exact decimal; in JSON a number with all its digits.
#[derive(Clone, Debug)]
pub struct Exact(Dec);

impl From<Dec> for Exact {
    fn from(value: Dec) -> Exact {
        Exact(value)
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.display(2).to_string())
    }
}

impl Exact {
    pub fn value(&self) -> Dec {
        self.0
    }

    /// With two places, as people read money.
    fn cents(&self) -> String {
        format!("{:.2}", self.0)
    }
}

impl Serialize for Exact {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?;
        number.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Exact, D::Error> {
        let number = Box::<RawValue>::deserialize(deserializer)?;
        Dec::parse(number.get()).map(Exact).map_err(D::Error::custom)
    }
}

/// What `qtx run --json` prints. What was not measured is null.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub frames: u64,
    /// Frames that became market events. With `decode_errors`, `unknown_frames` and `frames_skipped`
    /// these are all frames.
    pub frames_taken: u64,
    /// Of these, frames in one of the venue's usual layouts, which the parser did not see.
    pub frames_fast: u64,
    pub frames_skipped: BTreeMap<&'static str, u64>,
    /// Receive times before the previous frame's, raised to it.
    pub frames_out_of_order: u64,
    /// Frames dropped because the journal was full.
    pub frames_dropped: u64,
    pub events: u64,
    pub decode_errors: u64,
    pub unknown_frames: u64,
    pub decode_faults: BTreeMap<&'static str, u64>,
    pub signals: u64,
    pub approved: u64,
    pub rejected: BTreeMap<&'static str, u64>,
    pub orders: u64,
    pub fills: u64,
    pub stops_placed: u64,
    pub stops_refused: u64,
    pub stop_moves: BTreeMap<&'static str, u64>,
    pub exits: BTreeMap<&'static str, u64>,
    pub alarms: BTreeMap<&'static str, u64>,
    pub trades_closed: u64,
    pub trades_long: u64,
    pub trades_short: u64,
    pub trades_by_state: BTreeMap<&'static str, u64>,
    pub open_positions: u32,
    pub win_rate: Option<f64>,
    pub avg_r: Option<f64>,
    pub profit_factor: Option<f64>,
    /// Net of fees and funding, closed trades.
    pub realized_pnl: Exact,
    pub fees: Exact,
    pub slippage: Exact,
    pub equity: Option<Exact>,
    pub max_daily_drawdown_pct: Option<f64>,
    pub max_concurrent: u32,
    pub unprotected_ms_max: Option<f64>,
    pub part_unprotected_ms_max: Option<f64>,
    pub sim_round_trip_ms_max: Option<f64>,
    pub latency_ns: BTreeMap<&'static str, Option<LatencyNs>>,
    pub hot_allocations: Option<u64>,
    pub tls_allocations: Option<u64>,
    pub hot_page_faults: Option<u64>,
    pub instruments: BTreeMap<String, InstrumentSummary>,
    /// Null where nothing travels by socket.
    pub sockets: Option<SocketSummary>,
    /// Of the engine's whole state at the end: 32 hexadecimal digits.
    pub state_hash: Option<String>,
    pub journal: JournalSummary,
    pub shadow: ShadowSummary,
}

fn ms(ns: f64) -> f64 {
    ns / 1e6
}

fn ratio(numerator: Dec, denominator: Dec) -> Option<f64> {
    (denominator.0 != 0).then(|| numerator.to_f64_lossy() / denominator.to_f64_lossy())
}

impl Summary {
    pub fn new(
        stats: &Stats,
        counts: &LoopCounts,
        stages: &Stages,
        table: &InstrumentTable,
        journal: JournalSummary,
    ) -> Summary {
        let closed = &stats.closed;
        let count = Dec::int(i64::try_from(closed.count).unwrap_or(i64::MAX));
        let wins = Dec::int(i64::try_from(closed.wins).unwrap_or(i64::MAX));
        let unknown = ["unknown_symbol", "unknown_stream"];
        let of = |known: bool| {
            let faults = stats.decode_faults.iter().filter(|(reason, _)| unknown.contains(*reason) == known);
            faults.map(|(_, n)| n).sum()
        };
        let per = |p: &super::stats::PerInstrument| InstrumentSummary {
            bars: p.bars,
            approved: p.approved,
            rejected: p.rejected,
            fills: p.fills,
            trades_closed: p.closed,
            realized_pnl: p.pnl.into(),
        };
        Summary {
            frames: counts.frames,
            frames_taken: counts.taken,
            frames_fast: counts.fast,
            frames_out_of_order: counts.out_of_order,
            frames_dropped: counts.dropped,
            frames_skipped: Skip::ALL
                .iter()
                .map(|skip| (skip.as_str(), counts.skipped[*skip as usize]))
                .collect(),
            events: stats.events,
            decode_errors: of(false),
            unknown_frames: of(true),
            decode_faults: stats.decode_faults.clone(),
            signals: stats.approved + stats.rejections(),
            approved: stats.approved,
            rejected: stats.rejected.clone(),
            orders: stats.orders,
            fills: stats.fills,
            stops_placed: stats.stops_placed,
            stops_refused: stats.stops_refused,
            stop_moves: stats.stop_moves.clone(),
            exits: stats.exits.clone(),
            alarms: stats.alarms.clone(),
            trades_closed: closed.count,
            trades_long: closed.longs,
            trades_short: closed.shorts,
            trades_by_state: closed.by_state.clone(),
            open_positions: stats.open_now,
            win_rate: ratio(wins, count),
            avg_r: ratio(closed.r_sum, count),
            profit_factor: ratio(closed.gains, -closed.losses),
            realized_pnl: (closed.gains + closed.losses).into(),
            fees: closed.fees.into(),
            slippage: closed.slippage.into(),
            equity: counts.final_equity.or(stats.equity).map(Exact::from),
            max_daily_drawdown_pct: counts
                .max_daily_drawdown
                .map(|worst| worst.round(8, Rounding::HalfEven).to_f64_lossy() * 100.0),
            max_concurrent: stats.concurrent_max,
            unprotected_ms_max: stats.unprotected_ns_max.map(|ns| ms(ns as f64)),
            part_unprotected_ms_max: stats.part_unprotected_ns_max.map(|ns| ms(ns as f64)),
            sim_round_trip_ms_max: counts.sim_round_trip_ns_max.map(|ns| ms(ns as f64)),
            latency_ns: Stage::ALL.iter().map(|stage| (stage.as_str(), stages.latency(*stage))).collect(),
            hot_allocations: counts.hot_allocations,
            tls_allocations: counts.tls_allocations,
            hot_page_faults: counts.hot_page_faults,
            sockets: None,
            instruments: stats.instruments(table).map(|(symbol, p)| (symbol, per(p))).collect(),
            state_hash: counts.state_hash.map(|hash| format!("{hash:032x}")),
            journal,
            shadow: ShadowSummary::default(),
        }
    }
}

fn or_dash<T: fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_string(), |v| v.to_string())
}

fn two(value: Option<f64>) -> String {
    or_dash(value.map(|v| format!("{v:.2}")))
}

fn percent(value: Option<f64>) -> String {
    or_dash(value.map(|v| format!("{v:.2}%")))
}

fn list(counts: &BTreeMap<&'static str, u64>) -> String {
    if counts.is_empty() {
        return "none".to_string();
    }
    let mut rows: Vec<_> = counts.iter().collect();
    rows.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    rows.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")
}

impl Summary {
    /// What became of the frames: the first line adds up.
    fn write_frames(&self, text: &mut String) -> fmt::Result {
        writeln!(
            text,
            "frames         {}: {} taken, {} refused, {} of unknown symbol or stream, {} skipped",
            self.frames,
            self.frames_taken,
            self.decode_errors,
            self.unknown_frames,
            self.frames_skipped.values().sum::<u64>()
        )?;
        if !self.decode_faults.is_empty() {
            writeln!(text, "not taken for  {}", list(&self.decode_faults))?;
        }
        if self.frames_out_of_order > 0 {
            writeln!(text, "out of order   {} frames, moved up in time", self.frames_out_of_order)?;
        }
        writeln!(text, "events         {} (frames, reports, timers, start-up)", self.events)
    }

    fn write_latency(&self, text: &mut String) -> fmt::Result {
        let columns = ["p50", "p99", "p99.9", "max", "count"].map(|name| format!("{name:>10}")).concat();
        writeln!(text, "latency, ns    {:<15}{columns}", "stage")?;
        for (stage, latency) in &self.latency_ns {
            if let Some(LatencyNs { p50, p99, p999, max, count }) = latency {
                writeln!(text, "{:15}{stage:<15}{p50:>10}{p99:>10}{p999:>10}{max:>10}{count:>10}", "")?;
            }
        }
        Ok(())
    }
}

impl Summary {
    fn write_journal(&self, text: &mut String) -> fmt::Result {
        let j = &self.journal;
        write!(
            text,
            "journal        {} records, {} bytes, durable to {}, in {}",
            j.records, j.bytes, j.durable_seq, j.path
        )?;
        let ShadowSummary { verified_seq, divergences, found, snapshots, failures } = &self.shadow;
        let (Some(verified), Some(divergences)) = (verified_seq, divergences) else { return Ok(()) };
        write!(
            text,
            "\nshadow         computed again to {verified}, {divergences} divergences, {snapshots} snapshots"
        )?;
        for words in found {
            write!(text, "\nDIVERGENCE\n{words}")?;
        }
        for failure in failures {
            write!(text, "\nshadow         {failure}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let rate = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 };
        let rejected: u64 = self.rejected.values().sum();
        self.write_frames(&mut text)?;
        writeln!(
            text,
            "signals        {}: {} approved ({:.1}%), {rejected} rejected",
            self.signals,
            self.approved,
            rate(self.approved, self.signals)
        )?;
        writeln!(text, "rejected by    {}", list(&self.rejected))?;
        writeln!(
            text,
            "orders         {} ({} stops, {} refused), {} fills",
            self.orders, self.stops_placed, self.stops_refused, self.fills
        )?;
        writeln!(text, "stops moved    {}", list(&self.stop_moves))?;
        writeln!(text, "exits          {}", list(&self.exits))?;
        writeln!(
            text,
            "trades closed  {} ({} long, {} short), {} still open, at most {} at once",
            self.trades_closed, self.trades_long, self.trades_short, self.open_positions, self.max_concurrent
        )?;
        writeln!(text, "ended          {}", list(&self.trades_by_state))?;
        writeln!(
            text,
            "results        win rate {}, average R {}, profit factor {}",
            percent(self.win_rate.map(|r| r * 100.0)),
            two(self.avg_r),
            two(self.profit_factor)
        )?;
        writeln!(
            text,
            "money          realised {}, fees {}, slippage {}, equity {}, worst daily drawdown {}",
            self.realized_pnl.cents(),
            self.fees.cents(),
            self.slippage.cents(),
            or_dash(self.equity.as_ref().map(Exact::cents)),
            percent(self.max_daily_drawdown_pct)
        )?;
        let protection = two(self.unprotected_ms_max);
        let part = two(self.part_unprotected_ms_max);
        let known = self.sim_round_trip_ms_max;
        let round_trip =
            known.map_or_else(String::new, |_| format!(" (simulated round trip up to {} ms)", two(known)));
        writeln!(
            text,
            "protection     longest without a stop {protection} ms, with one for a part only {part} ms{round_trip}"
        )?;
        writeln!(text, "alarms         {}", list(&self.alarms))?;
        self.write_latency(&mut text)?;
        writeln!(
            text,
            "hot path       {} allocations, {} by TLS, {} page faults",
            or_dash(self.hot_allocations),
            or_dash(self.tls_allocations),
            or_dash(self.hot_page_faults)
        )?;
        if let Some(sockets) = &self.sockets {
            text += &sockets.to_string();
        }
        writeln!(text, "state hash     {}", or_dash(self.state_hash.as_ref()))?;
        self.write_journal(&mut text)?;
        f.write_str(&text)
    }
}
