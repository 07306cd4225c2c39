//! The account at every event, kept as the engine keeps it (`docs/RULES.md` §4) but from the journal
//! alone; and what each instrument did to it since the day's peak.

use std::collections::BTreeMap;

use super::parts::{Batch, Fall, Parts};
use crate::event::{
    AccountReason, AccountUpdate, EntryFilled, Event, EventBody, Fill, FillCause, Instrument,
    InstrumentTable, Output, OutputBody, Purpose, TradeState,
};
use crate::market::{Counts, Tape};
use crate::num::{Dec, InstrumentId, Lots, OrderId, Side, Ticks, TimeNs};
use crate::observe::{Book, OpenTrade};
use crate::risk::money;

/// Equity is what was stated at first, plus every trade's result since: its exits and the open rest at
/// the last price, less its entries, fees and funding. Exits close the oldest lots first, so that every
/// lot has prices of its own and no average is rounded.
#[derive(Debug)]
pub(super) struct Ledger {
    table: InstrumentTable,
    markets: Vec<Market>,
    /// Everything but what open trades have won or lost; `None` before the account is stated.
    settled: Option<Dec>,
    trades: BTreeMap<OrderId, Held>,
    /// Since the peak, but for what open lots are worth now.
    since: BTreeMap<InstrumentId, Parts>,
    /// Of the newest event, if it is a fill that none of our orders explains: what of it left no position.
    assumed: Option<Fill>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Market {
    tape: Tape,
    /// Last trade that counts; zero before the first.
    price: Ticks,
}

/// A trade from its approval to its account.
#[derive(Debug)]
struct Held {
    instrument: InstrumentId,
    side: Side,
    /// Of the decision: until there are levels from a fill, these count.
    stop: Ticks,
    /// Oldest first.
    batches: Vec<Batch>,
    /// Exits less what they were entered at, in tick-lots.
    realised: i128,
    /// With the open rest at the last price.
    gross: Dec,
    /// By the venue's trade id.
    fills: Vec<i64>,
}

impl Ledger {
    pub fn new(table: InstrumentTable) -> Ledger {
        let markets = vec![Market::default(); table.len()];
        Ledger {
            table,
            markets,
            settled: None,
            trades: BTreeMap::new(),
            since: BTreeMap::new(),
            assumed: None,
        }
    }

    pub fn equity(&self) -> Option<Dec> {
        let gross = money::sum(self.trades.values().map(|held| held.gross));
        self.settled.map(|settled| money::add(settled, gross))
    }

    /// Takes an event; `book` has taken it already. What the account differs by that is no result: money
    /// moved, or a correction.
    pub fn event(&mut self, now: TimeNs, event: &Event, book: &Book) -> Dec {
        let id = event.instrument;
        self.assumed = None;
        match &event.body {
            EventBody::AggTrade(trade) | EventBody::Trade(trade) => {
                let aggregate = matches!(event.body, EventBody::AggTrade(_));
                if let Some(market) = self.markets.get_mut(id.index())
                    && market.tape.counts(now, trade, aggregate) == Counts::Yes
                {
                    market.price = trade.price;
                    self.value(id);
                }
            }
            EventBody::Fill(fill) => self.fill(id, fill, book),
            EventBody::AccountUpdate(update) => return self.account(id, update),
            _ => {}
        }
        Dec::ZERO
    }

    /// Takes an output. What the account differs by that is no result: a position taken over has won or lost
    /// something before.
    pub fn output(&mut self, output: &Output) -> Dec {
        match &output.body {
            OutputBody::Decision(decision) if decision.approved => {
                let held = Held {
                    instrument: output.instrument,
                    side: decision.side,
                    stop: decision.stop,
                    batches: Vec::new(),
                    realised: 0,
                    gross: Dec::ZERO,
                    fills: Vec::new(),
                };
                self.trades.insert(decision.order, held);
            }
            OutputBody::EntryFilled(filled) => return self.take_over(output.instrument, filled),
            OutputBody::TradeClosed(closed) => self.end(closed.trade),
            OutputBody::TradeChanged(changed)
                if matches!(changed.to, TradeState::Canceled | TradeState::Rejected) =>
            {
                self.end(changed.trade);
            }
            _ => {}
        }
        Dec::ZERO
    }

    /// The engine took the rest of an assumed fill for a trade of its own, or for more of one.
    fn take_over(&mut self, id: InstrumentId, filled: &EntryFilled) -> Dec {
        let Some(fill) = self.assumed.take().filter(|fill| fill.side == filled.side) else {
            return Dec::ZERO;
        };
        let held = self.trades.entry(filled.trade).or_insert_with(|| Held {
            instrument: id,
            side: filled.side,
            stop: filled.stop,
            batches: Vec::new(),
            realised: 0,
            gross: Dec::ZERO,
            fills: Vec::new(),
        });
        let before = held.gross;
        held.fills.push(fill.trade_id);
        held.enter(&fill);
        self.value(id);
        let after = self.trades.get(&filled.trade).map_or(before, |held| held.gross);
        money::add(after, -before)
    }

    /// Says that our wallet is the venue's after all.
    pub fn correct(&mut self, difference: Dec) {
        self.settled = self.settled.map(|settled| money::add(settled, difference));
    }

    /// A peak: what happened before it is forgotten, and every open lot counts from its price now.
    pub fn rebase(&mut self) {
        self.since.clear();
        for held in self.trades.values_mut() {
            let price = self.markets.get(held.instrument.index()).map_or(Ticks::ZERO, |market| market.price);
            held.batches.iter_mut().for_each(|batch| batch.from = price);
        }
    }

