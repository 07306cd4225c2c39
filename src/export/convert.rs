//! Rows that one entry has everything for.

use super::schema::{Hash, Json, VenueTime};
use super::tables::{BarRow, DecisionRow, EquityRow, EventRow, TradeRow};
use super::units::Units;
use crate::event::record::Entry;
use crate::event::{BarClosed, Decision, Equity, TradeClosed};
use crate::journal::read::Numbered;
use crate::journal::text::{Lines, kind_of};
use crate::num::{Dec, TimeNs};

/// Where an entry stands.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub sequence: u64,
    pub at: TimeNs,
}

pub fn event(place: Place, numbered: &Numbered, lines: &mut Lines) -> EventRow {
    let (instrument, commit) = match &numbered.entry {
        Entry::Event(event) => (event.instrument, None),
        Entry::Output { output, commit, .. } => (output.instrument, Some(*commit)),
    };
    EventRow {
        sequence: place.sequence,
        recv_ns: place.at,
        kind: kind_of(&numbered.entry),
        output: commit.is_some(),
        commit,
        symbol: (!instrument.is_none()).then(|| Units::of(lines, instrument).symbol()),
        payload: Json(lines.payload(&numbered.entry).to_string()),
    }
}

pub fn decision(place: Place, d: &Decision, units: Units) -> DecisionRow {
    let ppm = |value: u32| Dec::new(i64::from(value), 6);
    let (approved, rejected) = (d.approved.then_some(()), (!d.approved).then_some(()));
    let distance = (d.price.wide() - d.stop.wide()).abs();
    DecisionRow {
        sequence: place.sequence,
        recv_ns: place.at,
        symbol: units.symbol(),
        side: d.side.direction(),
        approved: d.approved,
        rule: rejected.map(|()| d.rule.as_str()),
        observed: rejected.map(|()| d.observed),
        threshold: rejected.map(|()| d.threshold),
        consensus: d.consensus.as_str(),
        confidence: ppm(d.confidence_ppm),
        risk_multiplier: ppm(d.risk_multiplier_ppm),
        price: units.some_price(d.price),
        trade: d.order,
        quantity: approved.and_then(|()| units.quantity(d.quantity)),
        stop: approved.and_then(|()| units.price(d.stop)),
        target: approved.and_then(|()| units.price(d.target)),
        notional: approved.and_then(|()| units.money(d.price.wide() * d.quantity.wide())),
        risk: approved.and_then(|()| units.money(distance.checked_mul(d.quantity.wide())?)),
        atr: approved.map(|()| d.observed),
        equity: approved.map(|()| d.threshold),
        digest: Hash(d.digest),
    }
}

pub fn trade(place: Place, c: &TradeClosed, units: Units) -> TradeRow {
    TradeRow {
        sequence: place.sequence,
        recv_ns: place.at,
        symbol: units.symbol(),
        trade: c.trade,
        side: c.side.direction(),
        state: c.state.as_str(),
        signal: c.signal.as_str(),
        consensus: c.consensus.as_str(),
        quantity: units.quantity(c.quantity),
        entry: c.entry,
        exit: c.exit,
        pnl: c.pnl,
        fees: c.fees,
        funding: c.funding,
        slippage: c.slippage,
        r_multiple: c.r_multiple,
        mfe: c.mfe,
        mae: c.mae,
        best: units.some_price(c.best),
        worst: units.some_price(c.worst),
        opened_ns: c.opened_ns,
        closed_ns: c.closed_ns,
    }
}

pub fn equity(place: Place, e: &Equity) -> EquityRow {
    EquityRow {
        sequence: place.sequence,
        recv_ns: place.at,
        equity: e.equity,
        wallet: e.wallet,
        daily_drawdown: e.daily_drawdown,
        weekly_drawdown: e.weekly_drawdown,
        exposure: e.exposure,
        open_positions: e.open_positions,
        pending_entries: e.pending_entries,
    }
}

pub fn bar(place: Place, b: &BarClosed, units: Units) -> BarRow {
    let ready = |value: Dec| Some(value).filter(|value| value.0 != 0);
    BarRow {
        sequence: place.sequence,
        recv_ns: place.at,
        symbol: units.symbol(),
        open_ms: VenueTime(b.open_ms),
        open: units.price(b.open),
        high: units.price(b.high),
        low: units.price(b.low),
        close: units.price(b.close),
        volume: units.size(b.volume),
        taker_buy_volume: units.size(b.taker_buy_volume),
        trades: b.trades,
        flat_before: b.flat_before,
        atr: ready(b.atr),
        ema: ready(b.ema),
    }
}
