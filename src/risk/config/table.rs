//! The table of settings. `docs/RULES.md` has the rules they belong to.

use std::ops::Bound;

use super::bounded::{Address, BoundedText, FilePath, OrderPrefix};
use super::value::{
    Allowed, AtrSmoothing, ConsensusSet, ExitPrice, HotCore, LockMemory, OnUnknownPosition, SimStops, Value,
};
use crate::event::{Consensus, Symbol};
use crate::num::Dec;

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    pub key: Key,
    /// As in the environment, in a file and after a flag.
    pub name: &'static str,
    pub section: &'static str,
    /// Empty for a setting that counts nothing.
    pub unit: &'static str,
    pub doc: &'static str,
    pub allowed: Allowed,
    write: fn(&mut Settings, &Allowed, &str) -> Option<()>,
    print: fn(&Settings, &Allowed) -> String,
}

impl Setting {
    /// The row of that name; case matters.
    pub fn named(name: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// Reads a value into `settings`; `None`, and nothing changed, if it is not allowed.
    pub fn set(&self, settings: &mut Settings, text: &str) -> Option<()> {
        (self.write)(settings, &self.allowed, text)
    }

    /// The value as text that [`Setting::set`] reads back.
    pub fn value(&self, settings: &Settings) -> String {
        (self.print)(settings, &self.allowed)
    }
}

/// Makes the struct, its defaults and the table from the rows.
macro_rules! settings {
    ($($section:literal {
        $(
            #[doc = $doc:literal]
            $name:ident $field:ident: $type:ty = $default:expr, $allowed:expr, $unit:literal;
        )*
    })*) => {
        /// The values in force. Fractions are fractions (0.01 is 1%), money is in quote currency.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct Settings {
            $($(
                #[doc = concat!("`", stringify!($name), "` (", $unit, "):", $doc)]
                pub $field: $type,
            )*)*
        }

        impl Settings {
            pub const DEFAULT: Settings = Settings { $($($field: $default,)*)* };
        }

        /// The name of a setting, as an index into [`SETTINGS`].
        #[allow(non_camel_case_types)] // The variable's own name is the one to search for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Key {
            $($($name,)*)*
        }

        /// Every setting, in the order of the rules.
        pub static SETTINGS: &[Setting] = &[$($(
            Setting {
                key: Key::$name,
                name: stringify!($name),
                section: $section,
                unit: $unit,
                doc: $doc.trim_ascii(),
                allowed: $allowed,
                write: |settings, allowed, text| {
                    settings.$field = Value::read(text, allowed)?;
                    Some(())
                },
                print: |settings, allowed| settings.$field.print(allowed),
            },
        )*)*];
    };
}

impl Key {
    pub fn setting(self) -> &'static Setting {
        // Keys and rows are made from the same list.
        &SETTINGS[self as usize]
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings::DEFAULT
    }
}

/// A decimal in the table; one that is malformed does not compile.
#[allow(clippy::panic)] // only ever evaluated by the compiler
const fn dec(text: &str) -> Dec {
    let bytes = text.as_bytes();
    let (mut mantissa, mut places, mut fraction, mut i) = (0, 0, false, 0);
    while i < bytes.len() {
        match bytes[i] {
            b'.' if !fraction => fraction = true,
            digit @ b'0'..=b'9' => {
                mantissa = mantissa * 10 + (digit - b'0') as i64;
                places += fraction as u32;
            }
            _ => panic!("not a plain decimal"),
        }
        i += 1;
    }
    Dec::new(mantissa, places)
}

/// A text in the table; one that is too long does not compile.
#[allow(clippy::panic)] // only ever evaluated by the compiler
const fn text<const BYTES_MAX: usize>(text: &str) -> BoundedText<BYTES_MAX> {
    match BoundedText::new(text) {
        Some(text) => text,
        None => panic!("longer than the setting"),
    }
}

/// Both ends belong to it.
const fn from_to(min: &str, max: &str) -> Allowed {
    Allowed::Decimal(Bound::Included(dec(min)), Bound::Included(dec(max)))
}

/// Positive, up to and with `max`.
const fn up_to(max: &str) -> Allowed {
    Allowed::Decimal(Bound::Excluded(Dec::ZERO), Bound::Included(dec(max)))
}

