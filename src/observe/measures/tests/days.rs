//! Days beyond the daily limit, by hand: each part of a fall alone and all of them together.

use super::*;
use crate::event::{
    LimitChanged, OrderStatus, OrderUpdate, StopMove, StopMoved, Timer, Trade, TradeChanged, btcusdt,
};
use crate::num::{Millis, Size};
use crate::observe::DayBeyond;

const ETH: InstrumentId = InstrumentId(1);
const MIDNIGHT: TimeNs = TimeNs(1_704_240_000_000_000_000);

/// Two instruments with a tick of 0.1 and a step of 0.001; prices in ticks, quantities in lots.
struct Account {
    run: Run,
    fills: i64,
}

impl Account {
    fn new() -> Account {
        let mut eth = btcusdt();
        eth.symbol = crate::event::Symbol::literal("ETHUSDT");
        let table = InstrumentTable::new(vec![btcusdt(), eth]).unwrap();
        let mut run = Run::new(10_000);
        run.measures = Measures::new(table, &Settings::DEFAULT);
        run.now = MIDNIGHT + 12 * NS_PER_HOUR;
        run.event(EventBody::AccountUpdate(AccountUpdate {
            wallet: Dec::int(10_000),
            change: Dec::ZERO,
            event_ms: 0,
            reason: AccountReason::Snapshot,
            pad: [0; 7],
        }));
        Account { run, fills: 0 }
    }

    fn event(&mut self, instrument: InstrumentId, body: EventBody) {
        self.run.now = self.run.now + crate::num::NS_PER_SEC;
        let recv_ns = self.run.now;
        self.run.take(Entry::Event(Event { recv_ns, instrument, body }));
    }

    fn output(&mut self, instrument: InstrumentId, body: OutputBody) {
        let recv_ns = self.run.now;
        self.run.take(Entry::Output { recv_ns, output: Output { instrument, body }, commit: true });
    }

    fn price(&mut self, id: InstrumentId, ticks: i64) {
        let trade_ms: Millis = self.run.now.ms();
        self.event(
            id,
            EventBody::AggTrade(Trade {
                price: Ticks(ticks),
                size: Size(1),
                id: 1,
                first_id: 1,
                last_id: 1,
                trade_ms,
                event_ms: trade_ms,
                buyer_maker: false,
                market: true,
                pad: [0; 6],
            }),
        );
    }

    /// Approves a trade and sends its entry; its number is its id.
    fn approve(&mut self, id: InstrumentId, trade: u32, side: Side, lots: i64, stop: i64) {
        let order = OrderId::new(1, trade);
        let mut decision = Decision {
            observed: Dec::ZERO,
            threshold: Dec::ZERO,
            digest: 0,
            order,
            quantity: Lots(lots),
            price: Ticks(0),
            stop: Ticks(stop),
            target: Ticks(0),
            confidence_ppm: 0,
            risk_multiplier_ppm: 1_000_000,
            rule: Rule::None,
            side,
            consensus: Consensus::Strong,
            approved: true,
            pad: [0; 4],
        };
        // A rejection is no trade.
        self.output(id, OutputBody::Decision(Decision { approved: false, rule: Rule::Trend, ..decision }));
        decision.threshold = Dec::int(10_000);
        self.output(id, OutputBody::Decision(decision));
        self.order(id, trade, trade, Purpose::Entry, side, lots, 0);
    }

    #[allow(clippy::too_many_arguments)]
    fn order(
        &mut self,
        id: InstrumentId,
        trade: u32,
        order: u32,
        purpose: Purpose,
        side: Side,
        lots: i64,
        trigger: i64,
    ) {
        let kind = if purpose == Purpose::Stop { OrderKind::StopMarket } else { OrderKind::Market };
        self.output(
            id,
            OutputBody::Order(Order {
                id: OrderId::new(1, order),
                trade: OrderId::new(1, trade),
                quantity: Lots(lots),
                trigger: Ticks(trigger),
                reference: Ticks(trigger),
                side,
                kind,
                purpose,
                working_type: WorkingType::ContractPrice,
                reduce_only: purpose != Purpose::Entry,
                pad: [0; 3],
            }),
        );
    }

