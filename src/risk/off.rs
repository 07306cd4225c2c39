//! Trading with the risk layer off, to compare with: every signal is taken. `docs/RULES.md` §11.
//!
//! A mode of the settings and not another engine: signals, orders, stops that rest at the venue, the
//! deadline they have, ledger and journal are the same. What the layer decides is left out.

use super::check::{Checks, Observed};
use super::config::Settings;
use super::sizing::{self, Plan, SizingInput};
use crate::event::Rule;
use crate::num::{Dec, Lots, Rounding};

/// The settings an engine goes by: with the layer off, what limits, scales or moves is switched off
/// whatever it is set to. As they are, with it on.
pub fn in_force(s: &Settings) -> Settings {
    if s.enable_risk_layer {
        return *s;
    }
    Settings {
        enable_circuit_breaker: false,
        // More than all cannot be lost, so neither limit is ever said to be reached.
        max_daily_dd_pct: Dec::ONE,
        max_weekly_dd_pct: Dec::ONE,
        enable_recovery_mode: false,
        enable_streak_protection: false,
        min_position_usd: Dec::ZERO,
        enable_breakeven: false,
        enable_partial_tp: false,
        enable_trailing: false,
        enable_time_exit: false,
        ..*s
    }
}

/// A fixed notional, rounded down to the step, with the stop and target of §5; `None` after the check
/// that failed. What the venue would refuse is refused: there is no order that small.
pub fn size(input: &SizingInput, s: &Settings, checks: &mut Checks) -> Option<Plan> {
    let ready = input.price.is_price() && input.atr.0 > 0;
    checks.note(Rule::Ready, ready, Observed::Missing, Observed::Missing).then_some(())?;
    let levels = sizing::price_levels(input, s, checks)?;
    let value = input.instrument.tick_lot_value();
    let one_lot = value.checked_mul_int(input.price.wide())?;
    let lots = Rounding::Floor.div_i128(s.off_position_usd.0, one_lot.0)?;
    let lots = Lots(i64::try_from(lots).unwrap_or(i64::MAX));
    sizing::plan(input, levels, lots, s, checks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Instrument, btcusdt};
    use crate::num::{Side, Ticks};
    use crate::signal::Confidence;

    const OFF: Settings = Settings { enable_risk_layer: false, ..Settings::DEFAULT };

    fn sized(instrument: &Instrument, equity: i64, s: &Settings) -> Result<Plan, Rule> {
        let input = SizingInput {
            side: Side::Buy,
            price: Ticks(500_000),
            atr: Dec::int(1_500),
            equity: Dec::int(equity),
            confidence: Confidence::exact(Dec::ZERO),
            multiplier: Dec::ONE,
            instrument,
            leverage: Some(125),
        };
        let mut checks = Checks::default();
        size(&input, &in_force(s), &mut checks).ok_or_else(|| checks.failure().map_or(Rule::None, |c| c.rule))
    }

    #[test]
    fn the_size_is_fixed_and_the_levels_are_those_of_the_layer() {
        let btc = btcusdt();
        for equity in [10, 10_000] {
            let plan = sized(&btc, equity, &OFF).unwrap();
            assert_eq!((plan.quantity, plan.notional), (Lots(10), Dec::int(500)));
            assert_eq!((plan.stop, plan.target), (Ticks(477_500), Ticks(556_250)));
        }
        let larger = Settings { off_position_usd: Dec::int(749), ..OFF };
        assert_eq!(sized(&btc, 1, &larger).unwrap().quantity, Lots(14), "rounded down");
        let smaller = Settings { off_position_usd: Dec::int(49), ..OFF };
        assert_eq!(sized(&btc, 1, &smaller), Err(Rule::MinQuantity));
    }

    #[test]
    fn a_size_needs_a_price_and_an_atr() {
        let btc = btcusdt();
        let refusal = |price: i64, atr: Dec| {
            let input = SizingInput {
                side: Side::Buy,
                price: Ticks(price),
                atr,
                equity: Dec::int(10_000),
                confidence: Confidence::exact(Dec::ZERO),
                multiplier: Dec::ONE,
                instrument: &btc,
                leverage: None,
            };
            let mut checks = Checks::default();
            size(&input, &in_force(&OFF), &mut checks);
            checks.failure().map(|check| check.rule)
        };
        assert_eq!(refusal(0, Dec::int(1_500)), Some(Rule::Ready));
        assert_eq!(refusal(500_000, Dec::ZERO), Some(Rule::Ready));
        // The smallest ATR still puts the stop a tick away, and so the target on the price.
        assert_eq!(refusal(500_000, Dec(1)), Some(Rule::Levels));
        assert_eq!(refusal(500_000, Dec::int(1_500)), None);
    }

    #[test]
    fn the_layer_on_leaves_every_setting_alone() {
        assert_eq!(in_force(&Settings::DEFAULT), Settings::DEFAULT);
    }

    #[test]
    fn the_layer_off_switches_off_what_limits_scales_or_moves_and_nothing_else() {
        let expected = Settings {
            enable_circuit_breaker: false,
            max_daily_dd_pct: Dec::ONE,
            max_weekly_dd_pct: Dec::ONE,
            enable_recovery_mode: false,
            enable_streak_protection: false,
            min_position_usd: Dec::ZERO,
            enable_breakeven: false,
            enable_partial_tp: false,
            enable_trailing: false,
            enable_time_exit: false,
            ..OFF
        };
        assert_eq!(in_force(&OFF), expected);
    }
}
