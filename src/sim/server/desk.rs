//! The venue's server without sockets and threads: whoever holds it moves texts and time. The dialect,
//! and the account behind it, are those of the server.

use std::collections::BTreeMap;

use axum::extract::ws::Message;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::oneshot;

use super::Request;
use super::ServerReport;
use super::calls::{Answer, Call, Reply};
use super::clients::{ClientId, Opened, Role};
use super::config::{Disturbance, Faults, Pacing, ServerConfig};
use super::core::{Core, Step};
use super::params::Params;
use crate::event::{Event, FillCause, InstrumentTable};
use crate::num::{Dec, InstrumentId, Lots, Millis, Now, OrderId, TimeNs};
use crate::sim::exchange::Exchange;
use crate::sim::link::{Link, LinkConfig};
use crate::sim::venue::Venue;
use crate::venue::binance::UsedCounts;
use crate::venue::binance::sign::SecretError;

/// A websocket of the desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Socket {
    Orders,
    User { listen_key: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketId(ClientId);

/// Counts REST calls.
pub type CallId = u64;

/// What a websocket says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Text(String),
    /// It ended.
    Closed,
}

/// An answer of the REST interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    pub retry_after_s: Option<u32>,
    /// How much of the limits is used.
    pub used: UsedCounts,
    pub body: String,
}

/// A venue with nobody between it and its holder.
pub struct Desk {
    core: Core,
    sockets: BTreeMap<SocketId, Opened>,
    calls: Vec<(CallId, oneshot::Receiver<(Answer, UsedCounts)>)>,
    last_call: CallId,
}

impl Desk {
    /// A venue whose time is `clock`'s. Messages take no time of their own.
    ///
    /// # Errors
    /// The secret is none.
    pub fn new(
        config: ServerConfig,
        venue: Venue,
        instruments: InstrumentTable,
        clock: Box<dyn Now>,
    ) -> Result<Desk, SecretError> {
        let link = Link::new(venue, LinkConfig::default());
        let pacing = Pacing::Paced { wall: || TimeNs(0), clock, scale: 1.0 };
        let core = Core::new(config, Exchange::without_market(link), instruments, pacing)?;
        Ok(Desk { core, sockets: BTreeMap::new(), calls: Vec::new(), last_call: 0 })
    }

    /// Opens a websocket; `None` if the venue refuses it.
    pub fn open(&mut self, socket: &Socket) -> Option<SocketId> {
        let role = match socket {
            Socket::Orders => Role::Api,
            Socket::User { listen_key } => Role::User { listen_key: listen_key.clone() },
        };
        let opened = self.core.open(role, Vec::new()).ok()?;
        let id = SocketId(opened.id);
        self.sockets.insert(id, opened);
        Some(id)
    }

    /// The client is gone.
    pub fn close(&mut self, socket: SocketId) {
        self.sockets.remove(&socket);
        self.core.take(Request::Closed(socket.0));
    }

    /// Whether a connection stands.
    pub fn is_open(&self, socket: SocketId) -> bool {
        self.sockets.contains_key(&socket)
    }

    /// A client's text.
    pub fn text(&mut self, socket: SocketId, text: &str) {
        self.pass();
        if self.sockets.contains_key(&socket) {
            self.core.take(Request::Text { client: socket.0, text: text.into() });
            self.pass();
        }
    }

    /// A REST call; [`Desk::replies`] has its answer once there is one.
    pub fn call(&mut self, method: &str, path: &str, query: &str, api_key: &str) -> CallId {
        // It arrives now, and not when something last happened.
        self.pass();
        self.last_call += 1;
        let (sender, answer) = oneshot::channel();
        let reply = Reply::Http(sender);
        self.calls.push((self.last_call, answer));
        match Params::of_query(query, "") {
            Ok(params) => {
                let (name, api_key) = (format!("{method} {path}"), api_key.to_owned());
                self.core.take(Request::Call(Call { name, params, api_key, reply }));
            }
            Err(refusal) => self.core.answer(reply, Err(refusal)),
        }
        self.pass();
        self.last_call
    }

