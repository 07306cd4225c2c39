//! The engine behind a venue that does what it is asked, and says what it does in the model's words.
//!
//! Order within a step and fills are those of `qtx evaluate`: exits fill before the next step, at the
//! price they were tested at or as that step says; a pending entry fills with the next price or signal
//! of its instrument at its decision's price, or as a step says. A cancel is done at once.

use quantum_trader::engine::{Engine, Outbox};
use quantum_trader::event::*;
use quantum_trader::num::{Dec, InstrumentId, Lots, OrderId, Rounding, Side, Size, Ticks, TimeNs};
use quantum_trader::risk::config::Settings;
use serde_json::{Value, json};

use crate::audit::Audit;
use crate::lines::{Line, Listed, SignalLine, Spread, What};
use crate::model::beyond::{Beyond, Fault};
use crate::said;

pub const BAR_MS: i64 = 60_000;

/// What happens next.
#[derive(Clone, Debug)]
pub enum Step {
    Line(Line),
    Beyond { time_ms: i64, what: Beyond },
}

pub struct Desk {
    pub engine: Engine,
    pub audit: Audit,
    out: Box<Outbox>,
    rows: Vec<(Listed, Instrument)>,
    /// Exits that were sent, and what of each is still to fill.
    due: Vec<(InstrumentId, Order, Lots)>,
    fills: i64,
    steps: u64,
    /// The next fill of an entry is said.
    tell: bool,
    said: Vec<Value>,
}

/// One fill, as the engine will hear of it.
#[derive(Clone, Copy)]
struct Filling {
    id: InstrumentId,
    order: OrderId,
    side: Side,
    price: Ticks,
    lots: Lots,
    at: TimeNs,
    cause: FillCause,
}

pub fn instrument(row: &Listed) -> Instrument {
    let spec = InstrumentSpec {
        symbol: row.symbol,
        tick: row.tick,
        step: row.step,
        min_quantity: row.min_qty,
        max_quantity: row.max_qty.unwrap_or(""),
        min_notional: row.min_notional,
        taker_fee: row.taker_fee,
        maintenance_margin: row.maintenance_margin,
        size_unit: SizeUnit::Base,
    };
    Instrument::from_spec(&spec).unwrap()
}

fn dec(text: &str) -> Dec {
    Dec::parse(text).unwrap()
}

fn optional(text: &Option<String>) -> Dec {
    text.as_ref().map_or(Dec::ZERO, |text| dec(text))
}

impl Desk {
    pub fn new(settings: &Settings, rows: &[Listed]) -> Desk {
        let rows: Vec<_> = rows.iter().map(|row| (row.clone(), instrument(row))).collect();
        let table = InstrumentTable::new(rows.iter().map(|(_, row)| *row).collect()).unwrap();
        let mut desk = Desk {
            engine: Engine::new(settings, &table),
            audit: Audit::new(settings, rows.iter().map(|(_, row)| *row).collect()),
            out: Outbox::new(),
            rows,
            due: Vec::new(),
            fills: 0,
            steps: 0,
            tell: false,
            said: Vec::new(),
        };
        let start = RunStart {
            run_id: 1,
            build_id: 1,
            epoch: 1,
            instruments: desk.rows.len() as u32,
            resting_stops: false,
            simulated: true,
            rule_voters: false,
            pad: [0; 5],
        };
        desk.event(TimeNs(0), InstrumentId::NONE, EventBody::RunStart(start));
        desk
    }

    /// What it causes, as the model says it.
    pub fn step(&mut self, step: &Step) -> Vec<Value> {
        self.steps += 1;
        let (time_ms, given) = match step {
            Step::Line(line) => (line.time_ms.unwrap_or(0), self.exit_fill(&line.what)),
            Step::Beyond { time_ms, .. } => (*time_ms, None),
        };
        self.fill_due(given);
        let at = TimeNs::from_ms(time_ms).max(self.engine.now());
        match step {
            Step::Line(line) => self.line(at, &line.what, given.is_some()),
            Step::Beyond { what, .. } => {
                self.pass_to(at);
                self.beyond(at, what);
            }
        }
        std::mem::take(&mut self.said)
    }

    /// The path is over: what is due still happens.
    pub fn end(&mut self) -> Vec<Value> {
        self.fill_all_due();
        std::mem::take(&mut self.said)
    }

    fn id(&self, symbol: &str) -> InstrumentId {
        InstrumentId(self.rows.iter().position(|(row, _)| row.symbol == symbol).unwrap() as u16)
    }

    fn ticks(&self, id: InstrumentId, price: &str) -> Ticks {
        self.rows[id.index()].1.parse_price(price.as_bytes()).unwrap()
    }

