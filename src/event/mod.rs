//! The `Copy` records that cross rooms: what goes into the engine ([`Event`]) and what comes out of
//! it ([`Output`]), and their one binary form ([`record`]).
//!
//! Payloads are `repr(C)` without padding, so their bytes are their meaning: the journal writes them
//! as they are, and reading back checks every enum and flag. Times ending in `_ms` are the venue's,
//! in milliseconds since the Unix epoch; `recv_ns` is ours, in nanoseconds.

mod control;
mod execution;
mod instrument;
mod market;
mod output;
pub mod record;
mod trade;

pub use control::*;
pub use execution::*;
pub use instrument::*;
pub use market::*;
pub use output::*;
pub use trade::*;

#[cfg(test)]
pub(crate) use instrument::tests::btcusdt;

use crate::num::{InstrumentId, TimeNs};

/// An input of the engine: everything it ever learns arrives as one of these.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// When we received it; the engine's only clock.
    pub recv_ns: TimeNs,
    /// The instrument it concerns, or [`InstrumentId::NONE`].
    pub instrument: InstrumentId,
    pub body: EventBody,
}

impl Event {
    /// Says nothing: what a place for events holds before the first.
    pub const NOTHING: Event = Event {
        recv_ns: TimeNs(0),
        instrument: InstrumentId::NONE,
        body: EventBody::Timer(Timer { count: 0 }),
    };
}

/// An output of the engine, caused by the event before it in the journal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output {
    pub instrument: InstrumentId,
    pub body: OutputBody,
}

impl Output {
    /// What it asks of the venue; `None` for what only readers want to know.
    pub const fn instruction(&self) -> Option<Instruction> {
        match self.body {
            OutputBody::Order(order) => Some(Instruction::Order(order)),
            OutputBody::Cancel(cancel) => Some(Instruction::Cancel(cancel)),
            OutputBody::Query(query) => Some(Instruction::Query(query)),
            _ => None,
        }
    }
}

