//! Protection by the clock and by distance: each limit, just before it and at it, long and short.

use super::*;

const SIDES: [Side; 2] = [Side::Buy, Side::Sell];

/// A desk on which longs and shorts are mirror images.
struct Mirror {
    desk: Desk,
    side: Side,
}

impl Mirror {
    fn new(side: Side) -> Mirror {
        Mirror { desk: Desk::new(Settings { require_trend: false, ..Settings::DEFAULT }), side }
    }

    /// The entry is sent and accepted.
    fn enter(&mut self) -> OrderId {
        let action = if self.side == Side::Buy { Action::Long } else { Action::Short };
        let entry = order(&self.desk.signal(action, Consensus::Strong)).id;
        self.desk.update(entry, OrderStatus::Accepted, 0);
        entry
    }

    /// Holds 0.010 from 50,000 with an acknowledged stop, sent just now; its id.
    fn held(side: Side) -> (Mirror, OrderId) {
        let mut mirror = Mirror::new(side);
        let entry = mirror.enter();
        let stop = order(&mirror.entered(entry, 10)).id;
        mirror.desk.update(entry, OrderStatus::Filled, 0);
        mirror.desk.update(stop, OrderStatus::Accepted, 0);
        (mirror, stop)
    }

    fn entered(&mut self, entry: OrderId, lots: i64) -> Vec<OutputBody> {
        self.desk.fill(entry, self.side, 500_000, lots)
    }

    fn exited(&mut self, exit: OrderId, lots: i64) -> Vec<OutputBody> {
        self.desk.fill(exit, self.side.opposite(), 500_000, lots)
    }

    /// So many ticks from 50,000.0 in the position's favour.
    fn ahead(&self, ticks: i64) -> i64 {
        500_000 + ticks * self.side.sign()
    }

    /// A quote whose side that pays is so many ticks ahead.
    fn quote(&mut self, ticks_ahead: i64) -> Vec<OutputBody> {
        let price = self.ahead(ticks_ahead);
        match self.side {
            Side::Buy => self.desk.quote(price, price + 100),
            Side::Sell => self.desk.quote(price - 100, price),
        }
    }

    fn timer(&mut self) -> Vec<OutputBody> {
        self.desk.send(EventBody::Timer(Timer { count: 1 }))
    }

    fn command(&mut self, command: CommandKind) -> Vec<OutputBody> {
        self.desk.send(EventBody::Command(Command { command, pad: [0; 7] }))
    }
}

fn orders(said: &[OutputBody], purpose: Purpose) -> Vec<Order> {
    let order = |o: &OutputBody| if let OutputBody::Order(order) = o { Some(*order) } else { None };
    said.iter().filter_map(order).filter(|order| order.purpose == purpose).collect()
}

fn exits(said: &[OutputBody]) -> usize {
    orders(said, Purpose::Exit).len()
}

fn queries(said: &[OutputBody]) -> usize {
    said.iter().filter(|o| matches!(o, OutputBody::Query(_))).count()
}

#[test]
fn a_stop_has_its_grace_from_the_first_price_at_it_while_the_price_stays_there() {
    for side in SIDES {
        let (mut m, _) = Mirror::held(side);
        assert!(m.quote(1 - 22_500).is_empty(), "a tick before the stop is not at it");
        m.desk.pass_ms(1_000);
        m.quote(-22_500);
        m.desk.pass_ms(249);
        assert_eq!((exits(&m.quote(-22_500)), exits(&m.timer())), (0, 0), "{side:?}");
        // Back inside the stop, the count begins anew.
        m.quote(1 - 22_500);
        m.desk.pass_ms(1);
        m.quote(-22_501);
        m.desk.pass_ms(249);
        assert_eq!((exits(&m.quote(-22_501)), exits(&m.timer())), (0, 0), "{side:?}");
        m.desk.pass_ms(1);
        let said = m.timer();
        assert_eq!(exits(&said), 1, "{side:?}");
        assert!(
            said.iter().any(|o| matches!(o, OutputBody::Alarm(a) if a.kind == AlarmKind::StopNotTriggered))
        );
    }
}