    /// A stop that rests.
    fn stop(&mut self, id: InstrumentId, trade: u32, order: u32, side: Side, lots: i64, trigger: i64) {
        self.order(id, trade, order, Purpose::Stop, side, lots, trigger);
        let update = OrderUpdate {
            order: OrderId::new(1, order),
            venue_id: 1,
            filled: Lots(0),
            event_ms: 0,
            code: 0,
            status: OrderStatus::Accepted,
            pad: [0; 3],
        };
        self.event(id, EventBody::OrderUpdate(update));
    }

    fn fill(&mut self, id: InstrumentId, order: u32, side: Side, lots: i64, price: i64, fee: Dec) {
        self.fills += 1;
        self.event(
            id,
            EventBody::Fill(Fill {
                order: OrderId::new(1, order),
                trade_id: self.fills,
                fee,
                price: Ticks(price),
                quantity: Lots(lots),
                event_ms: 0,
                side,
                maker: false,
                cause: FillCause::Order,
                pad: [0; 5],
            }),
        );
    }

    /// A position of one fill, with its stop in the engine and no fee.
    fn enter(&mut self, id: InstrumentId, trade: u32, side: Side, lots: i64, price: i64, stop: i64) {
        self.price(id, price);
        self.approve(id, trade, side, lots, stop);
        self.fill(id, trade, side, lots, price, Dec::ZERO);
        self.filled(id, trade, side, lots, price, stop);
    }

    fn filled(&mut self, id: InstrumentId, trade: u32, side: Side, lots: i64, price: i64, stop: i64) {
        self.output(
            id,
            OutputBody::EntryFilled(EntryFilled {
                entry: Dec::new(price, 1),
                trade: OrderId::new(1, trade),
                quantity: Lots(lots),
                stop: Ticks(stop),
                target: Ticks(1),
                side,
                pad: [0; 15],
            }),
        );
    }

    fn move_stop(&mut self, id: InstrumentId, trade: u32, side: Side, stop: i64) {
        let moved = StopMoved {
            trade: OrderId::new(1, trade),
            stop: Ticks(stop),
            previous: Ticks(1),
            kind: StopMove::Trailing,
            side,
            pad: [0; 6],
        };
        self.output(id, OutputBody::StopMoved(moved));
    }

    fn funding(&mut self, id: InstrumentId, change: Dec) {
        let reason = AccountReason::Funding;
        let update = AccountUpdate { wallet: Dec::ZERO, change, event_ms: 0, reason, pad: [0; 7] };
        self.event(id, EventBody::AccountUpdate(update));
    }

    fn midnight(&mut self, days: i64) {
        self.run.now = MIDNIGHT + days * NS_PER_DAY;
        self.event(InstrumentId::NONE, EventBody::Timer(Timer { count: 1 }));
    }

    fn days(mut self) -> Vec<DayBeyond> {
        let measured = self.run.measures.finish(None, None);
        assert_eq!(measured.account.ledger_differences, 0, "the sums");
        measured.days_beyond_limit
    }

    fn day(self) -> DayBeyond {
        let days = self.days();
        assert_eq!(days.len(), 1, "{days:#?}");
        days[0].clone()
    }
}

/// Given back, within stops, beyond stops, costs, gains; that they are the fall is checked beside it.
fn parts(day: &DayBeyond) -> [String; 5] {
    let p = &day.parts;
    let [given, within, beyond] =
        [&p.open_profit_given_back, &p.losses_within_stops, &p.losses_beyond_stops].map(|part| part.value());
    let (costs, gains) = (p.costs.value(), p.gains.value());
    assert_eq!(given + within + beyond + costs - gains, day.drawdown.value());
    assert_eq!(day.drawdown.value(), day.peak.value() - day.trough.value());
    assert_eq!(day.excess.value(), day.drawdown.value() - day.limit.value());
    assert_eq!(costs, p.fees.value() + p.funding_paid.value());
    [given, within, beyond, costs, gains].map(|part| part.to_string())
}

