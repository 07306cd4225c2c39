//! Opening connections: name, socket, TLS, upgrade. It blocks and allocates, so it belongs on a helper
//! thread; what it makes can be handed to the hot one.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::connection::Limits;
use super::error::{Stage, UpgradeError, WireError};
use super::tls::{self, Roots};
use super::transport::{Fault, Received, Transport};
use super::upgrade::{HEAD_BYTES_MAX, Upgrade};
use super::url::{Host, Url};

/// Opens connections with one set of trusted roots and limits. Safe to share between threads.
#[derive(Clone, Debug)]
pub struct Connector {
    tls: Arc<ClientConfig>,
    limits: Limits,
}

/// A websocket whose handshakes are done; [`super::Connection`] runs it.
pub struct OpenConnection<S> {
    pub(super) transport: Transport<S>,
    /// Bytes of the websocket that came with the answer to the upgrade.
    pub(super) prefix: Vec<u8>,
    pub(super) limits: Limits,
    pub(super) mask_seed: u64,
}

impl Connector {
    /// # Errors
    /// [`WireError::Roots`] if a CA file can't be read or holds no certificate.
    pub fn new(roots: &Roots, limits: Limits) -> Result<Connector, WireError> {
        Ok(Connector { tls: tls::client_config(roots)?, limits })
    }

    /// Connects to `url` and hands over a non-blocking connection, or fails by `deadline`.
    ///
    /// Every address of the host is tried in order, each with its share of the time. The lookup itself
    /// can't be stopped: past the deadline its thread is left to end when the system's resolver does.
    pub fn open(
        &self,
        url: &Url,
        deadline: Instant,
    ) -> Result<OpenConnection<mio::net::TcpStream>, WireError> {
        let addresses = resolve(url, deadline)?;
        let stream = connect(&addresses, deadline)?;
        let open = self.open_over(Timed { stream, deadline }, url)?;
        let transport = open.transport.try_map(|timed| {
            timed.stream.set_nonblocking(true)?;
            Ok(mio::net::TcpStream::from_std(timed.stream))
        });
        let transport = transport.map_err(|source| WireError::Io { stage: Stage::Connecting, source })?;
        Ok(OpenConnection { transport, prefix: open.prefix, limits: open.limits, mask_seed: open.mask_seed })
    }

    /// TLS, if the address asks for it, and upgrade over a stream that blocks: it may answer with
    /// [`io::ErrorKind::TimedOut`], and that ends the attempt.
    pub fn open_over<S: Read + Write>(
        &self,
        mut stream: S,
        url: &Url,
    ) -> Result<OpenConnection<S>, WireError> {
        let session = if url.is_secure() {
            let mut session = tls::session(&self.tls, url)?;
            while session.is_handshaking() {
                session.complete_io(&mut stream).map_err(tls_error)?;
            }
            Some(session)
        } else {
            None
        };
        let mut transport = Transport::new(stream, session);
        let (nonce, mask_seed) = self.random()?;
        let prefix = upgrade(&mut transport, url, nonce)?;
        Ok(OpenConnection { transport, prefix, limits: self.limits, mask_seed })
    }

    /// From the system, by the TLS provider.
    fn random(&self) -> Result<([u8; 16], u64), WireError> {
        let (mut nonce, mut seed) = ([0; 16], [0; 8]);
        let source = self.tls.crypto_provider().secure_random;
        for bytes in [&mut nonce[..], &mut seed[..]] {
            source.fill(bytes).map_err(rustls::Error::from)?;
        }
        Ok((nonce, u64::from_ne_bytes(seed)))
    }
}

fn upgrade<S: Read + Write>(
    transport: &mut Transport<S>,
    url: &Url,
    nonce: [u8; 16],
) -> Result<Vec<u8>, WireError> {
    let mut upgrade = Upgrade::new(nonce);
    let request = upgrade.request(url);
    let mut rest = request.as_bytes();
    while !rest.is_empty() {
        let count = transport.write(rest).map_err(http_error)?;
        rest = rest.get(count..).unwrap_or_default();
    }
    while !transport.flush().map_err(http_error)? {}
    let mut buffer = [0; HEAD_BYTES_MAX];
    loop {
        let room = upgrade.room().min(buffer.len());
        match transport.read(&mut buffer[..room]).map_err(http_error)? {
            Received::Bytes { count, .. } => {
                if let Some(prefix) = upgrade.push(&buffer[..count])? {
                    return Ok(prefix);
                }
            }
            Received::Nothing => {}
            Received::End => return Err(UpgradeError::Eof.into()),
        }
    }
}

fn tls_error(error: io::Error) -> WireError {
    // rustls wraps its own errors where an interface wants io's.
    match error.downcast::<rustls::Error>() {
        Ok(error) => WireError::Tls(error),
        Err(error) => io_error(Stage::TlsHandshake, error),
    }
}

fn http_error(fault: Fault) -> WireError {
    match fault {
        Fault::Tls(error) => WireError::Tls(error),
        Fault::Io(error) => io_error(Stage::HttpHandshake, error),
    }
}

fn io_error(stage: Stage, source: io::Error) -> WireError {
    match source.kind() {
        io::ErrorKind::TimedOut => WireError::Deadline(stage),
        _ => WireError::Io { stage, source },
    }
}

fn resolve(url: &Url, deadline: Instant) -> Result<Vec<SocketAddr>, WireError> {
    let port = url.port();
    let name = match url.host() {
        Host::V4(address) => return Ok(vec![SocketAddr::new(IpAddr::V4(*address), port)]),
        Host::V6(address) => return Ok(vec![SocketAddr::new(IpAddr::V6(*address), port)]),
        Host::Name(name) => name.clone(),
    };
    let io = |source| WireError::Io { stage: Stage::Resolving, source };
    let (answer, answers) = mpsc::sync_channel(1);
    let lookup = move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
        let _ = answer.send(found); // nobody may be waiting any more
    };
    thread::Builder::new().name("qtx-resolve".to_owned()).spawn(lookup).map_err(io)?;
    match answers.recv_timeout(remaining(deadline)) {
        Ok(found) => found.map_err(io),
        Err(_) => Err(WireError::Deadline(Stage::Resolving)),
    }
}

fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, WireError> {
    let mut failure = WireError::NoAddress;
    for (tried, address) in addresses.iter().enumerate() {
        let share = remaining(deadline) / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        if share.is_zero() {
            return Err(WireError::Deadline(Stage::Connecting));
        }
        let connected = TcpStream::connect_timeout(address, share);
        match connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = io_error(Stage::Connecting, error),
        }
    }
    Err(failure)
}

fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// A blocking socket whose every call ends by the deadline, so that a server that drips bytes gains
/// nothing.
struct Timed {
    stream: TcpStream,
    deadline: Instant,
}

impl Timed {
    fn left(&self) -> io::Result<Option<Duration>> {
        match remaining(self.deadline) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

/// A socket whose time is up says that it would block.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer).map_err(timed_out)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
