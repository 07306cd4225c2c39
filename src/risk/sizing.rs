//! RiskManager: quantity and levels from the ATR. `docs/RULES.md` §5.

use std::cmp::Ordering;

use borsh::{BorshDeserialize, BorshSerialize};

use super::check::{Checks, Observed};
use super::config::Settings;
use super::levels::{self, AveragePrice};
use crate::event::{Instrument, Rule};
use crate::num::{
    Dec, Lots, OutOfRange, Rounding, Side, Ticks, Wide, all_hold, cmp_products, div_wide, wide_product,
};
use crate::signal::Confidence;

/// What a trade would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Plan {
    pub side: Side,
    /// Decision price.
    pub price: Ticks,
    pub quantity: Lots,
    pub stop: Ticks,
    pub target: Ticks,
    pub atr: Dec,
    /// Money at the decision price, and lost if the stop fills at its level.
    pub notional: Dec,
    pub risk: Dec,
}

impl Plan {
    pub(crate) fn check(&self) -> Result<(), OutOfRange> {
        let Plan { side: _, price, quantity, stop, target, atr, notional: _, risk: _ } = self;
        all_hold(&[
            ("plan.price, stop and target", [price, stop, target].iter().all(|ticks| ticks.is_price())),
            ("plan.quantity", quantity.is_quantity()),
            ("plan.atr", atr.0 > 0),
        ])
    }
}

/// Confidence from which risk is multiplied up, and below which down.
const HIGH_CONFIDENCE: Dec = Dec::new(85, 2);
const LOW_CONFIDENCE: Dec = Dec::new(60, 2);
/// Settings have 6 places and products of two 12: of their 18 decimals, this many are zeros.
const MICRO: i128 = 10i128.pow(6);

/// Fraction of equity to risk before the controller's multiplier; exact at 12 places.
pub fn risk_fraction(confidence: Confidence, s: &Settings) -> Dec {
    let factor = if !s.signal_quality_adj {
        Dec::ONE
    } else if confidence.at_least(HIGH_CONFIDENCE) {
        s.high_conf_mult
    } else if !confidence.at_least(LOW_CONFIDENCE) {
        s.low_conf_mult
    } else {
        Dec::ONE
    };
    let adjusted = s.risk_per_trade_pct.mul(factor, Rounding::HalfEven).unwrap_or(s.max_risk_pct);
    adjusted.clamp(s.min_risk_pct, s.max_risk_pct)
}

/// What sizing starts from.
#[derive(Clone, Copy, Debug)]
pub struct SizingInput<'a> {
    pub side: Side,
    pub price: Ticks,
    pub atr: Dec,
    pub equity: Dec,
    pub confidence: Confidence,
    /// Product of recovery mode's and the losing streak's factors; exact at 12 places.
    pub multiplier: Dec,
    pub instrument: &'a Instrument,
    /// Known leverage at the venue; `None` leaves the liquidation rule out.
    pub leverage: Option<u32>,
}

/// Sizes the trade; `None` after the check that failed.
pub fn size(input: &SizingInput, s: &Settings, checks: &mut Checks) -> Option<Plan> {
    let (stop, target) = price_levels(input, s, checks)?;
    if let Some(leverage) = input.leverage {
        let maintenance = input.instrument.maintenance_margin;
        let far = levels::liquidation_is_far(input.side, input.price, stop, leverage, maintenance);
        let (observed, threshold) = (Observed::count(leverage.into()), Observed::Missing);
        checks.note_option(Rule::Liquidation, far, observed, threshold).then_some(())?;
    }
    let value = input.instrument.tick_lot_value();
    let one_lot = value.checked_mul_int(input.price.wide())?;
    let stop_lot = value.checked_mul_int((input.price - stop).abs().wide())?;
    let cap = input.equity.mul(s.max_leverage, Rounding::Floor)?.min(s.max_position_usd);
    let quantity = match quantity(input, s, one_lot, cap) {
        Some(Quantity::Rounded(lots)) => lots,
        Some(Quantity::Raised(lots)) => {
            let notional = one_lot.checked_mul_int(lots.wide())?;
            let risk = stop_lot.checked_mul_int(lots.wide())?;
            let within = cmp_products(&[risk.0, Dec::ONE.0], &[input.equity.0, s.max_risk_pct.0]);
            let fits = notional <= cap && within.is_some_and(|o| o != Ordering::Greater);
            if !fits {
                let wanted = Observed::Number(s.min_position_usd);
                checks.note(Rule::MinPosition, false, Observed::Number(notional), wanted);
                return None;
            }
            lots
        }
        None => Lots::ZERO,
    };
    plan(input, (stop, target), quantity, s, checks)
}

