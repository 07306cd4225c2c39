//! Quotes made for data that has none: one tick of the venue apart, touching each trade from the side it took.

use super::dialect::{Printer, Touch, book_ticker};
use super::rng::touch_value;
use crate::event::{Instrument, Quote};
use crate::num::{Millis, Ticks};

/// Longest silence between made quotes, in simulated time.
pub(super) const QUOTE_EVERY_MS: Millis = 1_000;
/// Without a trade, quotes end after this much silence: a hole of years in a file is not filled with
/// a quote a second.
const SILENCE_MS_MAX: Millis = 86_400_000;
/// Made sizes are scattered around this much quote currency.
const TOUCH_USD: f64 = 50_000.0;

/// A made quote.
#[derive(Clone, Copy, Debug)]
pub(super) struct MadeQuote {
    touch: Touch,
    update_id: i64,
    transaction_ms: Millis,
    pub event_ms: Millis,
}

impl MadeQuote {
    /// As a bookTicker frame.
    pub fn write(&self, printer: &Printer, frame: &mut Vec<u8>) {
        book_ticker(frame, printer, &self.touch, self.update_id, self.transaction_ms, self.event_ms);
    }

    /// As what a decoder makes of that frame.
    pub fn event(&self, printer: &Printer) -> Quote {
        let MadeQuote { touch, update_id, transaction_ms, event_ms } = *self;
        Quote {
            bid: touch.bid,
            bid_size: printer.market_size(touch.bid_lots),
            ask: touch.ask,
            ask_size: printer.market_size(touch.ask_lots),
            update_id,
            transaction_ms,
            event_ms,
        }
    }
}

/// Makes the quotes of one instrument.
pub(super) struct MadeQuotes {
    pub printer: Printer,
    seed: u64,
    update_id: i64,
    touch: Touch,
    spread: i64,
    /// Event time of the last quote; `None` before the first.
    last_ms: Option<Millis>,
    /// Event time of the last trade.
    traded_ms: Millis,
}

impl MadeQuotes {
    /// `spread`: between bid and ask, at least one tick.
    pub fn new(instrument: &Instrument, spread: Ticks, seed: u64) -> MadeQuotes {
        MadeQuotes {
            printer: Printer::new(instrument),
            seed,
            update_id: 0,
            touch: Touch::default(),
            spread: spread.0.max(1),
            last_ms: None,
            traded_ms: 0,
        }
    }

    /// Event time of the last quote; 0 before the first.
    pub fn last_ms(&self) -> Millis {
        self.last_ms.unwrap_or(0)
    }

    /// When the next quote is due even if nothing trades; `None` before the first trade and in a long
    /// silence.
    pub fn due_ms(&self) -> Option<Millis> {
        let due_ms = self.last_ms? + QUOTE_EVERY_MS;
        (due_ms - self.traded_ms <= SILENCE_MS_MAX).then_some(due_ms)
    }

    /// The quote a trade at `price` took: buyers take the ask, sellers the bid.
    pub fn around(
        &mut self,
        price: Ticks,
        buyer_maker: bool,
        trade_ms: Millis,
        event_ms: Millis,
    ) -> MadeQuote {
        // Nothing can be bid below one tick.
        let bid = Ticks(if buyer_maker { price.0 } else { price.0.saturating_sub(self.spread).max(1) });
        self.touch.bid = bid;
        self.touch.ask = Ticks(bid.0.saturating_add(self.spread));
        self.traded_ms = event_ms;
        self.make(trade_ms, event_ms)
    }

    /// The same prices again, with fresh sizes.
    pub fn again(&mut self, event_ms: Millis) -> MadeQuote {
        self.make(event_ms, event_ms)
    }

    fn make(&mut self, transaction_ms: Millis, event_ms: Millis) -> MadeQuote {
        self.update_id += 1;
        self.last_ms = Some(event_ms);
        // Drawn from seed and time, so that a quote does not depend on those before it.
        let key = self.seed ^ event_ms.unsigned_abs() << 1;
        self.touch.bid_lots = self.printer.lots_worth(touch_value(key, TOUCH_USD), self.touch.bid);
        self.touch.ask_lots = self.printer.lots_worth(touch_value(key | 1, TOUCH_USD), self.touch.ask);
        MadeQuote { touch: self.touch, update_id: self.update_id, transaction_ms, event_ms }
    }
}
