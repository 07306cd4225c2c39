//! What a server is told at its start, and the faults it can be told to have.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::event::Bar;
use crate::num::{InstrumentId, NS_PER_HOUR, NS_PER_SEC, Now, TimeNs};
use crate::sim::lockstep::Baton;
use crate::venue::binance::SIMULATED_KEY;

/// The venue's ping interval.
const PING_NS: i64 = 180 * NS_PER_SEC;
/// The venue ends connections after a day.
const CONNECTION_NS_MAX: i64 = 24 * NS_PER_HOUR;
/// A listen key that nobody keeps alive.
const LISTEN_KEY_NS: i64 = NS_PER_HOUR;
/// Request weight a minute of simulated time: the venue grants 2,400 or 6,000 of real time, which at
/// sixty simulated seconds a second a polite client would have used up at once.
const WEIGHT_PER_MINUTE: u32 = 1_000_000;
/// Orders in a time: the venue takes 300 in 10 s and 1,200 in a minute. As generous, for the same reason.
const ORDERS_PER_10_S: u32 = 1_000_000;
const ORDERS_PER_MINUTE: u32 = 1_000_000;
/// Frames a market client may be behind: a second of a busy market, a few MB.
const MARKET_QUEUE: usize = 16_384;

/// Everything but the market and the account behind it.
pub struct ServerConfig {
    /// Port 0 takes a free one.
    pub bind: SocketAddr,
    /// Certificate and key; plain text without.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// The one API key there is, and the secret its requests are signed with.
    pub key: String,
    pub secret: String,
    pub faults: Arc<Faults>,
    /// Simulated time between pings.
    pub ping_ns: i64,
    /// Simulated life of a websocket; without end in lockstep.
    pub connection_ns_max: i64,
    /// Simulated life of a listen key after it was last kept alive; without end in lockstep.
    pub listen_key_ns: i64,
    /// What is asked beyond these limits is refused, and who asks on is banned. Of simulated time.
    pub weight_per_minute: u32,
    pub orders_per_10_s: u32,
    pub orders_per_minute: u32,
    /// Messages that may wait for a market client before it is cut off.
    pub market_queue: usize,
    /// Longest frame of the market that is decoded; longer ones are skipped.
    pub frame_bytes_max: usize,
    /// Closed bars that `klines` knows at the start, oldest first for each instrument.
    pub history: Vec<(InstrumentId, Bar)>,
}

impl Default for ServerConfig {
    /// Loopback, a free port, plain text, the key `sim` with the secret `sim`.
    fn default() -> ServerConfig {
        ServerConfig {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: None,
            key: SIMULATED_KEY.to_string(),
            secret: "sim".to_string(),
            faults: Arc::default(),
            ping_ns: PING_NS,
            connection_ns_max: CONNECTION_NS_MAX,
            listen_key_ns: LISTEN_KEY_NS,
            weight_per_minute: WEIGHT_PER_MINUTE,
            orders_per_10_s: ORDERS_PER_10_S,
            orders_per_minute: ORDERS_PER_MINUTE,
            market_queue: MARKET_QUEUE,
            frame_bytes_max: crate::sim::market::FRAME_BYTES_MAX,
            history: Vec::new(),
        }
    }
}

/// Who owns simulated time. `wall` reads the system's clock: `/sim/clock` tells it beside simulated
/// time, for clients on the same machine that set theirs by it.
pub enum Pacing {
    /// `clock` tells it: its start until the run begins, then `scale` simulated seconds a second.
    Paced { clock: Box<dyn Now>, scale: f64, wall: fn() -> TimeNs },
    /// The engine in this process does, question by question, from `start` on.
    Lockstep { baton: Arc<Baton>, start: TimeNs, wall: fn() -> TimeNs },
}

/// What becomes of conditional orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Stops {
    #[default]
    Accept = 0,
    /// Every one is refused, as by PERCENT_PRICE.
    Refuse = 1,
    /// No answer, and no order.
    Swallow = 2,
}

/// How bytes leave the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Wire {
    #[default]
    Whole = 0,
    /// One byte a write.
    Trickle = 1,
    /// Half of a write, then the connection ends.
    Cut = 2,
}

/// Faults in force. Any thread may switch them while the server runs.
#[derive(Debug, Default)]
pub struct Faults {
    stops: AtomicU8,
    wire: AtomicU8,
    silent: AtomicBool,
}

impl Faults {
    pub fn set_stops(&self, stops: Stops) {
        self.stops.store(stops as u8, Ordering::Relaxed);
    }

    pub fn stops(&self) -> Stops {
        match self.stops.load(Ordering::Relaxed) {
            1 => Stops::Refuse,
            2 => Stops::Swallow,
            _ => Stops::Accept,
        }
    }

    pub fn set_wire(&self, wire: Wire) {
        self.wire.store(wire as u8, Ordering::Relaxed);
    }

    pub fn wire(&self) -> Wire {
        match self.wire.load(Ordering::Relaxed) {
            1 => Wire::Trickle,
            2 => Wire::Cut,
            _ => Wire::Whole,
        }
    }

    /// A silent venue takes requests and never answers. What it does with orders it does all the same.
    pub fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
    }

    pub fn silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }
}

/// Something that happens once, to every websocket there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// The server closes them.
    Close,
    /// A text that is no JSON, a binary message, an object nobody knows.
    Nonsense,
    /// So many pings at once.
    Pings(u32),
    /// The listen key ends before its time.
    ExpireListenKey,
}
