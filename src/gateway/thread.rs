//! The shell around the state machine: one thread that polls queue, sockets and REST lanes.
//!
//! It is never parked: waking a parked thread would cost the engine's thread microseconds at every
//! order. On four cores or more it spins. On fewer the engine and the venue's own threads need the core,
//! so every idle turn yields it, and after [`IDLE_TURNS`] of them it sleeps [`IDLE_SLEEP`] at a time: at
//! most that much is added to an order after a lull, a small part of any round trip, and an idle
//! gateway costs a few percent of a core instead of all of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError};
use rtrb::Consumer;

use super::counters::Counters;
use super::io::{Input, Link, OrderText, Outputs, RequestId, Stream};
use super::line::{Change, Line, Sent};
use super::machine::Gateway;
use super::rest::Lane;
use crate::event::{Event, Instruction};
use crate::num::{InstrumentId, NS_PER_MS, NS_PER_SEC, Now, TimeNs};
use crate::venue::binance::Endpoints;
use crate::wire::{self, Reconnect};

/// Instructions taken up in a turn: an engine's burst, and the sockets still get their turn.
const INSTRUCTIONS_PER_TURN: usize = 32;
/// Events that wait for the channel; above it no socket is read, so that the backlog is bounded by this,
/// one turn's messages, and a word to each instruction.
const BACKLOG_MAX: usize = 4_096;
const IDLE_TURNS: u32 = 1_000;
const IDLE_SLEEP: Duration = Duration::from_micros(50);
/// How long what was asked for may take to leave after the end.
const STOP_MAX: Duration = Duration::from_secs(5);
/// Below so many cores an idle turn gives the core away.
const CORES_TO_SPIN: usize = 4;
/// How often the state machine is told of nothing but time.
const TICK_NS: i64 = 10 * NS_PER_MS;
/// How often the figures are copied for whoever looks at them.
const PUBLISH_NS: i64 = NS_PER_SEC;

/// Joins the gateway to an embedded venue in lockstep. Numbers of `heard` and `withheld` are added to
/// those before.
pub trait Fence: Send {
    /// Waits, giving the core away, until the venue has received `sent` requests about orders, over all.
    fn wait_received(&self, sent: u64);
    /// So many messages were taken in, and their events are in the channel: every text of the order
    /// websocket and of the user stream, and every REST answer to a request about an order.
    fn heard(&self, messages: u64);
    /// So many instructions led to no request; the events that say so are in the channel.
    fn withheld(&self, instructions: u64);
}

/// What the thread is given.
pub struct Wires {
    pub instructions: Consumer<(TimeNs, InstrumentId, Instruction)>,
    pub events: Sender<Event>,
    pub clock: Box<dyn Now>,
    pub fence: Option<Box<dyn Fence>>,
    pub bans: Option<Box<dyn Bans>>,
}

/// Remembers bans for the starts after this one.
pub trait Bans: Send {
    /// Keeps one that ends at this time of the gateway's clock. When this returns it is kept.
    ///
    /// # Errors
    /// Why it is not, in a line.
    fn keep(&self, until: TimeNs) -> Result<(), String>;
}

/// What the gateway has done.
#[derive(Clone, Debug, Default)]
pub struct GatewayReport {
    pub counters: Counters,
    pub order_wire: wire::Counters,
    pub user_wire: wire::Counters,
    /// Orders whose acknowledgement is lost, now.
    pub unknown_orders: usize,
    /// Most events that waited for the channel at once.
    pub backlog_max: usize,
    /// Why a start after this one will not know of a ban.
    pub forgotten_ban: Option<String>,
}

/// A running gateway.
pub struct RunningGateway {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    report: Arc<Mutex<GatewayReport>>,
}

