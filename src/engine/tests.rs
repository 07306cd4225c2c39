//! The engine driven by hand, event by event: what comes out, and in which order.

mod assumed;
mod owed;
mod protection;
mod regressions;
mod restart;
mod scenario;
mod snapshot;

use super::*;
use crate::event::*;
use crate::num::{Lots, NS_PER_MS, Side, Size, Ticks};

const BTC: InstrumentId = InstrumentId(0);
/// 2024-01-01T00:00:00Z, a Monday.
const START_MS: i64 = 1_704_067_200_000;

struct Desk {
    engine: Engine,
    out: Box<Outbox>,
    now: TimeNs,
    trade_id: i64,
}

impl Desk {
    /// 210 flat bars at 48,000 with a range of 1,500: EMA 48,000, ATR 1,500. Then 50,000 trades.
    fn new(settings: Settings) -> Desk {
        let table = InstrumentTable::new(vec![btcusdt()]).unwrap();
        let engine = Engine::new(&settings, &table);
        let mut desk = Desk { engine, out: Outbox::new(), now: TimeNs::from_ms(START_MS), trade_id: 0 };
        desk.start();
        desk.wallet(10_000, AccountReason::Snapshot);
        for i in 0..210i64 {
            let (high, low, close) = (Ticks(487_500), Ticks(472_500), Ticks(480_000));
            desk.send(EventBody::Bar(Bar {
                open_ms: START_MS - (210 - i) * 900_000,
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
        desk.send(EventBody::Ticker(Ticker {
            last: Ticks(1),
            open: Ticks(1),
            high: Ticks(1),
            low: Ticks(1),
            volume: Dec::ONE,
            quote_volume: Dec::int(5_000_000_000),
            trades: 1,
            event_ms: 0,
        }));
        desk.quote(499_750, 500_250);
        desk.trade(500_000);
        desk
    }

    fn start(&mut self) -> Vec<OutputBody> {
        self.start_again(7)
    }

    fn start_again(&mut self, epoch: u32) -> Vec<OutputBody> {
        self.send(EventBody::RunStart(RunStart {
            run_id: 1,
            build_id: 1,
            epoch,
            instruments: 1,
            resting_stops: true,
            simulated: true,
            rule_voters: false,
            pad: [0; 5],
        }))
    }

    fn send(&mut self, body: EventBody) -> Vec<OutputBody> {
        self.engine.step(&Event { recv_ns: self.now, instrument: BTC, body }, &mut self.out);
        self.out.outputs().iter().map(|o| o.body).collect()
    }

    fn pass_ms(&mut self, ms: i64) {
        self.now = self.now + ms * NS_PER_MS;
    }

    fn wallet(&mut self, wallet: i64, reason: AccountReason) -> Vec<OutputBody> {
        let wallet = Dec::int(wallet);
        let update = AccountUpdate { wallet, change: Dec::ZERO, event_ms: 0, reason, pad: [0; 7] };
        self.send(EventBody::AccountUpdate(update))
    }

    fn trade(&mut self, price: i64) -> Vec<OutputBody> {
        let ms = self.now.ms();
        self.send(EventBody::AggTrade(crate::event::Trade {
            price: Ticks(price),
            size: Size(1),
            id: 1,
            first_id: 1,
            last_id: 1,
            trade_ms: ms,
            event_ms: ms,
            buyer_maker: false,
            market: true,
            pad: [0; 6],
        }))
    }

    fn quote(&mut self, bid: i64, ask: i64) -> Vec<OutputBody> {
        self.send(EventBody::Quote(Quote {
            bid: Ticks(bid),
            bid_size: Size(1_000_000),
            ask: Ticks(ask),
            ask_size: Size(1_000_000),
            update_id: 1,
            transaction_ms: 0,
            event_ms: 0,
        }))
    }

    fn signal(&mut self, action: Action, consensus: Consensus) -> Vec<OutputBody> {
        let none = Ballot::of([Action::Abstain; SEATS]);
        self.send(EventBody::Signal(Signal {
            confidence: [Dec::new(75, 2), Dec::ZERO, Dec::ZERO, Dec::ZERO],
            ballot: none,
            given: true,
            action,
            consensus,
            source: SignalSource::External,
            pad: [0; 8],
        }))
    }

    fn update(&mut self, order: OrderId, status: OrderStatus, code: i32) -> Vec<OutputBody> {
        self.word(order, status, code, 0)
    }

    /// The same, with what the venue says is filled.
    fn update_filled(&mut self, order: OrderId, status: OrderStatus, lots: i64) -> Vec<OutputBody> {
        self.word(order, status, 0, lots)
    }

    fn word(&mut self, order: OrderId, status: OrderStatus, code: i32, lots: i64) -> Vec<OutputBody> {
        self.send(EventBody::OrderUpdate(OrderUpdate {
            order,
            venue_id: 1,
            filled: Lots(lots),
            event_ms: 0,
            code,
            status,
            pad: [0; 3],
        }))
    }

    fn fill(&mut self, order: OrderId, side: Side, price: i64, lots: i64) -> Vec<OutputBody> {
        self.trade_id += 1;
        self.refill(order, side, price, lots)
    }

    /// The same trade id as the fill before.
    fn refill(&mut self, order: OrderId, side: Side, price: i64, lots: i64) -> Vec<OutputBody> {
        self.send(EventBody::Fill(Fill {
            order,
            trade_id: self.trade_id,
            fee: Dec::new(25, 2),
            price: Ticks(price),
            quantity: Lots(lots),
            event_ms: 0,
            side,
            maker: false,
            cause: FillCause::Order,
            pad: [0; 5],
        }))
    }

    fn user_stream(&mut self, state: FeedState) -> Vec<OutputBody> {
        self.send(EventBody::FeedStatus(FeedStatus { since_ms: 0, feed: Feed::User, state, pad: [0; 6] }))
    }

    fn tick(&mut self, after_ms: i64) -> Vec<OutputBody> {
        self.pass_ms(after_ms);
        self.send(EventBody::Timer(Timer { count: 1 }))
    }

    fn trading(&self) -> TradingState {
        self.engine.controller().state()
    }

    fn stated(&mut self, lots: i64) -> Vec<OutputBody> {
        let entry = Dec::int(50_000);
        self.send(EventBody::VenuePosition(VenuePosition { entry, quantity: Lots(lots), event_ms: 0 }))
    }

    /// An open long of 0.010 at 50,000 whose stop is acknowledged; ids of entry and stop.
    fn long(&mut self) -> (OrderId, OrderId) {
        let entry = order(&self.signal(Action::Long, Consensus::Strong)).id;
        self.update(entry, OrderStatus::Accepted, 0);
        let stop = order(&self.fill(entry, Side::Buy, 500_000, 10)).id;
        self.update(entry, OrderStatus::Filled, 0);
        self.pass_ms(3);
        let said = self.update(stop, OrderStatus::Accepted, 0);
        assert!(
            said.iter().any(|o| matches!(o, OutputBody::Protected(p) if p.unprotected_ns == 3 * NS_PER_MS))
        );
        (entry, stop)
    }
}

fn alarms(outputs: &[OutputBody]) -> Vec<AlarmKind> {
    outputs.iter().filter_map(|o| if let OutputBody::Alarm(a) = o { Some(a.kind) } else { None }).collect()
}

fn order(outputs: &[OutputBody]) -> Order {
    let found =
        outputs.iter().find_map(|o| if let OutputBody::Order(order) = o { Some(*order) } else { None });
    found.unwrap_or_else(|| panic!("no order in {outputs:?}"))
}

fn orders(outputs: &[OutputBody]) -> Vec<Order> {
    outputs
        .iter()
        .filter_map(|o| if let OutputBody::Order(order) = o { Some(*order) } else { None })
        .collect()
}

fn has_order(outputs: &[OutputBody]) -> bool {
    outputs.iter().any(|o| matches!(o, OutputBody::Order(_)))
}

fn decision(outputs: &[OutputBody]) -> Decision {
    let found = outputs.iter().find_map(|o| if let OutputBody::Decision(d) = o { Some(*d) } else { None });
    found.unwrap_or_else(|| panic!("no decision in {outputs:?}"))
}

fn closed(outputs: &[OutputBody]) -> TradeClosed {
    let found = outputs.iter().find_map(|o| if let OutputBody::TradeClosed(c) = o { Some(*c) } else { None });
    found.unwrap_or_else(|| panic!("no closed trade in {outputs:?}"))
}

fn cancels(outputs: &[OutputBody]) -> Vec<OrderId> {
    outputs.iter().filter_map(|o| if let OutputBody::Cancel(c) = o { Some(c.id) } else { None }).collect()
}

#[test]
fn the_worked_example_comes_out_exactly() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let d = decision(&desk.signal(Action::Long, Consensus::Strong));
    assert!(d.approved);
    assert_eq!(
        (d.quantity, d.price, d.stop, d.target),
        (Lots(10), Ticks(500_000), Ticks(477_500), Ticks(556_250))
    );
    assert_eq!((d.observed, d.threshold), (Dec::int(1_500), Dec::int(10_000)), "ATR and equity");
    let mut short = Desk::new(Settings { require_trend: false, ..Settings::DEFAULT });
    let d = decision(&short.signal(Action::Short, Consensus::Strong));
    assert_eq!((d.quantity, d.stop, d.target), (Lots(10), Ticks(522_500), Ticks(443_750)));
}

#[test]
fn breakeven_then_partial_then_trailing_each_with_its_stop() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let (_, first) = desk.long();
    desk.pass_ms(5_000);
    let said = desk.quote(522_500, 522_600);
    let moved =
        said.iter().find_map(|o| if let OutputBody::StopMoved(m) = o { Some(*m) } else { None }).unwrap();
    assert_eq!((moved.kind, moved.stop), (StopMove::Breakeven, Ticks(500_500)));
    let second = order(&said);
    assert_eq!(
        (second.trigger, second.quantity, second.kind),
        (Ticks(500_500), Lots(10), OrderKind::StopMarket)
    );
    assert!(cancels(&said).is_empty(), "the old stop stands until the new one is acknowledged");
    assert_eq!(cancels(&desk.update(second.id, OrderStatus::Accepted, 0)), [first]);
    desk.update(first, OrderStatus::Canceled, 0);

    desk.pass_ms(5_000);
    let said = desk.quote(545_000, 545_100);
    let part = order(&said);
    assert_eq!((part.purpose, part.quantity, part.reduce_only), (Purpose::Exit, Lots(5), true));
    // The stop follows once the part is out: its quantity is then settled too.
    let said = desk.fill(part.id, Side::Sell, 545_000, 5);
    let third = order(&said);
    assert_eq!((third.trigger, third.quantity), (Ticks(530_000), Lots(5)));
    desk.update(part.id, OrderStatus::Filled, 0);
    assert_eq!(cancels(&desk.update(third.id, OrderStatus::Accepted, 0)), [second.id]);
    desk.update(second.id, OrderStatus::Canceled, 0);

    desk.update(third.id, OrderStatus::Triggered, 0);
    let said = desk.fill(third.id, Side::Sell, 529_900, 5);
    let account = closed(&said);
    assert_eq!((account.state, account.signal), (TradeState::ClosedPartial, ExitSignal::StopLoss));
    // 5 lots × 4,500 + 5 lots × 2,990 − 3 fees of 0.25.
    assert_eq!(account.pnl, Dec::new(3_670, 2));
    assert_eq!(desk.engine.controller().wallet(), Some(Dec::new(1_003_670, 2)));
    desk.update(third.id, OrderStatus::Filled, 0);
    assert!(desk.engine.trades().is_empty());
}

#[test]
fn the_target_closes_and_takes_the_stop_with_it() {
    let mut desk =
        Desk::new(Settings { enable_partial_tp: false, enable_trailing: false, ..Settings::DEFAULT });
    let (_, stop) = desk.long();
    desk.pass_ms(1);
    let said = desk.quote(556_250, 556_300);
    let exit = order(&said);
    assert_eq!((exit.purpose, exit.side, exit.quantity), (Purpose::Exit, Side::Sell, Lots(10)));
    assert!(!has_order(&desk.quote(556_300, 556_400)), "one exit at a time");
    let said = desk.fill(exit.id, Side::Sell, 556_250, 10);
    assert_eq!(closed(&said).state, TradeState::ClosedTp);
    assert_eq!(cancels(&said), [stop]);
    desk.update(exit.id, OrderStatus::Filled, 0);
    assert_eq!(desk.engine.trades().len(), 1, "the stop may still be on the book");
    desk.update(stop, OrderStatus::Canceled, 0);
    assert!(desk.engine.trades().is_empty());
}

#[test]
fn fills_reported_twice_count_once() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
    desk.fill(entry, Side::Buy, 500_000, 4);
    assert!(desk.refill(entry, Side::Buy, 500_000, 4).is_empty());
    assert_eq!(desk.engine.trades()[0].open(), Lots(4));
}

#[test]
fn the_stop_follows_an_entry_filled_in_parts() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
    let first = order(&desk.fill(entry, Side::Buy, 500_000, 4));
    assert_eq!((first.quantity, first.trigger), (Lots(4), Ticks(477_500)));
    desk.pass_ms(1);
    // The second part does not wait for the first stop's answer.
    // Average 50,000.6; minus 2,250 is 47,750.6.
    let second = order(&desk.fill(entry, Side::Buy, 500_010, 6));
    assert_eq!((second.quantity, second.trigger), (Lots(10), Ticks(477_506)));
    desk.pass_ms(2);
    let lacking = |said: &[OutputBody]| -> Vec<(bool, i64)> {
        let times = said.iter().filter_map(|o| if let OutputBody::Protected(p) = o { Some(p) } else { None });
        times.map(|p| (p.whole, p.unprotected_ns / NS_PER_MS)).collect()
    };
    let said = desk.update(first.id, OrderStatus::Accepted, 0);
    assert_eq!(lacking(&said), [(true, 3)], "some stop stands");
    assert!(!has_order(&said) && cancels(&said).is_empty());
    desk.pass_ms(1);
    let said = desk.update(second.id, OrderStatus::Accepted, 0);
    assert_eq!(lacking(&said), [(false, 4)], "and now for all of it");
    assert_eq!(cancels(&said), [first.id]);
}

