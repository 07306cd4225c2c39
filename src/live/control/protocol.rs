//! What goes over the control socket: one line of JSON each way, then it is closed.

use serde::{Deserialize, Serialize};

use super::Status;
use crate::event::CommandKind;

/// Longest request, its newline included: the longest symbol takes a tenth of it.
pub const REQUEST_BYTES_MAX: usize = 512;

/// `{"command":"halt"}`, `{"command":"close","symbol":"BTCUSDT"}`, `{"command":"status"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// A word of [`CommandKind`], or [`Request::STATUS`].
    pub command: String,
    /// For `close` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
}

/// A request that makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked<'a> {
    Status,
    /// A symbol stands where the command is about one.
    Command(CommandKind, Option<&'a str>),
}

impl Request {
    pub const STATUS: &'static str = "status";

    pub fn status() -> Request {
        Request { command: Request::STATUS.to_string(), symbol: None }
    }

    pub fn command(kind: CommandKind, symbol: Option<&str>) -> Request {
        Request { command: kind.as_str().to_string(), symbol: symbol.map(str::to_string) }
    }

    /// Reads a line.
    ///
    /// # Errors
    /// What is allowed, in words.
    pub(super) fn parse(line: &[u8]) -> Result<Request, String> {
        serde_json::from_slice(line).map_err(|error| format!("not a request: {error}; {}", allowed()))
    }

    pub(super) fn asked(&self) -> Result<Asked<'_>, String> {
        // That a run ends is told by a signal.
        let kind = CommandKind::parse(&self.command).filter(|kind| *kind != CommandKind::Stop);
        match (kind, self.symbol.as_deref()) {
            (Some(CommandKind::Close), Some(symbol)) => Ok(Asked::Command(CommandKind::Close, Some(symbol))),
            (Some(CommandKind::Close), None) => Err("close needs a symbol".to_string()),
            (Some(kind), None) => Ok(Asked::Command(kind, None)),
            (None, None) if self.command == Request::STATUS => Ok(Asked::Status),
            (None, _) if self.command != Request::STATUS => {
                let found: String = self.command.chars().take(40).collect();
                Err(format!("{found:?} is not a command; {}", allowed()))
            }
            (_, Some(_)) => Err(format!("{} takes no symbol", self.command)),
            (None, None) => Err(allowed()),
        }
    }
}

fn allowed() -> String {
    format!("allowed is {{\"command\":…}} with {}, {}", Request::STATUS, CommandKind::WORDS.join(", "))
}

/// `{"done":{…}}`, `{"status":{…}}` or `{"error":{…}}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Status(Box<Status>),
    Done(Done),
    Error(Trouble),
}

/// A command that was taken up: it is in the journal, and so is what it caused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub command: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// Its journal sequence number.
    pub sequence: u64,
    /// Trading state after it.
    pub state: String,
    /// Why it is that; none while it has been ACTIVE from the start.
    pub cause: Option<String>,
    /// What the operator may not expect, such as that nothing was open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Why there is no better answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    pub kind: TroubleKind,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// The request is not one; nothing was done.
    Request,
    /// The asking process belongs to another user; nothing was done.
    Permission,
    /// The engine's inbox, or this socket, is full; nothing was done.
    Busy,
    /// The command was handed over, and whether it is taken up is not known yet.
    Late,
    /// The engine is on its way out.
    Ending,
}

impl Answer {
    pub(super) fn trouble(kind: TroubleKind, message: impl Into<String>) -> Answer {
        Answer::Error(Trouble { kind, message: message.into() })
    }

    /// As a line.
    pub(super) fn line(&self) -> Vec<u8> {
        // Texts and numbers in structs: there is no key to refuse. An empty line would be seen.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<String, String> {
        let request = Request::parse(line.as_bytes())?;
        request.asked().map(|asked| format!("{asked:?}"))
    }

    #[test]
    fn every_command_has_its_line() {
        assert_eq!(asked("{\"command\":\"status\"}").unwrap(), "Status");
        for kind in CommandKind::ALL.iter().filter(|kind| **kind != CommandKind::Stop) {
            let symbol = (*kind == CommandKind::Close).then_some("BTCUSDT");
            let line = serde_json::to_string(&Request::command(*kind, symbol)).unwrap();
            assert_eq!(asked(&line).unwrap(), format!("{:?}", Asked::Command(*kind, symbol)));
        }
        assert!(asked("{\"command\":\"stop\"}").is_err(), "that is a signal's to say");
    }

    #[test]
    fn other_lines_are_refused_with_what_is_allowed() {
        for (line, about) in [
            ("", "not a request"),
            ("halt", "not a request"),
            ("[]", "not a request"),
            ("{}", "missing field `command`"),
            ("{\"command\":7}", "not a request"),
            ("{\"command\":\"Halt\"}", "\"Halt\" is not a command"),
            ("{\"command\":\"buy\"}", "status, halt, reduce, resume, flatten, close"),
            ("{\"command\":\"buy\",\"symbol\":\"X\"}", "\"buy\" is not a command"),
            ("{\"command\":\"close\"}", "close needs a symbol"),
            ("{\"command\":\"halt\",\"symbol\":\"X\"}", "halt takes no symbol"),
            ("{\"command\":\"status\",\"symbol\":\"X\"}", "status takes no symbol"),
            ("{\"command\":\"halt\",\"force\":true}", "unknown field `force`"),
            ("{\"command\":\"halt\"} {}", "trailing characters"),
        ] {
            let error = asked(line).unwrap_err();
            assert!(error.contains(about), "{line}: {error}");
        }
        assert!(Request::parse(b"{\"command\":\"\xff\"}").is_err());
        let long = asked(&format!("{{\"command\":\"{}\"}}", "x".repeat(400))).unwrap_err();
        assert!(long.len() < 200, "{long}");
    }
}
