//! The simulated venue as servers on sockets: market streams, user stream, order websocket, REST.
//!
//! One thread, `qtx-venue`, runs a Tokio runtime of its own. A task for each connection moves bytes;
//! one task, the core, owns market, venue and account and does everything in one order of simulated
//! time. Between them are bounded queues: requests wait for room, a market client that falls behind
//! is cut off as the venue cuts it off, and so is a private one, since its messages may not be left
//! out.
//!
//! Time is paced by a clock, or in lockstep with an engine in this process (`super::lockstep`).

mod account;
mod audit;
mod book;
mod calls;
mod clients;
mod config;
mod core;
mod data;
mod desk;
mod drive;
mod entry;
mod envelope;
mod klines;
mod listen;
mod listen_key;
mod params;
mod prices;
mod rates;
mod refusal;
mod render;
mod report;
mod routes;
mod socket;
mod subscribe;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use axum::extract::ws::Utf8Bytes;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};

pub use config::{Disturbance, Faults, Pacing, ServerConfig, Stops, Wire};
pub use desk::{CallId, Desk, HttpAnswer, Said, Socket, SocketId};
pub use listen::{TlsFileError, tls_config};
pub use report::ServerReport;

use self::calls::Call;
use self::clients::{ClientId, Opened, Role};
use self::core::Core;
use self::refusal::Refusal;
use super::exchange::Exchange;
use crate::event::InstrumentTable;
use crate::venue::binance::Endpoints;

/// Requests that wait for the core: it takes up as many at once.
const REQUESTS_MAX: usize = 1_024;
const PANICKED: &str = "the venue's thread panicked";

/// What the core is asked to do.
enum Request {
    /// A websocket is about to open, with the market streams of its address.
    Open {
        role: Role,
        streams: Vec<String>,
        reply: oneshot::Sender<Result<Opened, Refusal>>,
    },
    /// A websocket is gone.
    Closed(ClientId),
    /// A websocket's client said something.
    Text {
        client: ClientId,
        text: Utf8Bytes,
    },
    Call(Call),
    Disturb(Disturbance),
    /// Simulated time begins.
    Go,
    Stop,
}

/// How a market came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its last frame was sent.
    MarketEnd,
    /// It could not be read on.
    Fault(String),
}

/// A running venue. Dropping it stops it.
pub struct Server {
    address: SocketAddr,
    secure: bool,
    requests: mpsc::Sender<Request>,
    faults: Arc<Faults>,
    ended: Arc<OnceLock<Ended>>,
    thread: Option<JoinHandle<ServerReport>>,
}

/// Starts a venue. Clients can connect and ask at once; time stands still until [`Server::go`].
///
/// # Errors
/// The address is taken or not ours, the secret is none, or the thread can't be started.
pub fn spawn(
    config: ServerConfig,
    exchange: Exchange,
    instruments: InstrumentTable,
    pacing: Pacing,
) -> io::Result<Server> {
    let listener = std::net::TcpListener::bind(config.bind)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let (tls, faults) = (config.tls.clone(), Arc::clone(&config.faults));
    let secure = tls.is_some();
    let (requests, waiting) = mpsc::channel(REQUESTS_MAX);
    let ended = Arc::new(OnceLock::new());
    let core = Core::new(config, exchange, instruments, pacing).map_err(io::Error::other)?;
    let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
    let (served, gone, door) = (requests.clone(), Arc::clone(&ended), Arc::clone(&faults));
    let run = move || {
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener)
                .and_then(|listener| listen::Door::open(listener, tls, door));
            let mut core = core;
            match listener {
                Ok(door) => drop(tokio::spawn(axum::serve(door, routes::router(served)).into_future())),
                Err(error) => core.clients.report.fault = Some(error.to_string()),
            }
            drive::run(&mut core, waiting, &gone).await;
            core.clients.report.out_of_order = core.exchange.source_counts().clamped;
            core.clients.report
        })
    };
    let thread = thread::Builder::new().name("qtx-venue".to_string()).spawn(run)?;
    Ok(Server { address, secure, requests, faults, ended, thread: Some(thread) })
}

impl Server {
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Where a client finds everything. A venue bound to all addresses is reached on loopback.
    pub fn endpoints(&self) -> Endpoints {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            let loopback: std::net::IpAddr = if address.is_ipv4() {
                std::net::Ipv4Addr::LOCALHOST.into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            };
            address.set_ip(loopback);
        }
        Endpoints::at(&address.to_string(), self.secure)
    }

    /// Lets the market begin, once the clock is told to; in lockstep the engine's first question does.
    pub fn go(&self) {
        // A venue that has ended needs no start.
        let _ = self.requests.blocking_send(Request::Go);
    }

    /// Faults in force; they may be switched at any time.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    pub fn disturb(&self, disturbance: Disturbance) {
        let _ = self.requests.blocking_send(Request::Disturb(disturbance));
    }

    /// How the market ended, once it has.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.get()
    }

    /// Whether its thread has ended, asked to or not.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends the venue and every connection to it.
    pub fn stop(mut self) -> ServerReport {
        self.end()
    }

    fn end(&mut self) -> ServerReport {
        let Some(thread) = self.thread.take() else { return ServerReport::default() };
        let _ = self.requests.blocking_send(Request::Stop);
        thread
            .join()
            .unwrap_or_else(|_| ServerReport { fault: Some(PANICKED.to_string()), ..ServerReport::default() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
