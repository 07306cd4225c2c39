//! The tables. `docs/EXPORT.md` is made of what stands here.

use super::schema::{COLUMNS_MAX, Cells, Column, Hash, Json, Row, Schema, Value, VenueTime, Word, row};
use crate::event::Symbol;
use crate::num::{Dec, OrderId, TimeNs};

/// A table of an export; one file in each format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    Events,
    Decisions,
    Orders,
    Fills,
    Trades,
    Equity,
    Bars,
}

impl Table {
    pub const ALL: [Table; 7] = [
        Table::Events,
        Table::Decisions,
        Table::Orders,
        Table::Fills,
        Table::Trades,
        Table::Equity,
        Table::Bars,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Table::Events => "events",
            Table::Decisions => "decisions",
            Table::Orders => "orders",
            Table::Fills => "fills",
            Table::Trades => "trades",
            Table::Equity => "equity",
            Table::Bars => "bars",
        }
    }

    pub fn parse(text: &str) -> Option<Table> {
        Table::ALL.into_iter().find(|table| table.as_str() == text)
    }

    pub const fn schema(self) -> Schema {
        match self {
            Table::Events => EventRow::SCHEMA,
            Table::Decisions => DecisionRow::SCHEMA,
            Table::Orders => OrderRow::SCHEMA,
            Table::Fills => FillRow::SCHEMA,
            Table::Trades => TradeRow::SCHEMA,
            Table::Equity => EquityRow::SCHEMA,
            Table::Bars => BarRow::SCHEMA,
        }
    }
}

row! {
    /// Every entry of the journal: what came in, and what the engine said to it.
    Events => EventRow {
        /// Number of the entry's first record, from 1
        sequence: u64,
        /// When the event was received; an output has its event's time
        recv_ns: TimeNs,
        /// Kind of the entry, as `qtx journal dump` calls it
        kind: Word,
        /// An output of the engine, not an event
        output: bool,
        /// Of an output: the last of its event. Outputs behind the last commit of a cut journal never took
        /// effect
        commit: Option<bool>,
        /// Instrument it concerns
        symbol: Option<Symbol>,
        /// Everything else: `fields` of `qtx journal dump --json`, an object whose decimals are texts
        payload: Json,
    }
}

row! {
    /// Each signal that was judged, approved or rejected.
    Decisions => DecisionRow {
        /// Number of the journal entry
        sequence: u64,
        /// When
        recv_ns: TimeNs,
        /// Instrument
        symbol: Symbol,
        /// LONG or SHORT
        side: Word,
        /// Every rule passed
        approved: bool,
        /// The first rule that failed, by its name in RULES; none if approved
        rule: Option<Word>,
        /// What that rule saw, in the rule's own unit
        observed: Option<Dec>,
        /// What it asks for
        threshold: Option<Dec>,
        /// Of the votes: WEAK, SPLIT, STRONG or UNANIMOUS
        consensus: Word,
        /// Of the signal, 0 to 1, cut off behind the sixth place
        confidence: Dec,
        /// What the portfolio multiplies the risk by, cut off behind the sixth place
        risk_multiplier: Dec,
        /// Price it was decided at, in quote currency; none before the first price
        price: Option<Dec>,
        /// The trade, by the client order id of its entry; if approved, as all that follow
        trade: OrderId,
        /// In base currency
        quantity: Option<Dec>,
        /// Stop planned, in quote currency
        stop: Option<Dec>,
        /// Target planned, in quote currency
        target: Option<Dec>,
        /// Price × quantity, in quote currency
        notional: Option<Dec>,
        /// Quantity × distance to the stop: lost if it fills at its level, in quote currency, before costs
        risk: Option<Dec>,
        /// ATR it was sized with, in quote currency
        atr: Option<Dec>,
        /// Equity at the decision, in quote currency
        equity: Option<Dec>,
        /// Hash over what every rule saw that was looked at
        digest: Hash,
    }
}

row! {
    /// Each order sent, and what became of it by the end of what was read. In the order in which they ended,
    /// those still open last.
    Orders => OrderRow {
        /// Number of the journal entry that sent it
        sequence: u64,
        /// When it was handed over
        sent_ns: TimeNs,
        /// Instrument
        symbol: Symbol,
        /// Client order id
        order: OrderId,
        /// The trade it belongs to, by the client order id of its entry
        trade: OrderId,
        /// Entry, Stop (the protective one that rests at the venue) or Exit
        purpose: Word,
        /// BUY or SELL
        side: Word,
        /// Market or StopMarket
        kind: Word,
        /// In base currency
        quantity: Option<Dec>,
        /// Of a stop: the price that triggers it, in quote currency
        trigger: Option<Dec>,
        /// Of a stop: whose price that is, ContractPrice or MarkPrice
        working_type: Option<Word>,
        /// Price the order was decided at, in quote currency
        reference: Option<Dec>,
        /// May only make the position smaller
        reduce_only: bool,
        /// When the venue first said that it has it: accepted, triggered or filled
        acknowledged_ns: Option<TimeNs>,
        /// When a cancel was first sent
        cancel_ns: Option<TimeNs>,
        /// When the word came that ended it
        ended_ns: Option<TimeNs>,
        /// Sent, Working, Triggered, Unknown, Filled, Canceled, Expired or Rejected: as the engine has it, for which
        /// one that the venue does not know a minute after it was sent is gone
        state: Word,
        /// Filled of it, in base currency
        filled: Option<Dec>,
        /// Average price of its fills, in quote currency, rounded half to even at 18 places
        average_price: Option<Dec>,
        /// Fees of its fills, in quote currency; negative is a rebate
        fees: Dec,
        /// Why it was rejected: the venue's error code (negative) or the gateway's (positive)
        code: Option<i32>,
        /// The venue's own number of it
        venue_id: Option<i64>,
    }
}

