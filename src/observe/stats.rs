//! Counters and sums of a run, from its journal's entries.

use std::collections::{BTreeMap, BTreeSet};

use super::Condition;
use crate::event::record::Entry;
use crate::event::{AlarmKind, EventBody, InstrumentTable, OrderKind, Output, OutputBody, TradeClosed};
use crate::num::{Dec, InstrumentId, OrderId, Side, TimeNs};
use crate::risk::controller::Controller;
use crate::trade::{Book, FillMemory, Trade};

/// What a run did so far.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub records: u64,
    pub events: u64,
    pub now: TimeNs,
    pub approved: u64,
    pub rejected: BTreeMap<&'static str, u64>,
    pub orders: u64,
    pub stops_placed: u64,
    pub stops_refused: u64,
    pub fills: u64,
    pub stop_moves: BTreeMap<&'static str, u64>,
    pub exits: BTreeMap<&'static str, u64>,
    pub alarms: BTreeMap<&'static str, u64>,
    pub decode_faults: BTreeMap<&'static str, u64>,
    /// Closed trades by instrument, in order of id.
    pub by_instrument: BTreeMap<InstrumentId, PerInstrument>,
    pub closed: Closed,
    /// Longest time a position had no acknowledged stop.
    pub unprotected_ns_max: Option<i64>,
    /// Longest time acknowledged stops covered only a part of a position.
    pub part_unprotected_ns_max: Option<i64>,
    pub equity: Option<Dec>,
    pub wallet: Option<Dec>,
    pub daily_drawdown: Dec,
    pub weekly_drawdown: Dec,
    pub exposure: Dec,
    pub book: Book,
    pub condition: Condition,
    pub open_now: u32,
    pub concurrent_max: u32,
    open: BTreeSet<OrderId>,
}

/// Per instrument.
#[derive(Clone, Copy, Debug, Default)]
pub struct PerInstrument {
    pub approved: u64,
    pub rejected: u64,
    pub fills: u64,
    pub bars: u64,
    pub closed: u64,
    pub pnl: Dec,
}

/// Closed trades.
#[derive(Clone, Debug, Default)]
pub struct Closed {
    pub count: u64,
    pub longs: u64,
    pub shorts: u64,
    pub wins: u64,
    pub r_sum: Dec,
    pub gains: Dec,
    pub losses: Dec,
    pub fees: Dec,
    pub slippage: Dec,
    pub by_state: BTreeMap<&'static str, u64>,
}

impl Stats {
    /// What holds when a start goes on with an engine: its trades, fills applied, the trading state, the wallet. Everything
    /// else counts from here.
    pub fn resume(
        &mut self,
        trades: &[Trade],
        fills: &FillMemory,
        controller: &Controller,
        table: &InstrumentTable,
    ) {
        self.book.resume(trades, fills, table);
        self.condition.state = controller.state();
        (self.equity, self.wallet) = (controller.equity(), controller.wallet());
        let held = trades.iter().filter(|trade| !trade.finished && trade.open().0 > 0);
        self.open = held.map(|trade| trade.id).collect();
        self.open_now = self.open.len() as u32;
        self.concurrent_max = self.open_now;
    }

    /// Takes the next entry of the journal; `sequence` is its first record's.
    pub fn take(&mut self, sequence: u64, entry: &Entry) {
        match entry {
            Entry::Event(event) => {
                self.events += 1;
                self.now = event.recv_ns;
                self.event(event.instrument, &event.body);
                self.book.event(event);
                self.condition.event(sequence, event);
            }
            Entry::Output { output, commit, .. } => {
                self.output(output);
                self.book.output(self.now, output);
                self.condition.output(sequence, self.now, output, *commit);
            }
        }
    }

    fn event(&mut self, id: InstrumentId, body: &EventBody) {
        match body {
            EventBody::Fill(_) => {
                self.fills += 1;
                self.of(id).fills += 1;
            }
            EventBody::DecodeFault(fault) => count(&mut self.decode_faults, fault.reason.as_str()),
            EventBody::AccountUpdate(update) => {
                self.equity.get_or_insert(update.wallet);
                self.wallet.get_or_insert(update.wallet);
            }
            _ => {}
        }
    }

    fn output(&mut self, output: &Output) {
        let id = output.instrument;
        match &output.body {
            OutputBody::Decision(d) if d.approved => {
                self.approved += 1;
                self.of(id).approved += 1;
            }
            OutputBody::Decision(d) => {
                count(&mut self.rejected, d.rule.as_str());
                self.of(id).rejected += 1;
            }
            OutputBody::Order(order) => {
                self.orders += 1;
                self.stops_placed += u64::from(order.kind == OrderKind::StopMarket);
            }
            OutputBody::EntryFilled(filled) => {
                self.open.insert(filled.trade);
                self.concurrent_max = self.concurrent_max.max(self.open.len() as u32);
            }
            OutputBody::StopMoved(moved) => count(&mut self.stop_moves, moved.kind.as_str()),
            OutputBody::ExitFired(fired) => count(&mut self.exits, fired.signal.as_str()),
            OutputBody::Protected(p) => {
                let longest =
                    if p.whole { &mut self.unprotected_ns_max } else { &mut self.part_unprotected_ns_max };
                *longest = Some(longest.unwrap_or(0).max(p.unprotected_ns));
            }
            OutputBody::TradeClosed(closed) => {
                self.open.remove(&closed.trade);
                self.trade_closed(id, closed);
            }
            OutputBody::Equity(e) => {
                (self.equity, self.wallet) = (Some(e.equity), Some(e.wallet));
                (self.daily_drawdown, self.weekly_drawdown) = (e.daily_drawdown, e.weekly_drawdown);
                self.exposure = e.exposure;
            }
            OutputBody::Alarm(alarm) => {
                count(&mut self.alarms, alarm.kind.as_str());
                self.stops_refused += u64::from(alarm.kind == AlarmKind::StopRefused);
            }
            OutputBody::BarClosed(bar) => self.of(id).bars += 1 + u64::from(bar.flat_before),
            _ => {}
        }
        self.open_now = self.open.len() as u32;
    }

    fn trade_closed(&mut self, id: InstrumentId, c: &TradeClosed) {
        let per = self.of(id);
        per.closed += 1;
        per.pnl += c.pnl;
        let sum = &mut self.closed;
        sum.count += 1;
        match c.side {
            Side::Buy => sum.longs += 1,
            Side::Sell => sum.shorts += 1,
        }
        sum.r_sum += c.r_multiple;
        sum.fees += c.fees;
        sum.slippage += c.slippage;
        if c.pnl.0 > 0 {
            sum.wins += 1;
            sum.gains += c.pnl;
        } else {
            sum.losses += c.pnl;
        }
        count(&mut sum.by_state, c.state.as_str());
    }

    fn of(&mut self, id: InstrumentId) -> &mut PerInstrument {
        self.by_instrument.entry(id).or_default()
    }

    pub fn rejections(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Symbols and their figures, instruments without any left out.
    pub fn instruments<'a>(
        &'a self,
        table: &'a InstrumentTable,
    ) -> impl Iterator<Item = (String, &'a PerInstrument)> {
        self.by_instrument.iter().filter_map(|(id, per)| Some((table.get(*id)?.symbol.to_string(), per)))
    }
}

fn count(counts: &mut BTreeMap<&'static str, u64>, key: &'static str) {
    *counts.entry(key).or_default() += 1;
}