const fn integer(min: i64, max: i64) -> Allowed {
    Allowed::Integer { min, max }
}

/// A share of a whole, all and nothing included.
const SHARE: Allowed = from_to("0", "1");
/// A share of a whole that is not nothing.
const POSITIVE_SHARE: Allowed = up_to("1");
/// A share of a whole that leaves something of it.
const SMALL_SHARE: Allowed = Allowed::Decimal(Bound::Included(Dec::ZERO), Bound::Excluded(Dec::ONE));
/// A share that leaves something of both parts.
const PART: Allowed = Allowed::Decimal(Bound::Excluded(Dec::ZERO), Bound::Excluded(Dec::ONE));
/// A factor on an ATR, an R or a risk.
const FACTOR: Allowed = up_to("100");
/// Hours, at most a year.
const HOURS: Allowed = up_to("8760");
/// Money: a trillion is beyond any account, and far below where a product could overflow.
const MONEY: Allowed = up_to("1000000000000");
const MONEY_OR_NONE: Allowed = from_to("0", "1000000000000");
/// Milliseconds, at most a day: what is older is not a feed.
const FEED_MS: Allowed = integer(1, 86_400_000);
const DEADLINE_MS: Allowed = integer(1, 60_000);
const LATENCY_US: Allowed = integer(0, 10_000_000);
const SWITCH: Allowed = Allowed::Bool;
const HTTP: Allowed = Allowed::Address(&["https", "http"]);
const WEBSOCKET: Allowed = Allowed::Address(&["wss", "ws"]);

