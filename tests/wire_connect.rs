//! Opening connections, on loopback: servers that agree, refuse, lie, hang up or say nothing; TLS with
//! the right and the wrong authority.

mod wire_support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quantum_trader::wire::{
    CloseReason, Connection, Connector, ErrorKind, Limits, OpenConnection, Roots, RootsProblem, Stage, State,
    UpgradeError, WireError,
};
use rustls::version::{TLS12, TLS13};
use wire_support::{tls::*, *};

/// A server for one connection, on a thread of its own.
fn serve<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, thread::spawn(move || serve(listener.accept().unwrap().0)))
}

fn read_request(stream: &mut impl Read) -> Vec<u8> {
    let mut request = vec![];
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    request
}

/// Long enough for any machine; only what must fail by its deadline uses a short one.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn open_at(address: SocketAddr, deadline: Instant) -> Result<OpenConnection<mio::net::TcpStream>, WireError> {
    connector(Limits::default()).open(&format!("ws://{address}/ws?a=b").parse().unwrap(), deadline)
}

/// The error of an attempt that must fail.
fn refused<S>(result: Result<OpenConnection<S>, WireError>) -> WireError {
    match result {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

/// Polls until closed. Spins: the server is a thread that is about to write.
fn run_to_the_end(connection: &mut Connection<mio::net::TcpStream>) -> Messages {
    let mut messages = vec![];
    while connection.state() != State::Closed {
        poll(connection, T0, &mut messages);
        thread::yield_now();
    }
    messages
}

#[test]
fn a_conversation_over_a_socket() {
    let (address, server) = serve(|mut stream| {
        let request = read_request(&mut stream);
        // The first frame comes with the answer.
        stream.write_all(&[agree(&key(&request)), text("hello"), frame(PING, true, b"1")].concat()).unwrap();
        let mut said = vec![0; 7 + 6 + 5];
        stream.read_exact(&mut said).unwrap();
        stream.write_all(&[text("bye"), frame(CLOSE, true, b"\x03\xe9")].concat()).unwrap();
        let mut rest = vec![];
        stream.read_to_end(&mut rest).unwrap();
        (request, said, rest)
    });
    let mut connection = Connection::new(open_at(address, soon()).unwrap(), T0);
    let mut messages = vec![];
    while connection.counters().pings == 0 {
        poll(&mut connection, T0, &mut messages);
    }
    connection.send_text(b"order").unwrap();
    messages.extend(run_to_the_end(&mut connection));
    assert_eq!(texts(&messages), ["hello", "bye"]);
    assert_eq!(connection.close_reason(), Some(&CloseReason::Peer { code: Some(1001), text: "".into() }));
    drop(connection);
    let (request, said, rest) = server.join().unwrap();
    let request = String::from_utf8(request).unwrap();
    assert!(request.starts_with(&format!("GET /ws?a=b HTTP/1.1\r\nHost: {address}\r\n")), "{request}");
    assert_eq!(client_frames(&said), [(PONG, b"1".to_vec()), (TEXT, b"order".to_vec())]);
    assert_eq!(client_frames(&rest), [(CLOSE, b"\x03\xe9".to_vec())]);
}

#[test]
fn a_connection_moves_to_another_thread() {
    let (address, server) = serve(|mut stream| {
        let request = read_request(&mut stream);
        stream.write_all(&[agree(&key(&request)), text("x")].concat()).unwrap();
    });
    let helper = thread::spawn(move || Connection::new(open_at(address, soon()).unwrap(), T0));
    let mut connection = helper.join().unwrap();
    assert_eq!(texts(&run_to_the_end(&mut connection)), ["x"]);
    assert_eq!(connection.close_reason(), Some(&CloseReason::Eof));
    server.join().unwrap();
}

#[test]
fn nobody_listens() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(); // closed again
    let error = refused(open_at(address, soon()));
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
}

#[test]
fn a_name_without_an_address() {
    // RFC 6761 §6.4: never resolves.
    let url = "ws://no-such-host.invalid/".parse().unwrap();
    let error = refused(connector(Limits::default()).open(&url, soon()));
    assert_eq!(error.kind(), ErrorKind::Address, "{error}");
}

#[test]
fn a_server_that_never_answers_costs_the_deadline() {
    let (address, server) = serve(|mut stream| {
        let mut all = vec![];
        let _ = stream.read_to_end(&mut all); // until the client gives up
    });
    let error = refused(open_at(address, Instant::now() + Duration::from_millis(100)));
    assert!(matches!(error, WireError::Deadline(Stage::HttpHandshake)), "{error}");
    server.join().unwrap();

    let (address, server) = serve(|mut stream| {
        let mut all = vec![];
        let _ = stream.read_to_end(&mut all);
    });
    let url = format!("wss://{address}/").parse().unwrap();
    let deadline = Instant::now() + Duration::from_millis(100);
    let error = refused(connector(Limits::default()).open(&url, deadline));
    assert!(matches!(error, WireError::Deadline(Stage::TlsHandshake)), "{error}");
    server.join().unwrap();
}

#[test]
fn a_server_that_drips_its_answer_gains_no_time() {
    let (address, server) = serve(|mut stream| {
        read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 101 x\r\nX: ").unwrap();
        // A byte whenever the client has said nothing for a while: each restarts a socket's timeout.
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        while stream.write_all(b"x").is_ok() && !matches!(stream.read(&mut [0]), Ok(0)) {}
    });
    let error = refused(open_at(address, Instant::now() + Duration::from_millis(100)));
    assert!(matches!(error, WireError::Deadline(Stage::HttpHandshake)), "{error}");
    server.join().unwrap();
}

#[test]
fn a_deadline_that_has_passed_opens_nothing() {
    let (address, server) = serve(drop);
    let error = refused(open_at(address, Instant::now()));
    assert!(matches!(error, WireError::Deadline(Stage::Connecting)), "{error}");
    TcpStream::connect(address).unwrap(); // lets the server go
    server.join().unwrap();
}

#[test]
fn servers_that_hang_up_or_speak_nonsense() {
    for (answer, expected) in [
        (&b""[..], UpgradeError::Eof),
        (b"HTTP/1.1 101 Switching", UpgradeError::Eof),
        (b"220 mail.test ESMTP\r\n", UpgradeError::NotHttp(httparse::Error::Version)),
        (
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            UpgradeError::Status { code: 403, retry_after_s: None },
        ),
    ] {
        let (address, server) = serve(move |mut stream| {
            read_request(&mut stream);
            stream.write_all(answer).unwrap();
        });
        let error = refused(open_at(address, soon()));
        let WireError::Upgrade(found) = error else { panic!("{error}") };
        assert_eq!(found, expected);
        server.join().unwrap();
    }
}

#[test]
fn tls_over_a_socket() {
    let authority = Authority::new("ours");
    for version in [&TLS13, &TLS12] {
        let config = authority.server(&["localhost", "127.0.0.1"], &[version]);
        let (address, server) = serve(move |mut stream| {
            let mut session = rustls::ServerConnection::new(config).unwrap();
            let mut stream = rustls::Stream::new(&mut session, &mut stream);
            let request = read_request(&mut stream);
            stream.write_all(&[agree(&key(&request)), text("hello")].concat()).unwrap();
            let mut said = vec![0; 6 + 5];
            stream.read_exact(&mut said).unwrap();
            stream.write_all(&text(&"x".repeat(60_000))).unwrap(); // several records
            stream.conn.send_close_notify();
            stream.flush().unwrap();
            said
        });
        let url = format!("wss://127.0.0.1:{}/", address.port()).parse().unwrap();
        let open = authority.connector(Limits::default()).open(&url, soon()).unwrap();
        let mut connection = Connection::new(open, T0);
        connection.send_text(b"order").unwrap();
        let messages = run_to_the_end(&mut connection);
        assert_eq!(texts(&messages), ["hello", &"x".repeat(60_000)]);
        assert_eq!(connection.close_reason(), Some(&CloseReason::Eof), "no close frame");
        assert_eq!(client_frames(&server.join().unwrap()), [(TEXT, b"order".to_vec())]);
    }
}

fn open_tls(connector: &Connector, config: Arc<rustls::ServerConfig>, url: &str) -> Option<WireError> {
    connector.open_over(TlsStream::new(config), &url.parse().unwrap()).err()
}

#[test]
fn only_the_right_authority_and_the_right_name_are_believed() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let impostor = Authority::new("ours");
    let connector = ours.connector(Limits::default());
    let names = ["venue.test", "::1"];
    let open = |authority: &Authority, url| open_tls(&connector, authority.server(&names, &[&TLS13]), url);
    assert!(open(&ours, "wss://venue.test/").is_none());
    assert!(open(&ours, "wss://[::1]/").is_none());
    for (authority, url, about) in [
        (&theirs, "wss://venue.test/", "UnknownIssuer"),
        (&impostor, "wss://venue.test/", "BadSignature"),
        (&ours, "wss://other.test/", "not valid for name"),
        (&ours, "wss://127.0.0.1/", "not valid for name"),
    ] {
        let error = open(authority, url).expect(url);
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        assert!(error.to_string().contains(about), "{error}");
    }
    // The public authorities do not vouch for a test's.
    let public = Connector::new(&Roots::Public, Limits::default()).unwrap();
    let config = ours.server(&names, &[&TLS13]);
    assert_eq!(open_tls(&public, config, "wss://venue.test/").unwrap().kind(), ErrorKind::Tls);
}

