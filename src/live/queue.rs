//! Instructions to the gateway: a single-producer, single-consumer queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use super::Outlet;
use crate::engine::OUTBOX_MAX;
use crate::event::{Event, EventBody, Instruction};
use crate::num::{InstrumentId, TimeNs};

/// Room for the largest outbox while the one before it is still being written to sockets.
const INSTRUCTIONS_MAX: usize = 2 * OUTBOX_MAX;

/// An instruction on its way to the venue.
pub type Instructed = (TimeNs, InstrumentId, Instruction);

/// Last price of each instrument in ticks, 0 before the first; written by the loop from the market's
/// events alone, so that the gateway's price collar does not rest on anything the engine computed.
pub type Prices = Arc<[AtomicI64]>;

/// The engine's end of the queue.
pub struct OrderQueue {
    instructions: Producer<Instructed>,
    prices: Prices,
    pushed: u64,
    /// Most instructions waiting at once, of [`INSTRUCTIONS_MAX`].
    used_max: usize,
    gone: Arc<AtomicBool>,
}

/// A queue for a table of so many instruments: the engine's end, and the gateway's.
pub fn order_queue(instruments: usize) -> (OrderQueue, Consumer<Instructed>) {
    let (instructions, consumer) = RingBuffer::new(INSTRUCTIONS_MAX);
    let prices = (0..instruments).map(|_| AtomicI64::new(0)).collect();
    let gone = Arc::new(AtomicBool::new(false));
    (OrderQueue { instructions, prices, pushed: 0, used_max: 0, gone }, consumer)
}

impl OrderQueue {
    /// The price table the gateway reads.
    pub fn prices(&self) -> Prices {
        Arc::clone(&self.prices)
    }

    /// Instructions handed over so far.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Largest share of the queue in use since the last call, parts per million.
    pub fn take_share_ppm(&mut self) -> u32 {
        let used = std::mem::take(&mut self.used_max);
        (used.saturating_mul(1_000_000) / INSTRUCTIONS_MAX) as u32
    }

    /// Set by the gateway's side when nobody reads any more.
    pub fn gone(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.gone)
    }
}

impl Outlet for OrderQueue {
    fn has_room(&mut self) -> bool {
        self.instructions.slots() >= OUTBOX_MAX
    }

    fn send(&mut self, at: TimeNs, instrument: InstrumentId, instruction: Instruction) {
        let pushed = self.instructions.push((at, instrument, instruction));
        assert!(pushed.is_ok(), "room for the largest outbox was made sure of before the event");
        self.pushed += 1;
        self.used_max = self.used_max.max(INSTRUCTIONS_MAX - self.instructions.slots());
    }

    fn market(&mut self, _: TimeNs, event: &Event) {
        let price = match &event.body {
            EventBody::AggTrade(trade) | EventBody::Trade(trade) if trade.market => trade.price,
            EventBody::Quote(quote) if quote.bid.is_price() && quote.ask.is_price() => quote.bid,
            _ => return,
        };
        if let Some(last) = self.prices.get(event.instrument.index()) {
            last.store(price.0, Ordering::Relaxed);
        }
    }

    fn failure(&self) -> Option<String> {
        let gone = self.gone.load(Ordering::Acquire) || self.instructions.is_abandoned();
        gone.then(|| "its thread ended".to_string())
    }
}
