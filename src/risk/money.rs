//! Money that stays in its range: amounts that come from outside, and sums that grow for as long as
//! a run lasts.

use crate::event::Instrument;
use crate::num::Dec;

/// Beyond any account: a thousand trillion. Sums of it over every trade at once still fit `i128`, so
/// clamped money can be added and compared without care.
pub const MONEY_MAX: Dec = Dec(Dec::ONE.0 * 10i128.pow(15));

/// Whether an amount from outside is one we accept.
pub const fn is_money(amount: Dec) -> bool {
    amount.0 >= -MONEY_MAX.0 && amount.0 <= MONEY_MAX.0
}

fn clamp(raw: i128) -> Dec {
    Dec(raw.clamp(-MONEY_MAX.0, MONEY_MAX.0))
}

/// `a + b`, at most [`MONEY_MAX`] either way.
pub fn add(a: Dec, b: Dec) -> Dec {
    clamp(a.0.saturating_add(b.0))
}

/// The sum of amounts, at most [`MONEY_MAX`] either way.
pub fn sum(amounts: impl Iterator<Item = Dec>) -> Dec {
    amounts.fold(Dec::ZERO, add)
}

/// Tick-lots as money. What leaves the range becomes its end, never zero: a limit then sees too much
/// rather than nothing.
pub fn of(instrument: &Instrument, tick_lots: i128) -> Dec {
    worth(instrument.tick_lot_value(), tick_lots)
}

/// As [`of`], where the value of one tick-lot is at hand: finding it takes a division.
pub fn worth(tick_lot_value: Dec, tick_lots: i128) -> Dec {
    clamp(tick_lot_value.0.saturating_mul(tick_lots))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_stop_at_the_end_of_the_range() {
        assert_eq!(add(MONEY_MAX, Dec(i128::MAX)), MONEY_MAX);
        assert_eq!(add(Dec(i128::MIN), Dec(-1)), Dec(-MONEY_MAX.0));
        assert_eq!(sum([Dec::ONE, Dec::int(2)].into_iter()), Dec::int(3));
    }

    #[test]
    fn an_amount_from_outside_is_within_the_range_ends_included() {
        for end in [MONEY_MAX.0, -MONEY_MAX.0] {
            let beyond = Dec(end + end.signum());
            assert!(is_money(Dec(end)) && is_money(Dec(end - end.signum())) && !is_money(beyond));
        }
        assert!(!is_money(Dec(i128::MIN)) && !is_money(Dec(i128::MAX)));
    }

    #[test]
    fn tick_lots_beyond_the_range_are_its_end_and_never_nothing() {
        // A tick of 0.1 and a step of 0.001.
        let btc = crate::event::btcusdt();
        assert_eq!(of(&btc, 500_000 * -10), Dec::int(-500));
        assert_eq!((of(&btc, i128::MAX), of(&btc, i128::MIN)), (MONEY_MAX, -MONEY_MAX));
    }
}
