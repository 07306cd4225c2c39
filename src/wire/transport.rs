//! The stream under the websocket: a socket, with TLS or without.

use std::io::{self, Read, Write};

use rustls::ClientConnection;

use super::error::CloseReason;

/// TLS records read at once before the caller gets a turn: a server could send them empty for ever.
const RECORD_READS_MAX: usize = 8;

/// A stream and the TLS session on it. Blocks exactly where the stream does.
pub(super) struct Transport<S> {
    stream: S,
    tls: Option<Box<ClientConnection>>,
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// So many bytes, at least one. `drained`: the socket gave less than it was asked for, so that
    /// asking again would be a system call for nothing.
    Bytes { count: usize, drained: bool },
    /// Nothing yet.
    Nothing,
    /// The stream has ended.
    End,
}

#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    Tls(rustls::Error),
}

impl From<Fault> for CloseReason {
    fn from(fault: Fault) -> CloseReason {
        match fault {
            Fault::Io(error) => CloseReason::Io(error.kind()),
            Fault::Tls(error) => CloseReason::Tls(error),
        }
    }
}

impl<S: Read + Write> Transport<S> {
    pub fn new(stream: S, tls: Option<Box<ClientConnection>>) -> Transport<S> {
        Transport { stream, tls }
    }

    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The same session on the stream that `convert` makes of this one.
    pub fn try_map<T, E>(self, convert: impl FnOnce(S) -> Result<T, E>) -> Result<Transport<T>, E> {
        Ok(Transport { stream: convert(self.stream)?, tls: self.tls })
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Received, Fault> {
        let wanted = buffer.len();
        let Some(tls) = &mut self.tls else {
            return Ok(match received(self.stream.read(buffer))? {
                Received::Bytes { count, .. } => Received::Bytes { count, drained: count < wanted },
                found => found,
            });
        };
        for _ in 0..RECORD_READS_MAX {
            match received(tls.reader().read(buffer))? {
                Received::Nothing => {}
                found => return Ok(found),
            }
            match received(tls.read_tls(&mut self.stream))? {
                Received::Nothing => return Ok(Received::Nothing),
                // The session tells a clean end from a cut when it is read next.
                Received::Bytes { .. } | Received::End => {}
            }
            if let Err(error) = tls.process_new_packets() {
                let _ = tls.write_tls(&mut self.stream); // the alert, if the socket takes it
                return Err(Fault::Tls(error));
            }
        }
        Ok(Received::Nothing)
    }

    /// Takes what it can of `bytes`; 0 if nothing now.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        if !self.flush()? {
            return Ok(0);
        }
        let Some(tls) = &mut self.tls else { return written(self.stream.write(bytes)) };
        let taken = tls.writer().write(bytes).map_err(Fault::Io)?;
        self.flush()?;
        Ok(taken)
    }

    /// `true` once the stream has taken everything the session had for it.
    pub fn flush(&mut self) -> Result<bool, Fault> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        while tls.wants_write() {
            if written(tls.write_tls(&mut self.stream))? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ends the TLS session, if the socket takes the word. The socket closes when this is dropped.
    pub fn end(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = self.flush();
        }
    }
}

fn received(result: io::Result<usize>) -> Result<Received, Fault> {
    match result {
        Ok(0) => Ok(Received::End),
        Ok(count) => Ok(Received::Bytes { count, drained: false }),
        Err(error) if not_now(&error) => Ok(Received::Nothing),
        Err(error) => Err(Fault::Io(error)),
    }
}

fn written(result: io::Result<usize>) -> Result<usize, Fault> {
    match result {
        Err(error) if not_now(&error) => Ok(0),
        Err(error) => Err(Fault::Io(error)),
        // A stream that takes nothing and has no error would be tried for ever.
        Ok(0) => Err(Fault::Io(io::ErrorKind::WriteZero.into())),
        Ok(count) => Ok(count),
    }
}

fn not_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
