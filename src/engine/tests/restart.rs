//! The rows of the recovery table in `docs/JOURNAL.md`, as far as they are the engine's.

use super::*;
use crate::risk::config::ExitPrice;

impl Desk {
    /// The process ended here; the next start begins this much later.
    fn crash(&mut self, after_ms: i64) -> Vec<OutputBody> {
        self.pass_ms(after_ms);
        self.start_again(self.engine.epoch() + 1)
    }

    /// The venue has said everything.
    fn heard(&mut self) -> Vec<OutputBody> {
        self.user_stream(FeedState::Resynced)
    }

    fn not_found(&mut self, order: OrderId) -> Vec<OutputBody> {
        self.update(order, OrderStatus::NotFound, -2013)
    }

    fn state_of(&self, id: OrderId) -> Option<crate::trade::OrderState> {
        self.engine.trades().iter().find_map(|trade| trade.order(id)).map(|order| order.state)
    }
}

use crate::trade::OrderState;

#[test]
fn nothing_is_entered_before_the_venue_was_heard_and_as_before_after_it() {
    let mut desk = Desk::new(Settings::DEFAULT);
    assert!(!desk.engine.is_recovering(), "a first start has nothing to recover");
    desk.crash(60_000);
    desk.quote(499_750, 500_250);
    assert!(desk.engine.is_recovering() && !desk.engine.is_idle());
    assert_eq!(decision(&desk.signal(Action::Long, Consensus::Strong)).rule, Rule::Ready);
    desk.user_stream(FeedState::Stale);
    assert!(desk.engine.is_recovering(), "silence is no word");
    let mut other = desk.engine.clone();
    desk.heard();
    assert!(!desk.engine.is_recovering());
    assert_eq!(desk.trading(), TradingState::Reducing, "that the stream fell silent stays the operator's");
    // Without such a loss a start goes on as the one before it.
    let mut calm = Desk::new(Settings::DEFAULT);
    calm.crash(60_000);
    calm.heard();
    calm.quote(499_750, 500_250);
    let entry = decision(&calm.signal(Action::Long, Consensus::Strong));
    assert!(entry.approved && entry.order == OrderId::new(8, 1), "ids of the new epoch");
    // The market's connection says nothing of fills.
    let up = FeedStatus { since_ms: 0, feed: Feed::Market, state: FeedState::Up, pad: [0; 6] };
    other.step(&Event::global(desk.now, EventBody::FeedStatus(up)), &mut desk.out);
    assert!(other.is_recovering());
}

#[test]
fn a_halted_engine_is_halted_after_the_next_start() {
    let mut desk = Desk::new(Settings::DEFAULT);
    desk.send(EventBody::Command(Command { command: CommandKind::Halt, pad: [0; 7] }));
    desk.crash(60_000);
    desk.heard();
    assert_eq!(desk.trading(), TradingState::Halted);
}

#[test]
fn a_run_that_was_told_to_end_is_gone_on_with_as_before_it() {
    let command = |command| EventBody::Command(Command { command, pad: [0; 7] });
    let mut desk = Desk::new(Settings::DEFAULT);
    desk.send(command(CommandKind::Stop));
    assert_eq!(desk.trading(), TradingState::Halted);
    let said = desk.crash(60_000);
    assert!(matches!(said[..], [OutputBody::TradingStateChanged(c)] if c.to == TradingState::Active));
    desk.send(command(CommandKind::Reduce));
    desk.send(command(CommandKind::Stop));
    desk.crash(60_000);
    assert_eq!(desk.trading(), TradingState::Reducing);
    desk.send(command(CommandKind::Stop));
    desk.send(EventBody::Divergence(Divergence { sequence: 1 }));
    desk.crash(60_000);
    assert_eq!(desk.trading(), TradingState::Halted, "what happened on the way out holds");
}

#[test]
fn an_announcement_of_the_same_epoch_is_no_other_start() {
    let mut desk = Desk::new(Settings::DEFAULT);
    desk.start();
    assert!(!desk.engine.is_recovering());
}

#[test]
fn a_covered_position_is_left_as_it_is() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let (_, stop) = desk.long();
    let said = desk.crash(3_600_000);
    assert!(said.is_empty(), "{said:?}");
    // Asked for, it is as it was.
    assert!(!has_order(&desk.update(stop, OrderStatus::Accepted, 0)));
    desk.stated(10);
    assert!(!has_order(&desk.heard()));
    let said = desk.tick(10_000);
    assert!(!has_order(&said) && alarms(&said).is_empty(), "{said:?}");
    assert_eq!(desk.trading(), TradingState::Active);
}