    /// A fill of what is due in its instrument: price and lots.
    fn exit_fill(&self, what: &What) -> Option<(InstrumentId, Ticks, Lots)> {
        let What::Fill { symbol, price, quantity } = what else { return None };
        let id = self.id(symbol);
        let due: i64 = self.due.iter().filter(|due| due.0 == id).map(|due| due.2.0).sum();
        let lots = quantity.as_ref().map_or(Lots(due), |text| self.lots(id, text));
        (due > 0).then(|| (id, self.ticks(id, price), lots))
    }

    fn lots(&self, id: InstrumentId, text: &str) -> Lots {
        self.rows[id.index()].1.parse_quantity(text.as_bytes()).unwrap()
    }

    fn line(&mut self, at: TimeNs, what: &What, exit_filled: bool) {
        match what {
            What::Account(equity) => self.account(at, dec(equity)),
            What::Instrument(row) => {
                let leverage = row.leverage.unwrap_or(0);
                let setup =
                    VenueSetup { leverage, isolated: false, one_way: true, single_asset: true, pad: 0 };
                self.event(at, self.id(row.symbol), EventBody::VenueSetup(setup));
            }
            What::Fill { .. } if exit_filled => self.pass_to(at),
            What::Fill { symbol, price, quantity } => {
                let id = self.id(symbol);
                // What was due before this step may have tripped the breaker, which fills and closes all.
                let Some(rest) = self.pending(id) else {
                    return self.said.push(json!({"type": "error", "line": self.steps}));
                };
                let lots = quantity.as_ref().map_or(rest.lots, |text| self.lots(id, text));
                self.tell = true;
                self.fill(Filling { price: self.ticks(id, price), lots, at, ..rest });
            }
            What::Price { symbol, price, bid, ask, mark } => {
                self.pass_to(at);
                self.settle_entry(self.id(symbol), FillCause::Assumed);
                self.prices(at, self.id(symbol), price, bid.as_deref(), ask.as_deref(), mark.as_deref());
            }
            What::Signal(signal) => self.signal(at, signal),
            What::Reset => unreachable!("paths begin with a desk of their own"),
        }
    }

    /// The first says what there is; later ones are gains and losses.
    fn account(&mut self, at: TimeNs, equity: Dec) {
        let (reason, change) = match self.engine.controller().equity() {
            None => (AccountReason::Snapshot, Dec::ZERO),
            Some(now) => (AccountReason::Funding, equity - now),
        };
        self.account_event(at, InstrumentId::NONE, equity, change, reason);
    }

    fn account_event(
        &mut self,
        at: TimeNs,
        id: InstrumentId,
        wallet: Dec,
        change: Dec,
        reason: AccountReason,
    ) {
        let update = AccountUpdate { wallet, change, event_ms: 0, reason, pad: [0; 7] };
        self.event(at, id, EventBody::AccountUpdate(update));
    }

    fn prices(
        &mut self,
        at: TimeNs,
        id: InstrumentId,
        price: &str,
        bid: Option<&str>,
        ask: Option<&str>,
        mark: Option<&str>,
    ) {
        let ticks = |text: Option<&str>| self.ticks(id, text.unwrap_or(price));
        let (price, bid, ask, mark) = (ticks(None), ticks(bid), ticks(ask), ticks(mark));
        self.event(at, id, EventBody::Prices(Prices { price, bid, ask, mark }));
    }

    fn signal(&mut self, at: TimeNs, line: &SignalLine) {
        let id = self.id(line.symbol);
        self.pass_to(at);
        let book = match &line.spread {
            Spread::Book(bid, ask) => Some((bid.as_str(), ask.as_str())),
            _ => None,
        };
        match &line.price {
            Some(price) => {
                self.settle_entry(id, FillCause::Assumed);
                self.prices(at, id, price, book.map(|b| b.0), book.map(|b| b.1), None);
                self.fill_all_due();
            }
            None => self.settle_entry(id, FillCause::Order),
        }
        let (spread, spread_bps) = match &line.spread {
            Spread::Missing => (SpreadGiven::No, Dec::ZERO),
            Spread::Bps(bps) => (SpreadGiven::Bps, dec(bps)),
            Spread::Book(..) => (SpreadGiven::Quotes, Dec::ZERO),
        };
        let (bid, ask) =
            book.map_or((Ticks(0), Ticks(0)), |(bid, ask)| (self.ticks(id, bid), self.ticks(id, ask)));
        let given = SignalWithConditions {
            signal: Signal {
                confidence: [dec(&line.confidence), Dec::ZERO, Dec::ZERO, Dec::ZERO],
                ballot: Ballot::of([Action::Abstain; SEATS]),
                given: true,
                action: Action::parse(line.action).unwrap(),
                consensus: Consensus::parse(line.consensus).unwrap(),
                source: SignalSource::External,
                pad: [0; 8],
            },
            atr: optional(&line.atr),
            ema: optional(&line.ema),
            volume_24h: optional(&line.volume),
            spread_bps,
            bid,
            ask,
            spread,
            atr_given: line.atr.is_some(),
            ema_given: line.ema.is_some(),
            volume_given: line.volume.is_some(),
            pad: [0; 12],
        };
        self.event(at, id, EventBody::SignalWithConditions(given));
    }

