//! The listening socket: TCP or TLS, with the faults of a wire.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::config::{Faults, Wire};

/// A client that does not finish its handshake by then is left.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Finished handshakes that wait to be served: served at once, so a few.
const ACCEPTED_MAX: usize = 16;
/// Pause after a failed accept: the usual cause is a process out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a certificate or key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    #[error("{}: {source}", .path.display())]
    Pem { path: PathBuf, source: pem::Error },
    #[error("{}: holds no certificate", .0.display())]
    Empty(PathBuf),
    #[error("{}: {source}", .path.display())]
    Tls { path: PathBuf, source: rustls::Error },
}

/// TLS from a PEM file of certificates, the server's own first, and one with its private key.
pub fn tls_config(certificates: &Path, key: &Path) -> Result<Arc<rustls::ServerConfig>, TlsFileError> {
    let pem = |path: &Path| {
        let path = path.to_path_buf();
        move |source| TlsFileError::Pem { path, source }
    };
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(|found| found.collect::<Result<Vec<_>, _>>())
        .map_err(pem(certificates))?;
    if chain.is_empty() {
        return Err(TlsFileError::Empty(certificates.to_path_buf()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(pem(key))?;
    let tls = |source| TlsFileError::Tls { path: key.to_path_buf(), source };
    rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map(Arc::new)
        .map_err(tls)
}

/// Accepts connections and does their handshakes beside each other, so that a client that dawdles
/// keeps nobody waiting.
pub(super) struct Door {
    address: SocketAddr,
    accepted: mpsc::Receiver<(Stream, SocketAddr)>,
}

impl Door {
    /// Starts accepting; must be called on the runtime.
    pub fn open(
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        faults: Arc<Faults>,
    ) -> io::Result<Door> {
        let address = listener.local_addr()?;
        let (sender, accepted) = mpsc::channel(ACCEPTED_MAX);
        tokio::spawn(accept(listener, tls.map(TlsAcceptor::from), faults, sender));
        Ok(Door { address, accepted })
    }
}

impl Listener for Door {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            // The acceptor lives as long as the runtime does.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    faults: Arc<Faults>,
    accepted: mpsc::Sender<(Stream, SocketAddr)>,
) {
    loop {
        let Ok((tcp, address)) = listener.accept().await else {
            time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Orders are answered in one small write each.
        let _ = tcp.set_nodelay(true);
        let (tls, faults, accepted) = (tls.clone(), Arc::clone(&faults), accepted.clone());
        tokio::spawn(async move {
            let transport = match tls {
                None => Transport::Plain(tcp),
                Some(tls) => match time::timeout(HANDSHAKE_DEADLINE, tls.accept(tcp)).await {
                    Ok(Ok(stream)) => Transport::Tls(Box::new(stream)),
                    _ => return,
                },
            };
            // Nobody is there to serve it once the server has ended.
            let _ = accepted.send((Stream { transport, faults, cut: false }, address)).await;
        });
    }
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// An accepted connection.
pub(super) struct Stream {
    transport: Transport,
    faults: Arc<Faults>,
    cut: bool,
}

impl Stream {
    fn write_some(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Transport::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Transport::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let count = match self.faults.wire() {
            Wire::Whole => bytes.len(),
            Wire::Trickle => bytes.len().min(1),
            Wire::Cut => bytes.len() / 2,
        };
        let cut = count > 0 && self.faults.wire() == Wire::Cut;
        let written = self.write_some(context, bytes.get(..count).unwrap_or(bytes));
        self.cut |= cut && written.is_ready();
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Transport::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Transport::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}
