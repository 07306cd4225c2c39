//! RiskManager: quantity and levels from the ATR. `docs/RULES.md` §5.

use std::cmp::Ordering;

use super::check::{Checks, Observed};
use super::config::Settings;
use super::levels::{self, AveragePrice};
use crate::event::{Instrument, Rule};
use crate::num::{Dec, Lots, Rounding, Side, Ticks, Wide, cmp_products, div_wide, wide_product};
use crate::signal::Confidence;

/// What a trade would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

fn price_levels(input: &SizingInput, s: &Settings, checks: &mut Checks) -> Option<(Ticks, Ticks)> {
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
