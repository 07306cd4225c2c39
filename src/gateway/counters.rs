//! What the gateway did, in numbers.

use hdrhistogram::Histogram;

use super::refusal::Refusal;

/// Longest round trip the histogram tells apart: a minute.
const ROUND_TRIP_NS_MAX: u64 = 60_000_000_000;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AnswerClass {
    Success = 0,
    /// The venue refused what was asked.
    Refused = 1,
    /// Too many requests or orders: 429, 418, −1003, −1015.
    RateLimited = 2,
    /// −1021: our clock.
    Clock = 3,
    /// 5xx, −1007: neither done nor refused.
    StateUnknown = 4,
    /// No answer came.
    Lost = 5,
    /// It never left.
    Unsent = 6,
    /// An answer that could not be read.
    Unreadable = 7,
}

impl AnswerClass {
    pub const ALL: [AnswerClass; 8] = [
        AnswerClass::Success,
        AnswerClass::Refused,
        AnswerClass::RateLimited,
        AnswerClass::Clock,
        AnswerClass::StateUnknown,
        AnswerClass::Lost,
        AnswerClass::Unsent,
        AnswerClass::Unreadable,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            AnswerClass::Success => "success",
            AnswerClass::Refused => "refused",
            AnswerClass::RateLimited => "rate_limited",
            AnswerClass::Clock => "clock",
            AnswerClass::StateUnknown => "state_unknown",
            AnswerClass::Lost => "lost",
            AnswerClass::Unsent => "unsent",
            AnswerClass::Unreadable => "unreadable",
        }
    }
}

/// Counters of a gateway's life.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    pub orders_sent: u64,
    pub cancels_sent: u64,
    pub queries_sent: u64,
    /// Requests of all kinds by REST.
    pub rest_requests: u64,
    pub answers: [u64; AnswerClass::ALL.len()],
    pub refusals: [u64; Refusal::ALL.len()],
    /// Orders whose acknowledgement was lost.
    pub unknown: u64,
    /// Texts of the order websocket and of the user stream.
    pub order_messages: u64,
    pub user_messages: u64,
    /// Messages that said nothing new.
    pub duplicates: u64,
    /// Messages about orders and symbols that are not ours.
    pub foreign: u64,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// Answers to no request we know of.
    pub unmatched: u64,
    /// Fill prices off the tick grid, rounded to it.
    pub rounded_prices: u64,
    /// Fees in another asset than the quote currency, put down at the taker's rate.
    pub estimated_fees: u64,
    pub margin_calls: u64,
    /// Times the venue told us to be silent.
    pub silences: u64,
    pub order_link_losses: u64,
    pub user_link_losses: u64,
    pub listen_keys_expired: u64,
    /// Ended with everything asked for.
    pub reconciliations: u64,
    /// Begun, with those that failed and began again.
    pub reconciliation_rounds: u64,
    /// Fills concluded from positions that nothing else explained.
    pub assumed_fills: u64,
    /// From an order's instruction to the first answer.
    pub round_trip: RoundTrip,
}

/// A histogram of round trips, in nanoseconds.
#[derive(Clone, Debug)]
pub struct RoundTrip(pub Histogram<u64>);

impl Default for RoundTrip {
    #[allow(clippy::expect_used)] // constant bounds: any test would find them wrong
    fn default() -> RoundTrip {
        RoundTrip(Histogram::new_with_bounds(1_000, ROUND_TRIP_NS_MAX, 2).expect("valid bounds"))
    }
}

impl Counters {
    pub fn answered(&self, class: AnswerClass) -> u64 {
        self.answers[class as usize]
    }

    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refusals[refusal as usize - 1]
    }

    pub(super) fn count_answer(&mut self, class: AnswerClass) {
        self.answers[class as usize] += 1;
    }

    pub(super) fn count_refusal(&mut self, refusal: Refusal) {
        self.refusals[refusal as usize - 1] += 1;
    }

    pub(super) fn record_round_trip(&mut self, elapsed_ns: i64) {
        self.round_trip.0.saturating_record(u64::try_from(elapsed_ns).unwrap_or(0));
    }
}