    /// What became of the account since the peak, by instrument.
    pub fn explain(&self, book: &Book) -> BTreeMap<InstrumentId, Parts> {
        let mut all = self.since.clone();
        for (id, held) in &self.trades {
            let Some((row, price)) = self.quoted(held.instrument) else { continue };
            let stop = held.stop_in_force(book.get(*id), Ticks::ZERO);
            let parts = all.entry(held.instrument).or_default();
            for batch in &held.batches {
                parts.fell(row, Fall::of(held.side, batch, price, stop));
            }
        }
        all
    }

    fn quoted(&self, id: InstrumentId) -> Option<(&Instrument, Ticks)> {
        Some((self.table.get(id)?, self.markets.get(id.index())?.price))
    }

    /// Values the instrument's trades at its last price.
    fn value(&mut self, id: InstrumentId) {
        let Some((row, price)) = self.quoted(id).map(|(row, price)| (*row, price)) else { return };
        for held in self.trades.values_mut().filter(|held| held.instrument == id) {
            held.gross = money::of(&row, held.gross_tick_lots(price));
        }
    }

    fn account(&mut self, id: InstrumentId, update: &AccountUpdate) -> Dec {
        match (update.reason, self.settled) {
            // Whatever it is, it states the wallet.
            (_, None) => self.settled = Some(update.wallet),
            (AccountReason::Funding, Some(settled)) => {
                self.settled = Some(money::add(settled, update.change));
                let parts = self.since.entry(id).or_default();
                parts.funding_paid = money::add(parts.funding_paid, -update.change);
            }
            (AccountReason::Transfer, Some(settled)) => {
                self.settled = Some(money::add(settled, update.change));
                return update.change;
            }
            _ => {}
        }
        Dec::ZERO
    }

    fn fill(&mut self, id: InstrumentId, fill: &Fill, book: &Book) {
        let ordered = matches!(fill.cause, FillCause::Order | FillCause::Assumed);
        let order = book.order(fill.order).filter(|_| ordered);
        let trade = match order {
            Some((trade, _)) => trade,
            None if fill.order.is_none() => {
                let leaves = |held: &Held| {
                    held.instrument == id && held.side != fill.side && !held.fills.contains(&fill.trade_id)
                };
                let found = self.trades.iter().find(|(_, held)| leaves(held));
                let open = found.map_or(0, |(_, held)| held.batches.iter().map(|batch| batch.lots).sum());
                let rest = Lots(fill.quantity.0 - open.min(fill.quantity.0));
                self.assumed = (ordered && rest.0 > 0).then_some(Fill { quantity: rest, ..*fill });
                match found.filter(|_| open > 0) {
                    Some((trade, _)) => *trade,
                    None => return,
                }
            }
            None => return,
        };
        let Some(row) = self.table.get(id).copied() else { return };
        let Some(held) = self.trades.get_mut(&trade).filter(|held| !held.fills.contains(&fill.trade_id))
        else {
            return;
        };
        held.fills.push(fill.trade_id);
        self.settled = self.settled.map(|settled| money::add(settled, -fill.fee));
        let parts = self.since.entry(id).or_default();
        parts.fees = money::add(parts.fees, fill.fee);
        match order {
            Some((_, order)) if order.purpose == Purpose::Entry => held.enter(fill),
            order => {
                let trigger = order.map_or(Ticks::ZERO, |(_, order)| order.trigger);
                let stop = held.stop_in_force(book.get(trade), trigger);
                parts.fell(&row, held.leave(fill, stop));
            }
        }
        self.value(id);
    }

    fn end(&mut self, trade: OrderId) {
        if let Some(held) = self.trades.remove(&trade) {
            self.settled = self.settled.map(|settled| money::add(settled, held.gross));
        }
    }
}

impl Held {
    fn enter(&mut self, fill: &Fill) {
        self.batches.push(Batch { lots: fill.quantity.0, entry: fill.price, from: fill.price });
    }

    /// Takes the oldest lots out at the fill's price.
    fn leave(&mut self, fill: &Fill, stop: Ticks) -> Fall {
        let (mut left, mut fall) = (fill.quantity.0, Fall::default());
        for batch in &mut self.batches {
            let part = Batch { lots: batch.lots.min(left), ..*batch };
            let gained = (fill.price - batch.entry).wide() * i128::from(part.lots * self.side.sign());
            self.realised += gained;
            fall += Fall::of(self.side, &part, fill.price, stop);
            batch.lots -= part.lots;
            left -= part.lots;
        }
        self.batches.retain(|batch| batch.lots > 0);
        fall
    }

    fn gross_tick_lots(&self, price: Ticks) -> i128 {
        let open = self.batches.iter().map(|batch| (price - batch.entry).wide() * i128::from(batch.lots));
        self.realised + open.sum::<i128>() * i128::from(self.side.sign())
    }

    /// The stop that counts, as for open risk: the worst of the engine's, those that rest, and `trigger`,
    /// that of a stop which is filling (zero if none is).
    fn stop_in_force(&self, trade: Option<&OpenTrade>, trigger: Ticks) -> Ticks {
        let own = trade.map(|trade| trade.stop).filter(|stop| stop.is_price());
        let resting = trade.into_iter().flat_map(OpenTrade::resting_stops);
        let all = own.into_iter().chain(resting).chain(Some(trigger).filter(|stop| stop.is_price()));
        let worst = match self.side {
            Side::Buy => all.min(),
            Side::Sell => all.max(),
        };
        worst.unwrap_or(self.stop)
    }
}