impl RunningGateway {
    /// The figures, at most a second old.
    pub fn report(&self) -> GatewayReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether its thread has ended: nobody takes instructions any more.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Sends what the engine has asked for, closes the connections and ends the thread. A REST call
    /// under way is waited for.
    pub fn stop(mut self) -> GatewayReport {
        self.end();
        self.report()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for RunningGateway {
    fn drop(&mut self) {
        self.end();
    }
}

/// The thread's own.
pub(super) struct Shell {
    gateway: Gateway,
    out: Outputs,
    endpoints: Endpoints,
    orders: Line,
    user: Line,
    order_reconnect: Reconnect,
    /// When to open the order websocket again.
    order_due: Option<TimeNs>,
    urgent: Lane,
    rest: Lane,
    /// REST calls about orders that are under way.
    urgent_calls: VecDeque<RequestId>,
    wires: Wires,
    stop: Arc<AtomicBool>,
    report: Arc<Mutex<GatewayReport>>,
    tick_at: TimeNs,
    publish_at: TimeNs,
    backlog_max: usize,
    forgotten_ban: Option<String>,
    sent: u64,
    /// Up to which request the venue is to have received before another is made.
    awaited: Option<u64>,
    unheard: u64,
    /// Lockstep: a connection was lost, and with it what the other side counts on.
    fell_out_of_step: bool,
}

impl Shell {
    pub fn new(
        gateway: Gateway,
        endpoints: Endpoints,
        (orders, user): (Line, Line),
        (urgent, rest): (Lane, Lane),
        wires: Wires,
    ) -> Shell {
        let now = wires.clock.now();
        let mut order_reconnect = Reconnect::new(wire::Backoff::default(), 0x6f72_6472);
        order_reconnect.opened(now);
        Shell {
            gateway,
            out: Outputs::default(),
            endpoints,
            orders,
            user,
            order_reconnect,
            order_due: None,
            urgent,
            rest,
            urgent_calls: VecDeque::new(),
            wires,
            stop: Arc::default(),
            report: Arc::default(),
            tick_at: now,
            publish_at: now,
            backlog_max: 0,
            forgotten_ban: None,
            sent: 0,
            awaited: None,
            unheard: 0,
            fell_out_of_step: false,
        }
    }

    pub fn spawn(self) -> std::io::Result<RunningGateway> {
        let (stop, report) = (Arc::clone(&self.stop), Arc::clone(&self.report));
        let thread = thread::Builder::new().name("qtx-gateway".to_owned()).spawn(move || self.run())?;
        Ok(RunningGateway { thread: Some(thread), stop, report })
    }

    fn run(mut self) {
        let spins = thread::available_parallelism().is_ok_and(|cores| cores.get() >= CORES_TO_SPIN);
        let (mut idle, mut asked_to_stop) = (0u32, None);
        while let Some(worked) = self.turn() {
            // A venue that takes nothing must not keep the process.
            if self.stop.load(Ordering::Acquire)
                && asked_to_stop.get_or_insert_with(Instant::now).elapsed() > STOP_MAX
            {
                break;
            }
            idle = if worked { 0 } else { idle.saturating_add(1) };
            match idle {
                0 => {}
                _ if spins => std::hint::spin_loop(),
                turns if turns > IDLE_TURNS && self.wires.fence.is_none() => thread::sleep(IDLE_SLEEP),
                _ => thread::yield_now(),
            }
        }
        let now = self.wires.clock.now();
        self.orders.close(now);
        self.user.close(now);
        self.publish();
    }

    /// One look at everything. `None` when it is over.
    fn turn(&mut self) -> Option<bool> {
        let now = self.wires.clock.now();
        // Before the queue is looked at: what was asked for until now is still sent.
        let stopping = self.stop.load(Ordering::Acquire);
        let mut worked = false;
        // Whatever waits to be told: an engine without room for instructions takes no events either.
        worked |= self.take_instructions(now);
        if self.out.events.len() < BACKLOG_MAX {
            worked |= self.poll(now);
        }
        worked |= self.take_replies(now);
        self.tend(now);
        if now >= self.tick_at {
            self.tick_at = now + TICK_NS;
            self.gateway.on(Input::Time, now, &mut self.out);
        }
        worked |= self.pass_on(now);
        let engine_gone = !self.flush_events();
        if now >= self.publish_at {
            self.publish_at = now + PUBLISH_NS;
            self.publish();
        }
        let sending = self.orders.unsent_bytes() > 0 || !self.out.urgent.is_empty();
        let done = stopping && !worked && !sending;
        if engine_gone || done || self.fell_out_of_step { None } else { Some(worked) }
    }

    fn take_instructions(&mut self, now: TimeNs) -> bool {
        // In lockstep one at a time, each received before the next is made.
        let budget = if self.wires.fence.is_some() { 1 } else { INSTRUCTIONS_PER_TURN };
        let mut taken = 0;
        while taken < budget && self.is_received() {
            let Ok((_, instrument, instruction)) = self.wires.instructions.pop() else { break };
            self.gateway.on(Input::Instruction(instrument, instruction), now, &mut self.out);
            taken += 1;
        }
        taken > 0
    }

    /// Lockstep: whether the venue has what was sent. What the socket has not taken yet is not waited
    /// for here, but polled on.
    fn is_received(&mut self) -> bool {
        let (Some(fence), Some(awaited)) = (&self.wires.fence, self.awaited) else { return true };
        if self.orders.unsent_bytes() > 0 {
            return false;
        }
        fence.wait_received(awaited);
        self.awaited = None;
        true
    }

    fn poll(&mut self, now: TimeNs) -> bool {
        let (gateway, out) = (&mut self.gateway, &mut self.out);
        let answers = self.orders.poll(now, |text| gateway.on(Input::OrderText(text), now, out));
        let messages = self.user.poll(now, |text| gateway.on(Input::UserText(text), now, out));
        for (line, stream) in [(&mut self.orders, Stream::Orders), (&mut self.user, Stream::User)] {
            if line.take_pong() {
                gateway.on(Input::Pong(stream), now, out);
            }
        }
        self.unheard += u64::from(answers + messages);
        answers + messages > 0
    }

    fn take_replies(&mut self, now: TimeNs) -> bool {
        let mut worked = false;
        for lane in [&mut self.urgent, &mut self.rest] {
            let Some((request, reply)) = lane.reply() else { continue };
            worked = true;
            if let Some(index) = self.urgent_calls.iter().position(|call| *call == request) {
                self.urgent_calls.remove(index);
                self.unheard += 1;
            }
            self.gateway.on(Input::Rest(request, reply.outcome()), now, &mut self.out);
        }
        worked
    }

    /// Connections: what was opened, what was lost, what is to be opened.
    fn tend(&mut self, now: TimeNs) {
        // A venue that wants silence counts attempts to connect as well.
        let may_open = !self.gateway.is_silent();
        let (orders, user) = (self.orders.tend(now, may_open), self.user.tend(now, may_open));
        for line in [&mut self.orders, &mut self.user] {
            if let Some((status, retry_after_s)) = line.take_turned_away() {
                self.gateway.on(Input::TurnedAway(status, retry_after_s), now, &mut self.out);
            }
        }
        let lost = [orders, user].contains(&Some(Change::Lost));
        self.fell_out_of_step |= lost && self.wires.fence.is_some();
        match orders {
            Some(Change::Opened) => {
                self.order_reconnect.opened(now);
                self.gateway.on(Input::OrderLink(Link::Up), now, &mut self.out);
            }
            Some(Change::Lost) => self.lose_orders(now),
            None => {}
        }
        if may_open && self.order_due.take_if(|due| *due <= now).is_some() {
            self.orders.reopen(now);
        }
        if let Some(change) = user {
            let link = if change == Change::Opened { Link::Up } else { Link::Down };
            self.gateway.on(Input::UserLink(link), now, &mut self.out);
        }
    }

    fn lose_orders(&mut self, now: TimeNs) {
        self.order_due = Some(self.order_reconnect.ended(now));
        self.gateway.on(Input::OrderLink(Link::Down), now, &mut self.out);
    }

    /// Does what the state machine wants done.
    fn pass_on(&mut self, now: TimeNs) -> bool {
        let mut worked = false;
        while let Some(OrderText { request, text }) = self.out.texts.pop_front() {
            worked = true;
            match self.orders.send(text.as_bytes()) {
                Sent::Yes => self.note_sent(),
                Sent::No => self.gateway.on(Input::NotSent(request), now, &mut self.out),
                // The loss of the connection, found by the next look at it, makes it UNKNOWN.
                Sent::Perhaps => break,
            }
        }
        if !self.urgent.is_busy()
            && let Some(request) = self.out.urgent.pop_front()
        {
            worked = true;
            self.urgent_calls.push_back(request.request);
            self.urgent.begin(request);
            self.note_sent();
        }
        if !self.rest.is_busy()
            && let Some(request) = self.out.rest.pop_front()
        {
            worked = true;
            self.rest.begin(request);
        }
        self.open_and_close(now);
        if let (Some(until), Some(bans)) = (self.out.banned_until.take(), &self.wires.bans) {
            self.forgotten_ban = bans.keep(until).err();
        }
        worked
    }

    fn note_sent(&mut self) {
        self.sent += 1;
        if self.wires.fence.is_some() {
            self.awaited = Some(self.sent);
        }
    }

    fn open_and_close(&mut self, now: TimeNs) {
        if std::mem::take(&mut self.out.close_user) {
            self.user.close(now);
        }
        if let Some(key) = self.out.open_user.take() {
            match self.endpoints.user_stream(&key).parse() {
                Ok(url) => {
                    self.user.end_socket(now);
                    self.user.open(url, now);
                }
                // A listen key that fits in no address: the next one may.
                Err(_) => self.gateway.on(Input::UserLink(Link::Down), now, &mut self.out),
            }
        }
        for stream in std::mem::take(&mut self.out.pings) {
            match stream {
                Stream::Orders => self.orders.ping(),
                Stream::User => self.user.ping(),
            }
        }
        if std::mem::take(&mut self.out.reopen_orders) && self.orders.is_open() {
            self.orders.end_socket(now);
            self.lose_orders(now);
        }
    }

    /// Events into the channel, in order; what it has no room for waits. `false` once nobody reads it.
    fn flush_events(&mut self) -> bool {
        self.backlog_max = self.backlog_max.max(self.out.events.len());
        while let Some(event) = self.out.events.pop_front() {
            match self.wires.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.out.events.push_front(event);
                    return true;
                }
                Err(TrySendError::Disconnected(_)) => return false,
            }
        }
        let withheld = std::mem::take(&mut self.out.withheld);
        let heard = std::mem::take(&mut self.unheard);
        if let Some(fence) = &self.wires.fence {
            if withheld > 0 {
                fence.withheld(withheld);
            }
            if heard > 0 {
                fence.heard(heard);
            }
        }
        true
    }

    fn publish(&self) {
        let report = GatewayReport {
            counters: self.gateway.counters().clone(),
            order_wire: self.orders.counters(),
            user_wire: self.user.counters(),
            unknown_orders: self.gateway.unknown_orders(),
            backlog_max: self.backlog_max,
            forgotten_ban: self.forgotten_ban.clone(),
        };
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }
}
