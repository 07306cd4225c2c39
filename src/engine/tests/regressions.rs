//! Each test is a bug that was found, named after what went wrong.

use super::*;

impl Desk {
    fn report(&mut self, order: OrderId, status: OrderStatus, filled: i64) -> Vec<OutputBody> {
        self.send(EventBody::OrderUpdate(OrderUpdate {
            order,
            venue_id: 1,
            filled: Lots(filled),
            event_ms: 0,
            code: 0,
            status,
            pad: [0; 3],
        }))
    }

    fn timer(&mut self, after_ms: i64) -> Vec<OutputBody> {
        self.pass_ms(after_ms);
        self.send(EventBody::Timer(Timer { count: 1 }))
    }

    fn command(&mut self, command: CommandKind) -> Vec<OutputBody> {
        self.send(EventBody::Command(Command { command, pad: [0; 7] }))
    }

    fn held(&mut self, lots: i64) -> Vec<OutputBody> {
        let entry = Dec::int(50_000);
        self.send(EventBody::VenuePosition(VenuePosition { entry, quantity: Lots(lots), event_ms: 0 }))
    }

    fn enter(&mut self) -> OrderId {
        order(&self.signal(Action::Long, Consensus::Strong)).id
    }

    fn state(&self) -> TradingState {
        self.engine.controller().state()
    }
}

fn alarms(outputs: &[OutputBody], kind: AlarmKind) -> usize {
    outputs.iter().filter(|o| matches!(o, OutputBody::Alarm(a) if a.kind == kind)).count()
}

#[test]
fn an_entry_that_ended_before_its_fill_was_reported_left_the_position_bare() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = desk.enter();
    desk.report(entry, OrderStatus::Expired, 4);
    assert_eq!(desk.engine.trades().len(), 1, "four lots are still to be reported");
    let stop = order(&desk.fill(entry, Side::Buy, 500_000, 4));
    assert_eq!((stop.purpose, stop.quantity), (Purpose::Stop, Lots(4)));
}

#[test]
fn a_fill_that_never_comes_went_unnoticed() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = desk.enter();
    desk.report(entry, OrderStatus::Filled, 10);
    let said = desk.timer(5_000);
    assert!(said.iter().any(|o| matches!(o, OutputBody::Query(q) if q.id == entry)));
    assert_eq!(desk.state(), TradingState::Reducing);
}

#[test]
fn a_stop_for_a_part_counted_as_cover_for_the_whole() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = desk.enter();
    let first = order(&desk.fill(entry, Side::Buy, 500_000, 4));
    desk.update(first.id, OrderStatus::Accepted, 0);
    let second = order(&desk.fill(entry, Side::Buy, 500_000, 6));
    assert_eq!((second.purpose, second.quantity), (Purpose::Stop, Lots(10)));
    // Its answer is lost.
    assert!(!has_order(&desk.timer(1_249)));
    assert_eq!(order(&desk.timer(1)).purpose, Purpose::Exit);
}

#[test]
fn a_working_stop_the_venue_has_forgotten_counted_as_cover() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let (_, stop) = desk.long();
    desk.pass_ms(61_000);
    let said = desk.update(stop, OrderStatus::NotFound, -2013);
    assert_eq!(order(&said).purpose, Purpose::Stop, "a new one at once");
}

#[test]
fn a_stop_that_was_acknowledged_and_then_lost_counted_as_refused() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let (_, stop) = desk.long();
    desk.pass_ms(1_000);
    desk.update(stop, OrderStatus::NotFound, -2013);
    desk.pass_ms(60_000);
    let said = desk.update(stop, OrderStatus::NotFound, -2013);
    assert_eq!(order(&said).purpose, Purpose::Stop, "another one, and no close");
    assert_eq!(desk.state(), TradingState::Active);
}

