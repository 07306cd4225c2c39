//! The last line: limits that hold whatever the engine believes.
//!
//! They share nothing with the engine's own: positions are counted from the venue's messages, prices
//! come from a table the live loop writes from market data, and only the flag that goes to the venue,
//! reduce-only, says that an order adds no risk. Orders that reduce are bound by the rate alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::refusal::Refusal;
use crate::event::{Instrument, InstrumentTable, Order, OrderKind};
use crate::num::{Dec, InstrumentId, Lots, NS_PER_SEC, Rounding, Side, Ticks, TimeNs};

const MINUTE_NS: i64 = 60 * NS_PER_SEC;

/// What no order may exceed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimitSettings {
    /// Notional of an order that adds risk, in quote currency.
    pub order_usd_max: Dec,
    /// Notional a position may reach with all that is pending, in quote currency.
    pub position_usd_max: Dec,
    /// Orders of any kind in 60 seconds; those that add risk get half of it, so that stops and exits
    /// always find room.
    pub orders_per_minute: u32,
    /// How far the price of a decision may be from the market's, as a fraction.
    pub price_collar: Dec,
}

/// The newest price of each instrument in ticks, written by the live loop; 0 is unknown.
#[derive(Clone, Debug)]
pub struct Prices(Arc<[AtomicI64]>);

impl Prices {
    /// All unknown.
    pub fn new(instruments: usize) -> Prices {
        Prices((0..instruments).map(|_| AtomicI64::new(0)).collect())
    }

    /// Instruments that are not in the table are passed over.
    #[cfg(test)]
    pub fn set(&self, instrument: InstrumentId, price: Ticks) {
        if let Some(cell) = self.0.get(instrument.index()) {
            // A single number: nothing else is published with it.
            cell.store(price.0, Ordering::Relaxed);
        }
    }

    pub fn get(&self, instrument: InstrumentId) -> Option<Ticks> {
        let price = Ticks(self.0.get(instrument.index())?.load(Ordering::Relaxed));
        price.is_price().then_some(price)
    }
}

impl From<Arc<[AtomicI64]>> for Prices {
    fn from(table: Arc<[AtomicI64]>) -> Prices {
        Prices(table)
    }
}

/// A position as two sources have it. They agree but for moments; the larger one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    /// Sum of what our orders and forced ones filled.
    by_orders: Lots,
    /// As the venue last stated it.
    by_venue: Lots,
}

/// The limits and what they are measured against.
#[derive(Debug)]
pub struct Limits {
    settings: LimitSettings,
    prices: Prices,
    held: Vec<Held>,
    /// When orders were let through in the last minute, oldest first; and which added risk.
    recent: VecDeque<(TimeNs, bool)>,
    recent_entries: u32,
}

impl Limits {
    pub fn new(settings: LimitSettings, prices: Prices, instruments: &InstrumentTable) -> Limits {
        let room = settings.orders_per_minute as usize;
        Limits {
            settings,
            prices,
            held: vec![Held::default(); instruments.len()],
            recent: VecDeque::with_capacity(room),
            recent_entries: 0,
        }
    }

    /// What an order filled, or the venue forced.
    pub fn filled(&mut self, instrument: InstrumentId, side: Side, quantity: Lots) {
        if let Some(held) = self.held.get_mut(instrument.index()) {
            held.by_orders = Lots(held.by_orders.0.saturating_add(quantity.0.saturating_mul(side.sign())));
        }
    }

    /// The venue's word on a position, of its user stream.
    pub fn stated(&mut self, instrument: InstrumentId, quantity: Lots) {
        if let Some(held) = self.held.get_mut(instrument.index()) {
            held.by_venue = quantity;
        }
    }

    /// The venue's word on a position when nothing else was under way: both sources begin again here.
    pub fn begin_at(&mut self, instrument: InstrumentId, quantity: Lots) {
        if let Some(held) = self.held.get_mut(instrument.index()) {
            *held = Held { by_orders: quantity, by_venue: quantity };
        }
    }

    /// The market's price.
    pub fn price(&self, instrument: InstrumentId) -> Option<Ticks> {
        self.prices.get(instrument)
    }

    /// Whether either source has a position.
    pub fn holds(&self, instrument: InstrumentId) -> bool {
        self.held.get(instrument.index()).is_some_and(|held| *held != Held::default())
    }

    /// Lets an order through, or says which limit it breaks. `pending` is what live orders of its side
    /// that add risk have still to fill.
    ///
    /// # Errors
    /// The first limit it breaks; a refused order counts nowhere.
    pub fn check(
        &mut self,
        now: TimeNs,
        id: InstrumentId,
        instrument: &Instrument,
        order: &Order,
        pending: Lots,
    ) -> Result<(), Refusal> {
        if !is_well_formed(order) {
            return Err(Refusal::Malformed);
        }
        let adds_risk = !order.reduce_only;
        if adds_risk {
            self.check_risk(id, instrument, order, pending)?;
        }
        self.check_rate(now, adds_risk)
    }

