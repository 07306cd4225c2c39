//! The measures against sums anybody can follow: lists, sorting, one formula each.

use proptest::prelude::*;

mod days;

use super::*;
use crate::event::{
    AccountReason, AccountUpdate, Consensus, Decision, EntryFilled, Equity, Event, ExitSignal, Fill,
    FillCause, Order, OrderKind, Purpose, Rule, RunStart, TradeState, WorkingType, btcusdt,
};
use crate::num::{Lots, NS_PER_DAY, NS_PER_HOUR, OrderId, Side, Ticks};
use crate::observe::Stats;

const BTC: InstrumentId = InstrumentId(0);
/// Midday of a Wednesday.
const START: TimeNs = TimeNs(1_704_283_200_000_000_000);

struct Run {
    stats: Stats,
    measures: Measures,
    now: TimeNs,
}

impl Run {
    fn new(wallet: i64) -> Run {
        let table = InstrumentTable::new(vec![btcusdt()]).unwrap();
        let mut run =
            Run { stats: Stats::default(), measures: Measures::new(table, &Settings::DEFAULT), now: START };
        let wallet = Dec::int(wallet);
        let reason = AccountReason::Snapshot;
        run.event(EventBody::RunStart(RunStart {
            run_id: 1,
            build_id: 1,
            epoch: 1,
            instruments: 1,
            resting_stops: true,
            simulated: true,
            rule_voters: true,
            pad: [0; 5],
        }));
        run.event(EventBody::AccountUpdate(AccountUpdate {
            wallet,
            change: Dec::ZERO,
            event_ms: 0,
            reason,
            pad: [0; 7],
        }));
        run
    }

    fn take(&mut self, entry: Entry) {
        self.stats.take(1, &entry);
        self.measures.take(&entry, &self.stats.book);
    }

    fn event(&mut self, body: EventBody) {
        self.take(Entry::Event(Event { recv_ns: self.now, instrument: BTC, body }));
    }

    fn output(&mut self, body: OutputBody) {
        let output = Output { instrument: BTC, body };
        self.take(Entry::Output { recv_ns: self.now, output, commit: true });
    }

    fn equity(&mut self, equity: Dec) {
        self.output(OutputBody::Equity(Equity {
            equity,
            wallet: equity,
            daily_drawdown: Dec::ZERO,
            weekly_drawdown: Dec::new(2, 2),
            exposure: Dec::ZERO,
            open_positions: 0,
            pending_entries: 0,
            pad: [0; 8],
        }));
    }

    fn closed(&mut self, pnl: Dec, r: Dec, mfe: Dec) {
        self.output(OutputBody::TradeClosed(TradeClosed {
            pnl,
            fees: Dec::ONE,
            funding: Dec::new(-5, 1),
            slippage: Dec::new(1, 2),
            r_multiple: r,
            mfe,
            mae: mfe,
            entry: Dec::ONE,
            exit: Dec::ONE,
            trade: OrderId::new(1, 1),
            quantity: Lots(1),
            opened_ns: self.now,
            closed_ns: self.now,
            best: Ticks(1),
            worst: Ticks(1),
            state: TradeState::ClosedSl,
            signal: ExitSignal::StopLoss,
            side: Side::Buy,
            consensus: Consensus::Strong,
            pad: [0; 12],
        }));
    }

    fn decision(&mut self, rule: Rule) {
        self.output(OutputBody::Decision(Decision {
            observed: Dec::ZERO,
            threshold: Dec::ZERO,
            digest: 0,
            order: OrderId::NONE,
            quantity: Lots(0),
            price: Ticks(0),
            stop: Ticks(0),
            target: Ticks(0),
            confidence_ppm: 0,
            risk_multiplier_ppm: 0,
            rule,
            side: Side::Buy,
            consensus: Consensus::Strong,
            approved: rule == Rule::None,
            pad: [0; 4],
        }));
    }