#[test]
fn fills_that_were_missed_are_booked_and_protected_at_once() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
    let said = desk.crash(30_000);
    let unknown = |o: &OutputBody| matches!(o, OutputBody::TradeChanged(c) if c.to == TradeState::Unknown);
    assert!(said.iter().any(unknown), "an order without an answer may exist");
    let stop = order(&desk.fill(entry, Side::Buy, 500_000, 10));
    assert_eq!((stop.purpose, stop.quantity, stop.id), (Purpose::Stop, Lots(10), OrderId::new(8, 1)));
    desk.update(entry, OrderStatus::Filled, 0);
    desk.update(stop.id, OrderStatus::Accepted, 0);
    desk.stated(10);
    assert!(!has_order(&desk.heard()));
}

#[test]
fn a_stop_that_filled_meanwhile_closes_the_trade_at_its_price() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let (_, stop) = desk.long();
    desk.crash(30_000);
    let account = closed(&desk.fill(stop, Side::Sell, 477_400, 10));
    assert_eq!((account.state, account.exit), (TradeState::ClosedSl, Dec::int(47_740)));
    desk.update(stop, OrderStatus::Filled, 0);
    desk.stated(0);
    desk.heard();
    assert!(desk.engine.trades().is_empty());
    assert_eq!(desk.trading(), TradingState::Active);
}

#[test]
fn an_entry_the_venue_never_had_is_given_up_after_a_minute_and_not_sent_again() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
    desk.crash(30_000);
    desk.not_found(entry);
    desk.heard();
    assert_eq!(desk.state_of(entry), Some(OrderState::Unknown), "it may be too fresh to be found");
    desk.pass_ms(30_000);
    let said = desk.not_found(entry);
    assert!(!has_order(&said) && desk.engine.trades().is_empty());
}

#[test]
fn a_stop_nobody_knows_of_gets_a_companion_and_goes_itself_if_it_turns_up() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
    let first = order(&desk.fill(entry, Side::Buy, 500_000, 10)).id;
    desk.update(entry, OrderStatus::Filled, 0);
    desk.crash(2_000);
    assert!(!has_order(&desk.not_found(first)), "not before everything was heard");
    let second = order(&desk.heard());
    assert_eq!((second.purpose, second.quantity), (Purpose::Stop, Lots(10)));
    assert!(!has_order(&desk.tick(500)), "one is enough");
    desk.update(second.id, OrderStatus::Accepted, 0);
    assert_eq!(cancels(&desk.update(first, OrderStatus::Accepted, 0)), [first], "the older one goes");
    assert_eq!(desk.trading(), TradingState::Active);
}

#[test]
fn a_stop_that_never_was_costs_nothing_once_it_is_given_up() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
    let first = order(&desk.fill(entry, Side::Buy, 500_000, 10)).id;
    desk.update(entry, OrderStatus::Filled, 0);
    desk.crash(2_000);
    desk.not_found(first);
    let second = order(&desk.heard()).id;
    desk.update(second, OrderStatus::Accepted, 0);
    desk.pass_ms(6_000);
    let said = desk.not_found(first);
    assert!(cancels(&said).is_empty() && !has_order(&said) && alarms(&said).is_empty(), "{said:?}");
    assert_eq!(desk.state_of(second), Some(OrderState::Working));
    assert_eq!(desk.trading(), TradingState::Active);
}

#[test]
fn the_deadline_of_an_uncovered_position_counts_from_the_start() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
    let stop = order(&desk.fill(entry, Side::Buy, 500_000, 10)).id;
    desk.update(entry, OrderStatus::Filled, 0);
    desk.crash(60_000);
    let exits = |said: &[OutputBody]| {
        said.iter().any(|o| matches!(o, OutputBody::Order(order) if order.purpose == Purpose::Exit))
    };
    assert!(!exits(&desk.tick(1_000)), "the stop may well rest");
    assert!(exits(&desk.tick(400)), "but nobody has said so by the deadline");
    // How long it had no stop is told as it was.
    let said = desk.update(stop, OrderStatus::Accepted, 0);
    let bare = said.iter().find_map(|o| if let OutputBody::Protected(p) = o { Some(*p) } else { None });
    assert_eq!(bare.map(|p| p.unprotected_ns), Some(61_400 * NS_PER_MS));
}

#[test]
fn orders_that_were_never_sent_are_decided_anew() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
    let stop = order(&desk.fill(entry, Side::Buy, 500_000, 10)).id;
    desk.crash(2_000);
    let said = desk.update(stop, OrderStatus::Rejected, OrderUpdate::NEVER_SENT);
    let again = order(&said);
    assert_eq!((again.purpose, again.id), (Purpose::Stop, OrderId::new(8, 1)), "under an id of its own");
    assert!(alarms(&said).is_empty(), "the venue refused nothing");
    // An entry is not: the moment is gone.
    let mut desk = Desk::new(Settings::DEFAULT);
    let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
    desk.crash(2_000);
    assert!(!has_order(&desk.update(entry, OrderStatus::Rejected, OrderUpdate::NEVER_SENT)));
    assert!(desk.engine.trades().is_empty());
    assert_eq!(desk.trading(), TradingState::Active);
}

