//! The matching venue: one account, its orders against recorded or made market data.
//!
//! A pure state machine. Time comes in with every input and never runs backwards; what is due by
//! then (expiries, funding) happens first, stamped with its own time. Nothing here reads a clock,
//! draws a number or rounds in floating point, so two venues fed alike say and hold the same.
//!
//! **Liquidity.** A market order takes from the touch what its size offers. What is taken is gone
//! until the next quote of the instrument; the rest of the order works on at the quotes that follow
//! and expires after [`WORKING_NS_MAX`]. There is no book behind the touch and no market impact.
//!
//! **Reduce-only.** An order larger than the position takes the position and no more: it ends
//! `Expired` with what it filled, since part of what was asked was not done. Without a position on
//! the other side it is refused.
//!
//! **Conditional orders.** Stops are reduce-only and rest apart from the position: a closed position
//! leaves them resting until they are cancelled or triggered. One trade may trigger several; they
//! go in the order in which they were accepted.
//!
//! **Money.** Wallet − Σ entry cost = start − what fills paid + what they received − fees + funding,
//! to the last place, at any moment; unrealised profit is value − cost. The share of the cost that a
//! partial close releases is rounded half even at 8 places, fees and funding likewise. There is no
//! insurance fund: a liquidation that comes too late leaves the wallet below zero.
//!
//! Amounts that leave 128 bits make the fill that would cause them fail: the order expires, the
//! books stay as they were.

mod account;
pub mod codes;
mod digest;
mod market;
mod matching;
mod orders;
mod position;
mod report;

use std::collections::BTreeMap;

pub use orders::{OpenOrder, Stage};
pub use position::Position;
pub use report::{Asked, EVENTS_MAX, OrderReport, Report, ReportBody, Reports};

use crate::event::{
    AccountReason, AccountUpdate, Event, EventBody, InstrumentTable, MarkPrice, OrderKind, Quote, Symbol,
    Trade, VenuePosition, VenueSetup, WorkingType,
};
use crate::num::{Dec, InstrumentId, Lots, NS_PER_SEC, OrderId, Side, TimeNs};
use market::{Funding, Market, Touch};
use orders::ClosedOrder;

/// How long an order works on while the touch is too thin: made quotes come at least once a second,
/// so even there it sees one refresh before it ends.
pub const WORKING_NS_MAX: i64 = 2 * NS_PER_SEC;
/// Orders working at a time: the venue's MAX_NUM_ORDERS.
pub const WORKING_ORDERS_MAX: usize = 200;
/// Conditional orders resting at a time: the venue's MAX_NUM_ALGO_ORDERS.
pub const RESTING_ORDERS_MAX: usize = 200;
/// Orders of one run whose ids are remembered: a stop moved every second for a month is 2.6 million.
pub const ORDERS_MAX: i64 = 1 << 22;

/// What the account starts with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VenueConfig {
    /// In quote currency.
    pub wallet: Dec,
    /// Of every instrument; 0 counts as 1.
    pub leverage: u32,
    /// Whether positions pay and receive funding.
    pub funding: bool,
}

/// The simulated venue. Cross margin, one-way positions, one asset.
#[derive(Clone, Debug)]
pub struct Venue {
    /// Indexed by [`InstrumentId`].
    markets: Vec<Market>,
    wallet: Dec,
    leverage: u32,
    funding: bool,
    now: TimeNs,
    /// In the order of acceptance.
    open: Vec<OpenOrder>,
    closed: BTreeMap<OrderId, ClosedOrder>,
    last_venue_id: i64,
    last_trade_id: i64,
    /// Margin is short, and the touch had no more to close positions with.
    underwater: bool,
}

impl Venue {
    pub fn new(instruments: InstrumentTable, config: VenueConfig) -> Venue {
        Venue {
            markets: instruments.iter().map(|(_, row)| Market::new(*row)).collect(),
            wallet: config.wallet,
            leverage: config.leverage.max(1),
            funding: config.funding,
            now: TimeNs(i64::MIN),
            open: Vec::with_capacity(WORKING_ORDERS_MAX + RESTING_ORDERS_MAX),
            closed: BTreeMap::new(),
            last_venue_id: 0,
            last_trade_id: 0,
            underwater: false,
        }
    }

    /// What a client reads at start or after a reconnect: settings, wallet, open positions.
    pub fn snapshot(&self) -> Vec<(InstrumentId, EventBody)> {
        let setup = VenueSetup {
            leverage: self.leverage,
            isolated: false,
            one_way: true,
            single_asset: true,
            pad: 0,
        };
        let wallet = self.account_update(AccountReason::Snapshot, Dec::ZERO);
        let whole = [EventBody::VenueSetup(setup), EventBody::AccountUpdate(wallet)];
        let held = self.ids().filter(|id| self.position(*id).quantity.0 != 0);
        let positions = held.filter_map(|id| Some((id, EventBody::VenuePosition(self.venue_position(id)?))));
        whole.into_iter().map(|body| (InstrumentId::NONE, body)).chain(positions).collect()
    }

