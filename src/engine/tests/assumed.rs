//! A position that no fill explains: every policy, for what reduces, opens, grows and turns a position.

use super::*;
use crate::risk::config::OnUnknownPosition;
use crate::trade::OrderState;

impl Desk {
    pub(super) fn on_unknown(policy: OnUnknownPosition) -> Desk {
        Desk::new(Settings { on_unknown_position: policy, ..Settings::DEFAULT })
    }

    /// What the gateway concluded: so many lots (signed) must have filled, at this price.
    pub(super) fn assumed(&mut self, lots: i64, price: i64) -> Vec<OutputBody> {
        self.trade_id += 1;
        self.assumed_again(lots, price)
    }

    pub(super) fn assumed_again(&mut self, lots: i64, price: i64) -> Vec<OutputBody> {
        self.send(EventBody::Fill(Fill {
            order: OrderId::NONE,
            trade_id: -self.trade_id,
            fee: Dec::ZERO,
            price: Ticks(price),
            quantity: Lots(lots.abs()),
            event_ms: 0,
            side: if lots > 0 { Side::Buy } else { Side::Sell },
            maker: false,
            cause: FillCause::Assumed,
            pad: [0; 5],
        }))
    }

    pub(super) fn only_trade(&self) -> &crate::trade::Trade {
        assert_eq!(self.engine.trades().len(), 1);
        &self.engine.trades()[0]
    }

    pub(super) fn position(&self) -> i64 {
        let open = self.engine.trades().iter().filter(|trade| !trade.finished);
        open.map(|trade| trade.open().0 * trade.side().sign()).sum()
    }
}

pub(super) const POLICIES: [OnUnknownPosition; 3] =
    [OnUnknownPosition::Halt, OnUnknownPosition::Adopt, OnUnknownPosition::Close];

#[test]
fn what_leaves_a_position_is_booked_whatever_the_policy() {
    for policy in POLICIES {
        let mut desk = Desk::on_unknown(policy);
        let (_, stop) = desk.long();
        let said = desk.assumed(-4, 501_000);
        assert_eq!(alarms(&said), [AlarmKind::UnknownPosition], "{policy}");
        assert_eq!(desk.trading(), TradingState::Reducing);
        let smaller = order(&said);
        assert_eq!(
            (smaller.purpose, smaller.quantity, smaller.trigger),
            (Purpose::Stop, Lots(6), Ticks(477_500))
        );
        assert_eq!(cancels(&desk.update(smaller.id, OrderStatus::Accepted, 0)), [stop], "for what is left");
        // The same finding says nothing, another the rest: closed elsewhere, at the price that was given.
        assert!(desk.assumed_again(-4, 501_000).is_empty());
        let account = closed(&desk.assumed(-6, 500_500));
        assert_eq!((account.state, account.signal), (TradeState::ClosedManual, ExitSignal::Manual));
        assert_eq!(account.exit, Dec::int(50_070), "4 at 50,100 and 6 at 50,050");
        assert_eq!(desk.trading(), TradingState::Reducing, "and not halted");
    }
}

#[test]
fn with_halt_nothing_is_sent_and_what_may_be_its_stop_stays() {
    let mut desk = Desk::on_unknown(OnUnknownPosition::Halt);
    desk.stated(10);
    let said = desk.assumed(10, 520_000);
    assert_eq!(alarms(&said), [AlarmKind::UnexpectedFill]);
    assert!(!has_order(&said) && desk.engine.trades().is_empty());
    assert_eq!(desk.trading(), TradingState::Halted);
    let rests = OrderId::new(7, 40);
    for _ in 0..3 {
        let told = desk.update(rests, OrderStatus::Accepted, 0);
        assert!(cancels(&told).is_empty(), "told in every round, and left in every one");
        let said = desk.tick(40_000);
        assert!(alarms(&said).is_empty(), "said once: {said:?}");
    }
    // Not booked, so it comes again once the settings say otherwise.
    desk.engine.reconfigure(&Settings { on_unknown_position: OnUnknownPosition::Adopt, ..Settings::DEFAULT });
    desk.assumed_again(10, 520_000);
    assert_eq!(desk.position(), 10);
}

