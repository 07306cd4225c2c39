//! The venue's word on our orders, fills, wallet and positions.

use borsh::{BorshDeserialize, BorshSerialize};
use bytemuck::{CheckedBitPattern, NoUninit};

use crate::num::{Dec, Lots, Millis, NS_PER_SEC, OrderId, Side, Ticks};

/// What the venue says of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, NoUninit, CheckedBitPattern)]
#[repr(u8)]
pub enum OrderStatus {
    /// Accepted; a conditional order now rests.
    Accepted = 1,
    /// Refused; `code` says why.
    Rejected = 2,
    /// Filled completely.
    Filled = 3,
    Canceled = 4,
    /// Ended by the venue with a remainder unfilled.
    Expired = 5,
    /// A conditional order's trigger was met; it is now a market order.
    Triggered = 6,
    /// No answer in time: neither accepted nor rejected.
    Unknown = 7,
    /// The venue does not know the order.
    NotFound = 8,
    /// The cancel was refused; the order's own state is unchanged.
    CancelRejected = 9,
}

impl OrderStatus {
    pub const ALL: [OrderStatus; 9] = [
        OrderStatus::Accepted,
        OrderStatus::Rejected,
        OrderStatus::Filled,
        OrderStatus::Canceled,
        OrderStatus::Expired,
        OrderStatus::Triggered,
        OrderStatus::Unknown,
        OrderStatus::NotFound,
        OrderStatus::CancelRejected,
    ];
}

/// The venue's word on one of our orders.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct OrderUpdate {
    pub order: OrderId,
    pub venue_id: i64,
    /// Filled so far.
    pub filled: Lots,
    /// When the order last changed; 0 where the venue put no time to it, as to a refusal.
    pub event_ms: Millis,
    /// The venue's error code, 0 if none.
    pub code: i32,
    pub status: OrderStatus,
    pub pad: [u8; 3],
}

impl OrderUpdate {
    /// `code` of an order that provably never left the process: the start that decided it ended before
    /// the decision was committed. Positive, as all codes of ours, and beyond those of the gateway.
    pub const NEVER_SENT: i32 = 100;

    /// `code` of an order that ended and owes fills by the venue's word, where the position shows that none is
    /// missing: what undid them was not told either, and neither will come.
    pub const NO_MORE_FILLS: i32 = 101;

    /// Nanoseconds after which an order that the venue does not know will not come any more: it acts on a
    /// request within its receive window of 5 s, or not at all. The rest is for one that is sent once more
    /// because its time stamp was refused.
    pub const LOST_AFTER_NS: i64 = 6 * NS_PER_SEC;
}

/// Who caused a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, NoUninit, CheckedBitPattern)]
#[repr(u8)]
pub enum FillCause {
    Order = 1,
    /// The venue liquidated the position.
    Liquidation = 2,
    /// Auto-deleveraging against somebody else's liquidation.
    Adl = 3,
    /// Delivery or delisting.
    Settlement = 4,
    /// Of our order, where no venue is: an entry counts as filled when the next price of its
    /// instrument comes, and it is at that price that equity and limits are looked at. Without an order:
    /// what must have filled at the venue, whose position no fill explains.
    Assumed = 5,
}

/// A fill.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Fill {
    /// Our order, or [`OrderId::NONE`] for a fill that none of ours explains.
    pub order: OrderId,
    /// The venue's trade id: fills are applied once each.
    pub trade_id: i64,
    /// Fee paid, in quote currency; negative is a rebate.
    pub fee: Dec,
    pub price: Ticks,
    pub quantity: Lots,
    /// When it happened, by the venue's clock; of an assumed one, when its position changed.
    pub event_ms: Millis,
    pub side: Side,
    pub maker: bool,
    pub cause: FillCause,
    pub pad: [u8; 5],
}

/// Why the wallet changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, NoUninit, CheckedBitPattern)]
#[repr(u8)]
pub enum AccountReason {
    /// State at start or after a reconnect.
    Snapshot = 1,
    Order = 2,
    Funding = 3,
    Transfer = 4,
    Adjustment = 5,
}

/// Our wallet at the venue.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct AccountUpdate {
    pub wallet: Dec,
    /// By how much this update changed it: funding (negative is paid) and transfers.
    pub change: Dec,
    /// When the wallet changed, by the venue's clock.
    pub event_ms: Millis,
    pub reason: AccountReason,
    pub pad: [u8; 7],
}

/// Our position at the venue.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct VenuePosition {
    pub entry: Dec,
    /// Signed: negative is short.
    pub quantity: Lots,
    /// When it changed, by the venue's clock.
    pub event_ms: Millis,
}

/// What the venue is set to, read or set at start.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct VenueSetup {
    pub leverage: u32,
    pub isolated: bool,
    pub one_way: bool,
    pub single_asset: bool,
    pub pad: u8,
}

/// What an order is for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, NoUninit, CheckedBitPattern, BorshSerialize, BorshDeserialize,
)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Purpose {
    Entry = 1,
    /// The protective stop that rests at the venue.
    Stop = 2,
    /// The engine's own reduce-only exit.
    Exit = 3,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, NoUninit, CheckedBitPattern, BorshSerialize, BorshDeserialize,
)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum OrderKind {
    Market = 1,
    /// Becomes a market order when the trigger price is reached.
    StopMarket = 2,
}

/// Which price triggers a conditional order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, NoUninit, CheckedBitPattern)]
#[repr(u8)]
pub enum WorkingType {
    ContractPrice = 1,
    MarkPrice = 2,
}

/// An order to send. It is in the journal before it enters the channel.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Order {
    pub id: OrderId,
    /// Entry order of the trade it belongs to.
    pub trade: OrderId,
    pub quantity: Lots,
    /// 0 for market orders.
    pub trigger: Ticks,
    /// Price the decision was made at: slippage is measured against it.
    pub reference: Ticks,
    pub side: Side,
    pub kind: OrderKind,
    pub purpose: Purpose,
    pub working_type: WorkingType,
    pub reduce_only: bool,
    pub pad: [u8; 3],
}

/// Cancel an order.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Cancel {
    pub id: OrderId,
    pub kind: OrderKind,
    pub pad: [u8; 7],
}

/// Ask what became of an order: the answer to a lost acknowledgement, never a second send.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Query {
    pub id: OrderId,
    pub kind: OrderKind,
    pub pad: [u8; 7],
}

/// What the engine asks of the venue: the outputs that leave the process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Instruction {
    Order(Order),
    Cancel(Cancel),
    Query(Query),
}

impl Instruction {
    /// The order it is about.
    pub const fn order_id(&self) -> OrderId {
        match self {
            Instruction::Order(order) => order.id,
            Instruction::Cancel(cancel) => cancel.id,
            Instruction::Query(query) => query.id,
        }
    }
}