    /// An entry of 0.010 at 50,000 and, later, its exit.
    fn hold(&mut self, ns: i64, number: u32) {
        let id = OrderId::new(1, number);
        let order = |id: OrderId, side, purpose| Order {
            id,
            trade: OrderId::new(1, number),
            quantity: Lots(10),
            trigger: Ticks(0),
            reference: Ticks(500_000),
            side,
            kind: OrderKind::Market,
            purpose,
            working_type: WorkingType::ContractPrice,
            reduce_only: purpose != Purpose::Entry,
            pad: [0; 3],
        };
        let exit = OrderId::new(1, number + 1);
        self.output(OutputBody::Order(order(id, Side::Buy, Purpose::Entry)));
        self.output(OutputBody::EntryFilled(EntryFilled {
            entry: Dec::int(50_000),
            trade: id,
            quantity: Lots(10),
            stop: Ticks(1),
            target: Ticks(1),
            side: Side::Buy,
            pad: [0; 15],
        }));
        self.output(OutputBody::Order(order(exit, Side::Sell, Purpose::Exit)));
        self.now = self.now + ns;
        self.event(EventBody::Fill(Fill {
            order: exit,
            trade_id: i64::from(number),
            fee: Dec::ZERO,
            price: Ticks(500_000),
            quantity: Lots(10),
            event_ms: 0,
            side: Side::Sell,
            maker: false,
            cause: FillCause::Order,
            pad: [0; 5],
        }));
    }
}

