//! What must hold between settings.

use super::table::Key::{self, *};
use super::{ConfigError, Given, Loaded, Settings};
use crate::num::{Dec, Rounding};

struct Check {
    settings: &'static [Key],
    rule: &'static str,
    holds: fn(&Settings) -> bool,
}

static CHECKS: &[Check] = &[
    Check {
        settings: &[RM_ATR_MULT_SL, RM_SL_MULTIPLIER],
        rule: "must be equal, or a position would not risk what its size says",
        holds: |s| s.atr_mult_sl == s.sl_multiplier,
    },
    Check {
        settings: &[RM_TP_MULTIPLIER, RM_TARGET_RR, RM_SL_MULTIPLIER],
        rule: "the first must be the product of the others",
        // Six places times six places is exact in eighteen.
        holds: |s| s.target_rr.mul(s.sl_multiplier, Rounding::Floor) == Some(s.tp_multiplier),
    },
    Check {
        settings: &[RM_EXIT_ATR_PERIOD, RM_ATR_PERIOD],
        rule: "must be equal, or exits would measure with another ATR than the size",
        holds: |s| s.exit_atr_period == s.atr_period,
    },
    Check {
        settings: &[RM_MIN_RISK_PCT, RM_MAX_RISK_PCT],
        rule: "the first must not exceed the second",
        holds: |s| s.min_risk_pct <= s.max_risk_pct,
    },
    Check {
        settings: &[RM_MIN_POSITION_USD, RM_MAX_POSITION_USD],
        rule: "the first must not exceed the second",
        holds: |s| s.min_position_usd <= s.max_position_usd,
    },
    Check {
        settings: &[RM_MAX_POSITION_USD, QT_GATE_MAX_ORDER_USD, QT_GATE_MAX_POSITION_USD],
        rule: "the first must not exceed the others, or the gateway would refuse what the engine decides",
        holds: |s| {
            s.max_position_usd <= s.gate_max_order_usd && s.max_position_usd <= s.gate_max_position_usd
        },
    },
    Check {
        settings: &[RM_OFF_POSITION_USD, QT_GATE_MAX_ORDER_USD, QT_GATE_MAX_POSITION_USD],
        rule: "with the risk layer off the first must not exceed the others, or the gateway would refuse it",
        holds: |s| {
            s.enable_risk_layer
                || (s.off_position_usd <= s.gate_max_order_usd
                    && s.off_position_usd <= s.gate_max_position_usd)
        },
    },
    Check {
        settings: &[QT_WEIGHT_XGBOOST, QT_WEIGHT_LIGHTGBM, QT_WEIGHT_NHITS, QT_WEIGHT_PATCHTST],
        rule: "at least one weight must be above 0",
        holds: |s| {
            [s.weight_xgboost, s.weight_lightgbm, s.weight_nhits, s.weight_patchtst]
                .iter()
                .any(|weight| *weight > Dec::ZERO)
        },
    },
];

/// The first rule between settings that is broken.
pub(super) fn consistent(loaded: &Loaded) -> Result<(), ConfigError> {
    let Some(broken) = CHECKS.iter().find(|check| !(check.holds)(&loaded.settings)) else { return Ok(()) };
    let given = |key: &Key| Given {
        name: key.setting().name,
        value: key.setting().value(&loaded.settings),
        from: loaded.source(*key).clone(),
    };
    Err(ConfigError::Conflict { settings: broken.settings.iter().map(given).collect(), rule: broken.rule })
}
