//! REST by ureq, which blocks: each lane is a thread of its own.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel as channel;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody, Body, Error, Timeout, http};

use super::io::{RequestId, RestOutcome, RestRequest};
use super::reading::Rest;
use crate::venue::binance::request::{RestCall, Verb};
use crate::venue::binance::{API_KEY_HEADER, UsedCounts};
use crate::wire::{Roots, WireError};

/// From the first byte sent to the last received, at the start: its answers are long.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// And from then on: the venue's receive window and a second. What it has not begun by then it never will,
/// and others wait behind it.
const LANE_TIMEOUT: Duration = Duration::from_secs(6);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// `exchangeInfo`, the longest answer, has 1 to 2 MB.
const BODY_BYTES_MAX: u64 = 16 << 20;

/// A client of one REST interface. Clones share its connections.
#[derive(Clone)]
pub struct RestClient {
    agent: Agent,
    base: Arc<str>,
    api_key: Option<Arc<str>>,
    timeout: Duration,
}

/// What became of a call, owned.
#[derive(Debug)]
pub enum RestReply {
    Answer {
        status: u16,
        retry_after_s: Option<u32>,
        used: UsedCounts,
        body: Vec<u8>,
    },
    /// The venue can't have seen it; why, in words.
    Unsent(String),
    /// The venue may have acted on it; what happened, in words.
    Lost(String),
}

impl RestReply {
    pub fn outcome(&self) -> RestOutcome<'_> {
        match self {
            RestReply::Answer { status, retry_after_s, used, body } => {
                let (status, retry_after_s, used) = (*status, *retry_after_s, *used);
                RestOutcome::Answer { status, retry_after_s, used, body }
            }
            RestReply::Unsent(_) => RestOutcome::Unsent,
            RestReply::Lost(_) => RestOutcome::Lost,
        }
    }
}

impl RestClient {
    /// `base` is `http(s)://host:port`, without a slash at its end.
    ///
    /// # Errors
    /// [`WireError::Roots`] for a CA file that can't be used.
    pub fn new(base: &str, roots: &Roots, api_key: Option<&str>) -> Result<RestClient, WireError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
        let tls = match roots.certificates()? {
            None => tls.root_certs(RootCerts::WebPki),
            Some(certificates) => {
                let owned =
                    certificates.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
                tls.root_certs(RootCerts::from(owned.collect::<Vec<_>>()))
            }
        };
        let config = Agent::config_builder()
            .tls_config(tls.build())
            // Refusals are answers, and a redirected order would be another server's.
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Orders go where the addresses say and nowhere else.
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .user_agent("qtx")
            .build();
        let agent = Agent::new_with_config(config);
        let api_key = api_key.map(Arc::from);
        Ok(RestClient { agent, base: Arc::from(base), api_key, timeout: CALL_TIMEOUT })
    }

    /// One exchange, without a second try: [`CALL_TIMEOUT`] at most, in a lane [`LANE_TIMEOUT`].
    pub fn call(&self, call: &RestCall) -> RestReply {
        let question = if call.query.is_empty() { "" } else { "?" };
        let mut request = http::Request::builder()
            .method(match call.verb {
                Verb::Get => http::Method::GET,
                Verb::Post => http::Method::POST,
                Verb::Put => http::Method::PUT,
                Verb::Delete => http::Method::DELETE,
            })
            .uri(format!("{}{}{question}{}", self.base, call.path, call.query));
        if let Some(key) = self.api_key.as_deref().filter(|_| call.keyed) {
            request = request.header(API_KEY_HEADER, key);
        }
        // An empty text has a length, where no body at all would go out as chunks of none.
        let result = match call.verb {
            Verb::Get | Verb::Delete => request.body(()).map(|request| self.run(request)),
            Verb::Post | Verb::Put => request.body("").map(|request| self.run(request)),
        };
        match result {
            Ok(result) => reply(result),
            // Its words would repeat the address, and with it the signature.
            Err(_) => RestReply::Unsent("the address can't be asked for".to_owned()),
        }
    }

    fn run<S: AsSendBody>(&self, request: http::Request<S>) -> Result<http::Response<Body>, Error> {
        let limited = self.agent.configure_request(request).timeout_global(Some(self.timeout)).build();
        self.agent.run(limited)
    }
}

impl Rest for RestClient {
    fn call(&self, call: &RestCall) -> RestReply {
        RestClient::call(self, call)
    }
}

fn reply(result: Result<http::Response<Body>, Error>) -> RestReply {
    let mut response = match result {
        Ok(response) => response,
        Err(error) => return failed(&error),
    };
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    let retry_after_s = header("retry-after").and_then(|value| value.trim().parse().ok());
    let used = UsedCounts::read(header);
    match response.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_vec() {
        Ok(body) => RestReply::Answer { status, retry_after_s, used, body },
        // The status alone says enough of a refusal.
        Err(_) if status != 200 => RestReply::Answer { status, retry_after_s, used, body: Vec::new() },
        Err(error) => RestReply::Lost(words(&error)),
    }
}

fn failed(error: &Error) -> RestReply {
    let unsent = match error {
        Error::HostNotFound | Error::ConnectionFailed | Error::BadUri(_) | Error::Http(_) => true,
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => true,
        Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        // Whatever else it was, bytes may have gone out.
        _ => false,
    };
    if unsent { RestReply::Unsent(words(error)) } else { RestReply::Lost(words(error)) }
}

/// What happened, without the address: its query holds a signature.
fn words(error: &Error) -> String {
    match error {
        Error::BadUri(_) | Error::Http(_) => "the address can't be asked for".to_owned(),
        other => other.to_string(),
    }
}

impl fmt::Debug for RestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RestClient({})", self.base)
    }
}

/// A thread that makes one call after the other. Calls wait with the gateway, so that those not begun
/// can still be taken back; the thread holds one.
pub struct Lane {
    calls: Option<channel::Sender<RestRequest>>,
    replies: Receiver<(RequestId, RestReply)>,
    busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl Lane {
    pub fn spawn(name: &str, client: RestClient) -> std::io::Result<Lane> {
        let client = RestClient { timeout: LANE_TIMEOUT, ..client };
        let (calls, calls_out) = channel::bounded::<RestRequest>(1);
        let (replies_in, replies) = std::sync::mpsc::channel();
        let work = move || serve(&client, &calls_out, &replies_in);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Lane { calls: Some(calls), replies, busy: false, thread: Some(thread) })
    }

    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// Begins a call. The caller saw that the lane is not busy.
    pub fn begin(&mut self, request: RestRequest) {
        let sent = self.calls.as_ref().is_some_and(|calls| calls.try_send(request).is_ok());
        self.busy = sent;
    }

    /// The reply to the call under way, once it is there.
    pub fn reply(&mut self) -> Option<(RequestId, RestReply)> {
        let reply = self.replies.try_recv().ok()?;
        self.busy = false;
        Some(reply)
    }
}

/// A call under way is waited for: [`LANE_TIMEOUT`] at most.
impl Drop for Lane {
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    client: &RestClient,
    calls: &channel::Receiver<RestRequest>,
    replies: &Sender<(RequestId, RestReply)>,
) {
    for request in calls {
        let reply = client.call(&request.call);
        if replies.send((request.request, reply)).is_err() {
            return;
        }
    }
}