#[test]
fn a_triggered_stop_needs_no_grace() {
    for side in SIDES {
        let (mut m, stop) = Mirror::held(side);
        m.quote(-22_500);
        m.desk.update(stop, OrderStatus::Triggered, 0);
        m.desk.pass_ms(1_000);
        assert!(m.quote(-22_500).is_empty(), "{side:?}");
        let late = |o: &OutputBody| matches!(o, OutputBody::Alarm(_) | OutputBody::ExitFired(_));
        assert!(!m.timer().iter().any(late), "{side:?}");
    }
}

#[test]
fn no_other_exit_fires_while_the_price_is_at_the_stop() {
    for side in SIDES {
        let (mut m, _) = Mirror::held(side);
        m.desk.pass_ms(24 * 3_600_000 + 1);
        assert!(m.quote(-22_500).is_empty(), "not even for time");
        assert_eq!(exits(&m.quote(1 - 22_500)), 1, "{side:?}: a tick inside it is time that closes");
    }
}

#[test]
fn a_trailing_stop_is_replaced_from_a_tenth_of_the_atr_and_a_second_after_the_last() {
    for side in SIDES {
        let s = Settings { enable_partial_tp: false, require_trend: false, ..Settings::DEFAULT };
        let mut m = Mirror { desk: Desk::new(s), side };
        let entry = m.enter();
        let first = order(&m.entered(entry, 10));
        m.desk.update(entry, OrderStatus::Filled, 0);
        m.desk.update(first.id, OrderStatus::Accepted, 0);
        // 2R ahead: breakeven and trailing at once, and at once replaced.
        let second = order(&m.quote(45_000));
        assert_eq!(second.trigger, Ticks(m.ahead(30_000)), "{side:?}");
        m.desk.update(second.id, OrderStatus::Accepted, 0);
        m.desk.update(first.id, OrderStatus::Canceled, 0);
        // The ATR is 1,500: a tenth is 1,500 ticks.
        m.desk.pass_ms(1_000);
        assert!(!has_order(&m.quote(45_000 + 1_499)), "{side:?}: too near");
        let third = order(&m.quote(45_000 + 1_500));
        assert_eq!(third.trigger, Ticks(m.ahead(31_500)), "{side:?}");
        m.desk.update(third.id, OrderStatus::Accepted, 0);
        m.desk.update(second.id, OrderStatus::Canceled, 0);
        m.desk.pass_ms(999);
        assert!(!has_order(&m.quote(45_000 + 9_000)) && !has_order(&m.timer()), "{side:?}: too early");
        m.desk.pass_ms(1);
        assert_eq!(order(&m.timer()).trigger, Ticks(m.ahead(39_000)), "{side:?}: the timer looks again");
    }
}

#[test]
fn a_breakeven_is_not_kept_waiting() {
    for side in SIDES {
        let (mut m, _) = Mirror::held(side);
        assert_eq!(order(&m.quote(22_500)).trigger, Ticks(m.ahead(500)), "{side:?}");
    }
}

#[test]
fn eight_stops_of_a_trade_are_unfinished_at_most() {
    for side in SIDES {
        let mut m = Mirror::new(side);
        let entry = m.enter();
        let sent: Vec<usize> = (0..10).map(|_| orders(&m.entered(entry, 1), Purpose::Stop).len()).collect();
        assert_eq!(sent, [1, 1, 1, 1, 1, 1, 1, 1, 0, 0], "{side:?}");
    }
}