/// The plan of so many lots, at most the instrument's; `None` where the venue would refuse them.
pub(super) fn plan(
    input: &SizingInput,
    (stop, target): (Ticks, Ticks),
    quantity: Lots,
    s: &Settings,
    checks: &mut Checks,
) -> Option<Plan> {
    let value = input.instrument.tick_lot_value();
    let one_lot = value.checked_mul_int(input.price.wide())?;
    let stop_lot = value.checked_mul_int((input.price - stop).abs().wide())?;
    let quantity = quantity.min(input.instrument.max_quantity).min(Lots::QUANTITY_MAX);
    let notional = one_lot.checked_mul_int(quantity.wide())?;
    let risk = stop_lot.checked_mul_int(quantity.wide())?;
    large_enough(input.instrument, quantity, notional, s, checks).then_some(Plan {
        side: input.side,
        price: input.price,
        quantity,
        stop,
        target,
        atr: input.atr,
        notional,
        risk,
    })
}

/// Stop and target, rounded to the tick.
pub(super) fn price_levels(input: &SizingInput, s: &Settings, checks: &mut Checks) -> Option<(Ticks, Ticks)> {
    let (entry, tick) = (AveragePrice::at(input.price), input.instrument.tick);
    let stop = levels::stop(input.side, entry, input.atr, s.sl_multiplier, tick);
    let target = levels::target(input.side, entry, input.atr, s.tp_multiplier, tick);
    let valid = stop.zip(target).filter(|(stop, target)| {
        input.atr.0 > 0
            && stop.is_price()
            && target.is_price()
            && *target != input.price
            && *stop != input.price
    });
    let observed = Observed::Number(input.atr);
    checks.note(Rule::Levels, valid.is_some(), observed, Observed::Missing).then_some(())?;
    valid
}

enum Quantity {
    /// Rounded down to the step.
    Rounded(Lots),
    /// Worth less than the smallest position: the smallest multiple of the step worth that.
    Raised(Lots),
}

/// min(equity × risk ÷ distance, cap ÷ price), before and after the smallest position.
fn quantity(input: &SizingInput, s: &Settings, one_lot: Dec, cap: Dec) -> Option<Quantity> {
    // Settings as integers of their own places, so that both products have 42: equity × risk ×
    // multiplier (18 + 12 + 12) against ATR × factor × step (18 + 6 + 18).
    let risk = risk_fraction(input.confidence, s).0 / MICRO;
    let multiplier = input.multiplier.0 / MICRO;
    let budget = wide_product(&[input.equity.0.max(0), risk, multiplier])?;
    let distance = wide_product(&[input.atr.0, s.atr_mult_sl.0 / (MICRO * MICRO), input.instrument.step.0])?;
    let by_risk = div_wide(budget, distance, Rounding::Floor)?;
    let by_value = Rounding::Floor.div_i128(cap.0.max(0), one_lot.0)?;
    // Worth less than the smallest position, before rounding: budget ÷ distance × price < minimum,
    // or the cap itself below it. Price × step is `one_lot`.
    let value = budget.checked_mul(Wide::from(one_lot.0))?;
    let minimum = distance.checked_mul(Wide::from(s.min_position_usd.0))?;
    if value < minimum || cap < s.min_position_usd {
        let raised = Rounding::Ceil.div_i128(s.min_position_usd.0, one_lot.0)?;
        return Some(Quantity::Raised(Lots(i64::try_from(raised).ok()?)));
    }
    Some(Quantity::Rounded(Lots(i64::try_from(by_risk.min(by_value)).unwrap_or(i64::MAX))))
}

