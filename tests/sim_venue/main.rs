//! The simulated venue and its link: a table of the venue's rules, and properties that hold for any
//! sequence of inputs.

mod account;
mod link;
mod properties;
mod rules;

use quantum_trader::event::*;
use quantum_trader::num::*;
use quantum_trader::sim::venue::{Report, ReportBody, Reports, Venue, VenueConfig};

pub const BTC: InstrumentId = InstrumentId(0);
pub const ETH: InstrumentId = InstrumentId(1);

pub fn instruments() -> InstrumentTable {
    let btc = InstrumentSpec {
        symbol: "BTCUSDT",
        tick: "0.1",
        step: "0.001",
        min_quantity: "0.002",
        max_quantity: "100",
        min_notional: "50",
        taker_fee: "0.0005",
        maintenance_margin: "0.004",
        size_unit: SizeUnit::Base,
    };
    let eth = InstrumentSpec {
        symbol: "ETHUSDT",
        tick: "0.01",
        min_notional: "20",
        min_quantity: "0.001",
        maintenance_margin: "0.005",
        max_quantity: "",
        ..btc
    };
    let rows = [btc, eth].iter().map(|spec| Instrument::from_spec(spec).unwrap()).collect();
    InstrumentTable::new(rows).unwrap()
}

pub fn dec(text: &str) -> Dec {
    Dec::parse(text).unwrap()
}

pub fn ms(ms: i64) -> TimeNs {
    TimeNs::from_ms(ms)
}

/// Lots of 0.001 as a market-data size, which has three places more.
pub fn size(lots: i64) -> Size {
    Size(lots * 1_000)
}

pub fn quote_of(bid: i64, bid_lots: i64, ask: i64, ask_lots: i64) -> EventBody {
    EventBody::Quote(Quote {
        bid: Ticks(bid),
        bid_size: size(bid_lots),
        ask: Ticks(ask),
        ask_size: size(ask_lots),
        update_id: 0,
        transaction_ms: 0,
        event_ms: 0,
    })
}

pub fn trade_of(price: i64, market: bool) -> EventBody {
    EventBody::AggTrade(Trade {
        price: Ticks(price),
        size: size(1),
        id: 0,
        first_id: 0,
        last_id: 0,
        trade_ms: 0,
        event_ms: 0,
        buyer_maker: false,
        market,
        pad: [0; 6],
    })
}

pub fn mark_of(mark: Dec, funding_rate: Dec, next_funding_ms: i64) -> EventBody {
    EventBody::MarkPrice(MarkPrice {
        mark,
        index: mark,
        settle: mark,
        funding_rate,
        next_funding_ms,
        event_ms: 0,
    })
}

pub fn market_order(id: u64, side: Side, lots: i64) -> Order {
    Order {
        id: OrderId(id),
        trade: OrderId(id),
        quantity: Lots(lots),
        trigger: Ticks(0),
        reference: Ticks(0),
        side,
        kind: OrderKind::Market,
        purpose: Purpose::Entry,
        working_type: WorkingType::ContractPrice,
        reduce_only: false,
        pad: [0; 3],
    }
}

pub fn exit_order(id: u64, side: Side, lots: i64) -> Order {
    Order { purpose: Purpose::Exit, reduce_only: true, ..market_order(id, side, lots) }
}

pub fn stop_order(id: u64, side: Side, lots: i64, trigger: i64) -> Order {
    Order {
        trigger: Ticks(trigger),
        kind: OrderKind::StopMarket,
        purpose: Purpose::Stop,
        ..exit_order(id, side, lots)
    }
}

/// Reports in lines, so that a test shows the whole conversation.
pub fn lines<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Vec<String> {
    reports.into_iter().flat_map(Report::events).map(|(_, body)| line(&body)).collect()
}