#[test]
fn a_refused_stop_closes_the_position() {
    for (code, state) in [(-2021, TradeState::ClosedSl), (-4131, TradeState::ClosedManual)] {
        let mut desk = Desk::new(Settings::DEFAULT);
        let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
        let stop = order(&desk.fill(entry, Side::Buy, 500_000, 10));
        desk.update(entry, OrderStatus::Filled, 0);
        let exit = order(&desk.update(stop.id, OrderStatus::Rejected, code));
        assert_eq!((exit.purpose, exit.quantity), (Purpose::Exit, Lots(10)));
        assert_eq!(closed(&desk.fill(exit.id, Side::Sell, 499_000, 10)).state, state);
    }
}

#[test]
fn no_stop_within_the_deadline_closes_even_when_halted() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
    desk.fill(entry, Side::Buy, 500_000, 10);
    desk.update(entry, OrderStatus::Filled, 0);
    desk.send(EventBody::Command(Command { command: CommandKind::Halt, pad: [0; 7] }));
    // 1,500 less a timer's 100 and the 150 that a close may take.
    desk.pass_ms(1_249);
    assert!(!has_order(&desk.send(EventBody::Timer(Timer { count: 1 }))));
    desk.pass_ms(1);
    let said = desk.send(EventBody::Timer(Timer { count: 2 }));
    assert_eq!(order(&said).purpose, Purpose::Exit);
    assert!(
        said.iter().any(|o| matches!(o, OutputBody::Alarm(a) if a.kind == AlarmKind::UnprotectedDeadline))
    );
}

