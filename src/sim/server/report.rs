//! What a server did, for the summary of a run.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Figures of a server, from its start to its end.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ServerReport {
    /// Frames of the market that reached the venue.
    pub frames: u64,
    /// Market frames sent, one for each client that had subscribed to it: order book streams.
    pub public_sent: u64,
    /// The same for all other market streams.
    pub market_sent: u64,
    /// Bytes of those frames, without websocket headers.
    pub bytes_sent: u64,
    /// Lines of the market that are no stream frames: snapshots and answers among recorded frames.
    pub skipped: u64,
    /// Frames before the one in front of them, raised to its time.
    pub out_of_order: u64,
    /// Frames the decoder refused: clients saw them, the venue did not.
    pub undecoded: u64,
    /// Messages of the user stream.
    pub user_messages: u64,
    /// Requests taken, by REST and by websocket.
    pub requests: u64,
    pub orders: u64,
    pub cancels: u64,
    pub queries: u64,
    /// Requests refused, by error code.
    pub refusals: BTreeMap<i32, u64>,
    /// Websockets opened.
    pub clients: u64,
    /// Clients cut off because their queue was full.
    pub slow_disconnects: u64,
    /// Fullest a client's queue ever was, 0 to 1.
    pub queue_share_max: f64,
    /// Why the market could not be read on.
    pub fault: Option<String>,
}

impl ServerReport {
    pub(super) fn note_queue(&mut self, waiting: usize, room: usize) {
        let share = waiting as f64 / room.max(1) as f64;
        self.queue_share_max = self.queue_share_max.max(share);
    }

    pub(super) fn note_refusal(&mut self, code: i32) {
        *self.refusals.entry(code).or_default() += 1;
    }
}

impl fmt::Display for ServerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServerReport { frames, public_sent, market_sent, bytes_sent, skipped, undecoded, .. } = self;
        writeln!(f, "market    {frames} frames; {skipped} skipped, {undecoded} not decoded")?;
        writeln!(f, "streams   {public_sent} public, {market_sent} market, {bytes_sent} bytes")?;
        let ServerReport { user_messages, requests, orders, cancels, queries, .. } = self;
        writeln!(
            f,
            "account   {orders} orders, {cancels} cancels, {queries} queries, {user_messages} messages"
        )?;
        let refusals: Vec<String> =
            self.refusals.iter().map(|(code, count)| format!("{code}: {count}")).collect();
        let refused = if refusals.is_empty() { "none".to_string() } else { refusals.join(", ") };
        writeln!(f, "requests  {requests}; refused {refused}")?;
        let share = self.queue_share_max * 100.0;
        write!(
            f,
            "clients   {}; {} cut off as too slow, queues up to {share:.1}% full",
            self.clients, self.slow_disconnects
        )?;
        match &self.fault {
            Some(fault) => write!(f, "\nfault     {fault}"),
            None => Ok(()),
        }
    }
}