    fn check_risk(
        &self,
        id: InstrumentId,
        instrument: &Instrument,
        order: &Order,
        pending: Lots,
    ) -> Result<(), Refusal> {
        let price = self.prices.get(id).ok_or(Refusal::NoPrice)?;
        let reference = order.reference;
        let distance = instrument.price(Ticks((reference.0 - price.0).abs()));
        let allowed = instrument.price(price).mul(self.settings.price_collar, Rounding::Floor);
        if allowed.is_none_or(|allowed| distance > allowed) {
            return Err(Refusal::PriceCollar);
        }
        // The dearer of both prices: a stale table must not make an order look small.
        let dearer = price.max(reference).wide();
        let notional = |lots: i128| lots.checked_mul(dearer).and_then(|sum| instrument.money(sum));
        if notional(order.quantity.wide()).is_none_or(|value| value > self.settings.order_usd_max) {
            return Err(Refusal::OrderNotional);
        }
        let reached = self.toward(id, order.side) + pending.wide() + order.quantity.wide();
        if reached > 0 && notional(reached).is_none_or(|value| value > self.settings.position_usd_max) {
            return Err(Refusal::PositionNotional);
        }
        Ok(())
    }

    /// The position as lots in the direction of `side`: the larger of both sources.
    fn toward(&self, id: InstrumentId, side: Side) -> i128 {
        let held = self.held.get(id.index()).copied().unwrap_or_default();
        let signed = |lots: Lots| lots.wide() * i128::from(side.sign());
        signed(held.by_orders).max(signed(held.by_venue))
    }

    fn check_rate(&mut self, now: TimeNs, adds_risk: bool) -> Result<(), Refusal> {
        while let Some((at, entry)) = self.recent.front().copied()
            && now.since(at) >= MINUTE_NS
        {
            self.recent.pop_front();
            self.recent_entries -= u32::from(entry);
        }
        let all = self.settings.orders_per_minute;
        if self.recent.len() >= all as usize || (adds_risk && self.recent_entries >= all / 2) {
            return Err(Refusal::OrderRate);
        }
        self.recent.push_back((now, adds_risk));
        self.recent_entries += u32::from(adds_risk);
        Ok(())
    }
}

