//! The task of one websocket: what waits in its queue goes out, what comes in goes to the core.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Request;
use super::clients::{ClientId, Opened, Role};

/// Messages written before the socket is told to send them: one system call for a burst.
const BATCH: usize = 64;
/// Control messages a market connection may send in [`CONTROL_WINDOW`]; the venue ends those that
/// send more. The user stream takes none at all, but pings.
const CONTROLS_MAX: u32 = 10;
const CONTROL_WINDOW: Duration = Duration::from_secs(1);

/// Serves a websocket until either side ends it.
pub(super) async fn serve(socket: WebSocket, role: Role, opened: Opened, requests: mpsc::Sender<Request>) {
    let Opened { id, queue, alive } = opened;
    let pump = Pump { id, role, queue, requests: requests.clone(), controls: 0, window: Instant::now() };
    // A client that reads nothing holds `run` in a write for ever; the core then lets go of it.
    tokio::select! {
        _ = alive => {}
        () = pump.run(socket) => {}
    }
    // Without a core there is nobody to tell.
    let _ = requests.send(Request::Closed(id)).await;
}

struct Pump {
    id: ClientId,
    role: Role,
    queue: mpsc::Receiver<Message>,
    requests: mpsc::Sender<Request>,
    /// Control messages since `window` began.
    controls: u32,
    window: Instant,
}

impl Pump {
    async fn run(mut self, mut socket: WebSocket) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let goes_on = tokio::select! {
                count = self.queue.recv_many(&mut batch, BATCH) => {
                    count > 0 && write(&mut socket, &mut batch).await
                }
                message = socket.next() => match message {
                    Some(Ok(message)) => self.take(&mut socket, message).await,
                    Some(Err(_)) | None => false,
                },
            };
            if !goes_on {
                return;
            }
        }
    }

    /// One message of the client; false ends the connection.
    async fn take(&mut self, socket: &mut WebSocket, message: Message) -> bool {
        let text = match message {
            // Answers of ours are on their way already; the next read is the end.
            Message::Close(_) => return true,
            Message::Pong(_) => return true,
            Message::Ping(_) => None,
            Message::Text(text) => Some(text),
            Message::Binary(_) => return refuse(socket, close_code::UNSUPPORTED, "text only").await,
        };
        if self.role != Role::Api && self.is_flood() {
            return refuse(socket, close_code::POLICY, "too many requests").await;
        }
        match (text, &self.role) {
            (Some(text), Role::Market { .. } | Role::Api) => {
                self.requests.send(Request::Text { client: self.id, text }).await.is_ok()
            }
            (_, _) => true,
        }
    }

    fn is_flood(&mut self) -> bool {
        let now = Instant::now();
        if now.duration_since(self.window) >= CONTROL_WINDOW {
            (self.window, self.controls) = (now, 0);
        }
        self.controls += 1;
        self.controls > CONTROLS_MAX
    }
}

/// Writes a batch and empties it; false once the connection is no more.
async fn write(socket: &mut WebSocket, batch: &mut Vec<Message>) -> bool {
    for message in batch.drain(..) {
        let last = matches!(message, Message::Close(_));
        if socket.feed(message).await.is_err() {
            return false;
        }
        if last {
            break;
        }
    }
    socket.flush().await.is_ok()
}

async fn refuse(socket: &mut WebSocket, code: u16, reason: &'static str) -> bool {
    let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
    // Whether it hears why is its own affair.
    let _ = socket.send(Message::Close(Some(frame))).await;
    false
}