#[test]
fn adopted_it_is_a_trade_with_levels_from_the_present_price() {
    let mut desk = Desk::on_unknown(OnUnknownPosition::Adopt);
    let equity = |desk: &Desk| desk.engine.controller().equity().unwrap();
    let before = desk.engine.controller().daily_drawdown();
    desk.stated(10);
    // Bought at 52,000; the bid is 49,975. From the entry its stop would be at 49,750.
    let said = desk.assumed(10, 520_000);
    assert_eq!(alarms(&said), [AlarmKind::UnknownPosition]);
    assert_eq!(desk.trading(), TradingState::Reducing);
    let stop = order(&said);
    assert_eq!(orders(&said).len(), 1, "the entry is done, and nothing to send");
    assert_eq!((stop.purpose, stop.quantity, stop.side), (Purpose::Stop, Lots(10), Side::Sell));
    assert_eq!(stop.trigger, Ticks(477_250), "1.5 × 1,500 below the bid");
    let trade = desk.only_trade();
    assert_eq!((trade.id, trade.state), (OrderId::new(7, 1), TradeState::Open));
    assert_eq!(trade.order(trade.id).map(|entry| entry.state), Some(OrderState::Filled));
    let filled = said.iter().find_map(|o| if let OutputBody::EntryFilled(f) = o { Some(*f) } else { None });
    let filled = filled.unwrap();
    assert_eq!((filled.trade, filled.quantity, filled.entry), (trade.id, Lots(10), Dec::int(52_000)));
    // 0.01 × 2,000 under water: that is in equity, and no drawdown of ours.
    assert_eq!((equity(&desk), desk.engine.controller().daily_drawdown()), (Dec::int(9_980), before));
    desk.update(stop.id, OrderStatus::Accepted, 0);
    assert!(desk.only_trade().is_covered());
    // Its old stop is an orphan now.
    let old = OrderId::new(6, 9);
    assert_eq!(cancels(&desk.update(old, OrderStatus::Accepted, 0)), [old]);
    // And it lives by the rules of exits.
    let account = closed(&desk.fill(stop.id, Side::Sell, 477_200, 10));
    assert_eq!(account.state, TradeState::ClosedSl);
    assert!(Engine::restore(&desk.engine.snapshot(1)).is_ok());
}

#[test]
fn the_deadline_counts_for_what_is_adopted_as_ever() {
    for policy in [OnUnknownPosition::Adopt, OnUnknownPosition::Close] {
        let mut desk = Desk::on_unknown(policy);
        desk.stated(-10);
        let said = desk.assumed(-10, 500_000);
        assert_eq!(order(&said).trigger, Ticks(522_750), "1.5 × 1,500 above the ask");
        assert!(alarms(&desk.tick(1_200)).is_empty());
        let said = desk.tick(100);
        assert_eq!(alarms(&said), [AlarmKind::UnprotectedDeadline], "{policy}");
        let taken: i64 =
            orders(&said).iter().filter(|o| o.purpose == Purpose::Exit).map(|o| o.quantity.0).sum();
        let leaving = if policy == OnUnknownPosition::Adopt { 10 } else { 0 };
        assert_eq!(taken, leaving, "{policy}: what was on its way is not sent twice");
    }
}

