//! A venue of a few lines: REST from a table of answers, websockets handed to the test.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::wire_support::{agree, key};

/// Long enough for any machine: whatever waits so long hangs.
pub const HANG: Duration = Duration::from_secs(60);

pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A REST request as it came.
#[derive(Clone, Debug)]
pub struct Call {
    pub verb: String,
    pub path: String,
    pub query: String,
    pub head: String,
}

/// An open websocket, the server's end.
pub struct Socket {
    pub path: String,
    stream: Box<dyn Stream>,
}

impl Socket {
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }

    /// The connection ends here and now.
    pub fn hang_up(&mut self) {
        self.stream = Box::new(std::io::Cursor::new(Vec::new()));
    }

    pub fn say(&mut self, text: &serde_json::Value) {
        self.send(&super::wire_support::text(&text.to_string()));
    }

    /// The next frame of the client: opcode and payload; `None` once it hung up.
    pub fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).ok()?;
        let length = match head[1] & 0x7f {
            126 => {
                let mut long = [0; 2];
                self.stream.read_exact(&mut long).ok()?;
                usize::from(u16::from_be_bytes(long))
            }
            short => usize::from(short),
        };
        let mut mask = [0; 4];
        self.stream.read_exact(&mut mask).ok()?;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).ok()?;
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        Some((head[0] & 0x0f, payload))
    }

    /// The next text of the client.
    pub fn text(&mut self) -> serde_json::Value {
        loop {
            match self.frame().expect("a text, not the end") {
                (1, payload) => return serde_json::from_slice(&payload).unwrap(),
                (9 | 10, _) => {}
                (opcode, _) => panic!("opcode {opcode}"),
            }
        }
    }
}

type Answers = Arc<Mutex<HashMap<String, (u16, String)>>>;

pub struct Server {
    pub authority: String,
    answers: Answers,
    calls: Receiver<Call>,
    sockets: Receiver<Socket>,
    /// Refuse websockets for now.
    pub refusing: Arc<AtomicBool>,
    /// With a ban of ten minutes.
    pub banning: Arc<AtomicBool>,
    /// How many were refused.
    pub refused: Arc<AtomicU32>,
}

impl Server {
    pub fn start(tls: Option<Arc<ServerConfig>>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
        let (calls_in, calls) = mpsc::channel();
        let (sockets_in, sockets) = mpsc::channel();
        let answers = Answers::default();
        let (refusing, banning, refused) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let shared = Shared {
            answers: answers.clone(),
            calls: calls_in,
            sockets: sockets_in,
            refusing: refusing.clone(),
            banning: banning.clone(),
            refused: refused.clone(),
        };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, tls, shared) = (stream.unwrap(), tls.clone(), shared.clone());
                thread::spawn(move || shared.serve(open(stream, tls)));
            }
        });
        Server { authority, answers, calls, sockets, refusing, banning, refused }
    }

    /// What `GET /fapi/v1/time` and the like answer from now on.
    pub fn answer(&self, call: &str, status: u16, body: &serde_json::Value) {
        self.answers.lock().unwrap().insert(call.to_string(), (status, body.to_string()));
    }

    /// The next REST request, which must be this one.
    pub fn expect(&self, call: &str) -> Call {
        let found = self.calls.recv_timeout(HANG).unwrap_or_else(|_| panic!("{call} does not come"));
        assert_eq!(format!("{} {}", found.verb, found.path), call);
        found
    }

    /// All requests until this one, which is the last returned.
    pub fn until(&self, call: &str) -> Vec<Call> {
        let mut found = Vec::new();
        loop {
            let next = self.calls.recv_timeout(HANG).unwrap_or_else(|_| panic!("{call} does not come"));
            found.push(next.clone());
            if format!("{} {}", next.verb, next.path) == call {
                return found;
            }
        }
    }

    /// The two websockets of a start: user stream, order websocket. They may come in either order.
    pub fn both_sockets(&self) -> (Socket, Socket) {
        let next = || self.sockets.recv_timeout(HANG).expect("a websocket");
        let (one, other) = (next(), next());
        if one.path.starts_with("/private") { (one, other) } else { (other, one) }
    }

    pub fn try_socket(&self) -> Option<Socket> {
        self.sockets.try_recv().ok()
    }
}

fn open(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> Box<dyn Stream> {
    match tls {
        None => Box::new(stream),
        Some(config) => Box::new(StreamOwned::new(ServerConnection::new(config).unwrap(), stream)),
    }
}

#[derive(Clone)]
struct Shared {
    answers: Answers,
    calls: Sender<Call>,
    sockets: Sender<Socket>,
    refusing: Arc<AtomicBool>,
    banning: Arc<AtomicBool>,
    refused: Arc<AtomicU32>,
}

impl Shared {
    fn serve(&self, mut stream: Box<dyn Stream>) {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if !matches!(stream.read(&mut byte), Ok(1)) {
                    return;
                }
                head.push(byte[0]);
            }
            let text = String::from_utf8(head.clone()).unwrap();
            assert!(!text.to_lowercase().contains("transfer-encoding"), "no request has a body: {text}");
            let mut words = text.split(' ');
            let (verb, target) = (words.next().unwrap().to_string(), words.next().unwrap().to_string());
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            if text.contains("Sec-WebSocket-Key") {
                if self.refusing.load(Ordering::Acquire) {
                    self.refused.fetch_add(1, Ordering::AcqRel);
                    let head = match self.banning.load(Ordering::Acquire) {
                        true => "HTTP/1.1 418 I'm a teapot\r\nRetry-After: 600",
                        false => "HTTP/1.1 503 Service Unavailable",
                    };
                    let _ = write!(stream, "{head}\r\nContent-Length: 0\r\n\r\n");
                    return;
                }
                stream.write_all(&agree(&key(&head))).unwrap();
                stream.flush().unwrap();
                let _ = self.sockets.send(Socket { path: target.clone(), stream });
                return;
            }
            let name = format!("{verb} {path}");
            let call = Call { verb, path: path.to_string(), query: query.to_string(), head: text.clone() };
            let _ = self.calls.send(call);
            let answer = self.answers.lock().unwrap().get(&name).cloned();
            let Some((status, body)) = answer else { return };
            let _ = write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.flush();
        }
    }
}