row! {
    /// Each fill the venue spoke of.
    Fills => FillRow {
        /// Number of the journal entry
        sequence: u64,
        /// When it was received
        recv_ns: TimeNs,
        /// Instrument
        symbol: Symbol,
        /// Client order id; none if the venue closed the position
        order: OrderId,
        /// The trade, by the client order id of its entry; none where it is not known, or over
        trade: OrderId,
        /// What the order was for: Entry, Stop or Exit
        purpose: Option<Word>,
        /// BUY or SELL
        side: Word,
        /// In quote currency
        price: Option<Dec>,
        /// In base currency
        quantity: Option<Dec>,
        /// Price × quantity, in quote currency
        notional: Option<Dec>,
        /// Fee paid, in quote currency; negative is a rebate
        fee: Dec,
        /// It rested in the book
        maker: bool,
        /// Order, Liquidation, Adl, Settlement, or Assumed: where no venue is, or where its position says so
        cause: Word,
        /// The venue's number of the trade, unique within an instrument
        venue_trade_id: i64,
        /// The engine's books took it, or a part of it. False for one told again after a reconnect, for what cannot be, and for what was left alone
        applied: bool,
        /// Of an exit: result by average cost, in quote currency, before fees and funding, rounded as venues do
        realised: Option<Dec>,
        /// The venue's time of it
        event_ms: VenueTime,
    }
}

row! {
    /// Each closed trade, and its account.
    Trades => TradeRow {
        /// Number of the journal entry
        sequence: u64,
        /// When it was closed, as the journal has it
        recv_ns: TimeNs,
        /// Instrument
        symbol: Symbol,
        /// The trade, by the client order id of its entry
        trade: OrderId,
        /// LONG or SHORT
        side: Word,
        /// End state, such as CLOSED_SL
        state: Word,
        /// What closed it, such as STOP_LOSS
        signal: Word,
        /// Of the signal it came from
        consensus: Word,
        /// Everything that was entered, in base currency
        quantity: Option<Dec>,
        /// Average price, in quote currency
        entry: Dec,
        /// Average price, in quote currency
        exit: Dec,
        /// Result net of fees and funding, in quote currency
        pnl: Dec,
        /// Paid, in quote currency
        fees: Dec,
        /// Received, in quote currency; negative is paid
        funding: Dec,
        /// Against the prices the orders were decided at, in quote currency; positive is worse
        slippage: Dec,
        /// pnl in units of the initial risk
        r_multiple: Dec,
        /// Best excursion while open, in R, at least 0
        mfe: Dec,
        /// Worst excursion while open, in R, at least 0
        mae: Dec,
        /// Best price tested while open, in quote currency
        best: Option<Dec>,
        /// Worst price tested while open, in quote currency
        worst: Option<Dec>,
        /// First fill of the entry
        opened_ns: TimeNs,
        /// Last fill
        closed_ns: TimeNs,
    }
}

row! {
    /// Equity and drawdowns, once a second while they change.
    Equity => EquityRow {
        /// Number of the journal entry
        sequence: u64,
        /// When
        recv_ns: TimeNs,
        /// Wallet and open results at last prices, in quote currency
        equity: Dec,
        /// In quote currency
        wallet: Dec,
        /// Fraction of the day's peak
        daily_drawdown: Dec,
        /// Fraction of the week's peak
        weekly_drawdown: Dec,
        /// Open positions and pending entries at last prices, in quote currency
        exposure: Dec,
        /// Trades that hold something
        open_positions: u32,
        /// Entries on their way
        pending_entries: u32,
    }
}

row! {
    /// Each bar that closed, and the indicators after it.
    Bars => BarRow {
        /// Number of the journal entry
        sequence: u64,
        /// When it closed for the engine
        recv_ns: TimeNs,
        /// Instrument
        symbol: Symbol,
        /// Where it begins, by the venue's trade time
        open_ms: VenueTime,
        /// In quote currency
        open: Option<Dec>,
        /// In quote currency
        high: Option<Dec>,
        /// In quote currency
        low: Option<Dec>,
        /// In quote currency
        close: Option<Dec>,
        /// In base currency, or contracts where the market counts those
        volume: Option<Dec>,
        /// Of the volume, what buyers took
        taker_buy_volume: Option<Dec>,
        /// Trades in it
        trades: u32,
        /// Bars without a trade that were filled in before this one
        flat_before: u32,
        /// In quote currency; none before there are enough bars
        atr: Option<Dec>,
        /// In quote currency; none before there are enough bars
        ema: Option<Dec>,
    }
}
