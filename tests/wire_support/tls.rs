//! A certificate authority and a TLS server, in memory.

use std::fs;
use std::io::{self, Read, Write};
use std::sync::Arc;

use quantum_trader::wire::{Connector, Limits, Roots};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::{agree, key};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A connector that believes this authority alone.
    pub fn connector(&self, limits: Limits) -> Connector {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        fs::write(&file, self.pem()).unwrap();
        Connector::new(&Roots::File(file), limits).unwrap()
    }

    /// A server that shows a certificate for `names`.
    pub fn server(
        &self,
        names: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let server_key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&server_key, &self.0).unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        Arc::new(config)
    }
}

/// The client's end of a TLS stream whose server answers the upgrade.
pub struct TlsStream {
    server: ServerConnection,
    request: Vec<u8>,
    /// Encrypted, for the client to read.
    ready: Vec<u8>,
    read: usize,
    pub received: Vec<u8>,
}

impl TlsStream {
    pub fn new(config: Arc<ServerConfig>) -> TlsStream {
        let server = ServerConnection::new(config).unwrap();
        TlsStream { server, request: vec![], ready: vec![], read: 0, received: vec![] }
    }

    /// One record for the client; more for more than 16 KiB.
    pub fn send(&mut self, plain: &[u8]) {
        self.server.writer().write_all(plain).unwrap();
        self.collect();
    }

    pub fn close_notify(&mut self) {
        self.server.send_close_notify();
        self.collect();
    }

    /// Flips a bit of the last byte that waits.
    pub fn damage(&mut self) {
        *self.ready.last_mut().unwrap() ^= 1;
    }

    fn collect(&mut self) {
        while self.server.wants_write() {
            self.server.write_tls(&mut self.ready).unwrap();
        }
    }
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let waiting = &self.ready[self.read..];
        if waiting.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = buffer.len().min(waiting.len());
        buffer[..count].copy_from_slice(&waiting[..count]);
        self.read += count;
        Ok(count)
    }
}

impl Write for TlsStream {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len();
        while !bytes.is_empty() {
            self.server.read_tls(&mut bytes)?;
            if let Err(error) = self.server.process_new_packets() {
                self.collect();
                return Err(io::Error::other(error));
            }
            let _ = self.server.reader().read_to_end(&mut self.received); // ends with WouldBlock
        }
        if self.request.is_empty() && self.received.ends_with(b"\r\n\r\n") {
            self.request = std::mem::take(&mut self.received);
            let answer = agree(&key(&self.request));
            self.server.writer().write_all(&answer).unwrap();
        }
        self.collect();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
