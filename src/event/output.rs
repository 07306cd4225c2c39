//! What the engine says beside orders: decisions, exits, closed trades, limits, equity.

use bytemuck::{CheckedBitPattern, NoUninit};

use super::{AlarmKind, Consensus, ExitSignal, Limit, Rule, Seat, StopMove, TradeState, TradingState};
use crate::num::{Dec, Lots, Millis, OrderId, Side, Size, Ticks, TimeNs};

/// A judged signal. Observed value and threshold are those of the rule that failed; the digest
/// covers the observed values of every rule that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Decision {
    /// Rejected: of the failing rule. Approved: the ATR sized with.
    pub observed: Dec,
    /// Rejected: of the failing rule. Approved: equity at the decision.
    pub threshold: Dec,
    pub digest: u64,
    /// Entry order of the trade; none when rejected.
    pub order: OrderId,
    pub quantity: Lots,
    pub price: Ticks,
    pub stop: Ticks,
    pub target: Ticks,
    /// Parts per million, for the log; the exact value is in the digest.
    pub confidence_ppm: u32,
    /// Multiplier the controller applied to the risk, parts per million.
    pub risk_multiplier_ppm: u32,
    pub rule: Rule,
    pub side: Side,
    pub consensus: Consensus,
    pub approved: bool,
    pub pad: [u8; 4],
}

const _: () = assert!(size_of::<Decision>() == 96, "the decision is one record");

/// Levels after a fill of an entry.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct EntryFilled {
    pub entry: Dec,
    pub trade: OrderId,
    /// Filled so far.
    pub quantity: Lots,
    pub stop: Ticks,
    pub target: Ticks,
    pub side: Side,
    pub pad: [u8; 15],
}

/// An exit rule fired.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct ExitFired {
    /// R at the price tested.
    pub r: Dec,
    pub trade: OrderId,
    pub quantity: Lots,
    /// The price tested.
    pub price: Ticks,
    pub signal: ExitSignal,
    pub side: Side,
    pub pad: [u8; 6],
}

/// The protective stop moved in the position's favour.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct StopMoved {
    pub trade: OrderId,
    pub stop: Ticks,
    pub previous: Ticks,
    pub kind: StopMove,
    pub side: Side,
    pub pad: [u8; 6],
}

/// A trade's state changed.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct TradeChanged {
    pub trade: OrderId,
    pub from: TradeState,
    pub to: TradeState,
    pub pad: [u8; 6],
}

/// The account of a finished trade. Money is in quote currency; R is the initial risk.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct TradeClosed {
    /// Net of fees and funding.
    pub pnl: Dec,
    pub fees: Dec,
    /// Positive is received.
    pub funding: Dec,
    /// Against decision prices; positive is worse.
    pub slippage: Dec,
    pub r_multiple: Dec,
    /// Best excursion while open, in R, ≥ 0.
    pub mfe: Dec,
    /// Worst excursion while open, in R, ≥ 0.
    pub mae: Dec,
    /// Average prices.
    pub entry: Dec,
    pub exit: Dec,
    pub trade: OrderId,
    pub quantity: Lots,
    pub opened_ns: TimeNs,
    pub closed_ns: TimeNs,
    /// Best and worst price tested while open.
    pub best: Ticks,
    pub worst: Ticks,
    pub state: TradeState,
    pub signal: ExitSignal,
    pub side: Side,
    pub consensus: Consensus,
    pub pad: [u8; 12],
}

/// A position, or a part of it, no longer lacks an acknowledged stop.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Protected {
    pub trade: OrderId,
    /// From the fill received to the stop acknowledged, or the position closed.
    pub unprotected_ns: i64,
    /// False when the position was closed instead.
    pub by_stop: bool,
    /// The whole position had no stop; false where one stood, but for less than the position.
    pub whole: bool,
    pub pad: [u8; 6],
}

/// The trading state changed.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct TradingStateChanged {
    pub from: TradingState,
    pub to: TradingState,
    pub cause: AlarmKind,
    pub pad: [u8; 5],
}

/// A limit latched, tripped or lifted.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct LimitChanged {
    pub observed: Dec,
    pub threshold: Dec,
    /// Entries are refused until then; 0 when it has no end of its own.
    pub until_ns: TimeNs,
    pub limit: Limit,
    pub active: bool,
    pub pad: [u8; 6],
}

/// Equity and drawdowns.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Equity {
    pub equity: Dec,
    pub wallet: Dec,
    /// Fractions of the day's and the week's peak.
    pub daily_drawdown: Dec,
    pub weekly_drawdown: Dec,
    pub exposure: Dec,
    pub open_positions: u32,
    pub pending_entries: u32,
    pub pad: [u8; 8],
}

/// Something the operator must know.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Alarm {
    pub order: OrderId,
    /// Depends on the kind: an error code, milliseconds, lots.
    pub value: i64,
    pub kind: AlarmKind,
    pub pad: [u8; 7],
}

/// A bar closed; the indicators after it.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct BarClosed {
    /// Zero until enough bars.
    pub atr: Dec,
    /// Zero until enough bars.
    pub ema: Dec,
    pub open_ms: Millis,
    pub open: Ticks,
    pub high: Ticks,
    pub low: Ticks,
    pub close: Ticks,
    pub volume: Size,
    pub trades: u32,
    /// Flat bars filled in before this one.
    pub flat_before: u32,
    pub taker_buy_volume: Size,
}

const _: () = assert!(Seat::ALL.len() == super::SEATS);
