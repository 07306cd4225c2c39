//! What other threads say to the loop.
//!
//! The operator's commands have a queue of their own, which is looked at first: a gateway with
//! thousands of events to tell must not hold up a `halt`, nor leave it no room.

use crossbeam_channel::{Receiver, Sender, bounded, never};

use crate::event::Event;

/// Commands that may wait: an operator waits for each.
const COMMANDS_MAX: usize = 16;
/// Events of other threads that may wait for the loop: some hundred of its turns. A gateway that finds
/// no room keeps what it has.
const EVENTS_MAX: usize = 8_192;

/// The loop's end.
pub struct Inbox {
    pub commands: Receiver<Event>,
    /// Of gateway and clock.
    pub events: Receiver<Event>,
}

/// The other threads' ends.
#[derive(Clone)]
pub struct Senders {
    pub commands: Sender<Event>,
    pub events: Sender<Event>,
}

impl Inbox {
    pub fn new() -> (Senders, Inbox) {
        let (commands, commands_out) = bounded(COMMANDS_MAX);
        let (events, events_out) = bounded(EVENTS_MAX);
        (Senders { commands, events }, Inbox { commands: commands_out, events: events_out })
    }

    /// Of a run that nobody speaks to.
    pub fn silent() -> Inbox {
        Inbox { commands: never(), events: never() }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.events.is_empty()
    }
}