    fn beyond(&mut self, at: TimeNs, what: &Beyond) {
        let wallet = self.engine.controller().wallet().unwrap_or(Dec::ZERO);
        match what {
            Beyond::Bars { symbol, first, closes } => {
                for (number, close) in (*first..).zip(closes) {
                    self.event(at, self.id(symbol), EventBody::Bar(bar(number, Ticks(*close))));
                }
            }
            Beyond::Price { symbol, price } => self.prices(at, self.id(symbol), price, None, None, None),
            Beyond::Frame { symbol, lag_ms } => {
                // Outside the book: it moves nothing, and has a time.
                let ms = at.ms() - lag_ms;
                let frame = Trade {
                    price: Ticks::ZERO,
                    size: Size::ZERO,
                    id: 0,
                    first_id: 0,
                    last_id: 0,
                    trade_ms: ms,
                    event_ms: ms,
                    buyer_maker: false,
                    market: false,
                    pad: [0; 6],
                };
                self.event(at, self.id(symbol), EventBody::AggTrade(frame));
            }
            Beyond::Funding { symbol, change } => {
                let change = dec(change);
                self.account_event(at, self.id(symbol), wallet + change, change, AccountReason::Funding);
            }
            Beyond::Transfer(change) => {
                // The venue's wallet has the results of parts already closed.
                let change = dec(change);
                let parts = self.engine.trades().iter().fold(wallet, |sum, trade| sum + trade.realised);
                let none = InstrumentId::NONE;
                self.account_event(at, none, parts + change, change, AccountReason::Transfer);
            }
            Beyond::Command(command, symbol) => {
                let command = Command { command: *command, pad: [0; 7] };
                self.event(at, self.id(symbol), EventBody::Command(command));
            }
            Beyond::Fault(fault) => self.fault(at, *fault),
        }
    }

    fn fault(&mut self, at: TimeNs, fault: Fault) {
        let feed = |feed, state| EventBody::FeedStatus(FeedStatus { since_ms: 0, feed, state, pad: [0; 6] });
        let (none, first) = (InstrumentId::NONE, InstrumentId(0));
        let (id, body) = match fault {
            Fault::FramesDropped => (none, EventBody::Gap(Gap { frames: 3, bytes: 99 })),
            Fault::UserStreamDown => (none, feed(Feed::User, FeedState::Down)),
            Fault::OrdersStale => (none, feed(Feed::Orders, FeedState::Stale)),
            Fault::MarketDown => (none, feed(Feed::Public, FeedState::Down)),
            Fault::UserStreamUp => (none, feed(Feed::User, FeedState::Up)),
            Fault::ForeignFill => {
                let (order, side, cause) = (OrderId::new(77, 1), Side::Buy, FillCause::Order);
                let filling = Filling { id: first, order, side, price: Ticks(100), lots: Lots(1), at, cause };
                (first, self.filled(&filling))
            }
            Fault::AbsurdMoney => {
                let (wallet, reason) = (Dec(i128::MAX), AccountReason::Transfer);
                let update = AccountUpdate { wallet, change: Dec::ZERO, event_ms: 0, reason, pad: [0; 7] };
                (none, EventBody::AccountUpdate(update))
            }
            Fault::HedgeMode => {
                let leverage = self.rows[0].0.leverage.unwrap_or(0);
                let setup =
                    VenueSetup { leverage, isolated: false, one_way: false, single_asset: true, pad: 0 };
                (first, EventBody::VenueSetup(setup))
            }
            Fault::ShadowDisagrees => (none, EventBody::Divergence(Divergence { sequence: 5 })),
        };
        self.event(at, id, body);
    }

    /// Day and week roll before anything of the step is applied.
    fn pass_to(&mut self, at: TimeNs) {
        let nothing = ClockSync { offset_ns: 0, slew_ppb: 0 };
        self.event(at, InstrumentId::NONE, EventBody::ClockSync(nothing));
    }

    /// What is left of an entry, filled at its decision's price and time.
    fn pending(&self, id: InstrumentId) -> Option<Filling> {
        let trade = self.engine.trades().iter().find(|trade| trade.instrument == id)?;
        let order = trade.order(trade.id).filter(|order| !order.is_done())?;
        Some(Filling {
            id,
            order: order.id,
            side: order.side,
            price: trade.plan.price,
            lots: order.unfilled(),
            at: order.sent_ns,
            cause: FillCause::Order,
        })
    }

