//! Quotes made for data that has none: one tick of the venue apart, touching each trade from the side it took.
//! And funding, where a rate is given: a mark price of the last trade, just before each funding time.

use std::fmt::Display;

use super::dialect::{self, MarkText, Printer, Touch, book_ticker, mark_price, next_funding_ms};
use super::rng::touch_value;
use crate::event::{EventBody, Instrument, MarkPrice, Quote};
use crate::num::{Dec, Millis, Ticks};

/// Longest silence between made quotes, in simulated time.
pub(super) const QUOTE_EVERY_MS: Millis = 1_000;
/// Without a trade, quotes end after this much silence: a hole of years in a file is not filled with
/// a quote a second.
const SILENCE_MS_MAX: Millis = 86_400_000;
/// Made sizes are scattered around this much quote currency.
const TOUCH_USD: f64 = 50_000.0;

/// The venue's base rate: 0.01% of the position every eight hours.
pub const FUNDING_RATE_BASE: Dec = Dec::new(1, 4);

/// What data without quotes and funding are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrecorded {
    /// Between bid and ask, at least one tick.
    pub spread: Ticks,
    /// Fraction of the position that longs pay every eight hours; below 0 shorts do, 0 is no funding.
    pub funding_rate: Dec,
}

impl Default for Unrecorded {
    fn default() -> Unrecorded {
        Unrecorded { spread: Ticks(1), funding_rate: Dec::ZERO }
    }
}

/// A quote or mark price that was made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Made {
    Quote { touch: Touch, update_id: i64, transaction_ms: Millis, event_ms: Millis },
    Mark { price: Ticks, funding_rate: Dec, next_funding_ms: Millis, event_ms: Millis },
}

impl Made {
    pub fn event_ms(&self) -> Millis {
        match self {
            Made::Quote { event_ms, .. } | Made::Mark { event_ms, .. } => *event_ms,
        }
    }

    /// As the venue's frame.
    pub fn write(&self, printer: &Printer, frame: &mut Vec<u8>) {
        match *self {
            Made::Quote { touch, update_id, transaction_ms, event_ms } => {
                book_ticker(frame, printer, &touch, update_id, transaction_ms, event_ms);
            }
            Made::Mark { price, funding_rate, next_funding_ms, event_ms } => {
                let price = printer.price(price);
                let (mark, index, settle): (&dyn Display, &dyn Display, &dyn Display) =
                    (&price, &price, &price);
                let funding_rate = &funding_rate;
                let suffix = "";
                let text = MarkText { event_ms, suffix, mark, index, settle, funding_rate, next_funding_ms };
                mark_price(frame, printer, &text);
            }
        }
    }

    /// As what a decoder makes of that frame.
    pub fn event(&self, printer: &Printer, tick: Dec) -> EventBody {
        match *self {
            Made::Quote { touch, update_id, transaction_ms, event_ms } => EventBody::Quote(Quote {
                bid: touch.bid,
                bid_size: printer.market_size(touch.bid_lots),
                ask: touch.ask,
                ask_size: printer.market_size(touch.ask_lots),
                update_id,
                transaction_ms,
                event_ms,
            }),
            Made::Mark { price, funding_rate, next_funding_ms, event_ms } => {
                let price = Dec(tick.0.saturating_mul(price.wide()));
                EventBody::MarkPrice(MarkPrice {
                    mark: price,
                    index: price,
                    settle: price,
                    funding_rate,
                    next_funding_ms,
                    event_ms,
                })
            }
        }
    }
}

/// Makes the quotes and mark prices of one instrument.
pub(super) struct MadeQuotes {
    pub printer: Printer,
    pub tick: Dec,
    seed: u64,
    update_id: i64,
    touch: Touch,
    spread: i64,
    /// Event time of the last quote; `None` before the first.
    last_ms: Option<Millis>,
    /// Event time of the last trade.
    traded_ms: Millis,
    price: Ticks,
    funding_rate: Dec,
    /// The next funding time.
    funding_ms: Millis,
}

impl MadeQuotes {
    pub fn new(instrument: &Instrument, made: Unrecorded, seed: u64) -> MadeQuotes {
        MadeQuotes {
            printer: Printer::new(instrument),
            tick: instrument.tick,
            seed,
            update_id: 0,
            touch: Touch::default(),
            spread: made.spread.0.max(1),
            last_ms: None,
            traded_ms: 0,
            price: Ticks::ZERO,
            funding_rate: made.funding_rate,
            funding_ms: Millis::MAX,
        }
    }

    /// Event time of the last quote; 0 before the first.
    pub fn last_ms(&self) -> Millis {
        self.last_ms.unwrap_or(0)
    }

    /// When the next frame is due even if nothing trades; `None` before the first trade and in a long
    /// silence.
    pub fn due_ms(&self) -> Option<Millis> {
        let due_ms = (self.last_ms? + QUOTE_EVERY_MS).min(self.mark_ms());
        (due_ms - self.traded_ms <= SILENCE_MS_MAX).then_some(due_ms)
    }

    /// When the mark price is due: the last moment before funding.
    fn mark_ms(&self) -> Millis {
        self.funding_ms - 1
    }

