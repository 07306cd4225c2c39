//! A seeded market that is hard to trade in: jumps, thin touches, quotes that stand still, bursts.

use super::Dice;
use crate::event::{
    Bar, BarSource, Event, EventBody, Instrument, InstrumentSpec, InstrumentTable, MarkPrice, Quote,
    SizeUnit, Trade,
};
use crate::num::{Dec, InstrumentId, Size, Ticks, TimeNs};

/// 2024-01-01T23:30:00Z: the day rolls while a run is under way.
pub const START: TimeNs = TimeNs::from_ms(1_704_151_800_000);
pub const BAR_S: u32 = 60;
const HISTORY_BARS: i64 = 40;

/// Three instruments on different scales.
pub fn instruments() -> InstrumentTable {
    instruments_with([("0.1", "0.001"), ("0.01", "0.001"), ("0.01", "0.01")])
}

/// The three with these ticks and steps.
pub fn instruments_with(grids: [(&str, &str); 3]) -> InstrumentTable {
    let row = |(symbol, (tick, step)): (&str, (&str, &str))| {
        let spec = InstrumentSpec {
            symbol,
            tick,
            step,
            min_quantity: step,
            max_quantity: "",
            min_notional: "5",
            taker_fee: "0.0005",
            maintenance_margin: "0.004",
            size_unit: SizeUnit::Base,
        };
        Instrument::from_spec(&spec).ok()
    };
    let rows = ["BTCUSDT", "ETHUSDT", "SOLUSDT"].into_iter().zip(grids).filter_map(row).collect();
    InstrumentTable::new(rows).unwrap_or_default()
}

struct Path {
    price: i64,
    /// Usual move, in ticks.
    pace: i64,
    thin: bool,
}

/// What prices do, and what rests at the touch.
pub struct Market {
    pub table: InstrumentTable,
    paths: Vec<Path>,
    funding_ms: i64,
    /// Every touch has plenty: for the end of a run.
    pub thick: bool,
}

impl Market {
    pub fn new(table: InstrumentTable, dice: &mut Dice) -> Market {
        let prices = [500_000, 250_000, 10_000];
        let path = |price: i64| Path {
            price,
            pace: (price / dice.pick(&[20_000, 5_000, 1_500, 400])).max(2),
            thin: dice.one_in(2),
        };
        let paths = prices.map(path).into();
        let funding_ms = START.ms() + dice.between(60, 600) * 1_000;
        Market { table, paths, funding_ms, thick: false }
    }

    /// Closed bars before the start, so that signals need not wait.
    pub fn history(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for (i, path) in self.paths.iter().enumerate() {
            for back in (1..=HISTORY_BARS).rev() {
                let open_ms = START.ms() - back * i64::from(BAR_S) * 1_000;
                let close = Ticks(path.price + (back % 3) * path.pace);
                let body = EventBody::Bar(Bar {
                    open_ms,
                    open: close,
                    high: close + Ticks(6 * path.pace),
                    low: close - Ticks(6 * path.pace),
                    close,
                    volume: Size(1),
                    quote_volume: Dec::ONE,
                    taker_buy_volume: Size(0),
                    event_ms: 0,
                    trades: 1,
                    interval_s: BAR_S,
                    closed: true,
                    source: BarSource::History,
                    pad: [0; 6],
                });
                events.push(Event { recv_ns: START, instrument: InstrumentId(i as u16), body });
            }
        }
        events
    }

    /// Something happens in one instrument.
    pub fn next(&mut self, now: TimeNs, dice: &mut Dice) -> Event {
        let i = dice.between(0, self.paths.len() as i64 - 1) as usize;
        let path = &mut self.paths[i];
        let wide = if dice.one_in(200) { 25 } else { 1 };
        let step = dice.between(-2 * path.pace, 2 * path.pace) * wide;
        path.price = (path.price + step).max(1_000);
        let body = match dice.between(1, 10) {
            1..=6 => EventBody::Quote(self.quote(i, now, dice)),
            7..=9 => EventBody::AggTrade(self.trade(i, now)),
            _ => EventBody::MarkPrice(self.mark(i, now, dice)),
        };
        Event { recv_ns: now, instrument: InstrumentId(i as u16), body }
    }

    /// The touch around the price; of a thin market at times nothing.
    pub fn quote(&mut self, i: usize, now: TimeNs, dice: &mut Dice) -> Quote {
        let path = &self.paths[i];
        let mut size = || {
            let lots = match (self.thick, path.thin) {
                (true, _) => 1_000_000,
                (_, true) => dice.between(0, 12),
                (_, false) => dice.between(0, 5_000),
            };
            // Market data has three places more than orders.
            Size(lots * 1_000)
        };
        let (bid_size, ask_size) = (size(), size());
        let half = dice.between(1, 4);
        Quote {
            bid: Ticks(path.price - half),
            bid_size,
            ask: Ticks(path.price + half),
            ask_size,
            update_id: 0,
            transaction_ms: now.ms(),
            event_ms: now.ms(),
        }
    }

    fn trade(&self, i: usize, now: TimeNs) -> Trade {
        Trade {
            price: Ticks(self.paths[i].price),
            size: Size(1_000_000),
            id: 1,
            first_id: 1,
            last_id: 1,
            trade_ms: now.ms(),
            event_ms: now.ms(),
            buyer_maker: false,
            market: true,
            pad: [0; 6],
        }
    }

    fn mark(&mut self, i: usize, now: TimeNs, dice: &mut Dice) -> MarkPrice {
        if now.ms() > self.funding_ms {
            self.funding_ms = now.ms() + 300_000;
        }
        let tick = self.table.get(InstrumentId(i as u16)).map_or(Dec::ONE, |row| row.tick);
        let mark = Dec(tick.0 * i128::from(self.paths[i].price) + tick.0 / 3);
        MarkPrice {
            mark,
            index: mark,
            settle: mark,
            funding_rate: Dec::new(dice.between(-20, 20), 4),
            next_funding_ms: self.funding_ms,
            event_ms: now.ms(),
        }
    }
}