#[test]
fn a_market_feed_that_is_lost_is_told_while_something_is_open() {
    let lost = |feed| {
        let status = FeedStatus { since_ms: 0, feed, state: FeedState::Down, pad: [0; 6] };
        EventBody::FeedStatus(status)
    };
    let mut desk = Desk::new(Settings::DEFAULT);
    assert!(desk.send(lost(Feed::Public)).is_empty(), "nothing depends on it");
    desk.long();
    for feed in [Feed::Public, Feed::Market] {
        let said = desk.send(lost(feed));
        let [OutputBody::Alarm(alarm)] = said[..] else { panic!("{said:?}") };
        assert_eq!((alarm.kind, alarm.value), (AlarmKind::FeedDown, feed as i64));
    }
    let said = desk.send(lost(Feed::User));
    assert!(said.iter().any(|output| matches!(output, OutputBody::TradingStateChanged(_))), "{said:?}");
}

#[test]
fn a_stop_that_does_not_trigger_is_overtaken() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let (_, stop) = desk.long();
    assert!(desk.quote(477_400, 477_500).is_empty(), "the resting stop owns this price");
    desk.pass_ms(250);
    let said = desk.quote(477_300, 477_500);
    assert!(cancels(&said).is_empty(), "it keeps protecting while the close works");
    let exit = order(&said);
    assert_eq!(exit.purpose, Purpose::Exit);
    assert_eq!(cancels(&desk.fill(exit.id, Side::Sell, 477_300, 10)), [stop]);
}