#[test]
fn without_an_atr_the_stop_is_the_widest_the_settings_allow() {
    let table = InstrumentTable::new(vec![btcusdt()]).unwrap();
    let settings = Settings { on_unknown_position: OnUnknownPosition::Adopt, ..Settings::DEFAULT };
    let mut desk =
        Desk { engine: Engine::new(&settings, &table), out: Outbox::new(), now: TimeNs(0), trade_id: 0 };
    desk.start();
    // Neither price nor ATR: from the entry. 5% × 1.5.
    let said = desk.assumed(10, 400_000);
    assert_eq!(order(&said).trigger, Ticks(370_000));
    desk.trade(410_000);
    assert!(Engine::restore(&desk.engine.snapshot(1)).is_ok());
    // So wide that there is no such price.
    let settings = Settings { max_atr_ratio: Dec::ONE, ..settings };
    let mut desk =
        Desk { engine: Engine::new(&settings, &table), out: Outbox::new(), now: TimeNs(0), trade_id: 0 };
    desk.start();
    assert_eq!(order(&desk.assumed(10, 400_000)).trigger, Ticks(1));
    assert!(Engine::restore(&desk.engine.snapshot(1)).is_ok());
}

#[test]
fn more_than_is_ours_joins_the_trade_which_keeps_its_levels() {
    let mut desk = Desk::on_unknown(OnUnknownPosition::Adopt);
    let (entry, first) = desk.long();
    let said = desk.assumed(5, 510_000);
    assert_eq!(alarms(&said), [AlarmKind::UnknownPosition]);
    let stop = order(&said);
    assert_eq!((stop.quantity, stop.trigger), (Lots(15), Ticks(477_500)), "the same stop, for all of it");
    let trade = desk.only_trade();
    assert_eq!((trade.id, trade.open()), (entry, Lots(15)));
    assert_eq!(trade.exit.as_ref().map(|exit| exit.target), Some(Ticks(556_250)));
    assert_eq!(cancels(&desk.update(stop.id, OrderStatus::Accepted, 0)), [first]);
}

#[test]
fn closed_is_exactly_what_nothing_explains() {
    let mut desk = Desk::on_unknown(OnUnknownPosition::Close);
    let (entry, first) = desk.long();
    let said = desk.assumed(5, 510_000);
    let [stop, exit] = orders(&said)[..] else { panic!("{said:?}") };
    assert_eq!((stop.purpose, stop.quantity), (Purpose::Stop, Lots(15)), "protected while it goes");
    assert_eq!((exit.purpose, exit.quantity, exit.reduce_only), (Purpose::Exit, Lots(5), true));
    assert_eq!(cancels(&desk.update(stop.id, OrderStatus::Accepted, 0)), [first]);
    // Refused, it is tried again a second later.
    desk.update(exit.id, OrderStatus::Rejected, -2019);
    assert!(orders(&desk.tick(900)).is_empty());
    let again = order(&desk.tick(100));
    assert_eq!((again.purpose, again.quantity), (Purpose::Exit, Lots(5)));
    // In two parts, of which the second has to be sent anew.
    desk.fill(again.id, Side::Sell, 499_750, 2);
    let fitted = order(&desk.update_filled(again.id, OrderStatus::Expired, 2));
    assert_eq!((fitted.purpose, fitted.quantity), (Purpose::Stop, Lots(13)));
    desk.update(fitted.id, OrderStatus::Accepted, 0);
    let rest = orders(&desk.tick(2_000));
    let rest = rest.iter().find(|order| order.purpose == Purpose::Exit).copied().unwrap();
    assert_eq!(rest.quantity, Lots(3));
    let said = desk.fill(rest.id, Side::Sell, 499_750, 3);
    let smaller = order(&said);
    assert_eq!(
        (smaller.purpose, smaller.quantity, smaller.trigger),
        (Purpose::Stop, Lots(10), Ticks(477_500))
    );
    let trade = desk.only_trade();
    assert_eq!((trade.id, trade.open(), trade.surplus, trade.closing), (entry, Lots(10), None, None));
    assert_eq!(trade.state, TradeState::Open, "no part was closed by rule");
    desk.update(rest.id, OrderStatus::Filled, 0);
    desk.update(smaller.id, OrderStatus::Accepted, 0);
    assert!(orders(&desk.tick(60_000)).is_empty(), "ours goes on");
}

