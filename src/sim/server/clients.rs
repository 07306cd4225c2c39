//! The websockets there are: their queues, and who hears what.

use std::collections::{BTreeMap, HashMap};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, close_code};
use tokio::sync::{mpsc, oneshot};

use super::envelope::{StreamKey, combine, combined_data};
use super::report::ServerReport;
use crate::event::Feed;
use crate::num::TimeNs;

/// Messages that may wait for a user stream or an order socket: an order makes half a dozen.
pub(super) const PRIVATE_QUEUE: usize = 4_096;
/// Websockets at a time: each may hold a full queue.
pub(super) const CLIENTS_MAX: usize = 256;
/// Streams a connection may subscribe to: the venue's limit.
pub(super) const STREAMS_MAX: usize = 1_024;

/// Counts websockets, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ClientId(u64);

/// How market frames are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `{"stream":…,"data":…}`
    Combined,
    Raw,
}

/// What a websocket is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Market streams of one of the two roads.
    Market { road: Feed, form: Form },
    /// The user stream of a listen key.
    User { listen_key: String },
    /// Order entry.
    Api,
}

struct Client {
    role: Role,
    queue: mpsc::Sender<Message>,
    /// Dropped with the client: its task then ends at once, whatever it waits for.
    _alive: oneshot::Sender<()>,
    opened: TimeNs,
    /// Names subscribed to, those included that nothing is sent on.
    streams: Vec<String>,
    /// A close frame is in its queue: nothing more is sent behind it.
    leaving: bool,
}

/// All websockets. A queue that is full ends its client: a market client by the venue's own rule, a
/// private one because nothing of a user stream may be left out.
#[derive(Default)]
pub(super) struct Clients {
    clients: BTreeMap<ClientId, Client>,
    /// Subscribers of each stream, with the name they used.
    subscribers: HashMap<StreamKey, Vec<(ClientId, String)>>,
    last_id: u64,
    pub report: ServerReport,
}

/// The end of a queue that a websocket's task holds.
pub(super) struct Opened {
    pub id: ClientId,
    pub queue: mpsc::Receiver<Message>,
    /// Errs when the server is done with the client.
    pub alive: oneshot::Receiver<()>,
}

impl Clients {
    pub fn open(&mut self, role: Role, queue_max: usize, now: TimeNs) -> Opened {
        self.last_id += 1;
        let id = ClientId(self.last_id);
        let (sender, queue) = mpsc::channel(queue_max);
        let (guard, alive) = oneshot::channel();
        let client =
            Client { role, queue: sender, _alive: guard, opened: now, streams: Vec::new(), leaving: false };
        self.clients.insert(id, client);
        self.report.clients += 1;
        Opened { id, queue, alive }
    }

    pub fn count(&self) -> usize {
        self.clients.len()
    }

    pub fn close(&mut self, id: ClientId) {
        let Some(client) = self.clients.remove(&id) else { return };
        for name in &client.streams {
            self.forget(id, name);
        }
    }

    pub fn close_all(&mut self) {
        self.clients.clear();
        self.subscribers.clear();
    }

    fn forget(&mut self, id: ClientId, name: &str) {
        let Some(key) = StreamKey::of_name(name) else { return };
        if let Some(subscribers) = self.subscribers.get_mut(&key) {
            subscribers.retain(|(subscriber, known)| !(*subscriber == id && known == name));
            if subscribers.is_empty() {
                self.subscribers.remove(&key);
            }
        }
    }

