//! One instrument's fast streams: trades, quotes, depth.

use super::pending::Pending;
use super::slow::{Day, Kline};
use super::{Listing, QUOTES_PER_TRADE, STEP_MS, SyntheticConfig};
use crate::event::Instrument;
use crate::num::{Millis, Ticks, TimeNs};
use crate::sim::market::dialect::{AggTrade, Printer, Touch, agg_trade, book_ticker, put};
use crate::sim::market::rng::Rng;

/// Levels a side that depth frames keep up.
const LEVELS: usize = 5;
/// How much more happens in a burst.
const BURST_ACTIVITY: f64 = 2.5;
/// Longest silence of the quote stream, however few frames are asked for.
const QUOTE_EVERY_MS: Millis = 1_000;
/// Network delay: at least, and spread on top of it (most are short).
const LATENCY_NS_MIN: i64 = 200_000;
const LATENCY_NS_SPREAD: f64 = 3_000_000.0;

/// What is the same for all instruments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// Share of the natural frames that is made.
    pub thinning: f64,
    pub mark_interval_ms: Millis,
    pub ticker_interval_ms: Millis,
    pub kline_interval_ms: Millis,
    pub kline_update_ms: Millis,
}

impl Rates {
    pub fn new(config: &SyntheticConfig) -> Rates {
        Rates {
            thinning: config.thinning(),
            mark_interval_ms: Millis::from(config.mark_interval_s) * 1_000,
            ticker_interval_ms: config.ticker_interval_ms.into(),
            kline_interval_ms: Millis::from(config.kline_interval_s) * 1_000,
            kline_update_ms: config.kline_update_ms.into(),
        }
    }
}

/// One step of one instrument.
pub(super) struct Step {
    pub from_ms: Millis,
    /// Prices in ticks at both ends.
    pub price_from: f64,
    pub price_to: f64,
    pub burst: bool,
}

impl Step {
    pub fn to_ms(&self) -> Millis {
        self.from_ms + STEP_MS
    }

    fn price_at(&self, offset_ms: Millis) -> f64 {
        self.price_from + (self.price_to - self.price_from) * (offset_ms as f64 / STEP_MS as f64)
    }
}

/// The streams of one instrument, each in its own order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Trade,
    Quote,
    Depth,
    Mark,
    Kline,
    Ticker,
    Force,
}

/// Last times of a stream: neither event nor receive times go back within one.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    event_ms: Millis,
    recv: TimeNs,
}

/// Levels as the depth stream last told them: price and size, best first.
type Side = [(Ticks, i64); LEVELS];

pub(super) struct Feed {
    pub printer: Printer,
    pub rng: Rng,
    pub listing: Listing,
    pub rates: Rates,
    pub touch: Touch,
    quoted_ms: Millis,
    update_id: i64,
    depth_last_id: i64,
    bids: Side,
    asks: Side,
    agg_id: i64,
    pub trade_id: i64,
    pub last_lots: i64,
    clocks: [Clock; 7],
    pub kline: Kline,
    pub day: Day,
    /// Position among the instruments: staggers the periodic streams.
    pub index: Millis,
    /// Reused: what happens in a step, by offset; true for trades.
    happenings: Vec<(u32, bool)>,
}

impl Feed {
    pub fn new(
        instrument: &Instrument,
        listing: Listing,
        start: Ticks,
        seed: u64,
        index: usize,
        rates: Rates,
        start_ms: Millis,
    ) -> Feed {
        let mut rng = Rng::new(seed, 10_000 + index as u64);
        // Ids begin somewhere in the venue's life, and differ from instrument to instrument.
        let base = 1_000_000_000 + i64::from(rng.below(1_000_000_000));
        Feed {
            printer: Printer::new(instrument),
            rng,
            listing,
            rates,
            touch: Touch { bid: start, bid_lots: 1, ask: Ticks(start.0 + 1), ask_lots: 1 },
            quoted_ms: start_ms,
            update_id: base * 1_000,
            depth_last_id: base * 1_000 - 1,
            bids: [(Ticks::ZERO, 0); LEVELS],
            asks: [(Ticks::ZERO, 0); LEVELS],
            agg_id: base,
            trade_id: base * 3,
            last_lots: 1,
            clocks: [Clock::default(); 7],
            kline: Kline::new(start_ms - start_ms.rem_euclid(rates.kline_interval_ms), start),
            day: Day::new(start_ms, start),
            index: index as Millis,
            happenings: Vec::new(),
        }
    }

