//! Why a connection does not open, and why it ends.

use std::io;

use rustls::pki_types::pem;

use super::url::UrlError;

/// Where opening a connection was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Resolving,
    Connecting,
    TlsHandshake,
    HttpHandshake,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stage::Resolving => "looking up the host",
            Stage::Connecting => "connecting",
            Stage::TlsHandshake => "setting up TLS",
            Stage::HttpHandshake => "upgrading to a websocket",
        })
    }
}

/// Why a connection did not open.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("address: {0}")]
    Url(#[from] UrlError),
    #[error("CA file {path}: {problem}")]
    Roots { path: String, problem: RootsProblem },
    #[error("no answer in time while {0}")]
    Deadline(Stage),
    #[error("while {stage}: {source}")]
    Io { stage: Stage, source: io::Error },
    #[error("the host has no address")]
    NoAddress,
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("upgrade refused: {0}")]
    Upgrade(#[from] UpgradeError),
}

/// What is wrong with a CA file.
#[derive(Debug, thiserror::Error)]
pub enum RootsProblem {
    #[error("{0}")]
    Pem(pem::Error),
    #[error("{0}")]
    Certificate(rustls::Error),
    #[error("no certificate in it")]
    Empty,
}

/// What is wrong with the server's answer to the upgrade.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    #[error("the answer is not HTTP ({0})")]
    NotHttp(httparse::Error),
    #[error("the head of the answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("the connection ended within the answer")]
    Eof,
    /// `retry_after_s`: the `Retry-After` header where it is a number of seconds. A venue that bans
    /// (418, 429) says so here.
    #[error("status {code}, not 101 (retry after {retry_after_s:?} s)")]
    Status { code: u16, retry_after_s: Option<u32> },
    #[error("HTTP/1.{0}, not 1.1")]
    Version(u8),
    #[error("header {0} is missing, repeated or not what it must be")]
    Header(&'static str),
    #[error("Sec-WebSocket-Accept does not answer our key")]
    Accept,
}

/// How the server broke RFC 6455.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    #[error("a masked frame from the server")]
    Masked,
    #[error("reserved bits set")]
    ReservedBits,
    #[error("an unknown opcode")]
    Opcode,
    #[error("a control frame in fragments")]
    ControlFragmented,
    #[error("a control frame of more than 125 bytes")]
    ControlTooLong,
    #[error("a frame beyond the size limit")]
    FrameTooLong,
    #[error("a fragmented message beyond the size limit")]
    MessageTooLong,
    #[error("a continuation of nothing")]
    Continuation,
    #[error("a new message within a fragmented one")]
    Interrupted,
    #[error("a text message that is not UTF-8")]
    Utf8,
    #[error("a malformed close frame")]
    Close,
    /// Any other complaint of the frame parser; none is known.
    #[error("a frame the parser does not take")]
    Parser,
}

impl Violation {
    /// The status our close frame gives for it (RFC 6455 §7.4.1).
    pub fn close_code(self) -> u16 {
        match self {
            Violation::FrameTooLong | Violation::MessageTooLong => 1009,
            Violation::Utf8 => 1007,
            _ => 1002,
        }
    }
}

/// Why a connection is closed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CloseReason {
    /// The server closed; status and text of its close frame.
    #[error("closed by the server ({code:?} {text:?})")]
    Peer { code: Option<u16>, text: Box<str> },
    /// We closed, and the server confirmed or hung up.
    #[error("closed by us")]
    Local,
    /// We closed, and the server did not confirm in time.
    #[error("closed by us, without confirmation")]
    Unconfirmed,
    /// The stream ended without a close frame.
    #[error("the stream ended without a close frame")]
    Eof,
    #[error("socket: {0}")]
    Io(io::ErrorKind),
    #[error("TLS: {0}")]
    Tls(rustls::Error),
    #[error("protocol: {0}")]
    Protocol(#[from] Violation),
}

/// Errors as they are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    Address,
    Deadline,
    Refused,
    Io,
    Eof,
    Tls,
    Upgrade,
    Protocol,
    Oversize,
    ClosedByPeer,
    Unconfirmed,
}

impl ErrorKind {
    pub const ALL: [ErrorKind; 11] = [
        ErrorKind::Address,
        ErrorKind::Deadline,
        ErrorKind::Refused,
        ErrorKind::Io,
        ErrorKind::Eof,
        ErrorKind::Tls,
        ErrorKind::Upgrade,
        ErrorKind::Protocol,
        ErrorKind::Oversize,
        ErrorKind::ClosedByPeer,
        ErrorKind::Unconfirmed,
    ];

    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Address => "address",
            ErrorKind::Deadline => "deadline",
            ErrorKind::Refused => "refused",
            ErrorKind::Io => "io",
            ErrorKind::Eof => "eof",
            ErrorKind::Tls => "tls",
            ErrorKind::Upgrade => "upgrade",
            ErrorKind::Protocol => "protocol",
            ErrorKind::Oversize => "oversize",
            ErrorKind::ClosedByPeer => "closed_by_peer",
            ErrorKind::Unconfirmed => "unconfirmed",
        }
    }
}

impl WireError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            WireError::Url(_) | WireError::NoAddress => ErrorKind::Address,
            WireError::Io { stage: Stage::Resolving, .. } => ErrorKind::Address,
            WireError::Deadline(_) => ErrorKind::Deadline,
            WireError::Io { source, .. } => match source.kind() {
                io::ErrorKind::ConnectionRefused => ErrorKind::Refused,
                io::ErrorKind::UnexpectedEof => ErrorKind::Eof,
                _ => ErrorKind::Io,
            },
            WireError::Roots { .. } | WireError::Tls(_) => ErrorKind::Tls,
            WireError::Upgrade(_) => ErrorKind::Upgrade,
        }
    }
}

impl CloseReason {
    /// `None` for the one ending that is no error: ours, confirmed.
    pub fn kind(&self) -> Option<ErrorKind> {
        Some(match self {
            CloseReason::Local => return None,
            CloseReason::Peer { .. } => ErrorKind::ClosedByPeer,
            CloseReason::Unconfirmed => ErrorKind::Unconfirmed,
            CloseReason::Eof | CloseReason::Io(io::ErrorKind::UnexpectedEof) => ErrorKind::Eof,
            CloseReason::Io(_) => ErrorKind::Io,
            CloseReason::Tls(_) => ErrorKind::Tls,
            CloseReason::Protocol(Violation::FrameTooLong | Violation::MessageTooLong) => ErrorKind::Oversize,
            CloseReason::Protocol(_) => ErrorKind::Protocol,
        })
    }
}

/// Why a message was not taken for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The bytes that wait to be written leave no room; nothing of the message was taken.
    #[error("the send buffer is full")]
    Full,
    /// Longer than the send buffer: it will never fit.
    #[error("the message is longer than the send buffer")]
    TooLong,
    /// The connection is closing or closed.
    #[error("the connection is not open")]
    NotOpen,
}