fn close(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * b.abs().max(1e-6),
        (a, b) => a == b,
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Smallest value that at least this share of all do not exceed.
fn rank(sorted: &[f64], share: f64) -> f64 {
    sorted[((share * sorted.len() as f64).ceil() as usize).max(1) - 1]
}

proptest! {
    #[test]
    fn trades_equal_the_slow_way(trades in prop::collection::vec((-50_000i64..80_000, 0i64..6_000), 0..60)) {
        let mut run = Run::new(10_000);
        for (pnl, mfe) in &trades {
            run.closed(Dec::new(*pnl, 2), Dec::new(*pnl, 4), Dec::new(*mfe, 3));
        }
        let f = run.measures.finish(None, None).total;
        let pnls: Vec<f64> = trades.iter().map(|(pnl, _)| *pnl as f64 / 100.0).collect();
        let wins: Vec<f64> = pnls.iter().copied().filter(|pnl| *pnl > 0.0).collect();
        let losses: Vec<f64> = pnls.iter().copied().filter(|pnl| *pnl <= 0.0).collect();
        let r = |of: &[f64]| mean(of).map(|mean| mean / 100.0);
        prop_assert!(close(f.expectancy, mean(&pnls)) && close(f.avg_r, r(&pnls)));
        prop_assert!(close(f.avg_r_winners, r(&wins)) && close(f.avg_r_losers, r(&losses)));
        let lost = -losses.iter().sum::<f64>();
        let factor = (lost > 0.0).then(|| wins.iter().sum::<f64>() / lost);
        prop_assert!(close(f.profit_factor, factor), "{:?} {factor:?}", f.profit_factor);
        prop_assert!(close(f.win_rate, (!pnls.is_empty()).then(|| wins.len() as f64 / pnls.len() as f64)));
        prop_assert_eq!(f.fees.value(), Dec::int(trades.len() as i64));
        for bin in &f.r_histogram {
            let (from, to) = (bin.from.unwrap_or(f64::MIN), bin.to.unwrap_or(f64::MAX));
            let inside = pnls.iter().map(|pnl| pnl / 100.0).filter(|r| from <= *r && *r < to).count();
            prop_assert_eq!(bin.count, inside as u64, "{:?}", bin);
        }
        let mut mfe: Vec<f64> = trades.iter().map(|(_, mfe)| *mfe as f64 / 1_000.0).collect();
        mfe.sort_by(f64::total_cmp);
        let Some(q) = f.mfe_r else { prop_assert!(mfe.is_empty()); return Ok(()) };
        for (ours, share) in [(q.p10, 0.1), (q.p25, 0.25), (q.p50, 0.5), (q.p75, 0.75), (q.p90, 0.9), (q.max, 1.0)] {
            let slow = rank(&mfe, share);
            prop_assert!((ours - slow).abs() <= 1e-3 * slow + 1e-9, "{share}: {ours} {slow}");
        }
    }

    #[test]
    fn returns_equal_the_slow_way(days in prop::collection::vec(prop::option::of(5_000i64..20_000), 1..40)) {
        let mut run = Run::new(10_000);
        let (mut returns, mut before) = (Vec::new(), 10_000.0);
        for (i, equity) in days.iter().enumerate() {
            if i > 0 {
                run.now = TimeNs((START.day() + i as i64) * NS_PER_DAY + NS_PER_HOUR);
                run.event(EventBody::Timer(crate::event::Timer { count: 1 }));
            }
            // A day on which nothing is said ends as it began.
            if let Some(equity) = equity {
                run.equity(Dec::int(*equity));
            }
            let after = equity.map_or(before, |equity| equity as f64);
            returns.push((after - before) / before);
            before = after;
        }
        let account = run.measures.finish(None, None).account;
        let n = returns.len() as f64;
        let average = returns.iter().sum::<f64>() / n;
        let variance = returns.iter().map(|r| (r - average).powi(2)).sum::<f64>() / (n - 1.0);
        let downside = (returns.iter().map(|r| r.min(0.0).powi(2)).sum::<f64>() / n).sqrt();
        let annual = |risk: f64| (returns.len() >= 2 && risk > 1e-12).then(|| average / risk * 365f64.sqrt());
        prop_assert_eq!(account.returns, returns.len() as u64);
        prop_assert!(close(account.sharpe, annual(variance.sqrt())), "{:?}", account.sharpe);
        prop_assert!(close(account.sortino, annual(downside)), "{:?}", account.sortino);
        prop_assert!(close(account.return_pct, Some((before / 10_000.0 - 1.0) * 100.0)));
    }
}

#[test]
fn time_and_exposure_are_weighted_by_time() {
    let mut run = Run::new(10_000);
    // Two hours of 500 in a run of eight.
    run.hold(2 * NS_PER_HOUR, 1);
    run.now = START + 8 * NS_PER_HOUR;
    run.event(EventBody::Timer(crate::event::Timer { count: 1 }));
    let measured = run.measures.finish(None, None);
    for figures in [&measured.total, &measured.instruments["BTCUSDT"]] {
        assert_eq!((figures.time_in_market, figures.exposure_avg), (Some(0.25), Some(125.0)));
    }
}

#[test]
fn signals_are_counted_by_what_became_of_them() {
    let mut run = Run::new(10_000);
    [Rule::None, Rule::Trend, Rule::Position, Rule::Position].into_iter().for_each(|rule| run.decision(rule));
    let f = run.measures.finish(None, None).total;
    assert_eq!((f.signals, f.approved, f.approval_rate), (4, 1, Some(0.25)));
    assert_eq!(f.approval_rate_flat, Some(0.5), "two signals came while nothing was open");
    assert_eq!(f.rejected, BTreeMap::from([("position", 2), ("trend", 1)]));
}

#[test]
fn what_there_is_nothing_to_divide_by_is_null() {
    let mut run = Run::new(10_000);
    let measured = run.measures.finish(None, None);
    let (f, account) = (measured.total, measured.account);
    assert!(f.win_rate.is_none() && f.avg_r.is_none() && f.profit_factor.is_none() && f.mfe_r.is_none());
    assert!(account.sharpe.is_none() && account.sortino.is_none() && f.time_in_market.is_none());
    // Equity that is gone has no return, and one that never moves no risk.
    let mut broke = Run::new(10_000);
    broke.equity(Dec::ZERO);
    for day in 1..4 {
        broke.now = START + day * NS_PER_DAY;
        broke.event(EventBody::Timer(crate::event::Timer { count: 1 }));
    }
    assert!(broke.measures.finish(None, None).account.sharpe.is_none());
}
