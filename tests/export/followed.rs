//! An engine, and everybody who follows its journal: open trades, the account of the measures, the tables.

use std::collections::BTreeMap;

use quantum_trader::engine::{Engine, Outbox};
use quantum_trader::event::record::Entry;
use quantum_trader::event::*;
use quantum_trader::num::{Dec, Lots, OrderId, Side, Size, Ticks, TimeNs};
use quantum_trader::observe::{Measures, Stats};
use quantum_trader::risk::config::{OnUnknownPosition, Settings};

use super::journal_support::*;
use super::tables::{Rows, exported};

/// An engine, and those who have nothing but its journal.
pub struct Followed {
    pub engine: Engine,
    out: Box<Outbox>,
    pub steps: Vec<Step>,
    pub stats: Stats,
    measures: Measures,
    trades: i64,
}

impl Followed {
    pub fn new(policy: OnUnknownPosition) -> Followed {
        let settings = Settings { on_unknown_position: policy, ..Settings::DEFAULT };
        let table = InstrumentTable::new(vec![btcusdt()]).unwrap();
        let mut followed = Followed {
            engine: Engine::new(&settings, &table),
            out: Outbox::new(),
            steps: Vec::new(),
            stats: Stats::default(),
            measures: Measures::new(table, &settings),
            trades: 0,
        };
        followed.take(run_start());
        followed.take(EventBody::Instrument(btcusdt()));
        let (wallet, reason) = (Dec::int(10_000), AccountReason::Snapshot);
        let update = AccountUpdate { wallet, change: Dec::ZERO, event_ms: 0, reason, pad: [0; 7] };
        followed.take(EventBody::AccountUpdate(update));
        followed.price(500_000);
        followed
    }

    pub fn take(&mut self, body: EventBody) -> Vec<OutputBody> {
        let recv_ns = TimeNs::from_ms(self.now_ms());
        let event = Event { recv_ns, instrument: BTC, body };
        self.engine.step(&event, &mut self.out);
        let outputs = self.out.outputs().to_vec();
        let last = outputs.len();
        self.follow(&Entry::Event(event));
        for (index, output) in outputs.iter().enumerate() {
            self.follow(&Entry::Output { recv_ns, output: *output, commit: index + 1 == last });
        }
        let bodies = outputs.iter().map(|output| output.body).collect();
        self.steps.push(Step { event, outputs });
        self.agree();
        bodies
    }

    /// A second each, from noon of a Monday.
    fn now_ms(&self) -> i64 {
        1_704_110_400_000 + self.steps.len() as i64 * 1_000
    }

    fn follow(&mut self, entry: &Entry) {
        self.stats.take(1, entry);
        self.measures.take(entry, &self.stats.book);
    }

    /// What is open, at what average, and what stops cover of it.
    fn agree(&self) {
        let held = self.engine.trades().iter().filter(|trade| !trade.finished && trade.open().0 > 0);
        let tick = btcusdt().tick;
        let ours = held.map(|trade| {
            let stop = trade.exit.as_ref().map(|exit| exit.stop);
            (trade.side(), trade.open(), trade.entry.to_dec(tick), stop, trade.stopped())
        });
        let theirs = self.stats.book.positions();
        let theirs =
            theirs.map(|trade| (trade.side, trade.open(), trade.entry, Some(trade.stop), trade.stopped()));
        assert_eq!(theirs.collect::<Vec<_>>(), ours.collect::<Vec<_>>());
    }

    pub fn price(&mut self, ticks: i64) {
        let ms = self.now_ms();
        self.take(EventBody::AggTrade(Trade {
            price: Ticks(ticks),
            size: Size(1),
            id: 1,
            first_id: 1,
            last_id: 1,
            trade_ms: ms,
            event_ms: ms,
            buyer_maker: false,
            market: true,
            pad: [0; 6],
        }));
    }

    /// A market in which a signal is followed: 210 flat bars at 48,000 with a range of 1,500.
    pub fn warm(&mut self) {
        let now_ms = self.now_ms();
        for i in 0..210 {
            let (high, low, close) = (Ticks(487_500), Ticks(472_500), Ticks(480_000));
            self.take(EventBody::Bar(Bar {
                open_ms: now_ms / 900_000 * 900_000 - (210 - i) * 900_000,
                open: close,
                high,
                low,
                close,
                volume: Size(1),
                quote_volume: Dec::ZERO,
                taker_buy_volume: Size(0),
                event_ms: 0,
                trades: 1,
                interval_s: 900,
                closed: true,
                source: BarSource::History,
                pad: [0; 6],
            }));
        }
        let (last, volume) = (Ticks(1), Dec::int(5_000_000_000));
        let ticker = Ticker {
            last,
            open: last,
            high: last,
            low: last,
            volume,
            quote_volume: volume,
            trades: 1,
            event_ms: 0,
        };
        self.take(EventBody::Ticker(ticker));
        self.price(500_000);
    }

    /// A signal to buy; the entry it led to.
    pub fn enter(&mut self) -> Option<OrderId> {
        self.quote(499_750);
        let signal = Signal {
            confidence: [Dec::new(75, 2), Dec::ZERO, Dec::ZERO, Dec::ZERO],
            ballot: Ballot::of([Action::Abstain; SEATS]),
            given: true,
            action: Action::Long,
            consensus: Consensus::Strong,
            source: SignalSource::External,
            pad: [0; 8],
        };
        let said = self.take(EventBody::Signal(signal));
        said.iter().find_map(|body| match body {
            OutputBody::Order(order) if order.purpose == Purpose::Entry => Some(order.id),
            _ => None,
        })
    }