    /// What a subscriber hears first: quote, statistics, mark price.
    pub fn open(&mut self, start_ms: Millis, out: &mut Pending) {
        let price = self.touch.bid.0 as f64;
        self.quote(start_ms, price, false, out);
        self.statistics(start_ms, out);
        self.mark(start_ms, price, out);
    }

    pub fn advance(&mut self, step: &Step, out: &mut Pending) {
        self.trades_and_quotes(step, out);
        if self.rng.chance(self.rates.thinning) {
            self.depth(step.to_ms(), out);
        }
        self.periodic(step, out);
    }

    /// Times of a frame of `stream` whose event is at `event_ms`.
    pub fn stamp(&mut self, stream: Stream, event_ms: Millis) -> (Millis, TimeNs) {
        let luck = self.rng.unit();
        let latency_ns = LATENCY_NS_MIN + (LATENCY_NS_SPREAD * luck * luck) as i64;
        let Some(clock) = self.clocks.get_mut(stream as usize) else { return (event_ms, TimeNs(0)) };
        clock.event_ms = clock.event_ms.max(event_ms);
        clock.recv = clock.recv.max(TimeNs::from_ms(clock.event_ms) + latency_ns);
        (clock.event_ms, clock.recv)
    }

    fn trades_and_quotes(&mut self, step: &Step, out: &mut Pending) {
        let activity = if step.burst { BURST_ACTIVITY } else { 1.0 };
        let mean = self.listing.trades_per_second * self.rates.thinning * activity * STEP_MS as f64 / 1_000.0;
        let (trades, quotes) = (self.rng.count(mean), self.rng.count(mean * QUOTES_PER_TRADE));
        let mut happenings = std::mem::take(&mut self.happenings);
        happenings.clear();
        for i in 0..trades + quotes {
            happenings.push((self.rng.below(STEP_MS as u32), i < trades));
        }
        happenings.sort_unstable();
        for &(offset_ms, is_trade) in &happenings {
            let offset_ms = Millis::from(offset_ms);
            let (at_ms, price) = (step.from_ms + offset_ms, step.price_at(offset_ms));
            if is_trade {
                self.trade(at_ms, price, step, out);
            } else {
                self.quote(at_ms, price, step.burst, out);
            }
        }
        self.happenings = happenings;
        if step.to_ms() - self.quoted_ms >= QUOTE_EVERY_MS {
            self.quote(step.to_ms(), step.price_to, step.burst, out);
        }
    }

    fn quote(&mut self, at_ms: Millis, price: f64, burst: bool, out: &mut Pending) {
        let spread = match (burst, self.rng.unit()) {
            (true, luck) if luck < 0.5 => 2 + i64::from(self.rng.below(4)),
            (false, luck) if luck < 0.04 => 2,
            _ => 1,
        };
        // Start prices have at least 1,000 ticks and a third is the lowest: bids stay positive.
        let bid = Ticks(price as i64 - (spread - 1) / 2);
        let ask = Ticks(bid.0 + spread);
        let bid_lots = self.printer.lots_worth(self.rng.touch_value(self.listing.touch_usd), bid);
        let ask_lots = self.printer.lots_worth(self.rng.touch_value(self.listing.touch_usd), ask);
        self.touch = Touch { bid, bid_lots, ask, ask_lots };
        self.update_id += 1 + i64::from(self.rng.below(40));
        self.quoted_ms = at_ms;
        let sent_ms = at_ms + Millis::from(self.rng.below(6));
        let (event_ms, recv) = self.stamp(Stream::Quote, sent_ms);
        let (printer, touch, update_id) = (&self.printer, &self.touch, self.update_id);
        out.push(recv, |frame| book_ticker(frame, printer, touch, update_id, at_ms, event_ms));
    }