#[test]
fn a_position_of_nobody_is_closed_with_its_stop_standing() {
    let mut desk = Desk::on_unknown(OnUnknownPosition::Close);
    desk.stated(10);
    let said = desk.assumed(10, 520_000);
    let [stop, exit] = orders(&said)[..] else { panic!("{said:?}") };
    assert_eq!((stop.purpose, stop.quantity), (Purpose::Stop, Lots(10)));
    assert_eq!((exit.purpose, exit.quantity, exit.reduce_only), (Purpose::Exit, Lots(10), true));
    let fired = said.iter().find_map(|o| if let OutputBody::ExitFired(e) = o { Some(*e) } else { None });
    assert_eq!(fired.map(|fired| (fired.signal, fired.quantity)), Some((ExitSignal::Manual, Lots(10))));
    desk.update(stop.id, OrderStatus::Accepted, 0);
    let said = desk.fill(exit.id, Side::Sell, 499_750, 10);
    assert_eq!(closed(&said).state, TradeState::ClosedManual);
    assert_eq!(cancels(&said), [stop.id]);
}

/// The venue that refuses a close while stops rest gets the stop back first, and the close at once.
#[test]
fn a_stop_in_the_way_of_the_close_goes_first() {
    let mut desk = Desk::on_unknown(OnUnknownPosition::Close);
    let said = desk.assumed(10, 500_000);
    let [stop, exit] = orders(&said)[..] else { panic!("{said:?}") };
    desk.update(stop.id, OrderStatus::Accepted, 0);
    let said = desk.update(exit.id, OrderStatus::Rejected, -4118);
    assert_eq!(cancels(&said), [stop.id]);
    assert_eq!(order(&said).purpose, Purpose::Exit);
}

#[test]
fn the_other_side_first_ends_what_is_ours() {
    for policy in POLICIES {
        let mut desk = Desk::on_unknown(policy);
        let (entry, stop) = desk.long();
        let said = desk.assumed(-15, 500_000);
        let account = closed(&said);
        assert_eq!(
            (account.trade, account.quantity, account.state),
            (entry, Lots(10), TradeState::ClosedManual)
        );
        assert_eq!(cancels(&said), [stop]);
        match policy {
            OnUnknownPosition::Halt => {
                assert_eq!(alarms(&said), [AlarmKind::UnknownPosition, AlarmKind::UnexpectedFill]);
                assert_eq!((desk.trading(), desk.position()), (TradingState::Halted, 0));
                assert!(!has_order(&said));
            }
            OnUnknownPosition::Adopt | OnUnknownPosition::Close => {
                assert_eq!((desk.trading(), desk.position()), (TradingState::Reducing, -5));
                let stop = order(&said);
                assert_eq!((stop.side, stop.quantity, stop.trigger), (Side::Buy, Lots(5), Ticks(522_750)));
                let closes = policy == OnUnknownPosition::Close;
                assert_eq!(orders(&said).len(), if closes { 2 } else { 1 });
            }
        }
        // The word on the stop of the trade that is over still means nothing bad.
        assert!(alarms(&desk.update(stop, OrderStatus::Canceled, 0)).is_empty());
        assert!(Engine::restore(&desk.engine.snapshot(1)).is_ok());
    }
}

/// The venue said that the stop filled, and no list has the fills.
#[test]
fn what_an_order_owes_by_the_venues_word_is_its_fill() {
    for policy in POLICIES {
        let mut desk = Desk::on_unknown(policy);
        let (_, stop) = desk.long();
        desk.update_filled(stop, OrderStatus::Filled, 10);
        let said = desk.assumed(-10, 477_400);
        let account = closed(&said);
        assert_eq!((account.state, account.signal), (TradeState::ClosedSl, ExitSignal::StopLoss), "{policy}");
        assert!(desk.engine.trades().is_empty(), "nothing of it is owed any more");
        // An entry's, too: then the plan's levels hold.
        let mut desk = Desk::on_unknown(policy);
        let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
        desk.update_filled(entry, OrderStatus::Filled, 10);
        let stop = order(&desk.assumed(10, 500_000));
        assert_eq!((stop.quantity, stop.trigger), (Lots(10), Ticks(477_500)));
        assert_eq!(desk.trading(), TradingState::Reducing);
    }
}