settings! {
"Risk layer" {
    /// Filter, portfolio limits, sizes and moving exits; without them every signal is taken, to compare with.
    RM_ENABLE_RISK_LAYER enable_risk_layer: bool = true, SWITCH, "";
    /// Notional of every position while the risk layer is off.
    RM_OFF_POSITION_USD off_position_usd: Dec = dec("500"), MONEY, "quote currency";
}
"Signal filter" {
    /// Consensus that may trade.
    RM_MIN_CONSENSUS_TYPES min_consensus_types: ConsensusSet =
        ConsensusSet::of(&[Consensus::Unanimous, Consensus::Strong]), Allowed::ConsensusSet, "";
    /// Least confidence of a signal.
    RM_MIN_CONFIDENCE min_confidence: Dec = dec("0.7"), SHARE, "fraction";
    /// Ask for more confidence while ATR / price is above RM_MAX_ATR_RATIO.
    RM_VOLATILITY_GATE volatility_gate: bool = true, SWITCH, "";
    /// ATR / price above which volatility counts as high.
    RM_MAX_ATR_RATIO max_atr_ratio: Dec = dec("0.05"), SHARE, "fraction";
    /// Least confidence in high volatility.
    RM_HIGH_VOL_CONFIDENCE high_vol_confidence: Dec = dec("0.8"), SHARE, "fraction";
    /// Trade only with the trend: longs above the EMA, shorts below it.
    RM_REQUIRE_TREND require_trend: bool = true, SWITCH, "";
    /// How far on the wrong side of the EMA the price may be.
    RM_TREND_TOLERANCE trend_tolerance: Dec = dec("0"), SMALL_SHARE, "fraction";
    /// Symbol whose rise above its EMA makes shorts harder; empty turns the rule off.
    RM_REGIME_SYMBOL regime_symbol: Option<Symbol> = None, Allowed::SymbolOrEmpty, "";
    /// Least confidence of a short while that symbol rises.
    RM_REGIME_SHORT_CONFIDENCE regime_short_confidence: Dec = dec("0.65"), SHARE, "fraction";
    /// Least quote volume over 24 hours.
    RM_MIN_VOLUME_24H min_volume_24h: Dec = dec("1000000"), MONEY_OR_NONE, "quote currency";
    /// Widest spread, of the mid price.
    RM_MAX_SPREAD_BPS max_spread_bps: Dec = dec("50"), from_to("0", "20000"), "basis points";
    /// Least stop distance as a multiple of both fees and the spread; 0 turns the rule off.
    RM_MIN_STOP_COST min_stop_cost: Dec = dec("2"), from_to("0", "1000"), "factor";
    /// A quote older than this is stale.
    RM_MAX_DATA_AGE_MS max_data_age_ms: i64 = 5_000, FEED_MS, "ms";
    /// A feed slower than its own best by more than this is lagging.
    RM_MAX_FEED_LAG_MS max_feed_lag_ms: i64 = 500, FEED_MS, "ms";
}
"Portfolio limits" {
    /// Pause entries after a large daily loss.
    RM_ENABLE_CIRCUIT_BREAKER enable_circuit_breaker: bool = true, SWITCH, "";
    /// Daily drawdown that trips the breaker.
    RM_CIRCUIT_BREAKER_LOSS_PCT circuit_breaker_loss_pct: Dec = dec("0.05"), POSITIVE_SHARE, "fraction";
    /// How long the breaker pauses entries.
    RM_CIRCUIT_BREAKER_COOLDOWN_HOURS circuit_breaker_cooldown_hours: Dec = dec("4"), HOURS, "hours";
    /// The breaker also closes every position.
    RM_CIRCUIT_BREAKER_FLATTEN circuit_breaker_flatten: bool = false, SWITCH, "";
    /// Drawdown from the day's peak that ends the day's entries.
    RM_MAX_DAILY_DD_PCT max_daily_dd_pct: Dec = dec("0.03"), POSITIVE_SHARE, "fraction";
    /// Drawdown from the week's peak that ends the week's entries.
    RM_MAX_WEEKLY_DD_PCT max_weekly_dd_pct: Dec = dec("0.1"), POSITIVE_SHARE, "fraction";
    /// Risk less while the day is down.
    RM_ENABLE_RECOVERY_MODE enable_recovery_mode: bool = true, SWITCH, "";
    /// Daily drawdown above which recovery mode holds.
    RM_RECOVERY_THRESHOLD_PCT recovery_threshold_pct: Dec = dec("0.02"), SHARE, "fraction";
    /// What recovery mode multiplies risk by.
    RM_RECOVERY_RISK_MULT recovery_risk_mult: Dec = dec("0.5"), POSITIVE_SHARE, "factor";
    /// Most positions and pending entries at a time.
    RM_MAX_CONCURRENT_TRADES max_concurrent_trades: u32 = 4, integer(1, 32), "trades";
    /// Most notional of all positions, of equity.
    RM_MAX_EXPOSURE_PCT max_exposure_pct: Dec = dec("0.8"), up_to("125"), "fraction";
    /// Risk less after consecutive losses.
    RM_ENABLE_STREAK_PROTECTION enable_streak_protection: bool = true, SWITCH, "";
    /// Consecutive losses from which the streak counts.
    RM_LOSING_STREAK_THRESHOLD losing_streak_threshold: u32 = 3, integer(1, 1_000), "trades";
    /// What a losing streak multiplies risk by.
    RM_STREAK_RISK_REDUCTION streak_risk_reduction: Dec = dec("0.5"), POSITIVE_SHARE, "factor";
    /// Bars the correlation of returns looks back.
    RM_CORRELATION_BARS correlation_bars: u32 = 120, integer(2, 1_024), "bars";
    /// Highest correlation with an open position, signed by direction; 1 turns the rule off.
    RM_MAX_CORRELATION max_correlation: Dec = dec("0.7"), SHARE, "coefficient";
    /// Keep the day's drawdown within its limit even if every stop is hit.
    RM_ENABLE_OPEN_RISK enable_open_risk: bool = true, SWITCH, "";
}
"Position size" {
    /// Equity risked by a trade.
    RM_RISK_PER_TRADE_PCT risk_per_trade_pct: Dec = dec("0.01"), POSITIVE_SHARE, "fraction";
    /// Let confidence change the risk.
    RM_SIGNAL_QUALITY_ADJ signal_quality_adj: bool = true, SWITCH, "";
    /// What confidence of 0.85 and more multiplies risk by.
    RM_HIGH_CONF_MULT high_conf_mult: Dec = dec("1.5"), FACTOR, "factor";
    /// What confidence below 0.60 multiplies risk by.
    RM_LOW_CONF_MULT low_conf_mult: Dec = dec("0.5"), FACTOR, "factor";
    /// Least risk of a trade, before the portfolio's multipliers.
    RM_MIN_RISK_PCT min_risk_pct: Dec = dec("0.005"), SHARE, "fraction";
    /// Most risk of a trade.
    RM_MAX_RISK_PCT max_risk_pct: Dec = dec("0.015"), POSITIVE_SHARE, "fraction";
    /// Stop distance the size is computed from; must equal RM_SL_MULTIPLIER.
    RM_ATR_MULT_SL atr_mult_sl: Dec = dec("1.5"), FACTOR, "ATR";
    /// Most notional of a position, of equity.
    RM_MAX_LEVERAGE max_leverage: Dec = dec("30"), up_to("125"), "factor";
    /// Most notional of a position.
    RM_MAX_POSITION_USD max_position_usd: Dec = dec("500"), MONEY, "quote currency";
    /// Least notional of a position.
    RM_MIN_POSITION_USD min_position_usd: Dec = dec("5"), MONEY_OR_NONE, "quote currency";
}
"Exits" {
    /// Distance of the stop.
    RM_SL_MULTIPLIER sl_multiplier: Dec = dec("1.5"), FACTOR, "ATR";
    /// Distance of the target; must equal RM_TARGET_RR × RM_SL_MULTIPLIER.
    RM_TP_MULTIPLIER tp_multiplier: Dec = dec("3.75"), up_to("10000"), "ATR";
    /// Reward to risk.
    RM_TARGET_RR target_rr: Dec = dec("2.5"), FACTOR, "R";
    /// Move the stop behind the entry once the trade is ahead.
    RM_ENABLE_BREAKEVEN enable_breakeven: bool = true, SWITCH, "";
    /// Profit at which it moves.
    RM_BREAKEVEN_AT_R breakeven_at_r: Dec = dec("1"), FACTOR, "R";
    /// How far beyond the entry it moves.
    RM_BREAKEVEN_OFFSET_PCT breakeven_offset_pct: Dec = dec("0.001"), SMALL_SHARE, "fraction";
    /// Close a part on the way to the target.
    RM_ENABLE_PARTIAL_TP enable_partial_tp: bool = true, SWITCH, "";
    /// Profit at which the part is closed.
    RM_PARTIAL_TP_AT_R partial_tp_at_r: Dec = dec("2"), FACTOR, "R";
    /// Part of the filled quantity that is closed.
    RM_PARTIAL_TP_PERCENT partial_tp_percent: Dec = dec("0.5"), PART, "fraction";
    /// Let the stop follow the best price.
    RM_ENABLE_TRAILING enable_trailing: bool = true, SWITCH, "";
    /// Profit from which it follows.
    RM_TRAILING_START_R trailing_start_r: Dec = dec("2"), FACTOR, "R";
    /// Distance at which it follows.
    RM_TRAILING_DISTANCE_ATR trailing_distance_atr: Dec = dec("1"), FACTOR, "ATR";
    /// Close a trade that gets nowhere.
    RM_ENABLE_TIME_EXIT enable_time_exit: bool = true, SWITCH, "";
    /// How long a trade may stay below half an R.
    RM_MAX_HOURS_NO_PROGRESS max_hours_no_progress: Dec = dec("24"), HOURS, "hours";
    /// The price exits are tested against: what the book would pay, the last trade, or the mark.
    RM_EXIT_PRICE exit_price: ExitPrice = ExitPrice::Book, Allowed::Words(ExitPrice::WORDS), "";
}
"Indicators" {
    /// How true ranges are averaged.
    RM_ATR_SMOOTHING atr_smoothing: AtrSmoothing =
        AtrSmoothing::Wilder, Allowed::Words(AtrSmoothing::WORDS), "";
    /// Period of the trend's EMA.
    RM_EMA_PERIOD ema_period: u32 = 200, integer(2, 1_000), "bars";
    /// Period of the ATR.
    RM_ATR_PERIOD atr_period: u32 = 14, integer(1, 1_000), "bars";
    /// Period of the exits' ATR; must equal RM_ATR_PERIOD.
    RM_EXIT_ATR_PERIOD exit_atr_period: u32 = 14, integer(1, 1_000), "bars";
}
"Logs" {
    /// Approved and rejected signals.
    RM_LOG_TRADE_DECISIONS log_trade_decisions: bool = true, SWITCH, "";
    /// The rule that rejected, with its values.
    RM_LOG_FILTER_REJECTIONS log_filter_rejections: bool = true, SWITCH, "";
    /// How a size came about.
    RM_LOG_POSITION_SIZING log_position_sizing: bool = true, SWITCH, "";
    /// Exits and stop moves.
    RM_LOG_EXIT_DECISIONS log_exit_decisions: bool = true, SWITCH, "";
    /// Closed bars, with ATR and EMA.
    RM_LOG_MARKET_DATA log_market_data: bool = true, SWITCH, "";
    /// The votes behind a signal.
    RM_LOG_SIGNAL_BREAKDOWN log_signal_breakdown: bool = true, SWITCH, "";
    /// Equity, drawdown and limits.
    RM_LOG_RISK_METRICS log_risk_metrics: bool = true, SWITCH, "";
    /// Write trade_decisions.log beside the journal.
    RM_LOG_TO_FILE log_to_file: bool = true, SWITCH, "";
    /// Database to write decisions to.
    RM_LOG_TO_DATABASE log_to_database: bool =
        false, Allowed::Empty("this version has no database to write to"), "";
}
"Votes" {
    /// Weight of the XGBoost vote.
    QT_WEIGHT_XGBOOST weight_xgboost: Dec = dec("0.25"), SHARE, "weight";
    /// Weight of the LightGBM vote.
    QT_WEIGHT_LIGHTGBM weight_lightgbm: Dec = dec("0.25"), SHARE, "weight";
    /// Weight of the N-HiTS vote.
    QT_WEIGHT_NHITS weight_nhits: Dec = dec("0.3"), SHARE, "weight";
    /// Weight of the PatchTST vote.
    QT_WEIGHT_PATCHTST weight_patchtst: Dec = dec("0.2"), SHARE, "weight";
}
"Market and venue" {
    /// Length of a bar.
    QT_BAR_INTERVAL bar_interval_s: u32 = 900, Allowed::BarInterval, "";
    /// Leverage set at the venue.
    QT_VENUE_LEVERAGE venue_leverage: u32 = 5, integer(1, 125), "factor";
    /// Fee of a market order where the venue does not state one.
    QT_TAKER_FEE taker_fee: Dec = dec("0.0005"), SMALL_SHARE, "fraction";
    /// By when a position that acknowledged stops do not cover is closed.
    QT_PROTECTION_DEADLINE_MS protection_deadline_ms: i64 = 1_500, DEADLINE_MS, "ms";
    /// How long a resting stop may take to trigger before the engine closes.
    QT_STOP_GRACE_MS stop_grace_ms: i64 = 250, DEADLINE_MS, "ms";
    /// What is done with a position that fills of ours do not explain, or with the part they do not.
    QT_ON_UNKNOWN_POSITION on_unknown_position: OnUnknownPosition =
        OnUnknownPosition::Halt, Allowed::Words(OnUnknownPosition::WORDS), "";
    /// Time between timer events.
    QT_TIMER_MS timer_ms: i64 = 100, integer(1, 1_000), "ms";
}
"Gateway" {
    /// Most notional of an order that adds risk, whatever the engine asks for.
    QT_GATE_MAX_ORDER_USD gate_max_order_usd: Dec = dec("1000"), MONEY, "quote currency";
    /// Most notional a position may reach with all that is pending.
    QT_GATE_MAX_POSITION_USD gate_max_position_usd: Dec = dec("1000"), MONEY, "quote currency";
    /// Most orders in a minute; those that add risk get half of it.
    QT_GATE_MAX_ORDERS_PER_MINUTE gate_max_orders_per_minute: u32 = 600, integer(2, 10_000), "orders";
    /// How far the price of a decision may be from the market's for an order that adds risk.
    QT_GATE_PRICE_COLLAR_PCT gate_price_collar_pct: Dec = dec("0.05"), POSITIVE_SHARE, "fraction";
}
"Connections" {
    /// What the client ids of our orders begin with: one for each engine on an account.
    QT_ORDER_PREFIX order_prefix: OrderPrefix = text("qt"), Allowed::Prefix, "";
    /// Time between questions for the venue's clock, by which requests are stamped.
    QT_TIME_SYNC_S time_sync_s: u32 = 5, integer(1, 3_600), "s";
    /// REST interface.
    QT_BINANCE_REST_URL binance_rest_url: Address = text("https://fapi.binance.com"), HTTP, "";
    /// Order book streams.
    QT_BINANCE_PUBLIC_URL binance_public_url: Address = text("wss://fstream.binance.com/public"), WEBSOCKET, "";
    /// All other market streams.
    QT_BINANCE_MARKET_URL binance_market_url: Address = text("wss://fstream.binance.com/market"), WEBSOCKET, "";
    /// User stream.
    QT_BINANCE_PRIVATE_URL binance_private_url: Address =
        text("wss://fstream.binance.com/private"), WEBSOCKET, "";
    /// Order entry.
    QT_BINANCE_API_URL binance_api_url: Address =
        text("wss://ws-fapi.binance.com/ws-fapi/v1"), WEBSOCKET, "";
    /// How often orders, fills, wallet and positions are asked for while nothing seems to be missing.
    QT_RECONCILE_S reconcile_s: i64 = 15, integer(1, 3_600), "s";
    /// Certificate authorities that may vouch for these servers (PEM); empty for the public ones.
    QT_CA_FILE ca_file: FilePath = text(""), Allowed::PathOrEmpty, "";
}
"Simulated venue" {
    /// Wallet at the start.
    QT_SIM_EQUITY sim_equity: Dec = dec("10000"), MONEY, "quote currency";
    /// From sending an order to its arrival.
    QT_SIM_ORDER_LATENCY_US sim_order_latency_us: i64 = 1_500, LATENCY_US, "µs";
    /// From an execution to the arrival of its report.
    QT_SIM_REPORT_LATENCY_US sim_report_latency_us: i64 = 1_500, LATENCY_US, "µs";
    /// Most that is added to either at random.
    QT_SIM_LATENCY_JITTER_US sim_latency_jitter_us: i64 = 500, LATENCY_US, "µs";
    /// What becomes of stops, to see the engine without them; needs the venue behind sockets.
    QT_SIM_STOPS sim_stops: SimStops = SimStops::Accept, Allowed::Words(SimStops::WORDS), "";
}
"Buffers" {
    /// Longest frame taken from a connection.
    QT_MAX_FRAME_BYTES max_frame_bytes: u32 = 65_536, integer(1_024, 65_536), "bytes";
    /// Records the journal's ring holds.
    QT_RING_SLOTS ring_slots: u32 = 65_536, Allowed::PowerOfTwo { min: 4_096, max: 16_777_216 }, "records";
    /// Share of the ring that may wait for the archive before nothing new is entered.
    QT_RING_REDUCE_PCT ring_reduce_pct: u32 = 50, integer(1, 100), "percent";
}
"Journal" {
    /// Longest a record in the archive waits for the disk.
    QT_SYNC_MS sync_ms: u32 = 50, integer(1, 10_000), "ms";
    /// Compress segments of the archive once they are closed.
    QT_COMPRESS compress: bool = true, SWITCH, "";
    /// Size of the archive above which its oldest segments are removed, as far as snapshots allow; 0 for none.
    QT_ARCHIVE_MAX_MB archive_max_mb: u32 = 0, integer(0, 1_000_000_000), "MB";
    /// Age, before the newest record, above which segments are removed, as far as snapshots allow; 0 for none.
    QT_ARCHIVE_MAX_DAYS archive_max_days: u32 = 0, integer(0, 36_500), "days";
}
"Host" {
    /// Core the hot thread is pinned to; auto is the last one the process may use.
    QT_HOT_CORE hot_core: HotCore = HotCore::Auto, Allowed::HotCore, "";
    /// Real-time priority of the hot thread (SCHED_FIFO); 0 leaves it an ordinary one.
    QT_REALTIME_PRIORITY realtime_priority: u32 = 0, integer(0, 99), "";
    /// Keep the process's memory from being paged out; with try a refusal is a warning.
    QT_MLOCK mlock: LockMemory = LockMemory::Try, Allowed::Words(LockMemory::WORDS), "";
}
}

#[cfg(test)]
mod tests {
    use super::{Dec, dec};

    #[test]
    fn decimals_of_the_table_are_plain_and_malformed_ones_end_the_compilation() {
        assert_eq!((dec("0.25"), dec("1000")), (Dec::new(25, 2), Dec::int(1_000)));
        for malformed in ["0.2.5", "-1", "1e3", " 1"] {
            assert!(std::panic::catch_unwind(|| dec(malformed)).is_err(), "{malformed:?}");
        }
    }
}