#[test]
fn a_close_the_venue_refuses_because_of_the_stop_goes_out_again_without_it() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let (_, stop) = desk.long();
    let exit = order(&desk.send(EventBody::Command(Command { command: CommandKind::Close, pad: [0; 7] })));
    let said = desk.update(exit.id, OrderStatus::Rejected, -4118);
    assert_eq!(cancels(&said), [stop]);
    assert_eq!((order(&said).purpose, order(&said).quantity), (Purpose::Exit, Lots(10)));
}

#[test]
fn a_missing_answer_is_asked_for_and_never_sent_again() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
    let mut queries = 0;
    for _ in 0..12 {
        desk.pass_ms(1_000);
        let said = desk.send(EventBody::Timer(Timer { count: 1 }));
        assert!(!has_order(&said));
        queries += said.iter().filter(|o| matches!(o, OutputBody::Query(q) if q.id == entry)).count();
    }
    assert_eq!(queries, 2);
    assert_eq!(desk.engine.trades()[0].state, TradeState::Unknown);
    desk.update(entry, OrderStatus::NotFound, -2013);
    assert_eq!(desk.engine.trades().len(), 1, "not found within a minute is not absence");
    desk.pass_ms(60_000);
    desk.update(entry, OrderStatus::NotFound, -2013);
    assert!(desk.engine.trades().is_empty());
}