    /// Adds streams; false, and nothing added, beyond [`STREAMS_MAX`]. A name of the other road is
    /// kept and never sent, as at the venue since the roads were split.
    pub fn subscribe(&mut self, id: ClientId, names: Vec<String>) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return true };
        let Role::Market { road, .. } = client.role else { return true };
        let mut fresh = Vec::new();
        for name in names {
            if !client.streams.contains(&name) && !fresh.contains(&name) {
                fresh.push(name);
            }
        }
        if client.streams.len() + fresh.len() > STREAMS_MAX {
            return false;
        }
        for name in fresh {
            client.streams.push(name.clone());
            let key = StreamKey::of_name(&name).filter(|key| key.channel().feed() == road);
            let Some(subscribers) = key.map(|key| self.subscribers.entry(key).or_default()) else { continue };
            // Two names of one stream are one stream here.
            if subscribers.iter().all(|(subscriber, _)| *subscriber != id) {
                subscribers.push((id, name));
            }
        }
        true
    }

    pub fn unsubscribe(&mut self, id: ClientId, names: &[String]) {
        for name in names {
            let Some(client) = self.clients.get_mut(&id) else { return };
            client.streams.retain(|known| known != name);
            self.forget(id, name);
        }
    }

    pub fn streams(&self, id: ClientId) -> &[String] {
        self.clients.get(&id).map_or(&[], |client| client.streams.as_slice())
    }

    pub fn set_form(&mut self, id: ClientId, to: Form) {
        if let Some(Client { role: Role::Market { form, .. }, .. }) = self.clients.get_mut(&id) {
            *form = to;
        }
    }

    pub fn form(&self, id: ClientId) -> Option<Form> {
        match self.clients.get(&id)?.role {
            Role::Market { form, .. } => Some(form),
            _ => None,
        }
    }

    /// Sends a market frame to everybody who subscribed to its stream; true if anybody did.
    pub fn publish(&mut self, key: StreamKey, frame: &Utf8Bytes) -> bool {
        let mut full = Vec::new();
        let mut sent = false;
        let mut data: Option<Utf8Bytes> = None;
        let all = Some(key.all_symbols()).filter(|all| *all != key);
        let subscribed = [Some(key), all].into_iter().flatten().filter_map(|key| self.subscribers.get(&key));
        for (id, name) in subscribed.flatten() {
            let Some(client) = self.clients.get(id).filter(|client| !client.leaving) else { continue };
            let Role::Market { road, form } = client.role else { continue };
            let text = match (form, combined_data(frame)) {
                (Form::Combined, Some(_)) | (Form::Raw, None) => frame.clone(),
                (Form::Combined, None) => combine(name, frame).into(),
                (Form::Raw, Some(inner)) => data.get_or_insert_with(|| inner.into()).clone(),
            };
            let sent_to = match road {
                Feed::Public => &mut self.report.public_sent,
                _ => &mut self.report.market_sent,
            };
            *sent_to += 1;
            self.report.bytes_sent += text.len() as u64;
            sent = true;
            if !push(client, Message::Text(text), &mut self.report) {
                full.push(*id);
            }
        }
        full.into_iter().for_each(|id| self.close(id));
        sent
    }

    /// Sends one message to one websocket.
    pub fn send(&mut self, id: ClientId, message: Message) -> bool {
        let Some(client) = self.clients.get(&id) else { return false };
        let sent = push(client, message, &mut self.report);
        if !sent {
            self.close(id);
        }
        sent
    }

    /// Sends a text to every socket of the user stream; how many that were.
    pub fn tell_user(&mut self, text: &str) -> u64 {
        let text = Utf8Bytes::from(text);
        let users = self.ids(|client| matches!(client.role, Role::User { .. }));
        let sent = users.into_iter().filter(|id| self.send(*id, Message::Text(text.clone()))).count();
        self.report.user_messages += sent as u64;
        sent as u64
    }

    /// Sends a message to every websocket.
    pub fn tell_all(&mut self, message: &Message) {
        for id in self.ids(|_| true) {
            self.send(id, message.clone());
        }
    }

    /// The sockets of a listen key hear no more.
    pub fn end_user_streams(&mut self) {
        let users = self.ids(|client| matches!(client.role, Role::User { .. }));
        users.into_iter().for_each(|id| self.close_politely(id));
    }

    /// The sockets of a listen key stay, and hear no more.
    pub fn deafen_users(&mut self) {
        let users = self.clients.values_mut().filter(|client| matches!(client.role, Role::User { .. }));
        users.for_each(|client| client.leaving = true);
    }

    /// Asks those to leave that were opened at or before `since`.
    pub fn end_old(&mut self, since: TimeNs) {
        let old = self.ids(|client| client.opened <= since);
        old.into_iter().for_each(|id| self.close_politely(id));
    }

    fn ids(&self, of: impl Fn(&Client) -> bool) -> Vec<ClientId> {
        let clients = self.clients.iter().filter(|(_, client)| !client.leaving && of(client));
        clients.map(|(id, _)| *id).collect()
    }

    /// A close frame behind what waits; the websocket's task does the rest.
    fn close_politely(&mut self, id: ClientId) {
        let frame = CloseFrame { code: close_code::AWAY, reason: Utf8Bytes::from_static("") };
        self.send(id, Message::Close(Some(frame)));
        if let Some(client) = self.clients.get_mut(&id) {
            client.leaving = true;
        }
    }
}

/// Puts a message into a client's queue; false if it is full or its task is gone.
fn push(client: &Client, message: Message, report: &mut ServerReport) -> bool {
    let sent = client.queue.try_send(message);
    let room = client.queue.max_capacity();
    report.note_queue(room - client.queue.capacity(), room);
    if matches!(sent, Err(mpsc::error::TrySendError::Full(_))) {
        report.slow_disconnects += 1;
    }
    sent.is_ok()
}
