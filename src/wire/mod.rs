//! Websocket clients for a thread that polls and never waits: bytes in, whole messages out. What the
//! messages say is the decoder's business.
//!
//! A [`Connector`] opens a connection (lookup, socket, TLS, upgrade) on a helper thread, since all of
//! that blocks and allocates. The hot thread polls the [`Connection`] it is handed: each poll reads what
//! the socket has, within a budget, and answers pings and closes. There is no runtime and no poll call.
//! [`Reconnect`] says when to open the next one. Time is given by the caller everywhere but in the
//! connector's deadline.
//!
//! Bounds, and what happens at them: a message beyond `frame_bytes_max` ends the connection; a text that
//! the send buffer has no room for is refused; of pings that come faster than the socket takes pongs the
//! newest is answered; an upgrade answer beyond [`HEAD_BYTES_MAX`] is refused.
//!
//! A server that breaks RFC 6455 is sent a close frame and never heard again; the [`CloseReason`] says
//! what it did.

mod connection;
mod connector;
mod counters;
mod error;
mod message;
mod outbound;
mod reader;
mod reconnect;
mod tls;
mod transport;
mod upgrade;
mod url;

pub use connection::{Connection, FrameRef, Limits, Progress, State};
pub use connector::{Connector, OpenConnection};
pub use counters::Counters;
pub use error::{CloseReason, ErrorKind, RootsProblem, SendError, Stage, UpgradeError, Violation, WireError};
pub use message::FrameKind;
pub use reconnect::{Backoff, Reconnect};
pub use tls::Roots;
pub use upgrade::{HEAD_BYTES_MAX, accept};
pub use url::{Host, Url, UrlError};