pub fn line(body: &EventBody) -> String {
    match body {
        EventBody::OrderUpdate(u) if u.code != 0 => format!("{} {:?} {}", u.order.0, u.status, u.code),
        EventBody::OrderUpdate(u) => format!("{} {:?} {}", u.order.0, u.status, u.filled.0),
        EventBody::Fill(f) => {
            let cause = if f.cause == FillCause::Order { "fill" } else { "liquidation" };
            format!("{} {cause} {:?} {}@{} fee {}", f.order.0, f.side, f.quantity.0, f.price.0, f.fee)
        }
        EventBody::AccountUpdate(a) => match a.reason {
            AccountReason::Funding => format!("funding {}", a.change),
            reason => format!("{reason:?} wallet {}", a.wallet),
        },
        EventBody::VenuePosition(p) => format!("position {} at {}", p.quantity.0, p.entry),
        EventBody::VenueSetup(s) => format!("leverage {}", s.leverage),
        other => other.name().to_string(),
    }
}

/// A venue, a clock that moves 1 ms an input, and what was said.
pub struct Desk {
    pub venue: Venue,
    pub now: TimeNs,
    pub out: Reports,
}

impl Desk {
    /// 10,000 in the wallet at leverage 5; bid 50,000.0 and ask 50,000.1 of BTC with 1 BTC each.
    pub fn quoted() -> Desk {
        let mut desk = Desk::silent("10000");
        desk.quote(500_000, 1_000, 500_001, 1_000);
        desk
    }

    /// Nothing quoted yet.
    pub fn silent(wallet: &str) -> Desk {
        let config = VenueConfig { wallet: dec(wallet), leverage: 5, funding: true };
        Desk { venue: Venue::new(instruments(), config), now: ms(1_000), out: Vec::new() }
    }

    fn said(&mut self, from: usize) -> Vec<String> {
        lines(&self.out[from..])
    }

    pub fn feed(&mut self, instrument: InstrumentId, body: EventBody) -> Vec<String> {
        let from = self.out.len();
        self.now = self.now + NS_PER_MS;
        let event = Event { recv_ns: self.now, instrument, body };
        self.venue.on_market(self.now, &event, &mut self.out);
        self.said(from)
    }

    pub fn quote(&mut self, bid: i64, bid_lots: i64, ask: i64, ask_lots: i64) -> Vec<String> {
        self.feed(BTC, quote_of(bid, bid_lots, ask, ask_lots))
    }

    pub fn trade(&mut self, price: i64) -> Vec<String> {
        self.feed(BTC, trade_of(price, true))
    }

    pub fn mark(&mut self, mark: &str) -> Vec<String> {
        self.feed(BTC, mark_of(dec(mark), Dec::ZERO, 0))
    }

    pub fn order(&mut self, order: Order) -> Vec<String> {
        self.order_in(BTC, order)
    }

    pub fn order_in(&mut self, instrument: InstrumentId, order: Order) -> Vec<String> {
        let from = self.out.len();
        self.now = self.now + NS_PER_MS;
        self.venue.on_order(self.now, instrument, &order, &mut self.out);
        self.said(from)
    }

    pub fn cancel(&mut self, id: u64) -> Vec<String> {
        let from = self.out.len();
        self.now = self.now + NS_PER_MS;
        let cancel = Cancel { id: OrderId(id), kind: OrderKind::StopMarket, pad: [0; 7] };
        self.venue.on_cancel(self.now, BTC, &cancel, &mut self.out);
        self.said(from)
    }

    pub fn query(&mut self, id: u64) -> Vec<String> {
        let from = self.out.len();
        self.now = self.now + NS_PER_MS;
        let query = Query { id: OrderId(id), kind: OrderKind::Market, pad: [0; 7] };
        self.venue.on_query(self.now, BTC, &query, &mut self.out);
        self.said(from)
    }

    pub fn wait(&mut self, ms: i64) -> Vec<String> {
        let from = self.out.len();
        self.now = self.now + ms * NS_PER_MS;
        self.venue.on_time(self.now, &mut self.out);
        self.said(from)
    }

    pub fn held(&self) -> i64 {
        self.venue.position(BTC).quantity.0
    }
}