#[test]
fn a_refused_successor_closed_a_position_that_could_keep_its_stop() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let (_, first) = desk.long();
    let second = order(&desk.quote(522_500, 522_600));
    let said = desk.update(second.id, OrderStatus::Rejected, -4045);
    assert_eq!(cancels(&said), [first]);
    assert!(!has_order(&said) && desk.engine.trades()[0].closing.is_none());
    let third = order(&desk.update(first, OrderStatus::Canceled, 0));
    assert_eq!((third.purpose, third.trigger), (Purpose::Stop, Ticks(500_500)));
    // And if that is refused too, there is nothing left but to close.
    let said = desk.update(third.id, OrderStatus::Rejected, -4045);
    assert_eq!((order(&said).purpose, desk.state()), (Purpose::Exit, TradingState::Reducing));
}

#[test]
fn stops_refused_while_closing_were_sent_again_without_end() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = desk.enter();
    let stop = order(&desk.fill(entry, Side::Buy, 500_000, 10));
    desk.update(entry, OrderStatus::Filled, 0);
    let mut said = desk.update(stop.id, OrderStatus::Rejected, -2022);
    let mut sent = 0;
    for _ in 0..600 {
        let orders = said.iter().filter_map(|o| if let OutputBody::Order(o) = o { Some(*o) } else { None });
        let refused: Vec<Order> = orders.collect();
        sent += refused.len();
        desk.pass_ms(50);
        said = refused.iter().flat_map(|o| desk.update(o.id, OrderStatus::Rejected, -2022)).collect();
        said.extend(desk.timer(50));
    }
    // A minute of refusals: a stop a second, and ever fewer exits.
    assert!((30..=90).contains(&sent), "{sent} orders");
}

#[test]
fn a_stop_that_expired_half_filled_left_the_rest_to_a_new_stop() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let (_, stop) = desk.long();
    desk.report(stop, OrderStatus::Triggered, 0);
    desk.fill(stop, Side::Sell, 477_500, 3);
    let said = desk.report(stop, OrderStatus::Expired, 3);
    assert_eq!((order(&said).purpose, order(&said).quantity), (Purpose::Exit, Lots(7)));
}

#[test]
fn a_triggered_stop_and_a_close_both_sold_the_position() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let (_, stop) = desk.long();
    desk.report(stop, OrderStatus::Triggered, 0);
    assert!(!has_order(&desk.command(CommandKind::Close)), "the stop is selling it");
    let said = desk.report(stop, OrderStatus::Expired, 0);
    assert_eq!((order(&said).purpose, order(&said).quantity), (Purpose::Exit, Lots(10)));
}

#[test]
fn stopped_out_while_still_entering_bought_on() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = desk.enter();
    let stop = order(&desk.fill(entry, Side::Buy, 500_000, 4));
    desk.report(stop.id, OrderStatus::Accepted, 0);
    desk.report(stop.id, OrderStatus::Triggered, 0);
    let said = desk.fill(stop.id, Side::Sell, 477_000, 4);
    assert_eq!(cancels(&said), [entry]);
    let said = desk.fill(entry, Side::Buy, 477_000, 2);
    assert_eq!((order(&said).purpose, order(&said).quantity), (Purpose::Exit, Lots(2)));
}

#[test]
fn a_pending_entry_that_fills_after_a_flatten_is_closed_at_once() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = desk.enter();
    assert_eq!(cancels(&desk.command(CommandKind::Flatten)), [entry]);
    for part in [3, 3, 2, 1] {
        let said = desk.fill(entry, Side::Buy, 500_000, part);
        assert_eq!((order(&said).purpose, order(&said).quantity), (Purpose::Exit, Lots(part)));
    }
}

#[test]
fn reducing_let_a_pending_entry_go_on() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = desk.enter();
    assert_eq!(cancels(&desk.command(CommandKind::Reduce)), [entry]);
}