#[test]
fn an_exit_nobody_knows_of_is_decided_anew_once_it_can_not_come_any_more() {
    let mut desk = Desk::new(Settings::DEFAULT);
    desk.long();
    let exit =
        order(&desk.send(EventBody::Command(Command { command: CommandKind::Flatten, pad: [0; 7] }))).id;
    desk.crash(2_000);
    desk.not_found(exit);
    desk.heard();
    assert_eq!(desk.state_of(exit), Some(OrderState::Unknown), "it may still be on its way");
    desk.pass_ms(4_000);
    desk.not_found(exit);
    assert_eq!(desk.state_of(exit), Some(OrderState::Rejected));
    let again = order(&desk.tick(1_000));
    assert_eq!((again.purpose, again.quantity), (Purpose::Exit, Lots(10)));
}

/// Taken twice, a part would be more than the rules meant to take: it has the minute of any order.
#[test]
fn a_part_nobody_knows_of_is_not_decided_anew_so_soon() {
    let mut desk = Desk::new(Settings::DEFAULT);
    desk.long();
    desk.quote(522_500, 522_600);
    let said = desk.quote(545_000, 545_100);
    let part = orders(&said).into_iter().find(|o| o.purpose == Purpose::Exit).unwrap();
    assert_eq!(part.quantity, Lots(5));
    desk.pass_ms(20_000);
    desk.not_found(part.id);
    assert_eq!(desk.state_of(part.id), Some(OrderState::Unknown));
    desk.pass_ms(40_000);
    desk.not_found(part.id);
    assert_eq!(desk.state_of(part.id), Some(OrderState::Rejected));
}

#[test]
fn a_position_nothing_explains_halts_and_keeps_what_may_be_its_stop() {
    let mut desk = Desk::new(Settings::DEFAULT);
    desk.crash(2_000);
    desk.stated(10);
    // Of a start whose end was lost with the power: a stop with our prefix that no trade has.
    let lost = OrderId::new(7, 40);
    let said = desk.update(lost, OrderStatus::Accepted, 0);
    assert_eq!((cancels(&said), alarms(&said)), (vec![], vec![AlarmKind::UnknownOrder]));
    assert!(alarms(&desk.tick(9_000)).is_empty(), "fills that explain it may still come");
    desk.heard();
    assert!(alarms(&desk.tick(29_000)).is_empty(), "the gateway concludes what fills are missing");
    assert_eq!(alarms(&desk.tick(1_000)), [AlarmKind::UnexpectedFill]);
    assert_eq!(desk.trading(), TradingState::Halted);
    assert!(cancels(&desk.update(lost, OrderStatus::Accepted, 0)).is_empty(), "and then, too");
}

#[test]
fn an_order_no_trade_has_goes_where_nothing_is_held() {
    let mut desk = Desk::new(Settings::DEFAULT);
    desk.crash(2_000);
    let orphan = OrderId::new(7, 40);
    assert_eq!(cancels(&desk.update(orphan, OrderStatus::Accepted, 0)), [orphan]);
}

#[test]
fn a_stop_cancelled_by_somebody_else_is_placed_again() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let (_, stop) = desk.long();
    desk.crash(30_000);
    let again = order(&desk.update(stop, OrderStatus::Canceled, 0));
    assert_eq!((again.purpose, again.quantity), (Purpose::Stop, Lots(10)));
}

#[test]
fn a_price_beyond_the_stop_before_the_end_is_not_one_after_it() {
    let mut desk = Desk::new(Settings::DEFAULT);
    desk.long();
    desk.quote(477_400, 477_500);
    desk.crash(60_000);
    desk.heard();
    assert!(!has_order(&desk.tick(1_000)), "whatever it did meanwhile, the stop has the word");
}

#[test]
fn since_when_nobody_listened_is_the_last_event_or_the_loss_before_it() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let last = desk.now;
    assert_eq!(desk.engine.unheard_since(), last);
    desk.crash(60_000);
    assert_eq!(desk.engine.unheard_since(), last, "not the start's own time");
    desk.crash(60_000);
    assert_eq!(desk.engine.unheard_since(), last, "nothing was heard in between");
    desk.heard();
    assert_eq!(desk.engine.unheard_since(), desk.now);
    desk.user_stream(FeedState::Down);
    let lost = desk.now;
    desk.tick(1_000);
    desk.crash(1_000);
    assert_eq!(desk.engine.unheard_since(), lost);
}