#[test]
fn an_entry_to_the_other_side_gives_way() {
    let mut desk = Desk::on_unknown(OnUnknownPosition::Adopt);
    let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
    let said = desk.assumed(-5, 500_000);
    // One trade an instrument: what is there is protected, what may come is cancelled.
    assert_eq!((desk.trading(), desk.position()), (TradingState::Reducing, -5));
    assert!(order(&said).purpose == Purpose::Stop && cancels(&said).contains(&entry));
    // Should it fill all the same, that is a fill like the other: it closes what it can.
    desk.fill(entry, Side::Buy, 500_000, 5);
    assert_eq!(desk.position(), 0);
    // To the same side it is a part of what the entry becomes.
    let mut desk = Desk::on_unknown(OnUnknownPosition::Adopt);
    let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
    let said = desk.assumed(5, 500_000);
    assert_eq!((desk.only_trade().id, desk.position()), (entry, 5));
    assert_eq!((order(&said).purpose, order(&said).quantity), (Purpose::Stop, Lots(5)));
    assert!(Engine::restore(&desk.engine.snapshot(1)).is_ok());
    desk.fill(entry, Side::Buy, 500_000, 10);
    assert_eq!(desk.position(), 15);
}

#[test]
fn nothing_is_entered_where_the_venue_states_what_nothing_explains() {
    let mut desk = Desk::on_unknown(OnUnknownPosition::Adopt);
    desk.stated(10);
    assert_eq!(decision(&desk.signal(Action::Long, Consensus::Strong)).rule, Rule::Ready);
    desk.stated(0);
    assert!(decision(&desk.signal(Action::Long, Consensus::Strong)).approved);
}

/// It counted as over, and the list shows it: the trade has another by now.
#[test]
fn a_stop_given_up_that_rests_after_all_is_cancelled() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let (_, stop) = desk.long();
    desk.pass_ms(60_000);
    let again = order(&desk.update(stop, OrderStatus::NotFound, -2013));
    desk.update(again.id, OrderStatus::Accepted, 0);
    assert_eq!(cancels(&desk.update(stop, OrderStatus::Accepted, 0)), [stop]);
}

#[test]
fn a_difference_is_the_engines_own_to_say_after_half_a_minute_of_hearing() {
    let mut desk = Desk::new(Settings::DEFAULT);
    desk.stated(10);
    assert!(alarms(&desk.tick(29_900)).is_empty());
    desk.user_stream(FeedState::Down);
    assert!(alarms(&desk.tick(60_000)).is_empty(), "nobody listens");
    desk.user_stream(FeedState::Up);
    assert!(alarms(&desk.tick(29_900)).is_empty(), "counted anew");
    assert_eq!(alarms(&desk.tick(100)), [AlarmKind::UnexpectedFill]);
    assert_eq!(desk.trading(), TradingState::Halted);
}