#[test]
fn a_damaged_record_ends_the_connection() {
    let authority = Authority::new("ours");
    let stream = TlsStream::new(authority.server(&["venue.test"], &[&TLS13]));
    let connector = authority.connector(Limits::default());
    let open = connector.open_over(stream, &"wss://venue.test/".parse().unwrap()).unwrap();
    let mut connection = Connection::new(open, T0);
    connection.stream().send(&text("good"));
    let mut messages = vec![];
    while messages.is_empty() {
        poll(&mut connection, T0, &mut messages);
    }
    connection.stream().send(&text("bad"));
    connection.stream().damage();
    poll(&mut connection, T0, &mut messages);
    assert_eq!(texts(&messages), ["good"]);
    assert!(
        matches!(connection.close_reason(), Some(CloseReason::Tls(_))),
        "{:?}",
        connection.close_reason()
    );
    assert_eq!(connection.counters().errors(ErrorKind::Tls), 1);
}

#[test]
fn a_ca_file_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let problem = |name: &str, content: Option<&str>| {
        let file = folder.path().join(name);
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        match Connector::new(&Roots::File(file), Limits::default()) {
            Err(error @ WireError::Roots { .. }) => {
                assert!(error.to_string().contains(name), "{error}");
                let WireError::Roots { problem, .. } = error else { unreachable!() };
                problem
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(problem("absent.pem", None), RootsProblem::Pem(_)));
    assert!(matches!(problem("empty.pem", Some("")), RootsProblem::Empty));
    assert!(matches!(problem("text.pem", Some("hello\n")), RootsProblem::Empty));
    let not_a_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(problem("bad.pem", Some(not_a_certificate)), RootsProblem::Certificate(_)));
}
