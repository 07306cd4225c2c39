//! The same over TLS, with an authority of the test's own.

use std::fs;
use std::net::TcpStream;

use quantum_trader::sim::server::{ServerConfig, TlsFileError, tls_config};
use quantum_trader::wire::Roots;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use super::support::*;

/// A folder with `ca.pem`, `cert.pem` and `key.pem` of a venue on loopback.
fn folder() -> TempDir {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_string(), "127.0.0.1".to_string()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, pem) in
        [("ca.pem", authority.pem()), ("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())]
    {
        fs::write(folder.path().join(name), pem).unwrap();
    }
    folder
}

#[test]
fn streams_and_orders_over_tls() {
    let folder = folder();
    let file = |name: &str| folder.path().join(name);
    let tls = Some(tls_config(&file("cert.pem"), &file("key.pem")).unwrap());
    let sim = Sim::start_with(ServerConfig { tls, ..ServerConfig::default() }, books());
    // Ones that dawdle in their handshake hold up nobody.
    let _dawdlers: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(sim.addr()).unwrap()).collect();
    let at = sim.server.endpoints();
    assert!(at.rest.starts_with("https://") && at.api.starts_with("wss://"));
    let roots = Roots::File(file("ca.pem"));
    let mut stream = Ws::open(&format!("{}/stream?streams=btcusdt@bookTicker", at.public), &roots).unwrap();
    let mut api = Ws::open(&at.api, &roots).unwrap();
    sim.set(10);
    api.send(r#"{"id":"t","method":"ping"}"#);
    assert_eq!(api.json()["status"], 200);
    assert_eq!(stream.next(), books()[0].1);
    assert!(Ws::open(&at.api, &Roots::Public).is_err(), "an authority nobody knows");
    let plain = at.api.replace("wss://", "ws://");
    assert!(Ws::open(&plain, &roots).is_err(), "no TLS where TLS is spoken");
}

#[test]
fn files_that_are_no_certificate_are_named() {
    let folder = folder();
    let file = |name: &str| folder.path().join(name);
    fs::write(file("empty.pem"), "").unwrap();
    let error = |certificates: &str, key: &str| tls_config(&file(certificates), &file(key)).unwrap_err();
    assert!(matches!(error("none.pem", "key.pem"), TlsFileError::Pem { .. }));
    assert!(matches!(error("empty.pem", "key.pem"), TlsFileError::Empty(_)));
    assert!(matches!(error("cert.pem", "empty.pem"), TlsFileError::Pem { .. }));
    assert!(matches!(error("ca.pem", "key.pem"), TlsFileError::Tls { .. }));
    assert!(error("none.pem", "key.pem").to_string().contains("none.pem"));
}
