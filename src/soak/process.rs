//! A running engine with its gateway: what a process has in memory, and loses when it dies.

use rtrb::Consumer;

use super::memory::Memory;
use crate::gateway::{Gateway, Outputs, RequestId};
use crate::live::{Instructed, Intake, OrderQueue};
use crate::num::TimeNs;
use crate::sim::server::SocketId;
use crate::wire::{Backoff, Reconnect};

/// The two websockets to the venue.
pub use crate::gateway::Stream as Line;

/// The two REST threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Urgent,
    Other,
}

/// A websocket as our end sees it.
#[derive(Debug, Default)]
pub struct Wire {
    pub socket: Option<SocketId>,
    /// Of the attempt under way; results of others are of no use any more.
    pub attempt: Option<u64>,
    /// Texts arrive in the order they were sent.
    pub to_venue: Option<TimeNs>,
    pub to_us: Option<TimeNs>,
}

/// See the module.
pub struct Process {
    pub intake: Intake<'static, Memory>,
    pub gateway: Gateway,
    pub out: Outputs,
    pub outlet: OrderQueue,
    pub instructions: Consumer<Instructed>,
    pub orders: Wire,
    pub user: Wire,
    /// The REST call each lane makes.
    pub urgent: Option<RequestId>,
    pub other: Option<RequestId>,
    pub order_reconnect: Reconnect,
    /// When to open the order websocket again.
    pub order_due: Option<TimeNs>,
    /// When time is told next, as far as the schedule knows.
    pub timer_at: TimeNs,
}

impl Process {
    pub fn new(
        intake: Intake<'static, Memory>,
        gateway: Gateway,
        (outlet, instructions): (OrderQueue, Consumer<Instructed>),
        (orders, user): (SocketId, SocketId),
        now: TimeNs,
    ) -> Process {
        let mut order_reconnect = Reconnect::new(Backoff::default(), 0x6f72_6472);
        order_reconnect.opened(now);
        let wire = |socket| Wire { socket: Some(socket), ..Wire::default() };
        Process {
            intake,
            gateway,
            out: Outputs::default(),
            outlet,
            instructions,
            orders: wire(orders),
            user: wire(user),
            urgent: None,
            other: None,
            order_reconnect,
            order_due: None,
            timer_at: TimeNs(i64::MAX),
        }
    }

    pub fn wire(&mut self, line: Line) -> &mut Wire {
        match line {
            Line::Orders => &mut self.orders,
            Line::User => &mut self.user,
        }
    }

    pub fn lane(&mut self, lane: Lane) -> &mut Option<RequestId> {
        match lane {
            Lane::Urgent => &mut self.urgent,
            Lane::Other => &mut self.other,
        }
    }

    /// What it leaves when it dies.
    pub fn into_memory(self) -> Memory {
        self.intake.core.into_recorder()
    }
}
