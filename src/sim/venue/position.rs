//! A position by the average-cost method, exact to the last place.

use crate::event::Instrument;
use crate::num::{Dec, Lots, Rounding, Side, Ticks, mul_div};

/// Money released from the cost of a partly closed position, and fees, have 8 places, as the venue's
/// wallet has.
const MONEY_PLACES: u32 = 8;
/// Raw units of [`Dec`] in the last place of money.
const MONEY_UNIT: i128 = 10i128.pow(crate::num::MAX_PLACES - MONEY_PLACES);
/// Largest position: far from the ends of `i64`, so that lots can be negated and compared freely.
const POSITION_LOTS_MAX: i64 = i64::MAX / 4;

/// An open position. `cost` carries the position's sign: paid for a long, received (negative) for a
/// short; so unrealised profit is value − cost for both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Signed: negative is short.
    pub quantity: Lots,
    /// Entry cost of `quantity`, in quote currency.
    pub cost: Dec,
}

impl Position {
    /// Lots an order of `side` could close.
    pub fn reducible(&self, side: Side) -> Lots {
        Lots((-side.sign() * self.quantity.0).max(0))
    }

    /// Average entry price, half even at 18 places; 0 when flat, `None` out of range.
    pub fn entry(&self, instrument: &Instrument) -> Option<Dec> {
        if self.quantity == Lots::ZERO {
            return Some(Dec::ZERO);
        }
        let quantity = instrument.step.0.checked_mul(self.quantity.wide())?;
        Dec::ratio(self.cost.0, quantity, Rounding::HalfEven)
    }

    /// The position after a fill, and the profit realised by it before fees. What the closed part
    /// cost is its share of the cost, half even at 8 places; the last part takes all that is left.
    /// What is released from the cost enters the profit, so wallet − cost moves by exactly what the
    /// fill paid or received, however the share was rounded. `None` if an amount leaves its range.
    pub(super) fn after(
        &self,
        instrument: &Instrument,
        side: Side,
        quantity: Lots,
        price: Ticks,
    ) -> Option<(Position, Dec)> {
        let sign = i128::from(side.sign());
        let held = self.quantity.0.abs();
        let closing = quantity.0.min(self.reducible(side).0);
        let released = if closing == held {
            self.cost.0
        } else {
            let share =
                mul_div(self.cost.0, i128::from(closing), i128::from(held) * MONEY_UNIT, Rounding::HalfEven)?;
            share.checked_mul(MONEY_UNIT)?
        };
        // Signed like the order: positive is paid. A product of two i64 fits i128.
        let paid = |lots: i64| instrument.money(price.wide() * i128::from(lots))?.0.checked_mul(sign);
        let realised = paid(closing)?.checked_neg()?.checked_sub(released)?;
        let opened = paid(quantity.0.checked_sub(closing)?)?;
        let cost = self.cost.0.checked_sub(released)?.checked_add(opened)?;
        let next = self.quantity.0.checked_add(side.sign().checked_mul(quantity.0)?)?;
        if next.unsigned_abs() > POSITION_LOTS_MAX.unsigned_abs() {
            return None;
        }
        Some((Position { quantity: Lots(next), cost: Dec(cost) }, Dec(realised)))
    }
}

/// `amount × rate`, rounded once, half even at 8 places: fees and funding.
pub(super) fn charge(amount: Dec, rate: Dec) -> Option<Dec> {
    let units = mul_div(amount.0, rate.0, Dec::ONE.0 * MONEY_UNIT, Rounding::HalfEven)?;
    units.checked_mul(MONEY_UNIT).map(Dec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::btcusdt;

    #[test]
    fn a_share_of_the_cost_is_rounded_and_the_rest_keeps_the_difference() {
        let btc = btcusdt();
        // 0.003 at 0.1 cost 0.0003; a third of an odd cost has no end.
        let three = Position { quantity: Lots(3), cost: Dec::parse("0.0001").unwrap() };
        let (two, realised) = three.after(&btc, Side::Sell, Lots(1), Ticks(1)).unwrap();
        assert_eq!(two, Position { quantity: Lots(2), cost: Dec::parse("0.00006667").unwrap() });
        assert_eq!(realised, Dec::parse("0.00006667").unwrap(), "0.0001 received − 0.00003333");
        let (flat, realised) = two.after(&btc, Side::Sell, Lots(2), Ticks(1)).unwrap();
        assert_eq!((flat, realised), (Position::default(), Dec::parse("0.00013333").unwrap()));
    }

    #[test]
    fn an_order_through_zero_closes_then_opens() {
        let btc = btcusdt();
        let (long, realised) = Position::default().after(&btc, Side::Buy, Lots(10), Ticks(500_000)).unwrap();
        assert_eq!((long.cost, realised), (Dec::int(500), Dec::ZERO));
        let (short, realised) = long.after(&btc, Side::Sell, Lots(14), Ticks(510_000)).unwrap();
        assert_eq!(short, Position { quantity: Lots(-4), cost: Dec::int(-204) });
        assert_eq!(realised, Dec::int(10));
        assert_eq!(short.entry(&btc), Some(Dec::int(51_000)));
    }

    #[test]
    fn amounts_out_of_range_are_refused() {
        let btc = btcusdt();
        let flat = Position::default();
        assert_eq!(flat.after(&btc, Side::Buy, Lots(i64::MAX), Ticks(1)), None);
        assert_eq!(flat.after(&btc, Side::Buy, Lots(1 << 60), Ticks(i64::MAX)), None);
        assert_eq!(charge(Dec::MAX, Dec::MAX), None);
        assert_eq!(charge(Dec::new(25, 8), Dec::new(1, 1)), Some(Dec::new(2, 8)), "half to even");
    }
}