/// Declares a closed set of record kinds: a code each, stable for ever, and the payload it carries.
macro_rules! bodies {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $code:literal => $variant:ident($payload:ty),)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[allow(clippy::large_enum_variant)] // Copy, never on a queue of its own: boxes would allocate.
        pub enum $name {
            $($(#[$doc])* $variant($payload),)*
        }

        impl $name {
            /// Every kind: code and name.
            pub const KINDS: &[(u16, &'static str)] = &[$(($code, stringify!($variant)),)*];

            pub const fn kind(&self) -> u16 {
                match self {
                    $($name::$variant(_) => $code,)*
                }
            }

            pub const fn name(&self) -> &'static str {
                match self {
                    $($name::$variant(_) => stringify!($variant),)*
                }
            }

            /// The payload's bytes, as the journal holds them.
            pub fn bytes(&self) -> &[u8] {
                match self {
                    $($name::$variant(payload) => bytemuck::bytes_of(payload),)*
                }
            }

            /// Bytes a payload of this kind has; `None` for a code that is not one of ours.
            pub const fn payload_size(kind: u16) -> Option<usize> {
                match kind {
                    $($code => Some(size_of::<$payload>()),)*
                    _ => None,
                }
            }

            /// Reads a payload back; `None` for an unknown kind, a wrong length or a field whose
            /// bits mean nothing.
            pub fn from_bytes(kind: u16, bytes: &[u8]) -> Option<$name> {
                match kind {
                    $($code => bytemuck::checked::try_pod_read_unaligned::<$payload>(bytes)
                        .ok()
                        .map($name::$variant),)*
                    _ => None,
                }
            }
        }

        $(const _: () = assert!(size_of::<$payload>() <= record::PAYLOAD_BYTES_MAX);)*
    };
}

bodies! {
    /// What can happen to the engine.
    EventBody {
        /// A run begins: identity, epoch, modes.
        1 => RunStart(RunStart),
        /// A piece of the configuration text in force.
        2 => ConfigText(ConfigText),
        /// One row of the instrument table.
        3 => Instrument(Instrument),
        /// The run ends in order.
        4 => RunEnd(RunEnd),

        /// Executed trades of one taker order.
        10 => AggTrade(Trade),
        /// One executed trade.
        11 => Trade(Trade),
        /// Best bid and ask.
        12 => Quote(Quote),
        /// A change of the order book: its best levels and its place in the sequence.
        13 => Depth(Depth),
        /// A bar, open or closed: from the kline stream or from history.
        14 => Bar(Bar),
        /// Mark price, index price and funding.
        15 => MarkPrice(MarkPrice),
        /// 24-hour statistics.
        16 => Ticker(Ticker),
        /// A liquidation order at the venue.
        17 => ForceOrder(ForceOrder),
        /// Price, quotes and mark of one instant, of a scenario.
        18 => Prices(Prices),

        /// Votes, or a consensus, from a signal source.
        20 => Signal(Signal),
        /// A signal that brings the market conditions it is judged by, of a scenario.
        21 => SignalWithConditions(SignalWithConditions),

        /// The venue's word on one of our orders.
        30 => OrderUpdate(OrderUpdate),
        /// A fill of one of our orders, or a forced one.
        31 => Fill(Fill),
        /// Our wallet at the venue.
        32 => AccountUpdate(AccountUpdate),
        /// Our position at the venue.
        33 => VenuePosition(VenuePosition),
        /// Leverage and modes verified at the venue.
        34 => VenueSetup(VenueSetup),
        /// What a reconciliation found.
        35 => Reconcile(Reconcile),

        /// Time passes.
        40 => Timer(Timer),
        /// The operator's word.
        41 => Command(Command),
        /// A connection came, went, fell silent or was resynchronised.
        42 => FeedStatus(FeedStatus),
        /// Frames were dropped because the journal was full.
        43 => Gap(Gap),
        /// A frame was refused by the decoder.
        44 => DecodeFault(DecodeFault),
        /// Share of a bounded queue in use.
        45 => QueueShare(QueueShare),
        /// The shadow found an output that differs.
        46 => Divergence(Divergence),
        /// The clock was compared and is being slewed.
        47 => ClockSync(ClockSync),
        /// Quotes were folded into later ones before the journal.
        48 => Conflated(Conflated),
        /// The configuration changed while running.
        49 => ConfigChange(ConfigChange),
        /// The archive could not be written, or can be again.
        50 => ArchiveStatus(ArchiveStatus),
        /// The venue's clock was read.
        51 => ClockRead(ClockRead),
    }
}

bodies! {
    /// What the engine can say.
    OutputBody {
        /// Send this order.
        128 => Order(Order),
        /// Cancel that order.
        129 => Cancel(Cancel),
        /// Ask the venue what became of that order.
        130 => Query(Query),

        /// A signal was judged.
        140 => Decision(Decision),
        /// The rule voters voted.
        141 => Votes(Signal),

        /// Part of an entry filled; the levels from it.
        150 => EntryFilled(EntryFilled),
        /// An exit rule fired.
        151 => ExitFired(ExitFired),
        /// The protective stop moved.
        152 => StopMoved(StopMoved),
        /// The trade's state changed.
        153 => TradeChanged(TradeChanged),
        /// The trade ended; its account.
        154 => TradeClosed(TradeClosed),
        /// A lack of acknowledged stops ended.
        155 => Protected(Protected),

        /// The trading state changed.
        160 => TradingStateChanged(TradingStateChanged),
        /// A limit latched, tripped or lifted.
        161 => LimitChanged(LimitChanged),
        /// Equity and drawdown, once a second while they change.
        162 => Equity(Equity),
        /// Something the operator must know.
        163 => Alarm(Alarm),
        /// A bar closed; the indicators after it.
        164 => BarClosed(BarClosed),
    }
}