#[test]
fn an_uncovered_position_is_closed_when_its_deadline_less_a_close_is_over() {
    for side in SIDES {
        let mut m = Mirror::new(side);
        let entry = m.enter();
        m.entered(entry, 10);
        m.desk.update(entry, OrderStatus::Filled, 0);
        // 1,500 less a timer's 100 and the 150 that a close may take.
        m.desk.pass_ms(1_249);
        assert_eq!(exits(&m.timer()), 0, "{side:?}");
        m.desk.pass_ms(1);
        assert_eq!(exits(&m.timer()), 1, "{side:?}");
        assert_eq!(m.desk.engine.controller().state(), TradingState::Reducing);
    }
}

#[test]
fn of_a_short_deadline_the_stop_gets_half() {
    let s = Settings { protection_deadline_ms: 400, require_trend: false, ..Settings::DEFAULT };
    for side in SIDES {
        let mut m = Mirror { desk: Desk::new(s), side };
        let entry = m.enter();
        m.entered(entry, 10);
        m.desk.pass_ms(199);
        assert_eq!(exits(&m.timer()), 0, "{side:?}");
        m.desk.pass_ms(1);
        assert_eq!(exits(&m.timer()), 1, "{side:?}");
    }
}

#[test]
fn an_order_is_asked_for_after_five_seconds_and_absent_after_sixty() {
    for side in SIDES {
        let mut m = Mirror::new(side);
        let action = if side == Side::Buy { Action::Long } else { Action::Short };
        let entry = order(&m.desk.signal(action, Consensus::Strong)).id;
        m.desk.pass_ms(4_999);
        assert_eq!(queries(&m.timer()), 0, "{side:?}");
        m.desk.pass_ms(1);
        assert_eq!(queries(&m.timer()), 1, "{side:?}");
        m.desk.pass_ms(4_999);
        assert_eq!(queries(&m.timer()), 0, "{side:?}: asked a moment ago");
        m.desk.pass_ms(60_000 - 9_999 - 1);
        m.desk.update(entry, OrderStatus::NotFound, -2013);
        assert_eq!(m.desk.engine.trades().len(), 1, "{side:?}: not yet a minute old");
        m.desk.pass_ms(1);
        m.desk.update(entry, OrderStatus::NotFound, -2013);
        assert!(m.desk.engine.trades().is_empty(), "{side:?}");
    }
}

#[test]
fn a_close_that_comes_back_unfilled_goes_out_three_times_and_then_once_a_second() {
    for side in SIDES {
        let (mut m, _) = Mirror::held(side);
        let mut exit = order(&m.command(CommandKind::Close)).id;
        for _ in 0..2 {
            exit = order(&m.desk.update(exit, OrderStatus::Expired, 0)).id;
        }
        assert_eq!(exits(&m.desk.update(exit, OrderStatus::Expired, 0)), 0, "{side:?}: three in all");
        m.desk.pass_ms(999);
        assert_eq!(exits(&m.timer()), 0, "{side:?}");
        m.desk.pass_ms(1);
        assert_eq!(exits(&m.timer()), 1, "{side:?}");
    }
}

#[test]
fn a_refused_close_waits_a_second_for_each_refusal_and_thirty_at_most() {
    for side in SIDES {
        let (mut m, _) = Mirror::held(side);
        let mut exit = order(&m.command(CommandKind::Close)).id;
        for refusals in 1..=32i64 {
            assert_eq!(exits(&m.desk.update(exit, OrderStatus::Rejected, -2022)), 0, "{side:?}");
            m.desk.pass_ms(refusals.min(30) * 1_000 - 1);
            assert_eq!(exits(&m.timer()), 0, "{side:?} {refusals}");
            m.desk.pass_ms(1);
            let said = orders(&m.timer(), Purpose::Exit);
            assert_eq!(said.len(), 1, "{side:?} {refusals}");
            exit = said[0].id;
        }
    }
}

