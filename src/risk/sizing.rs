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
    // Rounded away from the price, a stop is never at it.
    let valid = stop.zip(target).filter(|(stop, target)| {
        input.atr.0 > 0 && stop.is_price() && target.is_price() && *target != input.price
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

    fn sized_alone(input: &SizingInput, s: &Settings) -> Result<Plan, Rule> {
        let mut checks = Checks::default();
        size(input, s, &mut checks).ok_or_else(|| checks.failure().map_or(Rule::None, |check| check.rule))
    }

    /// The long's plan, or the rule that refused; the short's is its mirror.
    fn sized(input: &SizingInput, s: &Settings) -> Result<Plan, Rule> {
        let long = sized_alone(input, s);
        let short = sized_alone(&SizingInput { side: Side::Sell, ..*input }, s);
        let mirror = |level: Ticks| input.price + input.price - level;
        let mirrored =
            |p: Plan| Plan { side: Side::Buy, stop: mirror(p.stop), target: mirror(p.target), ..p };
        assert_eq!(long, short.map(mirrored));
        long
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
        let around = |percent: i64| {
            [-1, 0, 1].map(|by| risk_fraction(Confidence::exact(Dec::new(percent, 2) + Dec(by)), &s))
        };
        let (low, plain, high) = (Dec::new(5, 3), Dec::new(1, 2), Dec::new(15, 3));
        assert_eq!((around(60), around(85)), ([low, plain, plain], [plain, high, high]));
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
    fn the_cap_is_the_smaller_of_leverage_and_the_largest_position() {
        let btc = btcusdt();
        let quantity = |leverage: Dec, position: Dec| {
            let s = Settings { max_leverage: leverage, max_position_usd: position, ..Settings::DEFAULT };
            sized(&input(&btc), &s).unwrap().quantity
        };
        // 0.001 is worth 50.
        let (much, cap) = (Dec::int(100_000), Dec::int(500));
        assert_eq!(quantity(Dec::int(30), cap), Lots(10));
        assert_eq!(
            (quantity(Dec::int(30), cap - Dec(1)), quantity(Dec::int(30), cap + Dec(1))),
            (Lots(9), Lots(10))
        );
        // 0.05 of 10,000 are the same 500; a millionth less or more is a cent.
        assert_eq!(quantity(Dec::new(5, 2), much), Lots(10));
        assert_eq!(
            (quantity(Dec::new(49_999, 6), much), quantity(Dec::new(50_001, 6), much)),
            (Lots(9), Lots(10))
        );
    }

    #[test]
    fn the_budget_is_met_exactly_or_not_at_all() {
        // 100 at risk are 0.040 of 2,500 each.
        let btc = btcusdt();
        let s = Settings { max_position_usd: Dec::int(1_000_000), ..Settings::DEFAULT };
        let with_atr = |atr: Dec| sized(&SizingInput { atr, ..input(&btc) }, &s).unwrap().quantity;
        let atr = Dec(Dec::int(5_000).0 / 3);
        assert_eq!((with_atr(atr), with_atr(atr + Dec(1))), (Lots(40), Lots(39)));
    }

    #[test]
    fn what_is_worth_less_than_the_least_is_raised_and_what_is_worth_it_is_not() {
        // 0.5% of 1,012.50 over 2,250 is 0.00225, worth 112.50.
        let btc = btcusdt();
        let (equity, unsure) = (Dec::new(10_125, 1), Confidence::exact(Dec::new(50, 2)));
        let small = SizingInput { equity, confidence: unsure, ..input(&btc) };
        let with_least = |least: Dec| {
            let s = Settings { min_position_usd: least, ..Settings::DEFAULT };
            sized(&small, &s).map(|plan| plan.quantity)
        };
        let least = Dec::new(1_125, 1);
        assert_eq!(with_least(Dec::int(100)), Ok(Lots(2)), "rounded down it is worth 100");
        assert_eq!(with_least(Dec::int(100) + Dec(1)), Err(Rule::MinPosition), "and that is too little");
        assert_eq!(with_least(least), Err(Rule::MinPosition), "the least itself is not raised");
        assert_eq!(with_least(least + Dec(1)), Ok(Lots(3)), "raised: 6.75 of 15.1875");
        // Neither does a cap of the least raise: 49 hold no 0.001. One below it does, and then does not fit.
        let capped = |cap: Dec| {
            let s = Settings { min_position_usd: Dec::int(49), max_position_usd: cap, ..Settings::DEFAULT };
            sized(&input(&btc), &s).map(|plan| plan.quantity)
        };
        let least = Dec::int(49);
        assert_eq!((capped(least), capped(least - Dec(1))), (Err(Rule::MinQuantity), Err(Rule::MinPosition)));
        assert_eq!(capped(Dec::int(50)), Ok(Lots(1)));
    }

    #[test]
    fn a_raised_quantity_stays_within_the_cap_and_the_largest_risk() {
        let btc = btcusdt();
        let unsure = Confidence::exact(Dec::new(50, 2));
        let raised = |equity: Dec, cap: Dec| {
            let s = Settings { min_position_usd: Dec::int(75), max_position_usd: cap, ..Settings::DEFAULT };
            let small = SizingInput { equity, confidence: unsure, ..input(&btc) };
            sized(&small, &s).map(|plan| plan.quantity)
        };
        // 0.002 is worth 100 and risks 4.50, which is 1.5% of 300.
        let (equity, cap) = (Dec::int(300), Dec::int(100));
        assert_eq!((raised(equity, cap), raised(equity + Dec(1), cap + Dec(1))), (Ok(Lots(2)), Ok(Lots(2))));
        assert_eq!(raised(equity, cap - Dec(1)), Err(Rule::MinPosition));
        assert_eq!(raised(equity - Dec(1), cap), Err(Rule::MinPosition));
    }

    #[test]
    fn the_venues_minimums_and_levels_refuse() {
        let btc = btcusdt();
        let s = Settings::DEFAULT;
        let quantity =
            |instrument: Instrument, s: &Settings| sized(&input(&instrument), s).map(|p| p.quantity);
        let lots = |least| quantity(Instrument { min_quantity: Lots(least), ..btc }, &s);
        assert_eq!((lots(9), lots(10), lots(11)), (Ok(Lots(10)), Ok(Lots(10)), Err(Rule::MinQuantity)));
        let worth = |by: i128| quantity(Instrument { min_notional: Dec::int(500) + Dec(by), ..btc }, &s);
        assert_eq!((worth(-1), worth(0), worth(1)), (Ok(Lots(10)), Ok(Lots(10)), Err(Rule::MinNotional)));
        let most = |most| quantity(Instrument { max_quantity: Lots(most), ..btc }, &s);
        assert_eq!((most(3), most(10), most(11)), (Ok(Lots(3)), Ok(Lots(10)), Ok(Lots(10))));
        // Nothing is no quantity, even where the venue has no minimum.
        let free = Instrument { min_quantity: Lots(0), min_notional: Dec::ZERO, ..btc };
        let nothing = Settings { min_position_usd: Dec::ZERO, max_position_usd: Dec::int(49), ..s };
        assert_eq!(quantity(free, &nothing), Err(Rule::MinQuantity));
        assert_eq!(sized(&SizingInput { leverage: Some(20), ..input(&btc) }, &s), Err(Rule::Liquidation));
        assert!(sized(&SizingInput { leverage: None, ..input(&btc) }, &s).is_ok());
        assert_eq!(sized(&SizingInput { equity: Dec::ZERO, ..input(&btc) }, &s), Err(Rule::MinPosition));
        assert_eq!(sized(&SizingInput { equity: -Dec::ONE, ..input(&btc) }, &s), Err(Rule::MinPosition));
    }

    #[test]
    fn both_levels_are_prices_and_neither_is_the_price() {
        let btc = btcusdt();
        let s = Settings::DEFAULT;
        let levels = |side, price: i64, atr: Dec| {
            let input = SizingInput { side, price: Ticks(price), atr, ..input(&btc) };
            price_levels(&input, &s, &mut Checks::default())
        };
        for side in [Side::Buy, Side::Sell] {
            assert_eq!(levels(side, 500_000, Dec::ZERO), None);
            assert_eq!(levels(side, 500_000, -Dec::int(1_500)), None);
        }
        // A long's stop, 15 ticks below; a short's target, 37 below.
        assert_eq!(levels(Side::Buy, 16, Dec::ONE), Some((Ticks(1), Ticks(53))));
        assert_eq!(levels(Side::Buy, 15, Dec::ONE), None);
        assert_eq!(levels(Side::Sell, 38, Dec::ONE), Some((Ticks(53), Ticks(1))));
        assert_eq!(levels(Side::Sell, 37, Dec::ONE), None);
        // At the other end a target, and a stop, beyond the largest price.
        let end = Ticks::PRICE_MAX.0;
        assert!(
            levels(Side::Buy, end - 37, Dec::ONE).is_some()
                && levels(Side::Buy, end - 36, Dec::ONE).is_none()
        );
        assert!(
            levels(Side::Sell, end - 15, Dec::ONE).is_some()
                && levels(Side::Sell, end - 14, Dec::ONE).is_none()
        );
        // A target of less than a tick is rounded onto the price: 3.75 of 0.02666… are 0.1.
        let least = Dec(Dec::new(8, 2).0 / 3 + 1);
        for (side, sign) in [(Side::Buy, 1i64), (Side::Sell, -1)] {
            let at = |by: i64| Ticks(1_000 + sign * by);
            assert_eq!(levels(side, 1_000, least), Some((at(-1), at(1))));
            assert_eq!(levels(side, 1_000, least - Dec(1)), None);
        }
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
            let Ok(plan) = sized_alone(&input, &s) else { return Ok(()) };
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