/// Its entry filled more than was told, or somebody closed a part: the venue sold what we did not have.
#[test]
fn what_an_exit_fills_beyond_its_trade_is_a_position_of_nobodys() {
    for policy in POLICIES {
        let mut desk = Desk::on_unknown(policy);
        let (entry, stop) = desk.long();
        desk.assumed(-4, 501_000);
        let said = desk.fill(stop, Side::Sell, 477_500, 10);
        let account = closed(&said);
        assert_eq!((account.trade, account.state), (entry, TradeState::ClosedSl), "{policy}");
        assert_eq!(account.exit, Dec::int(48_690), "4 at 50,100 and 6 at 47,750");
        if policy == OnUnknownPosition::Halt {
            assert_eq!(alarms(&said), [AlarmKind::UnexpectedFill]);
            assert_eq!((desk.trading(), desk.position()), (TradingState::Halted, 0));
            assert_eq!(desk.engine.disputed(BTC), Some(Lots(-4)));
            // The operator buys it back.
            assert!(desk.assumed(4, 477_500).is_empty());
            assert_eq!(desk.engine.disputed(BTC), None);
            continue;
        }
        assert_eq!(alarms(&said), [AlarmKind::UnknownPosition], "{policy}");
        assert_eq!(desk.position(), -4, "{policy}");
        let sent = orders(&said);
        let closes = sent.iter().filter(|o| o.purpose == Purpose::Exit).map(|o| o.quantity.0).sum::<i64>();
        assert_eq!(closes, if policy == OnUnknownPosition::Close { 4 } else { 0 });
        assert!(sent.iter().any(|o| o.purpose == Purpose::Stop && o.side == Side::Buy && o.quantity.0 == 4));
        // The venue has none, and says so: what was missing was bought.
        assert_eq!(closed(&desk.assumed(4, 477_500)).quantity, Lots(4));
        assert_eq!((desk.position(), desk.trading()), (0, TradingState::Reducing), "{policy}");
        assert!(desk.engine.trades().iter().all(|trade| trade.finished));
    }
}

/// Of a position somebody else has beside ours, what he closes is his: our trade keeps its size and its stop.
#[test]
fn who_closes_what_was_left_alone_does_not_close_ours() {
    let mut desk = Desk::on_unknown(OnUnknownPosition::Halt);
    let (_, stop) = desk.long();
    assert_eq!(alarms(&desk.assumed(3, 500_000)), [AlarmKind::UnexpectedFill]);
    desk.stated(13);
    assert_eq!((desk.position(), desk.engine.disputed(BTC)), (10, Some(Lots(13))));
    assert!(alarms(&desk.tick(40_000)).is_empty(), "it was said");
    let rests = OrderId::new(6, 9);
    assert!(cancels(&desk.update(rests, OrderStatus::Accepted, 0)).is_empty(), "it may be the other's stop");
    let mut desk =
        Engine::restore(&desk.engine.snapshot(1)).map(|(engine, _)| Desk { engine, ..desk }).unwrap();
    // One of three.
    assert!(desk.assumed(-1, 500_000).is_empty());
    assert_eq!((desk.position(), desk.engine.disputed(BTC)), (10, Some(Lots(12))));
    assert!(desk.assumed_again(-1, 500_000).is_empty(), "once");
    // The rest, and two of ours: our stop follows.
    let said = desk.assumed(-4, 500_000);
    assert_eq!(alarms(&said), [AlarmKind::UnknownPosition]);
    assert!(said.iter().any(|o| matches!(o, OutputBody::Alarm(alarm) if alarm.value == -2)), "of ours alone");
    assert_eq!((desk.position(), order(&said).quantity), (8, Lots(8)));
    assert_eq!(cancels(&desk.update(order(&said).id, OrderStatus::Accepted, 0)), [stop]);
    assert_eq!((desk.engine.disputed(BTC), desk.trading()), (None, TradingState::Halted));
    assert_eq!(cancels(&desk.update(rests, OrderStatus::Accepted, 0)), [rests], "an orphan now");
}

/// A fill that fits no order of ours moves what is left alone as well; the next start is told anew.
#[test]
fn what_is_left_alone_adds_up_and_ends_with_the_run() {
    let mut desk = Desk::on_unknown(OnUnknownPosition::Halt);
    let nobodys = OrderId::new(6, 9);
    for (side, lots, left) in [(Side::Buy, 5, Some(5)), (Side::Sell, 2, Some(3)), (Side::Sell, 3, None)] {
        assert_eq!(alarms(&desk.fill(nobodys, side, 500_000, lots)), [AlarmKind::UnexpectedFill]);
        assert_eq!(desk.engine.disputed(BTC).map(|lots| lots.0), left);
    }
    desk.fill(nobodys, Side::Buy, 500_000, 5);
    desk.start_again(8);
    assert_eq!(desk.engine.disputed(BTC), None, "the gateway begins with what the engine has");
}
