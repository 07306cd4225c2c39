//! Kinds of paths: the settings each is run with, and what its steps are steered at. Numbers are
//! coarse, so that thresholds are hit and not only passed.

use quantum_trader::event::{Consensus, Symbol};
use quantum_trader::num::Dec;
use quantum_trader::risk::config::{ConsensusSet, ExitPrice, Settings};
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use crate::lines::Listed;

pub struct Dice(Pcg64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(Pcg64::seed_from_u64(seed))
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.0.next_u64() % (high - low + 1) as u64) as i64
    }

    pub fn percent(&mut self, chance: i64) -> bool {
        self.between(1, 100) <= chance
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.between(0, of.len() as i64 - 1) as usize].clone()
    }

    /// One of them, each as often as its weight says.
    pub fn weighted<T: Clone>(&mut self, of: &[(i64, T)]) -> T {
        let mut draw = self.between(1, of.iter().map(|(weight, _)| weight).sum());
        let found = of.iter().find(|(weight, _)| {
            draw -= weight;
            draw <= 0
        });
        found.unwrap().1.clone()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Signals at and beyond the thresholds of the filter.
    Filter,
    /// Small accounts, wide stops: levels, liquidation, minimums, caps, factors on risk.
    Size,
    /// Losing trades: recovery, streak, daily limit.
    Losses,
    /// The week's limit, where the day's is wide.
    Weeks,
    /// The breaker, its pause and its closing.
    Breaker,
    /// Many trades at a time: positions, count, exposure, open risk.
    Crowd,
    /// Bars that move together, apart or not at all.
    Correlated,
    /// The operator, and faults.
    States,
    /// Trades that live long.
    Exits,
}

impl Family {
    pub const ALL: [Family; 9] = [
        Family::Filter,
        Family::Size,
        Family::Losses,
        Family::Weeks,
        Family::Breaker,
        Family::Crowd,
        Family::Correlated,
        Family::States,
        Family::Exits,
    ];
}

pub const SYMBOLS: [&str; 4] = ["AUSDT", "BUSDT", "CUSDT", "DUSDT"];

pub fn rows() -> Vec<Listed> {
    let usual = Listed {
        symbol: SYMBOLS[0],
        tick: "1",
        step: "0.1",
        min_qty: "0.2",
        max_qty: None,
        min_notional: "5",
        taker_fee: "0",
        maintenance_margin: "0",
        leverage: None,
    };
    vec![
        usual.clone(),
        Listed {
            symbol: SYMBOLS[1],
            tick: "0.5",
            step: "0.01",
            min_qty: "0.01",
            taker_fee: "0.001",
            leverage: Some(5),
            ..usual.clone()
        },
        Listed {
            symbol: SYMBOLS[2],
            tick: "0.25",
            step: "1",
            min_qty: "1",
            taker_fee: "0.0005",
            maintenance_margin: "0.005",
            leverage: Some(3),
            ..usual.clone()
        },
        Listed {
            symbol: SYMBOLS[3],
            step: "1",
            min_qty: "0.5",
            max_qty: Some("40"),
            min_notional: "100",
            leverage: Some(10),
            ..usual
        },
    ]
}

fn d(value: i64, places: u32) -> Dec {
    Dec::new(value, places)
}

/// What every family draws from.
fn usual(dice: &mut Dice) -> Settings {
    let (stop, reward) =
        dice.pick(&[(d(15, 1), d(25, 1)), (Dec::int(2), Dec::int(2)), (Dec::ONE, Dec::int(2))]);
    Settings {
        bar_interval_s: (crate::desk::BAR_MS / 1_000) as u32,
        ema_period: 1_000,
        correlation_bars: 8,
        max_correlation: Dec::ONE,
        min_volume_24h: Dec::int(100),
        max_spread_bps: Dec::int(400),
        max_atr_ratio: d(10, 2),
        trend_tolerance: dice.pick(&[Dec::ZERO, d(5, 2)]),
        require_trend: dice.percent(70),
        min_stop_cost: dice.pick(&[Dec::ZERO, Dec::int(2)]),
        max_position_usd: dice.pick(&[Dec::int(2_000), Dec::int(6_000), Dec::int(1_000_000)]),
        max_exposure_pct: dice.pick(&[d(8, 1), Dec::int(3), Dec::int(20)]),
        max_daily_dd_pct: dice.pick(&[d(3, 2), d(5, 2)]),
        atr_mult_sl: stop,
        sl_multiplier: stop,
        target_rr: reward,
        tp_multiplier: stop.mul(reward, quantum_trader::num::Rounding::Floor).unwrap(),
        breakeven_at_r: dice.pick(&[Dec::ONE, d(5, 1)]),
        breakeven_offset_pct: dice.pick(&[Dec::ZERO, d(1, 3), d(1, 2)]),
        partial_tp_at_r: dice.pick(&[Dec::int(2), Dec::ONE, d(5, 1)]),
        partial_tp_percent: dice.pick(&[d(5, 1), d(3, 1)]),
        trailing_start_r: dice.pick(&[Dec::ONE, Dec::int(2), d(5, 1)]),
        trailing_distance_atr: dice.pick(&[Dec::ONE, d(5, 1)]),
        max_hours_no_progress: dice.pick(&[Dec::ONE, Dec::int(24)]),
        exit_price: dice.pick(&[ExitPrice::Book, ExitPrice::Book, ExitPrice::Last, ExitPrice::Mark]),
        ..Settings::DEFAULT
    }
}