#[test]
fn dust_is_what_is_open_below_the_venues_minimum() {
    for side in SIDES {
        let dust = |lots_left: i64| {
            let mut m = Mirror::new(side);
            m.desk.engine.markets[0].instrument.min_quantity = Lots(2);
            let entry = m.enter();
            let stop = order(&m.entered(entry, 10)).id;
            m.desk.update(entry, OrderStatus::Filled, 0);
            m.desk.update(stop, OrderStatus::Accepted, 0);
            let exit = order(&m.command(CommandKind::Close)).id;
            m.exited(exit, 10 - lots_left);
            m.desk.send(EventBody::OrderUpdate(OrderUpdate {
                order: exit,
                venue_id: 1,
                filled: Lots(10 - lots_left),
                event_ms: 0,
                code: 0,
                status: OrderStatus::Expired,
                pad: [0; 3],
            }));
            let rest = m.desk.engine.trades()[0].orders.last().unwrap().id;
            let said = m.desk.update(rest, OrderStatus::Rejected, -2022);
            said.iter().any(|o| matches!(o, OutputBody::Alarm(a) if a.kind == AlarmKind::DustRemainder))
        };
        assert_eq!((dust(1), dust(2), dust(3)), (true, false, false), "{side:?}");
    }
}

#[test]
fn a_halted_engine_moves_nothing_and_still_closes_at_the_end_of_a_stops_grace() {
    for side in SIDES {
        let (mut m, _) = Mirror::held(side);
        m.command(CommandKind::Halt);
        m.desk.pass_ms(48 * 3_600_000);
        assert!(m.quote(56_250).is_empty() && m.quote(45_000).is_empty() && m.quote(0).is_empty());
        m.quote(-22_500);
        m.desk.pass_ms(250);
        assert_eq!(exits(&m.timer()), 1, "{side:?}");
    }
}

#[test]
fn a_reducing_engine_exits_and_follows_but_does_not_enter() {
    for side in SIDES {
        let (mut m, _) = Mirror::held(side);
        m.command(CommandKind::Reduce);
        assert_eq!(order(&m.quote(22_500)).purpose, Purpose::Stop, "{side:?}");
        assert_eq!(exits(&m.quote(56_250)), 1, "{side:?}");
        let mut idle = Mirror::new(side);
        idle.command(CommandKind::Reduce);
        let action = if side == Side::Buy { Action::Long } else { Action::Short };
        assert_eq!(decision(&idle.desk.signal(action, Consensus::Strong)).rule, Rule::TradingState);
    }
}

#[test]
fn a_wallet_that_differs_is_taken_over_after_three_seconds() {
    let mut m = Mirror::new(Side::Buy);
    m.desk.wallet(9_900, AccountReason::Order);
    m.timer();
    m.desk.pass_ms(2_999);
    m.timer();
    assert_eq!(m.desk.engine.controller().wallet(), Some(Dec::int(10_000)));
    m.desk.pass_ms(1);
    m.timer();
    assert_eq!(m.desk.engine.controller().wallet(), Some(Dec::int(9_900)));
}

/// A statement of before the newest fill lacks it.
#[test]
fn a_wallet_of_before_the_newest_fill_is_no_difference() {
    let wallet = |m: &Mirror| m.desk.engine.controller().wallet().unwrap();
    let stated = |m: &mut Mirror, event_ms: i64| {
        let (wallet, reason) = (Dec::int(9_900), AccountReason::Order);
        let update = AccountUpdate { wallet, change: Dec::ZERO, event_ms, reason, pad: [0; 7] };
        m.desk.send(EventBody::AccountUpdate(update));
        for _ in 0..2 {
            m.timer();
            m.desk.pass_ms(3_000);
        }
        m.timer();
    };
    let (mut m, stop) = Mirror::held(Side::Buy);
    let fill = |event_ms: i64, lots: i64| Fill {
        order: stop,
        trade_id: 900 + event_ms,
        fee: Dec::ZERO,
        price: Ticks(500_000),
        quantity: Lots(lots),
        event_ms,
        side: Side::Sell,
        maker: false,
        cause: FillCause::Order,
        pad: [0; 5],
    };
    m.desk.send(EventBody::Fill(fill(8, 10)));
    m.desk.update(stop, OrderStatus::Filled, 0);
    let before = wallet(&m);
    stated(&mut m, 7);
    assert_eq!(wallet(&m), before);
    stated(&mut m, 8);
    assert_eq!(wallet(&m), Dec::int(9_900));
    // A fill of next year is no reason to compare nothing before then.
    let (mut m, stop) = Mirror::held(Side::Buy);
    let next_year = Fill { order: stop, ..fill(m.desk.now.ms() + 31_536_000_000, 10) };
    m.desk.send(EventBody::Fill(next_year));
    m.desk.update(stop, OrderStatus::Filled, 0);
    stated(&mut m, 9);
    assert_eq!(wallet(&m), Dec::int(9_900));
}

