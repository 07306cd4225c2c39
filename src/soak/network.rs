//! What lies between the gateway and the venue: two websockets, two REST lanes, and what becomes of what
//! travels on them.

use super::process::{Lane, Line, Wire};
use super::proxy::{self, Asked, Fate};
use super::schedule::{Item, Life};
use super::weather::Kind;
use super::world::World;
use super::{Dice, Failure};
use crate::gateway::{Input, Link, OrderText, RequestId, RestReply, RestRequest};
use crate::num::{InstrumentId, Lots, NS_PER_MS, NS_PER_SEC, Now as _, Side, TimeNs};
use crate::sim::server::{Said, Socket, SocketId};
use crate::venue::binance::request::{RestCall, Verb};
use crate::venue::binance::{SIMULATED_KEY, UsedCounts};

/// A REST call without an answer is given up.
const CALL_TIMEOUT_NS: i64 = 6 * NS_PER_SEC;

/// A call at the venue, and who waits for it.
pub struct Pending {
    life: Life,
    lane: Lane,
    request: RequestId,
    fate: Fate,
}

pub(super) fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "GET",
        Verb::Post => "POST",
        Verb::Put => "PUT",
        Verb::Delete => "DELETE",
    }
}

fn latency_ns(slow: bool, dice: &mut Dice) -> i64 {
    if slow { dice.between(50, 3_000) * NS_PER_MS } else { dice.between(NS_PER_MS, 20 * NS_PER_MS) }
}

/// Later than what went before it on the same way.
fn in_order(last: &mut Option<TimeNs>, at: TimeNs) -> TimeNs {
    let at = last.map_or(at, |last| at.max(last));
    *last = Some(at);
    at
}

impl World {
    fn latency_ns(&mut self) -> i64 {
        let slow = self.weather.is(Kind::Slow, self.now);
        latency_ns(slow, &mut self.draws.network)
    }

    fn ping_latency_ns(&mut self) -> i64 {
        let slow = self.weather.is(Kind::Slow, self.now);
        latency_ns(slow, &mut self.draws.pings)
    }

    fn send_pings(&mut self) {
        let Some(process) = &mut self.process else { return };
        for line in std::mem::take(&mut process.out.pings) {
            let socket = self.process.as_mut().and_then(|process| process.wire(line).socket);
            if let Some(socket) = socket {
                let at = self.now + self.ping_latency_ns();
                self.schedule.plan(at, Item::Ping(self.life, line, socket));
            }
        }
    }

    /// A venue answers on a connection it has.
    pub(super) fn answer_ping(&mut self, life: Life, line: Line, socket: SocketId) {
        if self.desk.is_open(socket) {
            let at = self.now + self.ping_latency_ns();
            self.schedule.plan(at, Item::Pong(life, line, socket));
        }
    }

    pub(super) fn pong(&mut self, line: Line, socket: SocketId) -> Result<(), Failure> {
        let own = self.process.as_mut().and_then(|process| process.wire(line).socket);
        if own == Some(socket) { self.tell_gateway(Input::Pong(line)) } else { Ok(()) }
    }

    /// Does what the gateway wants done, as its thread would.
    pub(super) fn pass_on(&mut self) -> Result<(), Failure> {
        loop {
            let Some(process) = &mut self.process else { return Ok(()) };
            let Some(OrderText { request, text }) = process.out.texts.pop_front() else { break };
            self.audit.note_sent(self.now);
            match self.process.as_ref().and_then(|process| process.orders.socket) {
                Some(socket) => {
                    let due = self.now + self.latency_ns();
                    let Some(process) = &mut self.process else { return Ok(()) };
                    let at = in_order(&mut process.orders.to_venue, due);
                    self.schedule.plan(at, Item::ToVenue(Line::Orders, socket, text));
                }
                None => self.tell_gateway(Input::NotSent(request))?,
            }
        }
        if let Some(until) = self.process.as_mut().and_then(|process| process.out.banned_until.take()) {
            self.disk.banned_until = self.disk.banned_until.max(Some(until));
        }
        self.send_pings();
        self.begin_calls();
        self.open_and_close()
    }

