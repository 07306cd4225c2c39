//! Price levels, rounded to the tick: stops away from the entry, targets towards it.
//!
//! An entry price is a fraction (cost ÷ quantity, in ticks) because fills average. Every function
//! takes it that way and rounds once.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::num::{Dec, Lots, Rounding, Side, Ticks, Wide, div_wide, wide_product};

/// Average price of what was bought or sold: `cost` in tick-lots over `quantity` in lots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AveragePrice {
    pub cost: i128,
    pub quantity: Lots,
}

impl AveragePrice {
    /// A single price, of one lot.
    pub const fn at(price: Ticks) -> AveragePrice {
        AveragePrice { cost: price.wide(), quantity: Lots(1) }
    }

    /// Of prices and a quantity that fills can have.
    pub(crate) fn is_possible(self) -> bool {
        let (lots, most) = (self.quantity.wide(), Lots::QUANTITY_MAX.wide());
        (0..=most).contains(&lots) && (lots..=lots * Ticks::PRICE_MAX.wide()).contains(&self.cost)
    }

    /// In quote currency, half to even at 18 places; zero without a quantity.
    pub fn to_dec(self, tick: Dec) -> Dec {
        let value = || {
            let numerator = wide_product(&[self.cost, tick.0])?;
            div_wide(numerator, Wide::from(self.quantity.wide()), Rounding::HalfEven)
        };
        Dec(value().unwrap_or(0))
    }

    /// `self + sign × atr × multiplier`, in ticks.
    fn offset(self, sign: i128, atr: Dec, multiplier: Dec, tick: Dec, rounding: Rounding) -> Option<Ticks> {
        let n = self.quantity.wide();
        let cost = wide_product(&[self.cost, tick.0, Dec::ONE.0])?;
        let shift = wide_product(&[n, sign, atr.0, multiplier.0])?;
        let unit = wide_product(&[n, tick.0, Dec::ONE.0])?;
        ticks(div_wide(cost.checked_add(shift)?, unit, rounding)?)
    }
}

fn ticks(value: i128) -> Option<Ticks> {
    i64::try_from(value).ok().map(Ticks).filter(|level| level.is_level())
}

/// Stops round away from the entry: down for longs, up for shorts.
const fn stop_rounding(side: Side) -> Rounding {
    match side {
        Side::Buy => Rounding::Floor,
        Side::Sell => Rounding::Ceil,
    }
}

/// The protective stop: `atr × multiplier` against the position. May be zero or negative: the caller
/// checks.
pub fn stop(side: Side, entry: AveragePrice, atr: Dec, multiplier: Dec, tick: Dec) -> Option<Ticks> {
    entry.offset(-i128::from(side.sign()), atr, multiplier, tick, stop_rounding(side))
}

/// The target: `atr × multiplier` in the position's favour. Rounds towards the entry, which is the
/// same way as its stop.
pub fn target(side: Side, entry: AveragePrice, atr: Dec, multiplier: Dec, tick: Dec) -> Option<Ticks> {
    entry.offset(i128::from(side.sign()), atr, multiplier, tick, stop_rounding(side))
}

/// The breakeven stop: beyond the entry by `offset`, a fraction of it.
pub fn breakeven(side: Side, entry: AveragePrice, offset: Dec) -> Option<Ticks> {
    let factor = Dec::ONE.0 + i128::from(side.sign()) * offset.0;
    let numerator = wide_product(&[entry.cost, factor])?;
    let denominator = wide_product(&[entry.quantity.wide(), Dec::ONE.0])?;
    ticks(div_wide(numerator, denominator, stop_rounding(side))?)
}

/// The trailing stop: `atr × distance` behind the best price.
pub fn trailing(side: Side, best: Ticks, atr: Dec, distance: Dec, tick: Dec) -> Option<Ticks> {
    stop(side, AveragePrice::at(best), atr, distance, tick)
}