pub fn settings(family: Family, dice: &mut Dice) -> Settings {
    let base = usual(dice);
    match family {
        Family::Filter => Settings {
            regime_symbol: if dice.percent(50) { Symbol::new(SYMBOLS[0]) } else { None },
            min_confidence: dice.pick(&[d(7, 1), d(5, 1)]),
            min_consensus_types: ConsensusSet::of(if dice.percent(50) {
                &[Consensus::Unanimous]
            } else {
                &[Consensus::Unanimous, Consensus::Strong]
            }),
            min_stop_cost: Dec::int(2),
            require_trend: true,
            ..base
        },
        Family::Size => Settings {
            min_confidence: d(4, 1),
            volatility_gate: false,
            require_trend: false,
            min_stop_cost: Dec::ZERO,
            min_position_usd: dice.pick(&[Dec::ZERO, Dec::int(5), Dec::int(20), Dec::int(60), Dec::int(100)]),
            max_leverage: dice.pick(&[Dec::int(30), d(5, 1), d(1, 1)]),
            risk_per_trade_pct: dice.pick(&[d(1, 2), d(5, 3), d(2, 3)]),
            min_risk_pct: dice.pick(&[Dec::ZERO, d(5, 3), d(8, 3)]),
            max_risk_pct: dice.pick(&[d(1, 2), d(8, 3), d(15, 3)]),
            enable_open_risk: false,
            ..base
        },
        Family::Losses => Settings {
            losing_streak_threshold: dice.pick(&[1, 2, 3]),
            recovery_threshold_pct: dice.pick(&[d(1, 2), d(2, 2), Dec::ZERO]),
            circuit_breaker_loss_pct: d(10, 2),
            ..base
        },
        Family::Weeks => Settings {
            max_daily_dd_pct: dice.pick(&[d(20, 2), Dec::ONE]),
            max_weekly_dd_pct: dice.pick(&[d(4, 2), d(10, 2)]),
            enable_circuit_breaker: false,
            ..base
        },
        Family::Breaker => Settings {
            circuit_breaker_flatten: dice.percent(70),
            circuit_breaker_loss_pct: dice.pick(&[d(1, 2), d(1, 3), d(2, 2)]),
            circuit_breaker_cooldown_hours: dice.pick(&[d(5, 1), Dec::int(4), Dec::int(24)]),
            max_daily_dd_pct: dice.pick(&[d(20, 2), Dec::ONE]),
            max_weekly_dd_pct: Dec::ONE,
            ..base
        },
        Family::Crowd => Settings {
            max_concurrent_trades: dice.pick(&[2, 3, 4]),
            max_exposure_pct: dice.pick(&[d(4, 1), d(6, 1), d(8, 1), Dec::int(3)]),
            max_position_usd: dice.pick(&[Dec::int(2_000), Dec::int(1_000_000)]),
            max_daily_dd_pct: dice.pick(&[d(2, 2), d(3, 2)]),
            min_stop_cost: Dec::ZERO,
            ..base
        },
        Family::Correlated => Settings {
            max_correlation: dice.pick(&[Dec::ZERO, d(5, 1), d(7, 1)]),
            max_exposure_pct: Dec::int(20),
            max_daily_dd_pct: d(20, 2),
            ..base
        },
        Family::States => Settings { max_exposure_pct: Dec::int(20), ..base },
        Family::Exits => Settings {
            max_exposure_pct: Dec::int(20),
            max_daily_dd_pct: d(20, 2),
            enable_circuit_breaker: false,
            ..base
        },
    }
}