#[test]
fn open_profit_given_back() {
    let mut account = Account::new();
    // 0.200 at 50,000.0; up to 54,000.0 and back to 50,500.0: 700 of 800.
    account.enter(BTC, 1, Side::Buy, 200, 500_000, 490_000);
    for price in [520_000, 540_000, 530_000, 505_000, 525_000] {
        account.price(BTC, price);
    }
    let day = account.day();
    assert_eq!(parts(&day), ["700", "0", "0", "0", "0"]);
    assert_eq!((day.peak.value(), day.trough.value()), (Dec::int(10_800), Dec::int(10_100)));
    assert_eq!((day.limit.value(), day.excess.value()), (Dec::int(324), Dec::int(376)));
    assert_eq!(day.excess_explained.open_profit_given_back_pct, 100.0);
    assert_eq!(day.date, "2024-01-03");
    assert_eq!(&day.peak_at[11..19], "12:00:04");
    assert_eq!(&day.trough_at[11..19], "12:00:06");
    assert!((day.drawdown_pct - 6.481_481).abs() < 1e-9, "{}", day.drawdown_pct);
}

#[test]
fn losses_within_the_stops_of_a_position_carried_over_midnight() {
    let mut account = Account::new();
    account.enter(BTC, 1, Side::Buy, 100, 500_000, 450_000);
    account.price(BTC, 495_000);
    account.midnight(1);
    // 50 were lost the day before: this day begins at 9,950 and loses 49,500.0 − 46,000.0.
    account.price(BTC, 460_000);
    let day = account.day();
    assert_eq!(parts(&day), ["0", "350", "0", "0", "0"]);
    assert_eq!((day.date.as_str(), day.peak.value()), ("2024-01-04", Dec::int(9_950)));
    assert_eq!(day.peak_at, "2024-01-04T00:00:00.000Z", "carried into the day");
    // Beyond the limit by itself.
    assert_eq!(day.excess_explained.losses_within_stops_pct, 100.0);
}

#[test]
fn losses_beyond_the_stops_of_a_short_whose_stop_had_moved() {
    // Short 0.100 at 50,000.0, stop 51,000.0; peak at 46,000.0; the stop follows to 47,000.0 while the one
    // at the venue still rests at 47,500.0. It opens at 49,500.0: 150 are given back before the stop that
    // rests, 200 lie beyond it.
    let fallen = || {
        let mut account = Account::new();
        account.enter(BTC, 1, Side::Sell, 100, 500_000, 510_000);
        account.stop(BTC, 1, 2, Side::Buy, 100, 475_000);
        account.price(BTC, 460_000);
        account.move_stop(BTC, 1, Side::Sell, 470_000);
        account.price(BTC, 495_000);
        account
    };
    assert_eq!(parts(&fallen().day()), ["150", "0", "200", "0", "0"], "while it is open");
    // Filled in two parts, the rest at 49,700.0.
    let mut account = fallen();
    account.fill(BTC, 2, Side::Buy, 60, 495_000, Dec::ZERO);
    account.fill(BTC, 2, Side::Buy, 40, 497_000, Dec::ZERO);
    let day = account.day();
    assert_eq!(parts(&day), ["150", "0", "208", "0", "0"]);
    let shares = day.excess_explained;
    assert!((shares.losses_beyond_stops_pct - 208.0 / 358.0 * 100.0).abs() < 1e-9, "{shares:?}");
}

#[test]
fn costs() {
    let mut account = Account::new();
    account.enter(BTC, 1, Side::Buy, 100, 500_000, 490_000);
    account.funding(BTC, Dec::int(-400));
    // What is received makes costs less, and nothing else.
    account.funding(BTC, Dec::int(5));
    account.funding(ETH, Dec::int(-10));
    let day = account.day();
    assert_eq!(parts(&day), ["0", "0", "0", "405", "0"]);
    assert_eq!(day.instruments["ETHUSDT"].funding_paid.value(), Dec::int(10));
    assert_eq!(day.excess_explained.costs_pct, 100.0);
}