    fn trade(&mut self, at_ms: Millis, price: f64, step: &Step, out: &mut Pending) {
        let Touch { bid, ask, .. } = self.touch;
        // The touch was left behind: it moves before anybody trades at it.
        if price < bid.0 as f64 || price >= ask.0 as f64 {
            self.quote(at_ms, price, step.burst, out);
        }
        let buys = if step.price_to > step.price_from { 0.65 } else { 0.35 };
        let buyer_maker = !self.rng.chance(buys);
        let price = if buyer_maker { self.touch.bid } else { self.touch.ask };
        let lots = self.trade_lots(price, step.burst);
        let count = 1 + i64::from(self.rng.below(3)) * i64::from(self.rng.below(4));
        self.agg_id += 1;
        let (first_id, last_id) = (self.trade_id + 1, self.trade_id + count);
        self.trade_id = last_id;
        self.last_lots = lots;
        self.kline.add(price, lots, buyer_maker, first_id, last_id);
        self.day.add(at_ms, price);
        // Venues send aggregates 2 to 150 ms late, most of them soon.
        let luck = self.rng.unit();
        let (event_ms, recv) = self.stamp(Stream::Trade, at_ms + 2 + (148.0 * luck * luck) as Millis);
        let text = AggTrade {
            event_ms,
            id: self.agg_id,
            price: &self.printer.price(price),
            quantity: &self.printer.size(lots),
            first_id,
            last_id,
            trade_ms: at_ms,
            buyer_maker,
        };
        out.push(recv, |frame| agg_trade(frame, &self.printer, &text));
    }

    /// Sizes whose mean makes up the day's volume: thinning merges trades, it does not lose them.
    fn trade_lots(&mut self, price: Ticks, burst: bool) -> i64 {
        let per_second = self.listing.trades_per_second * self.rates.thinning;
        let mean = self.listing.volume_24h_usd / 86_400.0 / per_second;
        let (small, large) = (self.rng.unit(), self.rng.unit());
        // E[u²] × E[1/√v] = 1/3 × 2.
        let value = mean * 1.5 * small * small / large.sqrt();
        self.printer.lots_worth(if burst { value * 1.5 } else { value }, price)
    }

    fn depth(&mut self, at_ms: Millis, out: &mut Pending) {
        let Touch { bid, bid_lots, ask, ask_lots } = self.touch;
        let bids = self.levels(&self.bids.clone(), (bid, bid_lots), -1);
        let asks = self.levels(&self.asks.clone(), (ask, ask_lots), 1);
        if bids == self.bids && asks == self.asks {
            return;
        }
        self.update_id += 2 + i64::from(self.rng.below(400));
        let previous_id = self.depth_last_id;
        let (first_id, last_id) = (previous_id + 1, self.update_id);
        self.depth_last_id = last_id;
        let sent_ms = at_ms + Millis::from(self.rng.below(8));
        let (event_ms, recv) = self.stamp(Stream::Depth, sent_ms);
        let (old_bids, old_asks) = (self.bids, self.asks);
        (self.bids, self.asks) = (bids, asks);
        let printer = &self.printer;
        let Printer { symbol, lower, .. } = printer;
        out.push(recv, |frame| {
            put!(
                frame,
                r#"{{"stream":"{lower}@depth@100ms","data":{{"e":"depthUpdate","E":{event_ms},"T":{at_ms},"s":"{symbol}","ps":"{symbol}","U":{first_id},"u":{last_id},"pu":{previous_id},"b":["#
            );
            write_changes(frame, printer, &old_bids, &bids);
            put!(frame, r#"],"a":["#);
            write_changes(frame, printer, &old_asks, &asks);
            put!(frame, r#"],"st":1}}}}"#);
        });
    }

    /// The side's levels from the touch away; sizes stay where the price was known, half of the time.
    fn levels(&mut self, known: &Side, best: (Ticks, i64), away: i64) -> Side {
        let mut side = [best; LEVELS];
        for (level, distance) in side.iter_mut().zip(0i64..).skip(1) {
            let price = Ticks(best.0.0 + away * distance);
            let old = known.iter().find(|(p, lots)| *p == price && *lots > 0);
            let value = self.rng.touch_value(self.listing.touch_usd);
            let stays = self.rng.chance(0.5);
            let fresh = (price, self.printer.lots_worth(value, price));
            *level = old.copied().filter(|_| stays).unwrap_or(fresh);
        }
        side
    }
}

/// Levels that went (size 0) and levels that changed.
fn write_changes(frame: &mut Vec<u8>, printer: &Printer, old: &Side, new: &Side) {
    let gone = old.iter().filter(|(p, lots)| *lots > 0 && new.iter().all(|(n, _)| n != p));
    let changed = new.iter().filter(|level| !old.contains(level));
    let all = gone.map(|(p, _)| (*p, 0)).chain(changed.copied());
    for (i, (price, lots)) in all.enumerate() {
        let comma = if i == 0 { "" } else { "," };
        put!(frame, r#"{comma}["{}","{}"]"#, printer.price(price), printer.size(lots));
    }
}