#[test]
fn a_breaker_tripped_by_a_fill_did_not_flatten() {
    let settings = Settings {
        circuit_breaker_flatten: true,
        circuit_breaker_loss_pct: Dec::new(1, 3),
        ..Settings::DEFAULT
    };
    let mut desk = Desk::new(settings);
    let entry = desk.enter();
    // It fills far above the market: 10 lots × 2,000 are 0.2% of the account.
    let said = desk.fill(entry, Side::Buy, 520_000, 10);
    let flatten = |o: &OutputBody| matches!(o, OutputBody::ExitFired(f) if f.signal == ExitSignal::Flatten);
    assert!(said.iter().any(flatten), "{said:?}");
}

#[test]
fn a_snapshot_after_a_partial_exit_counted_its_profit_twice() {
    let mut desk = Desk::new(Settings { enable_trailing: false, ..Settings::DEFAULT });
    desk.long();
    let part = order(&desk.quote(545_000, 545_100));
    desk.fill(part.id, Side::Sell, 545_000, 5);
    desk.trade(545_000);
    let before = desk.engine.controller().equity();
    // 10,000 − two fees of 0.25 + 5 lots × 4,500.
    let (wallet, reason) = (Dec::new(1_002_200, 2), AccountReason::Snapshot);
    let update = AccountUpdate { wallet, change: Dec::ZERO, event_ms: 0, reason, pad: [0; 7] };
    let said = desk.send(EventBody::AccountUpdate(update));
    assert_eq!(desk.engine.controller().equity(), before);
    assert_eq!(alarms(&said, AlarmKind::WalletDiffers), 0);
}

#[test]
fn a_wallet_that_differs_is_taken_over_once_it_lasts_and_is_no_drawdown() {
    let mut desk = Desk::new(Settings::DEFAULT);
    desk.wallet(9_900, AccountReason::Order);
    assert_eq!(alarms(&desk.timer(1_000), AlarmKind::WalletDiffers), 0, "a fill may follow");
    assert_eq!(alarms(&desk.timer(5_000), AlarmKind::WalletDiffers), 1);
    assert_eq!(desk.engine.controller().wallet(), Some(Dec::int(9_900)));
    assert_eq!(desk.engine.controller().daily_drawdown(), Dec::ZERO);
}

#[test]
fn a_resting_stop_kept_the_venues_position_from_being_compared() {
    let mut desk = Desk::new(Settings::DEFAULT);
    desk.long();
    // Ahead of its fill, as venues do: no difference.
    desk.held(0);
    desk.held(10);
    desk.timer(31_000);
    assert_eq!(desk.state(), TradingState::Active);
    desk.held(0);
    desk.timer(29_999);
    assert_eq!(desk.state(), TradingState::Active);
    assert_eq!(alarms(&desk.timer(1), AlarmKind::UnexpectedFill), 1);
    assert_eq!(desk.state(), TradingState::Halted);
}

#[test]
fn an_orphan_acknowledged_after_its_trade_was_gone_stayed_on_the_book() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let lost = OrderId::new(7, 99);
    assert_eq!(cancels(&desk.update(lost, OrderStatus::Accepted, 0)), [lost]);
    assert!(cancels(&desk.update(lost, OrderStatus::Canceled, 0)).is_empty());
}

#[test]
fn a_cancel_that_got_lost_left_the_stop_resting_for_ever() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let (_, stop) = desk.long();
    let exit = order(&desk.command(CommandKind::Close)).id;
    assert_eq!(cancels(&desk.fill(exit, Side::Sell, 500_000, 10)), [stop]);
    desk.update(exit, OrderStatus::Filled, 0);
    assert!(cancels(&desk.timer(4_999)).is_empty());
    assert_eq!(cancels(&desk.timer(1)), [stop]);
}

#[test]
fn a_fill_beyond_its_order_was_booked() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = desk.enter();
    desk.fill(entry, Side::Buy, 500_000, 8);
    for (side, lots) in [(Side::Buy, 3), (Side::Sell, 1), (Side::Buy, i64::MAX), (Side::Buy, 0)] {
        desk.fill(entry, side, 500_000, lots);
        assert_eq!(desk.engine.trades()[0].open(), Lots(8));
    }
    assert_eq!(desk.state(), TradingState::Halted);
}