    pub fn quote(&mut self, bid: i64) {
        let size = Size(1_000_000);
        self.take(EventBody::Quote(Quote {
            bid: Ticks(bid),
            bid_size: size,
            ask: Ticks(bid + 500),
            ask_size: size,
            update_id: 1,
            transaction_ms: 0,
            event_ms: 0,
        }));
    }

    /// A fill told for the first time; lots are negative for a sale.
    pub fn fill(&mut self, order: OrderId, lots: i64, price: i64) -> Vec<OutputBody> {
        self.trades += 1;
        self.refill(order, lots, price)
    }

    /// One with the trade id of the one before.
    pub fn refill(&mut self, order: OrderId, lots: i64, price: i64) -> Vec<OutputBody> {
        let cause = if order.is_none() { FillCause::Assumed } else { FillCause::Order };
        self.take(EventBody::Fill(Fill {
            order,
            trade_id: if order.is_none() { -self.trades } else { self.trades },
            fee: if order.is_none() { Dec::ZERO } else { Dec::new(25, 2) },
            price: Ticks(price),
            quantity: Lots(lots.abs()),
            event_ms: 1,
            side: if lots > 0 { Side::Buy } else { Side::Sell },
            maker: false,
            cause,
            pad: [0; 5],
        }))
    }

    pub fn assumed(&mut self, lots: i64, price: i64) -> Vec<OutputBody> {
        self.fill(OrderId::NONE, lots, price)
    }

    pub fn word(&mut self, order: OrderId, status: OrderStatus) -> Vec<OutputBody> {
        self.word_filled(order, status, 0)
    }

    pub fn word_filled(&mut self, order: OrderId, status: OrderStatus, lots: i64) -> Vec<OutputBody> {
        let (filled, venue_id) = (Lots(lots), 1);
        let update = OrderUpdate { order, venue_id, filled, event_ms: 1, code: 0, status, pad: [0; 3] };
        self.take(EventBody::OrderUpdate(update))
    }

    /// Another start, with this policy. Its announcement begins a segment, and tells those who follow nothing.
    pub fn policy(&mut self, policy: OnUnknownPosition) {
        let start = identity(self.engine.epoch() + 1 - IDENTITY.epoch);
        let body = run_start_of(&start);
        let event = Event { recv_ns: TimeNs::from_ms(self.now_ms()), instrument: BTC, body };
        self.engine.step(&event, &mut self.out);
        self.engine.reconfigure(&Settings { on_unknown_position: policy, ..Settings::DEFAULT });
        let (feed, state) = (Feed::User, FeedState::Up);
        self.take(EventBody::FeedStatus(FeedStatus { since_ms: 0, feed, state, pad: [0; 6] }));
    }

    /// Those who show it begin anew, with what the engine has.
    pub fn go_on(&mut self) {
        let table = InstrumentTable::new(vec![btcusdt()]).unwrap();
        let Followed { engine, stats, .. } = self;
        *stats = Stats::default();
        stats.resume(engine.trades(), engine.fills_applied(), engine.controller(), &table);
        self.agree();
    }

    /// Signed lots, as an operator is shown them.
    pub fn shown(&self) -> Vec<i64> {
        self.stats.book.positions().map(|trade| trade.open().0 * trade.side.sign()).collect()
    }

    pub fn acknowledge(&mut self, said: &[OutputBody]) {
        for body in said {
            if let OutputBody::Order(order) = body {
                self.word(order.id, OrderStatus::Accepted);
            }
        }
    }

    /// The account kept from the journal alone is the engine's, and so are the fills in the tables.
    pub fn finish(self) -> Rows {
        self.tables().remove("fills").unwrap()
    }

    pub fn tables(mut self) -> BTreeMap<&'static str, Rows> {
        self.take(EventBody::Timer(Timer { count: 1 }));
        let equity = self.engine.controller().equity();
        let worst = self.engine.controller().worst_daily_drawdown();
        let account = self.measures.finish(equity, Some(worst)).account;
        assert!(account.ledger_checks >= 2);
        assert_eq!(account.ledger_differences, 0, "{equity:?} {worst}: {account:?}");
        let dir = tempfile::tempdir().unwrap();
        write_archive(dir.path(), &records(&self.steps), 1_000);
        let (report, tables) = exported(dir.path(), &dir.path().join("out"));
        assert_eq!(report.problem, None);
        let fills = &tables["fills"];
        let outputs = self.steps.iter().flat_map(|step| &step.outputs);
        let closed = outputs.filter_map(|output| match &output.body {
            OutputBody::TradeClosed(closed) => Some(*closed),
            _ => None,
        });
        for closed in closed {
            let trade = closed.trade.to_string();
            let of = fills.column("trade").into_iter().zip(fills.column("realised"));
            let results = of.filter(|(of, realised)| *of == trade && !realised.is_empty());
            let realised = results.fold(Dec::ZERO, |sum, (_, realised)| sum + Dec::parse(realised).unwrap());
            assert_eq!(realised, closed.pnl + closed.fees - closed.funding, "{closed:?}");
        }
        tables
    }
}