    /// Answers since the last look, in the order of the calls.
    pub fn replies(&mut self) -> Vec<(CallId, HttpAnswer)> {
        let mut answered = Vec::new();
        self.calls.retain_mut(|(id, answer)| match answer.try_recv() {
            Ok((answer, used)) => {
                answered.push((*id, http_answer(answer, used)));
                false
            }
            Err(oneshot::error::TryRecvError::Empty) => true,
            // It will not be answered: whoever waits for it waits for nothing.
            Err(oneshot::error::TryRecvError::Closed) => false,
        });
        answered
    }

    /// What websockets said since the last look, by socket.
    pub fn said(&mut self) -> Vec<(SocketId, Said)> {
        let mut said = Vec::new();
        self.sockets.retain(|id, opened| {
            loop {
                match opened.queue.try_recv() {
                    Ok(Message::Text(text)) => said.push((*id, Said::Text(text.to_string()))),
                    Ok(Message::Close(_)) | Err(TryRecvError::Disconnected) => {
                        said.push((*id, Said::Closed));
                        return false;
                    }
                    // Pings are the transport's.
                    Ok(_) => {}
                    Err(TryRecvError::Empty) => return true,
                }
            }
        });
        said
    }

    /// A market event reaches the venue at the clock's time.
    pub fn market(&mut self, event: &Event) {
        self.core.market(event);
        self.pass();
    }

    /// Time has come to the clock's: what is due is done.
    pub fn pass(&mut self) {
        let now = self.core.clock();
        while self.core.step(now) != Step::Nothing {}
    }

    pub fn disturb(&mut self, disturbance: Disturbance) {
        self.core.take(Request::Disturb(disturbance));
        self.pass();
    }

    /// The listen key ends, and nobody says so; the sockets stay, and hear nothing more.
    pub fn expire_silently(&mut self) {
        self.core.keys.end();
        self.core.clients.deafen_users();
    }

    /// The venue closes up to so much of a position by itself.
    pub fn force(&mut self, instrument: InstrumentId, lots: Lots, cause: FillCause) {
        let now = self.core.clock();
        self.core.exchange.link().force(now, instrument, lots, cause);
        self.pass();
    }

    /// The owner moves money in or, negative, out.
    pub fn transfer(&mut self, amount: Dec) {
        let now = self.core.clock();
        self.core.exchange.link().transfer(now, amount);
        self.pass();
    }

    /// The account and its orders.
    pub fn venue(&mut self) -> &Venue {
        self.core.exchange.link().venue()
    }

    /// What clients call an order of the venue's.
    pub fn client_id(&self, order: OrderId) -> &str {
        self.core.book.client_id(order)
    }

    /// Requests refused with 429, and requests that came during a ban.
    pub fn turned_away(&self) -> (u64, u64) {
        (self.core.rates.over_limits, self.core.rates.during_ban)
    }

    /// Until when, by its own clock, the venue wants to hear nothing.
    pub fn silent_until_ms(&self) -> Millis {
        self.core.rates.silent_until_ms()
    }

    /// What it was asked and what it refused, from its start on.
    pub fn report(&self) -> &ServerReport {
        &self.core.clients.report
    }

    pub fn faults(&self) -> &Faults {
        &self.core.faults
    }

    /// Orders asked for under an id that was used before.
    pub fn requested_again(&self) -> u64 {
        self.core.audit.requested_again()
    }
}

fn http_answer(answer: Answer, used: UsedCounts) -> HttpAnswer {
    match answer {
        Ok(body) => HttpAnswer { status: 200, retry_after_s: None, used, body },
        Err(refusal) => HttpAnswer {
            status: refusal.http_status(),
            retry_after_s: refusal.retry.map(|retry| retry.after_s()),
            used,
            body: serde_json::json!({ "code": refusal.code, "msg": refusal.message }).to_string(),
        },
    }
}