#[test]
fn a_second_run_start_issued_ids_again() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let first = desk.enter();
    desk.update(first, OrderStatus::Rejected, -2019);
    desk.start();
    assert!(desk.enter() > first);
}

#[test]
fn an_old_beyond_since_alarmed_about_a_trade_already_closed() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let (_, stop) = desk.long();
    desk.quote(477_400, 477_500);
    let exit = order(&desk.command(CommandKind::Close)).id;
    desk.fill(exit, Side::Sell, 477_400, 10);
    desk.update(exit, OrderStatus::Filled, 0);
    assert_eq!(desk.engine.trades().len(), 1, "{stop:?} is still being cancelled");
    assert_eq!(alarms(&desk.timer(1_000), AlarmKind::StopNotTriggered), 0);
}

#[test]
fn a_regime_symbol_that_never_traded_let_shorts_through() {
    let regime_symbol = Symbol::new("BTCUSDT");
    let settings = Settings { regime_symbol, require_trend: false, ..Settings::DEFAULT };
    let mut desk = Desk::new(settings);
    desk.engine.markets[0].price = Ticks::ZERO;
    assert!(desk.engine.regime_now().is_none());
}

#[test]
fn a_liquidation_while_entering_left_the_entry_working() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = desk.enter();
    desk.fill(entry, Side::Buy, 500_000, 4);
    let forced = Fill {
        order: OrderId::NONE,
        trade_id: 77,
        fee: Dec::ZERO,
        price: Ticks(400_000),
        quantity: Lots(4),
        event_ms: 0,
        side: Side::Sell,
        maker: false,
        cause: FillCause::Liquidation,
        pad: [0; 5],
    };
    assert_eq!(cancels(&desk.send(EventBody::Fill(forced))), [entry]);
    let said = desk.report(entry, OrderStatus::Canceled, 4);
    assert_eq!(closed(&said).state, TradeState::ClosedLiquidated);
}

#[test]
fn a_stop_refused_at_once_while_a_smaller_one_was_unanswered_was_sent_without_end() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = desk.enter();
    let first = order(&desk.fill(entry, Side::Buy, 500_000, 4));
    desk.command(CommandKind::Close);
    let said = desk.fill(entry, Side::Buy, 500_000, 4);
    let stops: Vec<Order> = orders(&said).into_iter().filter(|o| o.purpose == Purpose::Stop).collect();
    assert_eq!((first.quantity, stops[0].quantity), (Lots(4), Lots(8)));
    let said = desk.update(stops[0].id, OrderStatus::Rejected, 1);
    assert!(orders(&said).is_empty(), "the gateway would refuse it again in the same instant: {said:?}");
    let again = orders(&desk.timer(1_000));
    assert_eq!(again.iter().filter(|o| o.purpose == Purpose::Stop).map(|o| o.quantity.0).sum::<i64>(), 8);
}

/// Its own gateway had no room, or was to be silent: the venue never saw it.
#[test]
fn a_stop_that_never_left_the_gateway_cost_the_one_that_stood() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = desk.enter();
    let first = order(&desk.fill(entry, Side::Buy, 500_000, 4));
    desk.update(first.id, OrderStatus::Accepted, 0);
    let next = order(&desk.fill(entry, Side::Buy, 500_000, 4));
    assert_eq!((next.purpose, next.quantity), (Purpose::Stop, Lots(8)));
    let said = desk.update(next.id, OrderStatus::Rejected, 12);
    assert!(cancels(&said).is_empty(), "{said:?}");
    assert!(orders(&said).is_empty(), "it would be refused again in the same instant: {said:?}");
    let again = order(&desk.timer(1_000));
    assert_eq!((again.purpose, again.quantity), (Purpose::Stop, Lots(8)));
    // A venue that refuses a second one gets the first one back.
    assert_eq!(cancels(&desk.update(again.id, OrderStatus::Rejected, -4045)), [first.id]);
}