#[test]
fn states_refuse_entries_and_the_operator_closes() {
    let mut desk = Desk::new(Settings::DEFAULT);
    desk.long();
    let said = desk.send(EventBody::Command(Command { command: CommandKind::Reduce, pad: [0; 7] }));
    assert!(matches!(said[0], OutputBody::TradingStateChanged(c) if c.to == TradingState::Reducing));
    let said = desk.send(EventBody::Command(Command { command: CommandKind::Close, pad: [0; 7] }));
    assert_eq!(order(&said).purpose, Purpose::Exit);
    let mut idle = Desk::new(Settings::DEFAULT);
    idle.send(EventBody::Command(Command { command: CommandKind::Halt, pad: [0; 7] }));
    assert_eq!(decision(&idle.signal(Action::Long, Consensus::Strong)).rule, Rule::TradingState);
}

#[test]
fn rejections_name_the_first_rule_that_failed() {
    let mut desk = Desk::new(Settings::DEFAULT);
    assert_eq!(decision(&desk.signal(Action::Long, Consensus::Weak)).rule, Rule::Consensus);
    assert_eq!(decision(&desk.signal(Action::Short, Consensus::Strong)).rule, Rule::Trend);
    assert!(desk.signal(Action::Hold, Consensus::Strong).is_empty(), "HOLD never reaches the filter");
    desk.pass_ms(5_001);
    assert_eq!(decision(&desk.signal(Action::Long, Consensus::Strong)).rule, Rule::Stale);
    desk.quote(499_750, 503_000);
    assert_eq!(decision(&desk.signal(Action::Long, Consensus::Strong)).rule, Rule::Spread);
    desk.quote(499_750, 500_250);
    desk.long();
    assert_eq!(decision(&desk.signal(Action::Long, Consensus::Strong)).rule, Rule::Position);
}

#[test]
fn equity_follows_every_price_and_limits_latch_by_themselves() {
    let settings = Settings {
        max_position_usd: Dec::int(1_000_000),
        max_exposure_pct: Dec::int(2),
        ..Settings::DEFAULT
    };
    let mut desk = Desk::new(settings);
    let entry = order(&desk.signal(Action::Long, Consensus::Strong));
    assert_eq!(entry.quantity, Lots(44), "1% of 10,000 over a stop of 2,250");
    desk.fill(entry.id, Side::Buy, 500_000, 44);
    let said = desk.trade(420_000);
    assert_eq!(desk.engine.controller().equity(), Some(Dec::new(964_775, 2)));
    let daily = |o: &&OutputBody| matches!(o, OutputBody::LimitChanged(c) if c.limit == Limit::Daily);
    assert_eq!(said.iter().filter(daily).count(), 1);
}

#[test]
fn the_same_events_give_the_same_outputs() {
    let run = || {
        let mut desk = Desk::new(Settings::DEFAULT);
        desk.long();
        let mut all = Vec::new();
        for i in 0..500 {
            desk.pass_ms(700);
            all.extend(desk.quote(500_000 + i * 120, 500_010 + i * 120));
            all.extend(desk.trade(500_000 + i * 120));
            all.extend(desk.send(EventBody::Timer(Timer { count: i as u64 })));
        }
        all
    };
    assert_eq!(run(), run());
}
