//! Fills that no order of ours explains, as an engine books them, and everybody who follows its journal: open
//! trades, the account of the measures, the tables.

use quantum_trader::engine::{Engine, Outbox};
use quantum_trader::event::record::Entry;
use quantum_trader::event::*;
use quantum_trader::num::{Dec, Lots, OrderId, Side, Size, Ticks, TimeNs};
use quantum_trader::observe::{Measures, Stats};
use quantum_trader::risk::config::{OnUnknownPosition, Settings};

use super::journal_support::*;
use super::tables::{Rows, exported};

/// An engine, and those who have nothing but its journal.
struct Followed {
    engine: Engine,
    out: Box<Outbox>,
    steps: Vec<Step>,
    stats: Stats,
    measures: Measures,
    trades: i64,
}

impl Followed {
    fn new(policy: OnUnknownPosition) -> Followed {
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

    fn take(&mut self, body: EventBody) -> Vec<OutputBody> {
        // A second each, from noon of a Monday.
        let recv_ns = TimeNs(1_704_110_400_000_000_000 + self.steps.len() as i64 * 1_000_000_000);
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

    fn price(&mut self, ticks: i64) {
        let ms = 1_704_110_400_000 + self.steps.len() as i64 * 1_000;
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

    fn fill(&mut self, order: OrderId, lots: i64, price: i64) -> Vec<OutputBody> {
        self.trades += 1;
        let cause = if order.is_none() { FillCause::Assumed } else { FillCause::Order };
        self.take(EventBody::Fill(Fill {
            order,
            trade_id: if order.is_none() { -self.trades } else { self.trades },
            fee: Dec::ZERO,
            price: Ticks(price),
            quantity: Lots(lots.abs()),
            event_ms: 1,
            side: if lots > 0 { Side::Buy } else { Side::Sell },
            maker: false,
            cause,
            pad: [0; 5],
        }))
    }

    fn assumed(&mut self, lots: i64, price: i64) -> Vec<OutputBody> {
        self.fill(OrderId::NONE, lots, price)
    }

    fn word(&mut self, order: OrderId, status: OrderStatus) {
        let (filled, venue_id) = (Lots::ZERO, 1);
        let update = OrderUpdate { order, venue_id, filled, event_ms: 1, code: 0, status, pad: [0; 3] };
        self.take(EventBody::OrderUpdate(update));
    }

    fn acknowledge(&mut self, said: &[OutputBody]) {
        for body in said {
            if let OutputBody::Order(order) = body {
                self.word(order.id, OrderStatus::Accepted);
            }
        }
    }

    /// The account kept from the journal alone is the engine's, and so are the fills in the tables.
    fn finish(mut self) -> Rows {
        self.take(EventBody::Timer(Timer { count: 1 }));
        let equity = self.engine.controller().equity();
        let worst = self.engine.controller().worst_daily_drawdown();
        let account = self.measures.finish(equity, Some(worst)).account;
        assert!(account.ledger_checks >= 2);
        assert_eq!(account.ledger_differences, 0);
        let dir = tempfile::tempdir().unwrap();
        write_archive(dir.path(), &records(&self.steps), 1_000);
        let (report, mut tables) = exported(dir.path(), &dir.path().join("out"));
        assert_eq!(report.problem, None);
        tables.remove("fills").unwrap()
    }
}

#[test]
fn a_position_taken_over_grown_reduced_and_turned() {
    let mut followed = Followed::new(OnUnknownPosition::Adopt);
    let said = followed.assumed(10, 520_000);
    followed.acknowledge(&said);
    followed.price(505_000);
    let said = followed.assumed(5, 505_000);
    followed.acknowledge(&said);
    followed.price(506_000);
    let said = followed.assumed(-6, 506_000);
    followed.acknowledge(&said);
    let said = followed.assumed(-13, 506_000);
    assert!(said.iter().any(|body| matches!(body, OutputBody::TradeClosed(_))));
    followed.acknowledge(&said);
    followed.price(504_000);
    followed.assumed(4, 504_000);
    assert!(followed.engine.trades().iter().all(|trade| trade.finished));
    let fills = followed.finish();
    assert_eq!(fills.column("cause"), ["Assumed"; 5]);
    assert_eq!(fills.column("applied"), ["true"; 5]);
    let trade = |number: u32| format!("qt-00000007-{number:08x}");
    let trades = fills.column("trade");
    assert!(trades[..4].iter().all(|of| *of == trade(1)), "also that which began the next one: {trades:?}");
    assert!(trades[4] > trades[3], "{trades:?}");
    // 51.5 a lot on the average: 6 and 9 out at 50.6; and 4 sold at 50.6 are bought at 50.4.
    assert_eq!(fills.column("realised"), ["", "", "-5.4", "-8.1", "0.8"]);
}

#[test]
fn what_is_closed_because_nothing_explains_it() {
    let mut followed = Followed::new(OnUnknownPosition::Close);
    let said = followed.assumed(-10, 480_000);
    let exit = said.iter().find_map(|body| match body {
        OutputBody::Order(order) if order.purpose == Purpose::Exit => Some(order.id),
        _ => None,
    });
    followed.acknowledge(&said);
    followed.fill(exit.unwrap(), 10, 501_000);
    let fills = followed.finish();
    assert_eq!(fills.column("applied"), ["true", "true"]);
    assert_eq!(fills.column("realised"), ["", "-21"]);
}

#[test]
fn what_is_left_alone_is_in_nobodys_books() {
    let mut followed = Followed::new(OnUnknownPosition::Halt);
    followed.assumed(10, 520_000);
    let fills = followed.finish();
    assert_eq!((fills.column("applied"), fills.column("trade")), (vec!["false"], vec![""]));
}

/// A stop that the venue does not know any more protects nothing: the engine's books give it up, and so does
/// what an operator is shown.
#[test]
fn an_order_given_up_covers_nothing_to_whoever_reads_the_journal() {
    let mut followed = Followed::new(OnUnknownPosition::Adopt);
    let said = followed.assumed(10, 500_000);
    followed.acknowledge(&said);
    let stop = said.iter().find_map(|body| match body {
        OutputBody::Order(order) => Some(order.id),
        _ => None,
    });
    while followed.steps.len() < 70 {
        followed.price(500_000);
    }
    followed.word(stop.unwrap(), OrderStatus::NotFound);
    let open = followed.stats.book.positions().next().unwrap();
    assert_eq!((open.stopped(), open.is_covered()), (Lots::ZERO, false));
}