fn large_enough(
    instrument: &Instrument,
    quantity: Lots,
    notional: Dec,
    s: &Settings,
    checks: &mut Checks,
) -> bool {
    let minimum = instrument.min_quantity.max(Lots(1));
    checks.note(
        Rule::MinQuantity,
        quantity >= minimum,
        Observed::Number(instrument.quantity(quantity)),
        Observed::Number(instrument.quantity(minimum)),
    ) && checks.note(
        Rule::MinNotional,
        notional >= instrument.min_notional,
        Observed::Number(notional),
        Observed::Number(instrument.min_notional),
    ) && checks.note(
        Rule::MinPosition,
        notional >= s.min_position_usd,
        Observed::Number(notional),
        Observed::Number(s.min_position_usd),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::btcusdt;
    use proptest::prelude::*;

    fn input(instrument: &Instrument) -> SizingInput<'_> {
        SizingInput {
            side: Side::Buy,
            price: Ticks(500_000),
            atr: Dec::int(1_500),
            equity: Dec::int(10_000),
            confidence: Confidence::exact(Dec::new(75, 2)),
            multiplier: Dec::ONE,
            instrument,
            leverage: Some(5),
        }
    }

    /// The plan, or the rule that refused.
    fn sized(input: &SizingInput, s: &Settings) -> Result<Plan, Rule> {
        let mut checks = Checks::default();
        size(input, s, &mut checks).ok_or_else(|| checks.failure().map_or(Rule::None, |check| check.rule))
    }

    #[test]
    fn the_worked_example_and_its_cap() {
        let btc = btcusdt();
        let plan = sized(&input(&btc), &Settings::DEFAULT).unwrap();
        assert_eq!((plan.quantity, plan.stop, plan.target), (Lots(10), Ticks(477_500), Ticks(556_250)));
        assert_eq!((plan.notional, plan.risk), (Dec::int(500), Dec::new(225, 1)));
        // Without the cap: 100 at risk over a stop of 2,250 is 0.0444.
        let free = Settings { max_position_usd: Dec::int(1_000_000), ..Settings::DEFAULT };
        assert_eq!(sized(&input(&btc), &free).unwrap().quantity, Lots(44));
        let levered = Settings { max_leverage: Dec::new(1, 1), ..free };
        assert_eq!(sized(&input(&btc), &levered).unwrap().quantity, Lots(20), "a tenth of 10,000");
    }

    #[test]
    fn confidence_moves_the_risk_within_its_bounds() {
        let s = Settings::DEFAULT;
        let at = |percent: i64, s: &Settings| risk_fraction(Confidence::exact(Dec::new(percent, 2)), s);
        assert_eq!((at(85, &s), at(84, &s)), (Dec::new(15, 3), Dec::new(1, 2)));
        assert_eq!((at(60, &s), at(59, &s)), (Dec::new(1, 2), Dec::new(5, 3)));
        let flat = Settings { signal_quality_adj: false, ..s };
        assert_eq!((at(95, &flat), at(10, &flat)), (Dec::new(1, 2), Dec::new(1, 2)));
        let narrow = Settings { min_risk_pct: Dec::new(8, 3), max_risk_pct: Dec::new(12, 3), ..s };
        assert_eq!((at(95, &narrow), at(10, &narrow)), (Dec::new(12, 3), Dec::new(8, 3)));
    }

    #[test]
    fn the_multiplier_may_go_below_the_least_risk() {
        let btc = btcusdt();
        let s = Settings { max_position_usd: Dec::int(1_000_000), ..Settings::DEFAULT };
        let quarter = SizingInput { multiplier: Dec::new(25, 2), ..input(&btc) };
        assert_eq!(sized(&quarter, &s).unwrap().quantity, Lots(11), "25 over 2,250");
    }

    #[test]
    fn too_small_is_raised_only_within_the_largest_risk() {
        let btc = Instrument { min_notional: Dec::int(5), ..btcusdt() };
        let s = Settings { min_position_usd: Dec::int(60), ..Settings::DEFAULT };
        // 0.5% of 200 over 2,250 is worth 22: raised to 0.002, worth 100, which risks 4.50 where 3 may be.
        let unsure = Confidence::exact(Dec::new(50, 2));
        let small = SizingInput { equity: Dec::int(200), confidence: unsure, ..input(&btc) };
        assert_eq!(sized(&small, &s), Err(Rule::MinPosition));
        // 300 × 1.5% is exactly the 4.50.
        let enough = SizingInput { equity: Dec::int(300), ..small };
        assert_eq!(sized(&enough, &s).unwrap().quantity, Lots(2));
        // A cap below the smallest position fits nothing.
        let capped = Settings { max_leverage: Dec::new(1, 1), ..s };
        assert_eq!(sized(&enough, &capped), Err(Rule::MinPosition));
        // Worth 66 before rounding, so not raised; 50 after it, and refused.
        let sure = SizingInput { confidence: Confidence::exact(Dec::new(75, 2)), ..enough };
        assert_eq!(sized(&sure, &s), Err(Rule::MinPosition));
    }

    #[test]
    fn the_venues_minimums_and_levels_refuse() {
        let btc = btcusdt();
        let s = Settings::DEFAULT;
        let strict = Instrument { min_quantity: Lots(11), ..btc };
        assert_eq!(sized(&input(&strict), &s), Err(Rule::MinQuantity));
        let dear = Instrument { min_notional: Dec::int(500) + Dec(1), ..btc };
        assert_eq!(sized(&input(&dear), &s), Err(Rule::MinNotional));
        let largest = Instrument { max_quantity: Lots(3), ..btc };
        assert_eq!(sized(&input(&largest), &s).unwrap().quantity, Lots(3));
        assert_eq!(sized(&SizingInput { atr: Dec::int(40_000), ..input(&btc) }, &s), Err(Rule::Levels));
        assert_eq!(sized(&SizingInput { atr: Dec::ZERO, ..input(&btc) }, &s), Err(Rule::Levels));
        assert_eq!(sized(&SizingInput { leverage: Some(20), ..input(&btc) }, &s), Err(Rule::Liquidation));
        assert!(sized(&SizingInput { leverage: None, ..input(&btc) }, &s).is_ok());
        assert_eq!(sized(&SizingInput { equity: Dec::ZERO, ..input(&btc) }, &s), Err(Rule::MinPosition));
    }

    proptest! {
        /// The quantity is the largest that keeps both bounds: one lot more breaks one of them.
        #[test]
        fn it_is_the_largest_quantity_within_both_bounds(
            price in 10_000i64..2_000_000,
            atr_bps in 10i64..400,
            equity in 1_000i64..1_000_000,
            cap in 100i64..1_000_000,
            confidence in 0i64..=95,
            multiplier in prop::sample::select(vec![25i64, 50, 100]),
            long: bool,
        ) {
            let btc = btcusdt();
            let s = Settings { max_position_usd: Dec::int(cap), ..Settings::DEFAULT };
            let input = SizingInput {
                side: if long { Side::Buy } else { Side::Sell },
                price: Ticks(price),
                atr: Dec::new(price * atr_bps, 5),
                equity: Dec::int(equity),
                confidence: Confidence::exact(Dec::new(confidence, 2)),
                multiplier: Dec::new(multiplier, 2),
                instrument: &btc,
                leverage: None,
            };
            let Ok(plan) = sized(&input, &s) else { return Ok(()) };
            let risk = risk_fraction(input.confidence, &s);
            let keeps = |lots: i128| {
                // lots × step × ATR × 1.5 ≤ equity × risk × multiplier, in whole units of 1e-30.
                let at_risk = lots * (input.atr.0 / 10i128.pow(12)) * 15;
                let budget = i128::from(equity) * (risk.0 / 10i128.pow(6)) * i128::from(multiplier);
                let within_risk = at_risk * 10i128.pow(4) <= budget;
                let within_cap = lots * i128::from(price) <= i128::from(cap.min(equity * 30)) * 10_000;
                within_risk && within_cap
            };
            let lots = plan.quantity.wide();
            prop_assert!(keeps(lots), "{plan:?}");
            prop_assert!(!keeps(lots + 1), "{plan:?}");
            prop_assert_eq!(plan.notional, Dec(btc.tick_lot_value().0 * lots * i128::from(price)));
        }
    }
}