/// Whether the estimated liquidation price lies beyond the stop by at least one stop distance:
/// entry × (1 ∓ 1/leverage) / (1 ∓ maintenance) against stop ∓ |entry − stop|, multiplied out.
pub fn liquidation_is_far(
    side: Side,
    entry: Ticks,
    stop: Ticks,
    leverage: u32,
    maintenance: Dec,
) -> Option<bool> {
    let sign = i128::from(side.sign());
    let leverage = i128::from(leverage);
    let liquidation = wide_product(&[entry.wide(), leverage - sign, Dec::ONE.0])?;
    let limit = wide_product(&[2 * stop.wide() - entry.wide(), leverage, Dec::ONE.0 - sign * maintenance.0])?;
    Some(match side {
        Side::Buy => liquidation <= limit,
        Side::Sell => liquidation >= limit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_round_away_and_targets_towards() {
        let tick = Dec::new(1, 1);
        let (atr, entry) = (Dec::new(1_003, 2), AveragePrice::at(Ticks(1_000)));
        let (sl, tp) = (Dec::new(15, 1), Dec::new(375, 2));
        // 100 ∓ 15.045 and 100 ± 37.6125.
        assert_eq!(stop(Side::Buy, entry, atr, sl, tick), Some(Ticks(849)));
        assert_eq!(stop(Side::Sell, entry, atr, sl, tick), Some(Ticks(1_151)));
        assert_eq!(target(Side::Buy, entry, atr, tp, tick), Some(Ticks(1_376)));
        assert_eq!(target(Side::Sell, entry, atr, tp, tick), Some(Ticks(624)));
        assert_eq!(breakeven(Side::Buy, entry, Dec::new(1, 3)), Some(Ticks(1_001)));
        assert_eq!(breakeven(Side::Sell, entry, Dec::new(1, 3)), Some(Ticks(999)));
    }

    #[test]
    fn a_tenth_of_an_atr_does_not_cost_a_tick() {
        // 0.1 × 1.5 is exactly 0.15: the stop is 9.85, not 9.84.
        let entry = AveragePrice::at(Ticks(1_000));
        assert_eq!(stop(Side::Buy, entry, Dec::new(1, 1), Dec::new(15, 1), Dec::new(1, 2)), Some(Ticks(985)));
    }

    #[test]
    fn levels_end_where_differences_of_levels_would() {
        let entry = AveragePrice::at(Ticks(1_000));
        let below = |ticks: i64| trailing(Side::Buy, Ticks(0), Dec::int(ticks), Dec::ONE, Dec::ONE);
        assert_eq!(below(Ticks::LEVEL_MAX.0), Some(-Ticks::LEVEL_MAX));
        assert_eq!(below(Ticks::LEVEL_MAX.0 + 1), None);
        assert_eq!(target(Side::Sell, entry, Dec::int(i64::MAX), Dec::ONE, Dec::ONE), None);
    }

    #[test]
    fn averages_are_not_rounded_before_the_level() {
        // Two lots at 100 and one at 101 ticks: 100.33…; minus 1.5 ticks is 98.83….
        let entry = AveragePrice { cost: 301, quantity: Lots(3) };
        assert_eq!(stop(Side::Buy, entry, Dec::ONE, Dec::new(15, 1), Dec::ONE), Some(Ticks(98)));
        assert_eq!(stop(Side::Sell, entry, Dec::ONE, Dec::new(15, 1), Dec::ONE), Some(Ticks(102)));
    }

    #[test]
    fn an_average_is_rounded_half_to_even_at_eighteen_places_when_shown() {
        let at = |cost, lots| AveragePrice { cost, quantity: Lots(lots) }.to_dec(Dec::new(1, 1));
        assert_eq!(at(301, 3), Dec(10_033_333_333_333_333_333));
        assert_eq!(at(302, 3), Dec(10_066_666_666_666_666_667));
        assert_eq!(AveragePrice::at(Ticks(301)).to_dec(Dec::new(1, 1)), Dec::new(301, 1));
        assert_eq!(at(0, 0), Dec::ZERO, "nothing was bought");
    }

    #[test]
    fn breakeven_lies_beyond_the_average_and_rounds_away_from_the_price() {
        // Three lots at an average of 1,000⅓; 0.1% more are 1,001.33…, less 999.33….
        let entry = AveragePrice { cost: 3_001, quantity: Lots(3) };
        assert_eq!(breakeven(Side::Buy, entry, Dec::new(1, 3)), Some(Ticks(1_001)));
        assert_eq!(breakeven(Side::Sell, entry, Dec::new(1, 3)), Some(Ticks(1_000)));
        assert_eq!(breakeven(Side::Buy, entry, Dec::ZERO), Some(Ticks(1_000)));
        assert_eq!(breakeven(Side::Sell, entry, Dec::ZERO), Some(Ticks(1_001)));
    }

    #[test]
    fn the_trailing_stop_is_its_distance_behind_the_best_and_rounds_away_from_it() {
        // 1.25 × 0.5 at a tick of 0.1 are 6.25 ticks.
        let at = |side| trailing(side, Ticks(1_000), Dec::new(125, 2), Dec::new(5, 1), Dec::new(1, 1));
        assert_eq!((at(Side::Buy), at(Side::Sell)), (Some(Ticks(993)), Some(Ticks(1_007))));
    }

    #[test]
    fn liquidation_must_be_one_distance_behind_the_stop() {
        let far = |side, stop, leverage, maintenance| {
            liquidation_is_far(side, Ticks(1_000), Ticks(stop), leverage, maintenance).unwrap()
        };
        // Leverage 5 liquidates at 800 and 1,200: a stop at 900 or 1,100 is exactly one distance inside.
        let long = |stop| far(Side::Buy, stop, 5, Dec::ZERO);
        assert_eq!((long(901), long(900), long(899)), (true, true, false));
        let short = |stop| far(Side::Sell, stop, 5, Dec::ZERO);
        assert_eq!((short(1_099), short(1_100), short(1_101)), (true, true, false));
        let levered = |leverage| {
            (far(Side::Buy, 900, leverage, Dec::ZERO), far(Side::Sell, 1_100, leverage, Dec::ZERO))
        };
        assert_eq!((levered(4), levered(6)), ((true, true), (false, false)));
        // With a maintenance margin of an eighth: 750 / 0.875 = 857.14…: a stop at 928.57…; 1,250 / 1.125 = 1,111.1…: at 1,055.5….
        let margin = |side, stop| far(side, stop, 4, Dec::new(125, 3));
        assert_eq!((margin(Side::Buy, 929), margin(Side::Buy, 928)), (true, false));
        assert_eq!((margin(Side::Sell, 1_055), margin(Side::Sell, 1_056)), (true, false));
    }
}