#[test]
fn all_five_at_once_and_by_instrument() {
    let mut account = Account::new();
    account.price(ETH, 30_000);
    account.price(BTC, 500_000);
    account.approve(BTC, 1, Side::Buy, 100, 489_000);
    // In two parts: 0.040 at 49,990.0 and 0.060 at 50,010.0.
    account.fill(BTC, 1, Side::Buy, 40, 499_900, Dec::new(9_998, 4));
    account.filled(BTC, 1, Side::Buy, 40, 499_900, 489_900);
    account.fill(BTC, 1, Side::Buy, 60, 500_100, Dec::new(15_003, 4));
    account.filled(BTC, 1, Side::Buy, 100, 500_020, 490_000);
    account.stop(BTC, 1, 2, Side::Sell, 100, 490_000);
    // The peak.
    account.price(BTC, 540_000);
    account.price(BTC, 530_000);
    // A trade after the peak wins 30, then half of it is closed at 3,030.0 and the rest stands there.
    account.approve(ETH, 3, Side::Buy, 1_000, 29_500);
    account.fill(ETH, 3, Side::Buy, 1_000, 30_000, Dec::ONE);
    account.filled(ETH, 3, Side::Buy, 1_000, 30_000, 29_500);
    account.price(ETH, 30_300);
    account.order(ETH, 3, 4, Purpose::Exit, Side::Sell, 500, 0);
    account.fill(ETH, 4, Side::Sell, 500, 30_300, Dec::new(5, 1));
    account.funding(BTC, Dec::new(-15, 1));
    // BTC opens at 48,000.0 and the stop fills there.
    account.price(BTC, 480_000);
    account.fill(BTC, 2, Side::Sell, 100, 480_000, Dec::new(24, 1));
    let day = account.day();
    // Given back: 54,000.0 down to each part's entry: 0.040 × 4,010 + 0.060 × 3,990 = 399.8. Within: entry
    // to 49,000.0: 0.040 × 990 + 0.060 × 1,010 = 100.2. Beyond: 1,000 × 0.100. Costs: 1 + 0.5 + 1.5 + 2.4.
    assert_eq!(parts(&day), ["399.8", "100.2", "100", "5.4", "30"]);
    assert_eq!(day.peak.value(), Dec::new(103_972_999, 4), "10,000 − 2.5001 + 399.8");
    let [btc, eth] = ["BTCUSDT", "ETHUSDT"].map(|symbol| &day.instruments[symbol]);
    assert_eq!((btc.costs.value(), btc.gains.value()), (Dec::new(39, 1), Dec::ZERO));
    assert_eq!((eth.costs.value(), eth.gains.value()), (Dec::new(15, 1), Dec::int(30)));
    let shares = day.excess_explained;
    let all = 399.8 + 100.0 + 5.4;
    assert!((shares.open_profit_given_back_pct - 399.8 / all * 100.0).abs() < 1e-9);
    assert!((shares.costs_pct - 5.4 / all * 100.0).abs() < 1e-9);
    assert_eq!(shares.losses_within_stops_pct, 0.0);
}

#[test]
fn a_position_of_several_fills_leaves_oldest_first() {
    let mut account = Account::new();
    account.price(BTC, 510_000);
    account.approve(BTC, 1, Side::Buy, 2_000, 450_000);
    account.fill(BTC, 1, Side::Buy, 1_000, 500_000, Dec::ZERO);
    account.fill(BTC, 1, Side::Buy, 1_000, 520_000, Dec::ZERO);
    account.filled(BTC, 1, Side::Buy, 2_000, 510_000, 450_000);
    account.midnight(1);
    // The day begins at 51,000.0. The lots entered at 50,000.0 leave at 50,500.0: 500 given back. Those of
    // 52,000.0 stay, and lose 51,000.0 − 49,500.0, all below their entry.
    account.order(BTC, 1, 2, Purpose::Exit, Side::Sell, 1_000, 0);
    account.price(BTC, 505_000);
    account.fill(BTC, 2, Side::Sell, 1_000, 505_000, Dec::ZERO);
    account.price(BTC, 495_000);
    // The day before, the second fill undid what the first had won.
    let days = account.days();
    assert_eq!(parts(&days[0]), ["0", "1000", "0", "0", "0"]);
    assert_eq!(parts(&days[1]), ["500", "1500", "0", "0", "0"]);
}

#[test]
fn before_there_are_levels_the_decisions_stop_counts() {
    let mut account = Account::new();
    account.price(BTC, 500_000);
    account.approve(BTC, 1, Side::Buy, 1_000, 499_000);
    account.fill(BTC, 1, Side::Buy, 1_000, 500_000, Dec::ZERO);
    account.price(BTC, 496_000);
    assert_eq!(parts(&account.day()), ["0", "100", "300", "0", "0"]);
}