    /// The quote a trade at `price` took: buyers take the ask, sellers the bid.
    pub fn around(&mut self, price: Ticks, buyer_maker: bool, trade_ms: Millis, event_ms: Millis) -> Made {
        // Nothing can be bid below one tick.
        let bid = Ticks(if buyer_maker { price.0 } else { price.0.saturating_sub(self.spread).max(1) });
        self.touch.bid = bid;
        self.touch.ask = Ticks(bid.0.saturating_add(self.spread));
        (self.traded_ms, self.price) = (event_ms, price);
        // Fundings of a long silence are over.
        if self.funding_rate != Dec::ZERO && (self.funding_ms == Millis::MAX || self.funding_ms <= event_ms) {
            self.funding_ms = next_funding_ms(event_ms);
        }
        self.make(trade_ms, event_ms)
    }

    /// Leaves out what would only repeat the last quote, up to the last one before `before_ms`.
    pub fn skip_to(&mut self, before_ms: Millis) {
        let Some(last_ms) = self.last_ms else { return };
        let end_ms = before_ms.min(self.traded_ms + SILENCE_MS_MAX + 1);
        // One is left: quotes come at whole seconds after the last.
        let left_out = (end_ms - 1 - last_ms).div_euclid(QUOTE_EVERY_MS) - 1;
        self.last_ms = Some(last_ms + left_out.max(0) * QUOTE_EVERY_MS);
        if self.funding_ms <= before_ms {
            self.funding_ms = next_funding_ms(before_ms);
        }
    }

    /// What is due at `event_ms`: the same prices again, with fresh sizes, or the mark price.
    pub fn again(&mut self, event_ms: Millis) -> Made {
        if event_ms < self.mark_ms() {
            return self.make(event_ms, event_ms);
        }
        let (price, funding_rate, next_funding_ms) = (self.price, self.funding_rate, self.funding_ms);
        self.funding_ms = dialect::next_funding_ms(next_funding_ms);
        Made::Mark { price, funding_rate, next_funding_ms, event_ms }
    }

    fn make(&mut self, transaction_ms: Millis, event_ms: Millis) -> Made {
        self.update_id += 1;
        self.last_ms = Some(event_ms);
        // Drawn from seed and time, so that a quote does not depend on those before it.
        let key = self.seed ^ event_ms.unsigned_abs() << 1;
        self.touch.bid_lots = self.printer.lots_worth(touch_value(key, TOUCH_USD), self.touch.bid);
        self.touch.ask_lots = self.printer.lots_worth(touch_value(key | 1, TOUCH_USD), self.touch.ask);
        Made::Quote { touch: self.touch, update_id: self.update_id, transaction_ms, event_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::btcusdt;

    const EIGHT_MS: Millis = 28_800_000;

    /// Frames until `end_ms` of an instrument that trades at these times, ten ticks higher each time.
    fn frames(rate: Dec, trades_ms: &[Millis], end_ms: Millis) -> Vec<(Millis, String)> {
        let made = Unrecorded { funding_rate: rate, ..Unrecorded::default() };
        let (mut quotes, mut all) = (MadeQuotes::new(&btcusdt(), made, 1), Vec::new());
        let mut frame = Vec::new();
        for (i, at_ms) in trades_ms.iter().copied().chain([end_ms]).enumerate() {
            while let Some(due_ms) = quotes.due_ms().filter(|due_ms| *due_ms < at_ms) {
                frame.clear();
                quotes.again(due_ms).write(&quotes.printer, &mut frame);
                all.push((due_ms, String::from_utf8(frame.clone()).unwrap()));
            }
            if i < trades_ms.len() {
                quotes.around(Ticks(500_000 + 10 * i as i64), false, at_ms, at_ms);
            }
        }
        all
    }

    fn marks(frames: &[(Millis, String)]) -> Vec<(Millis, String)> {
        frames.iter().filter(|(_, text)| text.contains("markPriceUpdate")).cloned().collect()
    }

    #[test]
    fn the_last_price_is_marked_just_before_each_funding() {
        let trades = [EIGHT_MS - 900, EIGHT_MS - 1, EIGHT_MS, 2 * EIGHT_MS + 5];
        let frames = frames(Dec::new(1, 4), &trades, 3 * EIGHT_MS + 1);
        let marks = marks(&frames);
        let times: Vec<Millis> = marks.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [EIGHT_MS - 1, 2 * EIGHT_MS - 1, 3 * EIGHT_MS - 1]);
        for ((_, text), (price, next)) in marks.iter().zip([("50001.0", 1), ("50002.0", 2), ("50003.0", 3)]) {
            let said = format!(
                r#""p":"{price}","ap":"{price}","P":"{price}","i":"{price}","r":"0.0001","T":{}"#,
                next * EIGHT_MS
            );
            assert!(text.contains(&said), "{said} in {text}");
        }
        assert!(frames.windows(2).all(|pair| pair[0].0 <= pair[1].0), "in order");
    }

    #[test]
    fn without_a_rate_and_in_a_long_silence_nothing_is_marked() {
        assert!(marks(&frames(Dec::ZERO, &[5], 2 * EIGHT_MS)).is_empty());
        // Three fundings lie within a day after the last trade; the rest of the week is silence.
        let week = [5, 21 * EIGHT_MS + 5];
        let times: Vec<Millis> =
            marks(&frames(Dec::new(1, 4), &week, 22 * EIGHT_MS + 5)).iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [1, 2, 3, 22].map(|n| n * EIGHT_MS - 1));
        let quotes = frames(Dec::ZERO, &week, 22 * EIGHT_MS + 5).len();
        assert_eq!(
            frames(Dec::new(1, 4), &week, 22 * EIGHT_MS + 5).len(),
            quotes + 4,
            "and nothing else changed"
        );
    }
}