    fn begin_calls(&mut self) {
        for lane in [Lane::Urgent, Lane::Other] {
            let Some(process) = &mut self.process else { return };
            if process.lane(lane).is_some() {
                continue;
            }
            let next = match lane {
                Lane::Urgent => process.out.urgent.pop_front(),
                Lane::Other => process.out.rest.pop_front(),
            };
            let Some(RestRequest { request, call }) = next else { continue };
            *process.lane(lane) = Some(request);
            self.audit.note_sent(self.now);
            let at = self.now + self.latency_ns();
            self.schedule.plan(at, Item::Call(self.life, lane, request, call));
        }
    }

    fn open_and_close(&mut self) -> Result<(), Failure> {
        let Some(process) = &mut self.process else { return Ok(()) };
        if std::mem::take(&mut process.out.close_user) {
            process.user.attempt = None;
            if let Some(socket) = process.user.socket.take() {
                self.desk.close(socket);
            }
        }
        let Some(process) = &mut self.process else { return Ok(()) };
        if let Some(key) = process.out.open_user.take() {
            if let Some(socket) = process.user.socket.take() {
                self.desk.close(socket);
            }
            self.attempt(Line::User, key);
        }
        let Some(process) = &mut self.process else { return Ok(()) };
        if std::mem::take(&mut process.out.reopen_orders)
            && let Some(socket) = process.orders.socket
        {
            self.desk.close(socket);
            self.line_lost(Line::Orders, socket)?;
        }
        Ok(())
    }

    fn attempt(&mut self, line: Line, key: String) {
        self.attempts += 1;
        let (attempt, at) = (self.attempts, self.now + self.latency_ns());
        let Some(process) = &mut self.process else { return };
        process.wire(line).attempt = Some(attempt);
        self.schedule.plan(at, Item::Opened(self.life, line, attempt, key));
    }

    pub(super) fn reopen_if_due(&mut self) {
        let ours = self.ours();
        let Some(process) = &mut self.process else { return };
        if process.order_due.take_if(|due| *due <= ours).is_some() {
            self.attempt(Line::Orders, String::new());
        }
    }

    pub(super) fn line_opened(&mut self, line: Line, attempt: u64, key: String) -> Result<(), Failure> {
        let ours = self.ours();
        let Some(process) = &mut self.process else { return Ok(()) };
        if process.wire(line).attempt.take_if(|own| *own == attempt).is_none() {
            return Ok(());
        }
        let socket = match line {
            Line::Orders => Socket::Orders,
            Line::User => Socket::User { listen_key: key },
        };
        let down = self.weather.is(Kind::Maintenance, self.now)
            || self.silent_until().is_some_and(|until| self.now < until);
        let opened = if down { None } else { self.desk.open(&socket) };
        let Some(process) = &mut self.process else { return Ok(()) };
        match opened {
            Some(id) => {
                *process.wire(line) = Wire { socket: Some(id), ..Wire::default() };
                if line == Line::Orders {
                    process.order_reconnect.opened(ours);
                }
                self.set_link(line, Link::Up)
            }
            None => self.lose(line),
        }
    }

    pub(super) fn line_lost(&mut self, line: Line, socket: SocketId) -> Result<(), Failure> {
        let Some(process) = &mut self.process else { return Ok(()) };
        if process.wire(line).socket.take_if(|own| *own == socket).is_none() {
            return Ok(());
        }
        self.lose(line)
    }

    fn lose(&mut self, line: Line) -> Result<(), Failure> {
        let ours = self.ours();
        if let (Line::Orders, Some(process)) = (line, &mut self.process) {
            process.order_due = Some(process.order_reconnect.ended(ours));
        }
        self.set_link(line, Link::Down)
    }

    /// A connection ends: for us now and for the venue a moment later, or for the venue alone.
    pub(super) fn cut(&mut self, line: Line, half_open: bool) {
        let Some(process) = &mut self.process else { return };
        let Some(socket) = process.wire(line).socket else { return };
        if half_open {
            self.desk.close(socket);
            self.deaf.insert(socket);
            return;
        }
        let life = self.life;
        self.schedule.plan(self.now, Item::Lost(life, line, socket));
        // What was on its way may still arrive there.
        let lingers_ns = self.draws.network.between(0, NS_PER_SEC);
        self.schedule.plan(self.now + lingers_ns, Item::Gone(socket));
    }

