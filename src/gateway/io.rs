//! What goes into the gateway's state machine, and what comes out.

use std::collections::VecDeque;

use crate::event::{Event, EventBody, Instruction};
use crate::num::{InstrumentId, TimeNs};
use crate::venue::binance::UsedCounts;
use crate::venue::binance::request::RestCall;

/// Counts requests, on both roads.
pub type RequestId = u64;

/// Something happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The engine asks for something.
    Instruction(InstrumentId, Instruction),
    /// A text of the order websocket.
    OrderText(&'a [u8]),
    /// A text of the user stream.
    UserText(&'a [u8]),
    /// The socket took nothing of a text: the request was not sent.
    NotSent(RequestId),
    Rest(RequestId, RestOutcome<'a>),
    OrderLink(Link),
    UserLink(Link),
    /// A ping was answered.
    Pong(Stream),
    /// A websocket was refused with this HTTP status and `Retry-After`.
    TurnedAway(u16, Option<u32>),
    /// Nothing but time passed.
    Time,
}

/// The websockets of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Orders,
    User,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Up,
    /// It ended, or could not be opened.
    Down,
}

/// What became of a REST request.
#[derive(Clone, Copy, Debug)]
pub enum RestOutcome<'a> {
    Answer {
        status: u16,
        /// Of the header `Retry-After`.
        retry_after_s: Option<u32>,
        /// How much of the venue's limits is used.
        used: UsedCounts,
        body: &'a [u8],
    },
    /// The venue can't have seen it.
    Unsent,
    /// No answer; the venue may have acted on it.
    Lost,
}

/// A text for the order websocket.
pub struct OrderText {
    pub request: RequestId,
    pub text: String,
}

/// A request for the REST thread.
#[derive(Debug)]
pub struct RestRequest {
    pub request: RequestId,
    pub call: RestCall,
}

/// What is to be done; the caller takes it out of here.
#[derive(Default)]
pub struct Outputs {
    pub texts: VecDeque<OrderText>,
    /// About orders: before all others.
    pub urgent: VecDeque<RestRequest>,
    pub rest: VecDeque<RestRequest>,
    /// For the engine, in order.
    pub events: VecDeque<Event>,
    /// Instructions that led to no request.
    pub withheld: u64,
    /// Open the user stream with this listen key. Never printed.
    pub open_user: Option<String>,
    /// The user stream is of no use any more.
    pub close_user: bool,
    /// Ping these.
    pub pings: Vec<Stream>,
    /// The order websocket does not answer: open another.
    pub reopen_orders: bool,
    /// The venue wants to hear nothing for so long that a start after this one must know.
    pub banned_until: Option<TimeNs>,
}

impl Outputs {
    pub(super) fn event(&mut self, now: TimeNs, instrument: InstrumentId, body: EventBody) {
        self.events.push_back(Event { recv_ns: now, instrument, body });
    }
}

/// Texts hold keys and signatures.
impl std::fmt::Debug for OrderText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OrderText({}, {} bytes)", self.request, self.text.len())
    }
}