/// Whether the numbers can be an order's at all.
fn is_well_formed(order: &Order) -> bool {
    let quantity = (1..=Lots::QUANTITY_MAX.0).contains(&order.quantity.0);
    let trigger = match order.kind {
        OrderKind::Market => true,
        OrderKind::StopMarket => order.trigger.is_price(),
    };
    // Orders that reduce are not measured against a price, so theirs may be anything.
    quantity && trigger && (order.reduce_only || order.reference.is_price())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Purpose, WorkingType, btcusdt};
    use crate::num::OrderId;
    use proptest::prelude::*;

    const BTC: InstrumentId = InstrumentId(0);
    const T0: TimeNs = TimeNs(1_700_000_000_000_000_000);
    /// 60,000.0 USDT: a lot of 0.001 is 60 USDT.
    const PRICE: Ticks = Ticks(600_000);

    fn limits() -> Limits {
        let settings = LimitSettings {
            order_usd_max: Dec::int(600),
            position_usd_max: Dec::int(1_200),
            orders_per_minute: 8,
            price_collar: Dec::new(5, 2),
        };
        let prices = Prices::new(1);
        prices.set(BTC, PRICE);
        Limits::new(settings, prices, &InstrumentTable::new(vec![btcusdt()]).unwrap())
    }

    fn order(side: Side, lots: i64, reduce_only: bool) -> Order {
        Order {
            id: OrderId::new(1, 1),
            trade: OrderId::new(1, 1),
            quantity: Lots(lots),
            trigger: Ticks::ZERO,
            reference: PRICE,
            side,
            kind: OrderKind::Market,
            purpose: Purpose::Entry,
            working_type: WorkingType::ContractPrice,
            reduce_only,
            pad: [0; 3],
        }
    }

    fn check(limits: &mut Limits, order: &Order, pending: i64) -> Result<(), Refusal> {
        limits.check(T0, BTC, &btcusdt(), order, Lots(pending))
    }

    #[test]
    fn notional_of_an_order() {
        assert_eq!(check(&mut limits(), &order(Side::Buy, 10, false), 0), Ok(()), "600 exactly");
        assert_eq!(check(&mut limits(), &order(Side::Buy, 11, false), 0), Err(Refusal::OrderNotional));
        let dearer = Order { reference: Ticks(610_000), ..order(Side::Buy, 10, false) };
        assert_eq!(check(&mut limits(), &dearer, 0), Err(Refusal::OrderNotional));
        assert_eq!(check(&mut limits(), &order(Side::Sell, 1_000, true), 0), Ok(()), "reduces");
    }

    #[test]
    fn position_with_what_is_pending() {
        let mut limits = limits();
        limits.filled(BTC, Side::Buy, Lots(10));
        assert_eq!(check(&mut limits, &order(Side::Buy, 10, false), 0), Ok(()), "1,200 exactly");
        assert_eq!(check(&mut limits, &order(Side::Buy, 10, false), 1), Err(Refusal::PositionNotional));
        assert_eq!(check(&mut limits, &order(Side::Sell, 10, false), 10), Ok(()), "through zero: 10 short");
        limits.stated(BTC, Lots(-20));
        assert_eq!(check(&mut limits, &order(Side::Sell, 1, false), 0), Err(Refusal::PositionNotional));
        assert_eq!(
            check(&mut limits, &order(Side::Buy, 10, false), 0),
            Ok(()),
            "the fills' word is the larger"
        );
        limits.begin_at(BTC, Lots(11));
        assert_eq!(check(&mut limits, &order(Side::Buy, 10, false), 0), Err(Refusal::PositionNotional));
        assert_eq!(check(&mut limits, &order(Side::Buy, 500, true), 0), Ok(()), "reduces");
    }

    #[test]
    fn collar_around_the_market() {
        for (reference, side, expected) in [
            (630_000, Side::Buy, Ok(())),
            (630_001, Side::Buy, Err(Refusal::PriceCollar)),
            (570_000, Side::Sell, Ok(())),
            (569_999, Side::Sell, Err(Refusal::PriceCollar)),
        ] {
            let order = Order { reference: Ticks(reference), ..order(side, 1, false) };
            assert_eq!(check(&mut limits(), &order, 0), expected, "{reference}");
        }
        let mut limits = limits();
        for unknown in [Ticks::ZERO, Ticks(-1), Ticks(i64::MAX)] {
            limits.prices.set(BTC, unknown);
            assert_eq!(check(&mut limits, &order(Side::Buy, 1, false), 0), Err(Refusal::NoPrice));
            assert_eq!(check(&mut limits, &order(Side::Sell, 1, true), 0), Ok(()));
        }
    }

    #[test]
    fn entries_leave_room_for_protection() {
        let mut limits = limits();
        for _ in 0..4 {
            assert_eq!(check(&mut limits, &order(Side::Buy, 1, false), 0), Ok(()));
        }
        assert_eq!(check(&mut limits, &order(Side::Buy, 1, false), 0), Err(Refusal::OrderRate));
        for _ in 0..4 {
            assert_eq!(check(&mut limits, &order(Side::Sell, 1, true), 0), Ok(()));
        }
        assert_eq!(check(&mut limits, &order(Side::Sell, 1, true), 0), Err(Refusal::OrderRate));
        let instrument = btcusdt();
        let mut at = |ns| limits.check(T0 + ns, BTC, &instrument, &order(Side::Buy, 1, false), Lots(0));
        assert_eq!(at(MINUTE_NS - 1), Err(Refusal::OrderRate));
        assert_eq!(at(MINUTE_NS), Ok(()), "a minute later the window is empty");
    }

    #[test]
    fn numbers_no_order_can_have() {
        for bad in [
            order(Side::Buy, 0, true),
            order(Side::Buy, -5, true),
            order(Side::Buy, i64::MAX, true),
            Order { reference: Ticks::ZERO, ..order(Side::Buy, 1, false) },
            Order { kind: OrderKind::StopMarket, ..order(Side::Buy, 1, true) },
        ] {
            assert_eq!(check(&mut limits(), &bad, 0), Err(Refusal::Malformed), "{bad:?}");
        }
    }

    proptest! {
        /// Whatever is asked, in whatever order: what is let through keeps every limit.
        #[test]
        fn nothing_passes_a_limit(
            steps in proptest::collection::vec((any::<bool>(), -5i64..30, 500_000i64..700_000, any::<bool>(), 0i64..20), 1..200),
        ) {
            let (mut limits, instrument) = (limits(), btcusdt());
            let (mut now, mut position) = (T0, 0i64);
            let mut passed: Vec<(TimeNs, bool)> = Vec::new();
            for (buy, lots, reference, reduce_only, seconds) in steps {
                now = now + seconds * NS_PER_SEC;
                let side = if buy { Side::Buy } else { Side::Sell };
                let order = Order { reference: Ticks(reference), ..order(side, lots, reduce_only) };
                if limits.check(now, BTC, &instrument, &order, Lots::ZERO).is_err() {
                    continue;
                }
                passed.push((now, !reduce_only));
                passed.retain(|(at, _)| now.since(*at) < MINUTE_NS);
                prop_assert!(passed.len() <= 8 && passed.iter().filter(|(_, entry)| *entry).count() <= 4);
                if !reduce_only {
                    position += lots * side.sign();
                    limits.filled(BTC, side, Lots(lots));
                    let dearer = reference.max(PRICE.0) as f64 / 10.0;
                    prop_assert!(lots as f64 * 0.001 * dearer <= 600.0);
                    prop_assert!((reference - PRICE.0).abs() as f64 <= 0.05 * PRICE.0 as f64);
                    let toward = (position * side.sign()).max(0) as f64;
                    prop_assert!(toward * 0.001 * dearer <= 1_200.0 + 1e-9);
                }
            }
        }
    }
}