    /// A text of the order websocket reaches the venue's door.
    pub(super) fn at_venue(&mut self, line: Line, socket: SocketId, text: &str) -> Result<(), Failure> {
        let Ok(asked) = serde_json::from_str::<Asked<'_>>(text) else {
            return Err(Failure::new(self.now, format!("a request that is none: {text}")));
        };
        self.note_knock(|| text.to_owned());
        let does = asked.does();
        let fate =
            proxy::fate(does, true, &self.weather, &mut self.patience, self.now, &mut self.draws.network);
        self.audit.note_fate(fate);
        match fate {
            Fate::Through => self.desk.text(socket, text),
            Fate::Vanishes => {}
            Fate::Unanswered => {
                self.muted.insert(asked.id.to_owned());
                self.desk.text(socket, text);
            }
            Fate::Told { status, code, retry_s, acts } => {
                if acts {
                    self.muted.insert(asked.id.to_owned());
                    self.desk.text(socket, text);
                }
                let now_ms = self.clocks.venue.now().ms();
                let text = proxy::refusal_text(asked.id, status, code, retry_s, now_ms);
                self.send_to_us(line, socket, text);
            }
        }
        Ok(())
    }

    pub(super) fn call_arrives(
        &mut self,
        life: Life,
        lane: Lane,
        request: RequestId,
        call: &RestCall,
    ) -> Result<(), Failure> {
        self.note_knock(|| format!("{} {}?{}", verb(call.verb), call.path, call.query));
        if self.weather.is(Kind::RestDown, self.now) {
            self.reply(life, lane, request, RestReply::Unsent("soak".to_owned()), 0);
            return Ok(());
        }
        let does = proxy::call_does(call);
        let (weather, now) = (&self.weather, self.now);
        let fate = proxy::fate(does, false, weather, &mut self.patience, now, &mut self.draws.network);
        self.audit.note_fate(fate);
        let acts = match fate {
            Fate::Through | Fate::Unanswered => true,
            Fate::Vanishes => false,
            Fate::Told { acts, .. } => acts,
        };
        let pending = Pending { life, lane, request, fate };
        if acts {
            let key = if call.keyed { SIMULATED_KEY } else { "" };
            let id = self.desk.call(verb(call.verb), call.path, &call.query, key);
            self.calls.insert(id, pending);
        } else {
            self.settle_call(&pending, None);
        }
        Ok(())
    }

    /// What whoever made a call is told, `answer` being the venue's own.
    fn settle_call(&mut self, pending: &Pending, answer: Option<RestReply>) {
        let Pending { life, lane, request, fate } = *pending;
        let lost = || RestReply::Lost("soak".to_owned());
        match (fate, answer) {
            (Fate::Through, Some(answer)) => self.reply(life, lane, request, answer, 0),
            (Fate::Told { status, code, retry_s, .. }, _) => {
                let retry_after_s = retry_s.and_then(|seconds| u32::try_from(seconds).ok());
                let (body, used) = (proxy::refusal_body(code), UsedCounts::default());
                self.reply(life, lane, request, RestReply::Answer { status, retry_after_s, used, body }, 0);
            }
            _ => {
                // The connection breaks, or nothing comes until nobody waits any more.
                let waits_ns = if self.draws.network.one_in(2) { 0 } else { CALL_TIMEOUT_NS };
                self.reply(life, lane, request, lost(), waits_ns);
            }
        }
    }

    fn reply(&mut self, life: Life, lane: Lane, request: RequestId, reply: RestReply, waits_ns: i64) {
        let at = self.now + waits_ns + self.latency_ns();
        self.schedule.plan(at, Item::Reply(life, lane, request, reply));
    }

    /// Takes up what the venue said.
    pub(super) fn listen(&mut self) -> Result<(), Failure> {
        for (id, answer) in self.desk.replies() {
            if let Some(pending) = self.calls.remove(&id) {
                self.settle_call(&pending, Some(rest_reply(answer)));
            }
        }
        for (socket, said) in self.desk.said() {
            let Some(line) = self.line_of(socket) else { continue };
            match said {
                Said::Text(text) => self.said(line, socket, text),
                Said::Closed => {
                    let at = self.now + self.latency_ns();
                    self.schedule.plan(at, Item::Lost(self.life, line, socket));
                }
            }
        }
        Ok(())
    }

    fn line_of(&self, socket: SocketId) -> Option<Line> {
        let process = self.process.as_ref()?;
        if process.orders.socket == Some(socket) {
            Some(Line::Orders)
        } else {
            (process.user.socket == Some(socket)).then_some(Line::User)
        }
    }

    fn said(&mut self, line: Line, socket: SocketId, text: String) {
        let is = |kind| self.weather.is(kind, self.now);
        if line == Line::Orders {
            let muted = !self.muted.is_empty()
                && serde_json::from_str::<Answered<'_>>(&text)
                    .is_ok_and(|answer| self.muted.remove(answer.id));
            if !muted {
                self.send_to_us(line, socket, text);
            }
            return;
        }
        let (lost, twice, late) = (is(Kind::LoseReports), is(Kind::RepeatReports), is(Kind::ShuffleReports));
        let dice = &mut self.draws.network;
        if lost && dice.one_in(5) {
            return;
        }
        if twice && dice.one_in(3) {
            self.send_to_us(line, socket, text.clone());
        }
        if late && self.draws.network.one_in(3) {
            let at = self.now + self.draws.network.between(1, 1_500) * NS_PER_MS;
            self.schedule.plan(at, Item::ToUs(self.life, line, socket, text));
            return;
        }
        self.send_to_us(line, socket, text);
    }

    fn send_to_us(&mut self, line: Line, socket: SocketId, mut text: String) {
        let due = self.now + self.latency_ns();
        if self.weather.is(Kind::Garble, self.now) && self.draws.network.one_in(8) {
            garble(&mut text, &mut self.draws.network);
        }
        let Some(process) = &mut self.process else { return };
        let at = in_order(&mut process.wire(line).to_us, due);
        self.schedule.plan(at, Item::ToUs(self.life, line, socket, text));
    }

    pub(super) fn at_gateway(&mut self, line: Line, socket: SocketId, text: &str) -> Result<(), Failure> {
        let Some(process) = &mut self.process else { return Ok(()) };
        if process.wire(line).socket != Some(socket) {
            return Ok(());
        }
        if line == Line::User {
            return self.tell_gateway(Input::UserText(text.as_bytes()));
        }
        // Nothing else has the word.
        let answer = text.contains("retryAfter").then(|| serde_json::from_str(text).ok()).flatten();
        let silenced = |answer: &Answered<'_>| matches!(answer.status, 418 | 429);
        if let Some(answer) = answer.filter(silenced)
            && let Some(Retry { server_time, retry_after }) = answer.error.and_then(|error| error.data)
        {
            self.told_to_be_silent((retry_after - server_time) * NS_PER_MS, answer.status == 418);
        }
        self.tell_gateway(Input::OrderText(text.as_bytes()))
    }

    /// Others at this address use up what all of them may ask in a minute, and more. A venue without limits
    /// of its own does not mind.
    pub(super) fn others_ask(&mut self) {
        for _ in 0..self.draws.people.between(2_300, 2_500) {
            self.desk.call("GET", "/fapi/v1/ping", "", "");
        }
        self.others_asked = Some(self.now).filter(|_| self.has_limits).or(self.others_asked);
    }

    /// The account's owner sends an order of his own, whatever it is.
    pub(super) fn trade_at_random(&mut self) {
        let dice = &mut self.draws.people;
        let instrument = InstrumentId(dice.between(0, 2) as u16);
        let side = dice.pick(&[Side::Buy, Side::Sell]);
        let lots = Lots(dice.pick(&[5, 20, 200]));
        self.trade_by_hand(instrument, side, lots);
    }
}

#[derive(serde::Deserialize)]
struct Answered<'a> {
    id: &'a str,
    status: u16,
    error: Option<Refused>,
}

#[derive(serde::Deserialize)]
struct Refused {
    data: Option<Retry>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Retry {
    server_time: i64,
    retry_after: i64,
}

pub(super) fn rest_reply(answer: crate::sim::server::HttpAnswer) -> RestReply {
    let crate::sim::server::HttpAnswer { status, retry_after_s, used, body } = answer;
    RestReply::Answer { status, retry_after_s, used, body: body.into_bytes() }
}

/// Half of a text, or another one.
fn garble(text: &mut String, dice: &mut Dice) {
    if dice.one_in(3) {
        *text = dice.pick(&["", "{}", "[]", "null", "{\"e\":", r#"{"e":"nobodyKnows","x":[1]}"#]).to_owned();
        return;
    }
    let mut end = dice.between(0, text.len() as i64) as usize;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}
