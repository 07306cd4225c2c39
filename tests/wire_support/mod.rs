//! A server in memory, and the frames of both sides, written without the code under test.
#![allow(dead_code)] // Each test takes what it needs.

pub mod tls;

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use quantum_trader::num::TimeNs;
use quantum_trader::wire::{
    Connection, Connector, FrameKind, Limits, Progress, Roots, State, WireError, accept,
};

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;
pub const T0: TimeNs = TimeNs(1_700_000_000_000_000_000);

pub enum Step {
    Bytes(Vec<u8>),
    /// Nothing for now: `WouldBlock` once.
    Wait,
    End,
    Fail(io::ErrorKind),
}

/// What answers the upgrade: the whole answer, given the client's key.
pub type Answer = fn(&str) -> Vec<u8>;

/// A stream with a server behind it: it answers the upgrade, then plays its steps. Out of steps it
/// would block.
pub struct Script {
    answer: Option<Answer>,
    pub steps: VecDeque<Step>,
    /// What the client wrote after its request.
    pub written: Vec<u8>,
    pub request: Vec<u8>,
    /// How many bytes it still takes; then it would block.
    pub room: usize,
    /// Longest read, so that an answer comes in pieces.
    pub read_max: usize,
    pub reads: u64,
}

impl Script {
    pub fn new(answer: Answer, steps: impl IntoIterator<Item = Step>) -> Script {
        Script {
            answer: Some(answer),
            steps: steps.into_iter().collect(),
            written: Vec::new(),
            request: Vec::new(),
            room: usize::MAX,
            read_max: usize::MAX,
            reads: 0,
        }
    }

    pub fn then(&mut self, bytes: impl Into<Vec<u8>>) {
        self.steps.push_back(Step::Bytes(bytes.into()));
    }
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!buffer.is_empty(), "a read of nothing reads like an end");
        self.reads += 1;
        match self.steps.pop_front() {
            None | Some(Step::Wait) => Err(io::ErrorKind::WouldBlock.into()),
            Some(Step::End) => {
                self.steps.push_front(Step::End);
                Ok(0)
            }
            Some(Step::Fail(kind)) => Err(kind.into()),
            Some(Step::Bytes(mut bytes)) => {
                let count = buffer.len().min(bytes.len()).min(self.read_max);
                buffer[..count].copy_from_slice(&bytes[..count]);
                if count < bytes.len() {
                    bytes.drain(..count);
                    self.steps.push_front(Step::Bytes(bytes));
                }
                Ok(count)
            }
        }
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(answer) = self.answer {
            self.request.extend_from_slice(bytes);
            if self.request.ends_with(b"\r\n\r\n") {
                let answer = answer(&key(&self.request));
                if !answer.is_empty() {
                    self.steps.push_front(Step::Bytes(answer));
                }
                self.answer = None;
            }
            return Ok(bytes.len());
        }
        let count = bytes.len().min(self.room);
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room -= count;
        self.written.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The client's key.
pub fn key(request: &[u8]) -> String {
    let text = std::str::from_utf8(request).unwrap();
    text.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap().to_owned()
}

pub fn agree(key: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept(key)
    )
    .into_bytes()
}

pub fn connector(limits: Limits) -> Connector {
    Connector::new(&Roots::Public, limits).unwrap()
}

pub fn try_open(script: Script, limits: Limits) -> Result<Connection<Script>, WireError> {
    let open = connector(limits).open_over(script, &"ws://venue.test/ws".parse().unwrap())?;
    Ok(Connection::new(open, T0))
}

/// An open connection whose server plays `steps`.
pub fn open(steps: impl IntoIterator<Item = Step>) -> Connection<Script> {
    open_with(Limits::default(), steps)
}

pub fn open_with(limits: Limits, steps: impl IntoIterator<Item = Step>) -> Connection<Script> {
    try_open(Script::new(agree, steps), limits).unwrap()
}

/// A server's frame.
pub fn frame(opcode: u8, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![opcode | if fin { 0x80 } else { 0 }];
    match payload.len() {
        length @ 0..126 => bytes.push(length as u8),
        length @ 126..65_536 => {
            bytes.push(126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

pub fn text(payload: &str) -> Vec<u8> {
    frame(TEXT, true, payload.as_bytes())
}

/// The client's frames: opcode and payload. Each must be final, masked and whole.
pub fn client_frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        assert_eq!(bytes[0] & 0xf0, 0x80, "final, no reserved bits");
        assert_eq!(bytes[1] & 0x80, 0x80, "masked");
        let (length, header) = match bytes[1] & 0x7f {
            126 => (usize::from(u16::from_be_bytes(bytes[2..4].try_into().unwrap())), 4),
            127 => (usize::try_from(u64::from_be_bytes(bytes[2..10].try_into().unwrap())).unwrap(), 10),
            length => (usize::from(length), 2),
        };
        let mask = &bytes[header..header + 4];
        let payload = &bytes[header + 4..header + 4 + length];
        let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        frames.push((bytes[0] & 0x0f, payload));
        bytes = &bytes[header + 4 + length..];
    }
    frames
}

pub type Messages = Vec<(FrameKind, Vec<u8>)>;

/// One poll; what it handed out is added to `messages`.
pub fn poll<S: Read + Write>(
    connection: &mut Connection<S>,
    now: TimeNs,
    messages: &mut Messages,
) -> Progress {
    connection.poll(now, &mut |frame| {
        assert_eq!(frame.recv_ns, now);
        messages.push((frame.kind, frame.payload.to_vec()));
    })
}

/// Polls until the script has nothing more to say or the connection is closed.
pub fn drain(connection: &mut Connection<Script>) -> Messages {
    let mut messages = Vec::new();
    loop {
        let progress = poll(connection, T0, &mut messages);
        let idle = connection.stream().steps.is_empty() && !progress.more;
        if idle || connection.state() == State::Closed {
            return messages;
        }
    }
}

pub fn texts(messages: &Messages) -> Vec<&str> {
    let texts = messages.iter().inspect(|(kind, _)| assert_eq!(*kind, FrameKind::Text));
    texts.map(|(_, payload)| std::str::from_utf8(payload).unwrap()).collect()
}
