//! What the venue says: messages that travel as a whole, and the events each amounts to.

use arrayvec::ArrayVec;

use crate::event::{
    AccountUpdate, EventBody, Fill, FillCause, Order, OrderStatus, OrderUpdate, VenuePosition,
};
use crate::num::{InstrumentId, Lots, Millis};

/// Events one message amounts to, at most.
pub const EVENTS_MAX: usize = 2;

/// The request a message answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    Order,
    Cancel,
    Query,
}

/// One message of the venue, stamped with its own time (`event_ms`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// [`InstrumentId::NONE`] for what concerns the wallet alone.
    pub instrument: InstrumentId,
    /// Who asked gets a response beside whatever the user stream says.
    pub answers: Option<Asked>,
    pub body: ReportBody,
}

#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // Copy, in queues that are allocated beforehand.
pub enum ReportBody {
    /// User stream: an order changed.
    Order(OrderReport),
    /// User stream: the wallet changed, and the position with it.
    Account { update: AccountUpdate, position: Option<VenuePosition> },
    /// A response and nothing else: a refused order or cancel, or what a query found.
    Answer(OrderUpdate),
}

/// An order after something happened to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OrderReport {
    /// As it was sent. The id is [`crate::num::OrderId::NONE`] when the venue closes on its own.
    pub order: Order,
    pub venue_id: i64,
    /// Filled so far.
    pub filled: Lots,
    /// Σ price × quantity of the fills so far, in tick-lots.
    pub paid: i128,
    /// The fill that made it change.
    pub fill: Option<Fill>,
    /// `None` while it works on after a fill, and for what nobody ordered.
    pub status: Option<OrderStatus>,
    pub event_ms: Millis,
}

/// Reports in the order they were said.
pub type Reports = Vec<Report>;

impl Report {
    /// What an engine learns from it, in order.
    pub fn events(&self) -> ArrayVec<(InstrumentId, EventBody), EVENTS_MAX> {
        let mut events = ArrayVec::new();
        match self.body {
            ReportBody::Order(report) => {
                events.extend(report.fill.map(|fill| (self.instrument, EventBody::Fill(fill))));
                let update = report.update().map(EventBody::OrderUpdate);
                events.extend(update.map(|body| (self.instrument, body)));
            }
            ReportBody::Account { update, position } => {
                events.push((self.account_instrument(position.is_some()), EventBody::AccountUpdate(update)));
                let position = position.map(EventBody::VenuePosition);
                events.extend(position.map(|body| (self.instrument, body)));
            }
            ReportBody::Answer(update) => events.push((self.instrument, EventBody::OrderUpdate(update))),
        }
        events
    }

    /// A wallet belongs to no instrument, but funding names what was funded.
    fn account_instrument(&self, has_position: bool) -> InstrumentId {
        if has_position { InstrumentId::NONE } else { self.instrument }
    }

    /// The forced fill in it, if it is one.
    pub fn forced(&self) -> Option<&Fill> {
        match &self.body {
            ReportBody::Order(report) => report.fill.as_ref().filter(|fill| fill.cause != FillCause::Order),
            _ => None,
        }
    }
}

impl OrderReport {
    fn update(&self) -> Option<OrderUpdate> {
        let OrderReport { order, venue_id, filled, event_ms, .. } = *self;
        let update = |status| OrderUpdate {
            order: order.id,
            venue_id,
            filled,
            event_ms,
            code: 0,
            status,
            pad: [0; 3],
        };
        self.status.map(update)
    }
}
