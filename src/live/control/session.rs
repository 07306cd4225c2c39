//! One connection: a line in, a line out, each by a deadline.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use super::protocol::REQUEST_BYTES_MAX;

/// How long a line may take, in either direction. It is typed by a program.
pub(super) const LINE_DEADLINE: Duration = Duration::from_secs(5);

/// What came of reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Not all of it yet.
    Nothing,
    Line(Vec<u8>),
    /// Longer than a request can be.
    TooLong,
    /// The deadline passed.
    TooLate,
}

#[derive(Debug)]
enum Phase {
    Reading(Vec<u8>),
    /// Read; the answer is being found.
    Asked,
    Writing {
        line: Vec<u8>,
        written: usize,
    },
    Over,
}

/// A connection that never blocks.
#[derive(Debug)]
pub(super) struct Session<S> {
    stream: S,
    phase: Phase,
    deadline: Instant,
}

impl<S: Read + Write> Session<S> {
    pub fn new(stream: S, now: Instant) -> Session<S> {
        Session { stream, phase: Phase::Reading(Vec::new()), deadline: now + LINE_DEADLINE }
    }

    /// Nothing more will come of it.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Reads on, if there is still a request to read. What follows the first line is not looked at.
    pub fn hear(&mut self, now: Instant) -> Heard {
        let Phase::Reading(line) = &mut self.phase else { return Heard::Nothing };
        let heard = match read_line(&mut self.stream, line) {
            Ok(true) => Heard::Line(std::mem::take(line)),
            Ok(false) if line.len() >= REQUEST_BYTES_MAX => Heard::TooLong,
            Ok(false) if now >= self.deadline => Heard::TooLate,
            Ok(false) => return Heard::Nothing,
            Err(_) => {
                self.phase = Phase::Over;
                return Heard::Nothing;
            }
        };
        self.phase = Phase::Asked;
        heard
    }

    pub fn answer(&mut self, line: Vec<u8>, now: Instant) {
        self.phase = Phase::Writing { line, written: 0 };
        self.deadline = now + LINE_DEADLINE;
        self.flush(now);
    }

    /// Writes what the socket takes. An answer nobody fetches is dropped at its deadline.
    pub fn flush(&mut self, now: Instant) {
        let Phase::Writing { line, written } = &mut self.phase else { return };
        while let Some(rest) = line.get(*written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(count) if count > 0 => *written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && now < self.deadline => return,
                _ => break,
            }
        }
        self.phase = Phase::Over;
    }
}

/// Reads what is there, up to the longest request. True once the line is whole; at the end of the stream
/// what came counts as a line.
fn read_line(stream: &mut impl Read, line: &mut Vec<u8>) -> io::Result<bool> {
    let mut chunk = [0; REQUEST_BYTES_MAX];
    while line.len() < REQUEST_BYTES_MAX {
        let room = REQUEST_BYTES_MAX - line.len();
        match stream.read(&mut chunk[..room]) {
            Ok(0) if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(0) => return Ok(true),
            Ok(count) => {
                let arrived = &chunk[..count.min(room)];
                let end = arrived.iter().position(|byte| *byte == b'\n');
                line.extend_from_slice(&arrived[..end.unwrap_or(arrived.len())]);
                if end.is_some() {
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// What arrives, `None` for nothing yet, and how many bytes are taken back.
    struct Script {
        arriving: VecDeque<Option<Vec<u8>>>,
        ends: bool,
        room: usize,
        written: Vec<u8>,
    }

    fn session(arriving: &[Option<&[u8]>], ends: bool, room: usize, now: Instant) -> Session<Script> {
        let arriving = arriving.iter().map(|part| part.map(<[u8]>::to_vec)).collect();
        Session::new(Script { arriving, ends, room, written: Vec::new() }, now)
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.arriving.pop_front() {
                None if self.ends => Ok(0),
                None | Some(None) => Err(io::ErrorKind::WouldBlock.into()),
                Some(Some(mut bytes)) => {
                    if bytes.is_empty() {
                        return self.read(buffer);
                    }
                    let count = bytes.len().min(buffer.len()).min(3);
                    buffer[..count].copy_from_slice(&bytes[..count]);
                    self.arriving.push_front(Some(bytes.split_off(count)));
                    Ok(count)
                }
            }
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= count;
            self.written.extend(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_in_pieces_and_an_answer_in_pieces() {
        let now = Instant::now();
        let mut session = session(&[Some(b"ha"), None, Some(b"lt\nmore")], false, 4, now);
        assert_eq!(session.hear(now), Heard::Nothing);
        assert_eq!(session.hear(now), Heard::Line(b"halt".to_vec()));
        assert_eq!(session.hear(now), Heard::Nothing, "there is one request");
        session.answer(b"done\n".to_vec(), now);
        assert!(!session.is_over());
        session.stream.room = 1;
        session.flush(now);
        assert!(session.is_over());
        assert_eq!(session.stream.written, b"done\n");
    }

    #[test]
    fn ends_without_a_newline() {
        let now = Instant::now();
        assert_eq!(session(&[Some(b"halt")], true, 0, now).hear(now), Heard::Line(b"halt".to_vec()));
        let mut silent = session(&[], true, 0, now);
        assert_eq!(silent.hear(now), Heard::Nothing);
        assert!(silent.is_over());
    }

    #[test]
    fn lines_too_long_and_too_late() {
        let now = Instant::now();
        let long = vec![b'x'; REQUEST_BYTES_MAX + 100];
        assert_eq!(session(&[Some(&long)], false, 0, now).hear(now), Heard::TooLong);
        let fits = [vec![b'x'; REQUEST_BYTES_MAX - 1], b"\n".to_vec()].concat();
        assert!(matches!(session(&[Some(&fits)], false, 0, now).hear(now), Heard::Line(_)));
        let mut slow = session(&[Some(b"ha")], false, 0, now);
        assert_eq!(slow.hear(now + LINE_DEADLINE / 2), Heard::Nothing);
        assert_eq!(slow.hear(now + LINE_DEADLINE), Heard::TooLate);
    }

    #[test]
    fn an_answer_nobody_fetches_is_dropped() {
        let now = Instant::now();
        let mut session = session(&[Some(b"halt\n")], false, 0, now);
        session.hear(now);
        session.answer(b"done\n".to_vec(), now);
        session.flush(now + LINE_DEADLINE / 2);
        assert!(!session.is_over());
        session.flush(now + LINE_DEADLINE);
        assert!(session.is_over());
    }
}
