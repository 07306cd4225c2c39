//! The account at every event, kept as the engine keeps it (`docs/RULES.md` §4) but from the journal
//! alone; and what each instrument did to it since the day's peak.

use std::collections::BTreeMap;

use super::parts::{Batch, Fall, Parts};
use crate::event::{
    AccountReason, AccountUpdate, EntryFilled, Event, EventBody, Fill, Instrument, InstrumentTable, Output,
    OutputBody, TradeState,
};
use crate::market::{Counts, Tape};
use crate::num::{Dec, InstrumentId, OrderId, Side, Ticks, TimeNs};
use crate::risk::money;
use crate::trade::{Book, Booked, OpenTrade};

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
}

impl Ledger {
    pub fn new(table: InstrumentTable) -> Ledger {
        let markets = vec![Market::default(); table.len()];
        Ledger { table, markets, settled: None, trades: BTreeMap::new(), since: BTreeMap::new() }
    }

    pub fn equity(&self) -> Option<Dec> {
        let gross = money::sum(self.trades.values().map(|held| held.gross));
        self.settled.map(|settled| money::add(settled, gross))
    }

    /// Takes an event; `book` has taken it already. What the account differs by that is no result: money
    /// moved, or a correction.
    pub fn event(&mut self, now: TimeNs, event: &Event, book: &Book) -> Dec {
        let id = event.instrument;
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
            EventBody::Fill(_) => self.book(id, book),
            EventBody::AccountUpdate(update) => return self.account(id, update),
            _ => {}
        }
        Dec::ZERO
    }

    /// Takes an output; `book` has taken it already. What the account differs by that is no result: a position
    /// taken over has won or lost something before.
    pub fn output(&mut self, output: &Output, book: &Book) -> Dec {
        match &output.body {
            OutputBody::Decision(decision) if decision.approved => {
                let held = Held::new(output.instrument, decision.side, decision.stop);
                self.trades.insert(decision.order, held);
            }
            OutputBody::EntryFilled(filled) => return self.take_over(output.instrument, filled, book),
            OutputBody::Alarm(_) => self.book(output.instrument, book),
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

    /// The engine took the rest of a fill for a trade of its own, or for more of one.
    fn take_over(&mut self, id: InstrumentId, filled: &EntryFilled, book: &Book) -> Dec {
        if book.booked().is_empty() {
            return Dec::ZERO;
        }
        let new = || Held::new(id, filled.side, filled.stop);
        let before = self.trades.entry(filled.trade).or_insert_with(new).gross;
        self.book(id, book);
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

    /// Takes what the engine booked.
    fn book(&mut self, id: InstrumentId, book: &Book) {
        for booked in book.booked() {
            match booked {
                Booked::Entry { trade, fill } => self.enter(id, *trade, fill),
                Booked::Exit { trade, fill } => self.leave(id, *trade, fill, book),
                Booked::Beyond { .. } => {}
                Booked::Fee(fee) => self.pay(id, *fee),
            }
        }
        self.value(id);
    }

    fn pay(&mut self, id: InstrumentId, fee: Dec) {
        self.settled = self.settled.map(|settled| money::add(settled, -fee));
        let parts = self.since.entry(id).or_default();
        parts.fees = money::add(parts.fees, fee);
    }

    fn enter(&mut self, id: InstrumentId, trade: OrderId, fill: &Fill) {
        if let Some(held) = self.trades.get_mut(&trade) {
            held.enter(fill);
            self.pay(id, fill.fee);
        }
    }

    fn leave(&mut self, id: InstrumentId, trade: OrderId, fill: &Fill, book: &Book) {
        let Some(row) = self.table.get(id).copied() else { return };
        let Some(held) = self.trades.get_mut(&trade) else { return };
        let trigger = book.order(fill.order).map_or(Ticks::ZERO, |(_, order)| order.trigger);
        let stop = held.stop_in_force(book.get(trade), trigger);
        self.since.entry(id).or_default().fell(&row, held.leave(fill, stop));
        self.pay(id, fill.fee);
    }

    fn end(&mut self, trade: OrderId) {
        if let Some(held) = self.trades.remove(&trade) {
            self.settled = self.settled.map(|settled| money::add(settled, held.gross));
        }
    }
}

impl Held {
    fn new(instrument: InstrumentId, side: Side, stop: Ticks) -> Held {
        Held { instrument, side, stop, batches: Vec::new(), realised: 0, gross: Dec::ZERO }
    }

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
