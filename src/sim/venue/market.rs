//! What the venue knows of one instrument: the touch and what is left of it, last and mark price,
//! the next funding, the position.

use super::Position;
use crate::event::{Instrument, Quote};
use crate::num::{Dec, Lots, Millis, NS_PER_SEC, Rounding, Side, Size, Ticks, TimeNs, mul_div};

/// Best price of one side and the lots not yet taken from it. An empty side has neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Level {
    pub price: Ticks,
    pub left: Lots,
}

/// One side of a quote and what was taken from it. What its size is in lots is found out when an order
/// wants it: quotes come by the million, orders by the hundred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Offer {
    price: Ticks,
    size: Size,
    taken: Lots,
}

impl Offer {
    fn level(&self, instrument: &Instrument) -> Level {
        if self.price.0 <= 0 {
            return Level::default();
        }
        let offered = instrument.lots_in(self.size, self.price).0.max(0);
        Level { price: self.price, left: Lots(offered.saturating_sub(self.taken.0).max(0)) }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Touch {
    bid: Offer,
    ask: Offer,
}

impl Touch {
    pub fn of(quote: &Quote) -> Touch {
        Touch {
            bid: Offer { price: quote.bid, size: quote.bid_size, taken: Lots::ZERO },
            ask: Offer { price: quote.ask, size: quote.ask_size, taken: Lots::ZERO },
        }
    }

    /// The side an order of `side` trades with.
    fn against(&self, side: Side) -> &Offer {
        match side {
            Side::Buy => &self.ask,
            Side::Sell => &self.bid,
        }
    }

    fn against_mut(&mut self, side: Side) -> &mut Offer {
        match side {
            Side::Buy => &mut self.ask,
            Side::Sell => &mut self.bid,
        }
    }
}

/// The next funding, as the last mark price announced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Funding {
    pub rate: Dec,
    pub due_ms: Millis,
}

#[derive(Clone, Debug)]
pub(super) struct Market {
    pub instrument: Instrument,
    /// Money in one tick × one lot.
    tick_lot_value: Dec,
    /// `None` before the first quote.
    pub touch: Option<Touch>,
    pub last: Option<Ticks>,
    /// The last mark price; none while the feed has none.
    pub mark: Option<Dec>,
    pub marked: TimeNs,
    pub funding: Option<Funding>,
    pub position: Position,
}

/// The slowest stream of mark prices has one every three seconds: beyond this it is none, and an old mark
/// price would hide what the position is worth.
const MARK_NS_MAX: i64 = 10 * NS_PER_SEC;

impl Market {
    pub fn new(instrument: Instrument) -> Market {
        Market {
            instrument,
            tick_lot_value: instrument.tick_lot_value(),
            touch: None,
            last: None,
            mark: None,
            marked: TimeNs(i64::MIN),
            funding: None,
            position: Position::default(),
        }
    }

    /// A trade: the last price moves away from a mark price nobody keeps up.
    pub fn trade(&mut self, price: Ticks, now: TimeNs) {
        self.last = Some(price);
        if now.since(self.marked) > MARK_NS_MAX {
            self.mark = None;
        }
    }

    /// The level an order of `side` trades with; empty before the first quote.
    pub fn against(&self, side: Side) -> Level {
        self.touch.map_or(Level::default(), |touch| touch.against(side).level(&self.instrument))
    }

    /// Takes lots from the touch; they are gone until the next quote.
    pub fn take(&mut self, side: Side, lots: Lots) {
        if let Some(touch) = self.touch.as_mut() {
            let offer = touch.against_mut(side);
            offer.taken = Lots(offer.taken.0.saturating_add(lots.0));
        }
    }

    /// Side of an order that closes the position.
    pub fn closing_side(&self) -> Side {
        if self.position.quantity.0 > 0 { Side::Sell } else { Side::Buy }
    }

    /// Price the position is valued at: mark; where the feed has none, last; before any trade, the
    /// side of the touch that would close it.
    pub fn valuation(&self) -> Option<Dec> {
        let touch = || Some(self.against(self.closing_side()).price).filter(|price| price.0 > 0);
        self.mark.or_else(|| self.last.or_else(touch).map(|ticks| self.instrument.price(ticks)))
    }

    /// Value of `lots` at the valuation price, signed like the lots; one rounding, half even at 18
    /// places, since a mark price need not lie on the tick grid.
    pub fn value(&self, lots: i128) -> Option<Dec> {
        if lots == 0 {
            return Some(Dec::ZERO);
        }
        if let (None, Some(last)) = (self.mark, self.last) {
            // On the tick grid nothing needs rounding.
            return self.tick_lot_value.checked_mul_int(last.wide().checked_mul(lots)?);
        }
        let quantity = self.instrument.step.0.checked_mul(lots)?;
        mul_div(quantity, self.valuation()?.0, Dec::ONE.0, Rounding::HalfEven).map(Dec)
    }

    /// Unrealised profit of the position.
    pub fn unrealised(&self) -> Option<Dec> {
        self.value(self.position.quantity.wide())?.0.checked_sub(self.position.cost.0).map(Dec)
    }
}