#[test]
fn other_settings_come_into_force_with_their_last_piece() {
    let mut desk = Desk::new(Settings::DEFAULT);
    desk.long();
    let levels = desk.engine.trades()[0].exit;
    let (price, atr) = (desk.engine.market(BTC).unwrap().price, desk.engine.market(BTC).unwrap().atr_value);
    let other =
        Settings { min_confidence: Dec::new(99, 2), exit_price: ExitPrice::Mark, ..Settings::DEFAULT };
    let mut change = SettingsChange::default();
    let announced = EventBody::ConfigChange(ConfigChange { digest: other.digest() });
    let text = other.to_toml();
    let bodies: Vec<EventBody> =
        std::iter::once(announced).chain(ConfigText::split(&text).map(EventBody::ConfigText)).collect();
    for (index, body) in bodies.iter().enumerate() {
        assert_eq!(*desk.engine.settings(), Settings::DEFAULT);
        assert!(change.concerns(body) && desk.send(*body).is_empty());
        let changed = change.take(body, &mut desk.engine).unwrap();
        assert_eq!(changed, index + 1 == bodies.len());
    }
    assert_eq!(*desk.engine.settings(), other);
    assert!(!change.concerns(&bodies[1]), "pieces that nothing announced are the opening's");
    assert_eq!(desk.engine.trades()[0].exit, levels, "levels stay");
    assert_eq!(
        (desk.engine.market(BTC).unwrap().price, desk.engine.market(BTC).unwrap().atr_value),
        (price, atr)
    );
    // Other periods begin anew.
    desk.engine.reconfigure(&Settings { atr_period: 20, ..other });
    let market = desk.engine.market(BTC).unwrap();
    assert_eq!((market.price, market.atr_value), (price, None));
    assert!(Engine::restore(&desk.engine.snapshot(1)).is_ok(), "and are a state that can be read back");
}

#[test]
fn pieces_out_of_order_and_texts_that_are_no_settings_change_nothing() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let announced = EventBody::ConfigChange(ConfigChange { digest: 0 });
    let mut feed = |texts: &[(u16, &str)]| {
        let mut change = SettingsChange::default();
        change.take(&announced, &mut desk.engine).unwrap();
        let mut outcome = Ok(false);
        for (piece, text) in texts {
            let one = ConfigText::split(text).next().unwrap();
            let body = EventBody::ConfigText(ConfigText { piece: *piece, pieces: texts.len() as u16, ..one });
            outcome = change.take(&body, &mut desk.engine);
        }
        let error = outcome.map_err(|error| error.to_string());
        (error, *desk.engine.settings() == Settings::DEFAULT)
    };
    let (error, same) = feed(&[(1, "RM_MIN_CONFIDENCE = 0.9\n")]);
    assert!(same && error.unwrap_err().contains("piece 1 of the settings, where piece 0 of 1"));
    let (error, same) = feed(&[(0, "RM_MIN_CONFIDENCE = 9\n")]);
    assert!(same && error.unwrap_err().contains("RM_MIN_CONFIDENCE"));
    let (error, same) = feed(&[(0, "RM_MIN_CONFIDENCE"), (1, " = 0.9\n")]);
    assert!(!same && error.unwrap(), "what comes in order is put together");
}

#[test]
fn the_ring_and_the_archive_lower_the_state_by_journaled_events() {
    let share = |used_ppm| EventBody::QueueShare(QueueShare { used_ppm, queue: Queue::Ring, pad: [0; 3] });
    let mut desk = Desk::new(Settings::DEFAULT);
    assert!(desk.send(share(499_999)).is_empty());
    assert_eq!(alarms(&desk.send(share(500_000))), [AlarmKind::JournalBehind]);
    assert_eq!(desk.trading(), TradingState::Reducing);
    assert!(desk.send(share(900_000)).is_empty(), "said once");
    let mut desk = Desk::new(Settings::DEFAULT);
    let orders = EventBody::QueueShare(QueueShare { used_ppm: 900_000, queue: Queue::Orders, pad: [0; 3] });
    assert!(desk.send(orders).is_empty(), "another queue has policies of its own");
    let archive = |failing| EventBody::ArchiveStatus(ArchiveStatus { error: 28, failing, pad: [0; 3] });
    let said = desk.send(archive(true));
    assert_eq!(alarms(&said), [AlarmKind::ArchiveFailing]);
    assert_eq!(desk.trading(), TradingState::Reducing);
    assert!(desk.send(archive(false)).is_empty());
    assert_eq!(desk.trading(), TradingState::Reducing, "it rises by the operator");
}