#[test]
fn each_day_has_its_own_worst_fall_and_a_limit_that_is_met_is_no_excess() {
    let mut account = Account::new();
    account.enter(BTC, 1, Side::Buy, 100, 500_000, 400_000);
    // 3% exactly, then less.
    account.price(BTC, 470_000);
    account.midnight(1);
    // Two falls: 4% from 9,700, then from a higher peak 5%, then from a still higher one 3.5%.
    for price in [431_200, 500_000, 450_000, 520_000, 484_300] {
        account.price(BTC, price);
    }
    account.midnight(2);
    account.price(BTC, 483_000);
    let worst = account.run.measures.days.worst();
    let day = account.day();
    assert_eq!(day.peak.value(), Dec::int(10_000));
    assert_eq!(day.drawdown.value(), Dec::int(500));
    assert_eq!(worst, Dec::new(5, 2));
    // From the entry's own price nothing was profit.
    assert_eq!(parts(&day), ["0", "500", "0", "0", "0"]);
}

#[test]
fn what_the_engine_says_otherwise_is_counted_and_money_moved_is_no_fall() {
    let mut account = Account::new();
    account.enter(BTC, 1, Side::Buy, 100, 500_000, 400_000);
    let transfer = AccountUpdate {
        wallet: Dec::int(5_000),
        change: Dec::int(-5_000),
        event_ms: 0,
        reason: AccountReason::Transfer,
        pad: [0; 7],
    };
    account.event(InstrumentId::NONE, EventBody::AccountUpdate(transfer));
    account.price(BTC, 480_000);
    let said = |observed| LimitChanged {
        observed,
        threshold: Dec::new(3, 2),
        until_ns: TimeNs(0),
        limit: Limit::Daily,
        active: true,
        pad: [0; 6],
    };
    // 200 of 5,000.
    account.output(InstrumentId::NONE, OutputBody::LimitChanged(said(Dec::new(4, 2))));
    assert_eq!(account.run.measures.days.compared(), (2, 0), "the fall and the record");
    account.output(InstrumentId::NONE, OutputBody::LimitChanged(said(Dec::new(41, 3))));
    account.run.equity(Dec::int(4_799));
    assert_eq!(account.run.measures.days.compared(), (4, 2));
    // A correction moves the peak with it.
    account.run.equity(Dec::int(4_799));
    assert_eq!(account.run.measures.days.compared(), (5, 2));
    assert_eq!(
        account.run.measures.days.worst(),
        Dec::ratio(200, 4_999, crate::num::Rounding::HalfEven).unwrap()
    );
}

#[test]
fn an_entry_that_never_filled_and_a_fill_told_twice_change_nothing() {
    let mut account = Account::new();
    account.price(BTC, 500_000);
    account.approve(BTC, 1, Side::Buy, 100, 490_000);
    let ended = TradeChanged {
        trade: OrderId::new(1, 1),
        from: TradeState::EntryPending,
        to: TradeState::Canceled,
        pad: [0; 6],
    };
    account.output(BTC, OutputBody::TradeChanged(ended));
    account.enter(BTC, 2, Side::Buy, 100, 500_000, 400_000);
    account.price(BTC, 460_000);
    account.fills -= 1;
    account.fill(BTC, 2, Side::Buy, 100, 500_000, Dec::int(7));
    let day = account.day();
    assert_eq!(parts(&day), ["0", "400", "0", "0", "0"]);
}

#[test]
fn sizes_reduced_by_recovery_and_by_losses_are_counted_apart() {
    let mut account = Account::new();
    let limit = |limit, active| LimitChanged {
        observed: Dec::ZERO,
        threshold: Dec::ZERO,
        until_ns: TimeNs(0),
        limit,
        active,
        pad: [0; 6],
    };
    let changes = [
        (Limit::Recovery, true),
        (Limit::Streak, true),
        (Limit::Recovery, false),
        (Limit::Daily, false),
        (Limit::Streak, false),
    ];
    for (trade, (which, active)) in (1..).zip(changes) {
        account.approve(BTC, trade, Side::Buy, 100, 490_000);
        account.output(InstrumentId::NONE, OutputBody::LimitChanged(limit(which, active)));
    }
    let total = account.run.measures.finish(None, None).total;
    assert_eq!((total.approved, total.approvals_in_recovery, total.approvals_in_streak), (5, 2, 3));
}