/// A payment changes ours and the venue's alike.
#[test]
fn a_difference_that_moves_with_both_wallets_is_the_same_one() {
    let mut m = Mirror::new(Side::Buy);
    m.desk.wallet(9_900, AccountReason::Order);
    m.timer();
    m.desk.pass_ms(2_000);
    let (wallet, change, reason) = (Dec::int(9_950), Dec::int(50), AccountReason::Funding);
    m.desk.send(EventBody::AccountUpdate(AccountUpdate { wallet, change, event_ms: 0, reason, pad: [0; 7] }));
    m.timer();
    m.desk.pass_ms(999);
    m.timer();
    assert_eq!(m.desk.engine.controller().wallet(), Some(Dec::int(10_050)));
    m.desk.pass_ms(1);
    m.timer();
    assert_eq!(m.desk.engine.controller().wallet(), Some(Dec::int(9_950)));
}

/// Something on its way does not begin the three seconds anew.
#[test]
fn a_comparison_of_wallets_goes_on_after_what_interrupts_it() {
    let mut m = Mirror::new(Side::Buy);
    m.desk.wallet(9_900, AccountReason::Order);
    m.timer();
    m.desk.pass_ms(2_000);
    let entry = m.enter();
    m.timer();
    m.desk.update(entry, OrderStatus::Canceled, 0);
    m.desk.pass_ms(1_000);
    m.timer();
    assert_eq!(m.desk.engine.controller().wallet(), Some(Dec::int(9_900)));
}

/// The newest is in question; of those that rest, the newest that is for all of it is enough.
#[test]
fn stops_that_a_newer_one_covers_go_while_the_newest_is_in_question() {
    for side in SIDES {
        let mut m = Mirror::new(side);
        let entry = m.enter();
        let stops: Vec<OrderId> = [4, 4, 2].map(|lots| order(&m.entered(entry, lots)).id).to_vec();
        for stop in &stops[..2] {
            m.desk.update(*stop, OrderStatus::Accepted, 0);
        }
        let said = m.desk.update(stops[2], OrderStatus::Unknown, -1007);
        assert!(cancels(&said).is_empty(), "{side:?}: none of them is for all ten");
        // Two are closed: eight is all of it.
        let fill = Fill {
            order: OrderId::NONE,
            trade_id: -7,
            fee: Dec::ZERO,
            price: Ticks(500_000),
            quantity: Lots(2),
            event_ms: 0,
            side: side.opposite(),
            maker: false,
            cause: FillCause::Assumed,
            pad: [0; 5],
        };
        assert_eq!(cancels(&m.desk.send(EventBody::Fill(fill))), [stops[0]], "{side:?}");
    }
}

#[test]
fn no_exit_is_tested_at_a_crossed_quote() {
    for side in SIDES {
        let (mut m, _) = Mirror::held(side);
        let target = m.ahead(56_250);
        let (bid, ask) = if side == Side::Buy { (target, target - 1) } else { (target + 1, target) };
        assert!(m.desk.quote(bid, ask).is_empty(), "{side:?}");
        assert_eq!(exits(&m.desk.quote(target, target)), 1, "{side:?}: bid and ask may be equal");
    }
}