    /// With `Assumed` the limits wait for the price that follows.
    fn settle_entry(&mut self, id: InstrumentId, cause: FillCause) {
        if let Some(rest) = self.pending(id) {
            self.fill(Filling { cause, ..rest });
        }
    }

    fn fill_due(&mut self, given: Option<(InstrumentId, Ticks, Lots)>) {
        let mut asked = given.map_or(Lots::ZERO, |(_, _, lots)| lots);
        // Off the list before any fills, as what they may cause is due later.
        for (id, order, mut left) in std::mem::take(&mut self.due) {
            let (at, cause) = (self.engine.now(), FillCause::Order);
            let exit =
                |price, lots| Filling { id, order: order.id, side: order.side, price, lots, at, cause };
            if let Some((_, price, _)) = given.filter(|given| given.0 == id && asked.0 > 0) {
                let part = asked.min(left);
                self.fill(exit(price, part));
                (asked, left) = (asked - part, left - part);
            }
            if left.0 > 0 {
                self.fill(exit(order.reference, left));
            }
        }
    }

    /// Exits, and those that their fills cause by tripping the breaker.
    fn fill_all_due(&mut self) {
        while !self.due.is_empty() {
            self.fill_due(None);
        }
    }

    fn fill(&mut self, filling: Filling) {
        let body = self.filled(&filling);
        self.event(filling.at, filling.id, body);
    }

    fn filled(&mut self, filling: &Filling) -> EventBody {
        let row = &self.rows[filling.id.index()].1;
        let notional = row.money(filling.price.wide() * filling.lots.wide()).unwrap();
        self.fills += 1;
        EventBody::Fill(Fill {
            order: filling.order,
            trade_id: self.fills,
            fee: notional.mul(row.taker_fee, Rounding::HalfEven).unwrap(),
            price: filling.price,
            quantity: filling.lots,
            event_ms: filling.at.ms(),
            side: filling.side,
            maker: false,
            cause: filling.cause,
            pad: [0; 5],
        })
    }

    /// The breaker closes everything: pending entries first count as filled.
    fn event(&mut self, at: TimeNs, id: InstrumentId, body: EventBody) {
        self.apply(at, id, body);
        if !self.engine.flatten_due() {
            return;
        }
        for id in self.engine.trades().iter().map(|trade| trade.instrument).collect::<Vec<_>>() {
            if let Some(rest) = self.pending(id) {
                let body = self.filled(&rest);
                self.apply(rest.at, id, body);
            }
        }
        let flatten = Command { command: CommandKind::Flatten, pad: [0; 7] };
        self.apply(self.engine.now(), InstrumentId::NONE, EventBody::Command(flatten));
    }

    /// One event, and the answers to the cancels it causes.
    fn apply(&mut self, at: TimeNs, id: InstrumentId, body: EventBody) {
        let event = Event { recv_ns: at, instrument: id, body };
        self.engine.step(&event, &mut self.out);
        let outputs = self.out.outputs().to_vec();
        self.audit.after(&event, &self.engine, &outputs);
        let tell = std::mem::take(&mut self.tell);
        for Output { instrument: id, body } in &outputs {
            let row = self.rows.get(id.index());
            self.said.extend(said::of(row, body, &self.engine, tell));
            match body {
                OutputBody::Order(order) if order.purpose == Purpose::Exit => {
                    self.due.push((*id, *order, order.quantity));
                }
                _ => {}
            }
        }
        for Output { instrument: id, body } in &outputs {
            let OutputBody::Cancel(cancel) = body else { continue };
            let order = self.engine.trades().iter().find_map(|trade| trade.order(cancel.id));
            let (order, filled) = (cancel.id, order.map_or(Lots::ZERO, |order| order.filled));
            let status = OrderStatus::Canceled;
            let update =
                OrderUpdate { order, venue_id: 1, filled, event_ms: 0, code: 0, status, pad: [0; 3] };
            self.apply(self.engine.now(), *id, EventBody::OrderUpdate(update));
        }
    }
}

/// A bar at one price.
fn bar(number: i64, close: Ticks) -> Bar {
    Bar {
        open_ms: number * BAR_MS,
        open: close,
        high: close,
        low: close,
        close,
        volume: Size(1),
        quote_volume: Dec::ZERO,
        taker_buy_volume: Size(0),
        event_ms: 0,
        trades: 1,
        interval_s: (BAR_MS / 1_000) as u32,
        closed: true,
        source: BarSource::History,
        pad: [0; 6],
    }
}
