//! What a run over sockets did beside its events: connections, queues, the road to the venue.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::LatencyNs;

/// Figures of a run over sockets.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SocketSummary {
    /// Market messages received.
    pub messages: u64,
    pub bytes: u64,
    pub pings: u64,
    pub pongs: u64,
    /// Connections opened after the first, market ones and the gateway's two.
    pub reconnects: u64,
    /// Connections that ended and attempts that failed, by cause.
    pub errors: BTreeMap<&'static str, u64>,
    /// Largest share of each queue in use, in percent.
    pub queue_share_max_pct: QueueShares,
    pub gateway: GatewaySummary,
    /// Why connections failed, the first ones in words.
    pub failures: Vec<String>,
    /// Of the simulated venue, where it ran in this process.
    pub venue: Option<serde_json::Value>,
    /// What the operator was warned of at the start.
    pub warnings: Vec<String>,
}

/// In percent.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueueShares {
    pub ring: f64,
    pub orders: f64,
    pub gateway: f64,
}

/// The gateway's figures.
#[derive(Clone, Debug, Default, Serialize)]
pub struct GatewaySummary {
    pub orders: u64,
    pub cancels: u64,
    pub queries: u64,
    /// What became of the requests.
    pub answers: BTreeMap<&'static str, u64>,
    /// Orders refused by its own limits.
    pub refused: BTreeMap<&'static str, u64>,
    /// Orders whose acknowledgement was lost, and those of which that still holds.
    pub unknown: u64,
    pub unknown_now: u64,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// From an order taken up to the first answer, by the engine's clock: at many simulated seconds a
    /// second a real microsecond is as many of them.
    pub round_trip_ns: Option<LatencyNs>,
}

impl fmt::Display for SocketSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<&'static str, u64>| {
            let rows: Vec<String> = counts.iter().map(|(name, n)| format!("{name} {n}")).collect();
            if rows.is_empty() { "no errors".to_string() } else { rows.join(", ") }
        };
        writeln!(
            f,
            "connections    {} messages, {} reconnects, {} pings answered of {}; {}",
            self.messages,
            self.reconnects,
            self.pongs,
            self.pings,
            list(&self.errors)
        )?;
        let QueueShares { ring, orders, gateway } = self.queue_share_max_pct;
        writeln!(
            f,
            "queues         at most: ring {ring:.2}%, orders {orders:.2}%, inbox {gateway:.2}% full"
        )?;
        let GatewaySummary { orders, cancels, queries, unknown, .. } = self.gateway;
        let refused: u64 = self.gateway.refused.values().sum();
        write!(
            f,
            "gateway        {orders} orders, {cancels} cancels, {queries} queries; {refused} refused by its limits, \
             {unknown} unanswered"
        )?;
        if let Some(LatencyNs { p50, p99, max, .. }) = self.gateway.round_trip_ns {
            let ms = |ns: u64| ns as f64 / 1e6;
            write!(f, "; first answer after {:.2} ms (p99 {:.2}, max {:.2})", ms(p50), ms(p99), ms(max))?;
        }
        writeln!(f)?;
        for line in &self.warnings {
            writeln!(f, "warning        {line}")?;
        }
        for line in self.failures.iter().take(5) {
            writeln!(f, "{:15}{line}", "")?;
        }
        Ok(())
    }
}