    /// A market event reaches the venue. Quotes, trades and mark prices count; the rest is ignored,
    /// as are trades outside the book and prices that are not positive.
    pub fn on_market(&mut self, now: TimeNs, event: &Event, out: &mut Reports) {
        self.advance(now, out);
        match &event.body {
            EventBody::Quote(quote) => self.on_quote(event.instrument, quote, out),
            EventBody::Trade(trade) | EventBody::AggTrade(trade) => {
                self.on_trade(event.instrument, trade, out);
            }
            EventBody::MarkPrice(mark) => self.on_mark(event.instrument, mark, out),
            _ => {}
        }
        // Where nothing is held, no price moves equity; but a quote may offer what a liquidation lacked.
        if self.underwater || !out.is_empty() || self.revalues(event) {
            self.liquidate(out);
        }
    }

    /// Whether the event moved the value of a position.
    fn revalues(&self, event: &Event) -> bool {
        let market = self.markets.get(event.instrument.index());
        let held = market.filter(|market| market.position.quantity != Lots::ZERO);
        let at_touch = |market: &Market| market.last.is_none() && market.mark.is_none();
        held.is_some_and(|market| !matches!(event.body, EventBody::Quote(_)) || at_touch(market))
    }

    fn on_quote(&mut self, id: InstrumentId, quote: &Quote, out: &mut Reports) {
        if let Some(market) = self.markets.get_mut(id.index()) {
            market.touch = Some(Touch::of(quote));
            self.work(id, out);
        }
    }

    fn on_trade(&mut self, id: InstrumentId, trade: &Trade, out: &mut Reports) {
        let Some(market) = self.markets.get_mut(id.index()) else { return };
        if trade.market && trade.price.0 > 0 {
            market.trade(trade.price, self.now);
            let price = market.instrument.price(trade.price);
            self.trigger(id, WorkingType::ContractPrice, price, out);
        }
    }

    fn on_mark(&mut self, id: InstrumentId, mark: &MarkPrice, out: &mut Reports) {
        let Some(market) = self.markets.get_mut(id.index()) else { return };
        if mark.mark.0 <= 0 {
            return;
        }
        (market.mark, market.marked) = (Some(mark.mark), self.now);
        // A funding time already past when it is announced was settled before it was heard of.
        let due_ms = mark.next_funding_ms;
        let ahead = self.funding && TimeNs::from_ms(due_ms) > self.now;
        market.funding = ahead.then_some(Funding { rate: mark.funding_rate, due_ms });
        self.trigger(id, WorkingType::MarkPrice, mark.mark, out);
    }

    /// Lets time pass: expiries and funding due by `now`.
    pub fn on_time(&mut self, now: TimeNs, out: &mut Reports) {
        self.advance(now, out);
        self.liquidate(out);
    }

    /// When the venue next does something by itself.
    pub fn next_timer(&self) -> Option<TimeNs> {
        let expiry = self.open.iter().filter_map(|open| match open.stage {
            Stage::Working { expires_ns } => Some(expires_ns),
            Stage::Resting => None,
        });
        let funding =
            self.markets.iter().filter_map(|market| Some(TimeNs::from_ms(market.funding.as_ref()?.due_ms)));
        expiry.chain(funding).min()
    }

    /// Time of the latest input or timer.
    pub fn now(&self) -> TimeNs {
        self.now
    }

    /// Flat for an unknown instrument.
    pub fn position(&self, instrument: InstrumentId) -> Position {
        self.markets.get(instrument.index()).map_or(Position::default(), |market| market.position)
    }

    /// Side of the position in `symbol`; `None` when flat.
    pub fn side(&self, symbol: Symbol) -> Option<Side> {
        // Flat ones, nearly all, are passed over without comparing names.
        let mut held = self.markets.iter().filter(|market| market.position.quantity.0 != 0);
        held.find(|market| market.instrument.symbol == symbol).map(|market| market.closing_side().opposite())
    }

    /// Working and resting orders in the order of acceptance.
    pub fn open_orders(&self) -> &[OpenOrder] {
        &self.open
    }

    /// Whether an order is a stop of the position there is.
    pub fn is_stop(&self, open: &OpenOrder) -> bool {
        let held = self.position(open.instrument).quantity.0;
        open.order.kind == OrderKind::StopMarket && open.order.side.sign() * held < 0
    }

    /// For how much of a position stops rest, or work.
    pub fn stopped(&self, instrument: InstrumentId) -> Lots {
        let stops = self.open.iter().filter(|open| open.instrument == instrument && self.is_stop(open));
        Lots(stops.map(|open| open.remaining().0).sum())
    }

    /// Moves the clock to `now`, doing on the way what falls due, each at its own time.
    fn advance(&mut self, now: TimeNs, out: &mut Reports) {
        while let Some(due) = self.next_timer().filter(|due| *due <= now) {
            self.now = self.now.max(due);
            self.expire(due, out);
            self.fund(due, out);
        }
        self.now = self.now.max(now);
    }

    fn account_update(&self, reason: AccountReason, change: Dec) -> AccountUpdate {
        // Before the first input the venue has no time, and says so as the epoch.
        let event_ms = self.now.ms().max(0);
        AccountUpdate { wallet: self.wallet, change, event_ms, reason, pad: [0; 7] }
    }

    fn venue_position(&self, id: InstrumentId) -> Option<VenuePosition> {
        let market = self.markets.get(id.index())?;
        // A fill is booked only if its entry price is representable.
        let entry = market.position.entry(&market.instrument).unwrap_or(Dec::ZERO);
        Some(VenuePosition { entry, quantity: market.position.quantity, event_ms: self.now.ms() })
    }
}
