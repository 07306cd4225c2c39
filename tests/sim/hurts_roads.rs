//! Connections, clocks, limits and formats.

use quantum_trader::soak::{self, Blow, Kind};
use quantum_trader::trade::OrderState;

use super::*;

#[test]
fn reconnect_marks_a_live_order_rejected() {
    let mut lived = 0;
    for (i, mut world) in worlds(30, fair).enumerate() {
        pass(&mut world, 3_000);
        let entered = |world: &mut World| world.door().iter().any(|knock| Asked::of(knock).enters());
        for _ in 0..3_000 {
            world.give(BTC, Action::Long).unwrap();
            pass(&mut world, 1);
            if trade_is_there(&world, BTC) {
                break;
            }
        }
        until(&mut world, 100, "an entry", entered);
        // The venue has it. Its acknowledgement is lost with the connections.
        pass(&mut world, (i % 3) as i64);
        let since = world.now;
        let unanswered = newest_entry(&world) == Some(OrderState::Sent);
        world.strike(Blow::CutOrders).unwrap();
        world.strike(Blow::CutUser).unwrap();
        until(&mut world, 10_000, "a stop", |world| settled(world, BTC));
        lived += i32::from(unanswered);
        let refused = events(&world).filter_map(|event| match &event.body {
            EventBody::OrderUpdate(update) => Some(update),
            _ => None,
        });
        let refused: Vec<_> =
            refused.filter(|it| matches!(it.status, OrderStatus::Rejected | OrderStatus::NotFound)).collect();
        assert!(refused.is_empty(), "{refused:?}");
        assert!(!asked(&world, since).iter().any(|asked| asked.enters() || asked.exits()));
        soak::finish(&mut world).unwrap();
        assert!(held(&mut world, BTC) != 0);
    }
    assert!(lived >= 20, "only {lived} had no answer when the connections went");
}

fn newest_entry(world: &World) -> Option<OrderState> {
    let engine = world.process.as_ref()?.intake.core.engine();
    let trade = engine.trades().iter().find(|trade| trade.instrument == BTC)?;
    trade.order(trade.id).map(|entry| entry.state)
}

#[test]
fn reconnected_but_dead_feed() {
    // The connections come back, and nothing comes on them.
    let weather =
        || fair().with(Kind::Maintenance, at(8_000), at(9_000)).with(Kind::DeadFeed, at(9_000), at(30_000));
    let mut entries = 0;
    for mut world in worlds(10, weather) {
        while world.now < at(45_000) {
            for id in EACH {
                world.give(id, Action::Long).unwrap();
            }
            world.command(CommandKind::Resume, BTC).unwrap();
            pass(&mut world, 100);
            if world.now < at(9_000) || world.now > at(30_000) {
                for id in EACH {
                    world.command(CommandKind::Close, id).unwrap();
                }
            }
            pass(&mut world, 100);
        }
        // The newest quote is of before the maintenance.
        let stale = at(8_000) + (world.settings.max_data_age_ms + 50) * NS_PER_MS;
        let entered: Vec<_> =
            asked(&world, START).into_iter().filter(Asked::enters).map(|it| it.at).collect();
        let blind = entered.iter().filter(|at_ns| (stale..at(30_000)).contains(*at_ns)).count();
        assert_eq!(blind, 0, "entries without a market");
        assert!(entered.iter().any(|at_ns| *at_ns < at(8_000)), "none before");
        entries += entered.iter().filter(|at_ns| **at_ns > at(30_000)).count();
    }
    assert!(entries >= 10, "{entries} after it");
}

#[test]
fn retry_after_1007_doubled_the_order() {
    let weather = || fair().with(Kind::StatusUnknown, at(3_000), at(60_000));
    let (mut entries, mut unknown) = (0, 0);
    for mut world in worlds(15, weather) {
        let mut round = 0;
        while world.now < at(60_000) {
            round += 1;
            for id in EACH {
                world.give(id, Action::Long).unwrap();
                if round % 40 == 0 {
                    world.command(CommandKind::Close, id).unwrap();
                }
            }
            world.command(CommandKind::Resume, BTC).unwrap();
            let newest = EACH.map(|id| entered(&world, id).last().unwrap_or(0));
            for _ in 0..10 {
                pass(&mut world, 10);
                for (id, newest) in EACH.into_iter().zip(newest) {
                    let held = held(&mut world, id);
                    assert!(held <= newest, "{held} lots held, of an entry of {newest}");
                }
            }
        }
        assert_eq!(world.desk().requested_again(), 0, "a client id that was asked for twice");
        entries += EACH.map(|id| entered(&world, id).count()).iter().sum::<usize>();
        unknown += events(&world).filter(|event| is_unknown(event)).count();
        soak::finish(&mut world).unwrap();
    }
    assert!(entries > 50 && unknown > 50, "{entries} entries, {unknown} unknown");
}

/// Quantities of the entries that were decided on.
fn entered(world: &World, id: InstrumentId) -> impl Iterator<Item = i64> {
    outputs(world).filter(move |output| output.instrument == id).filter_map(|output| match &output.body {
        OutputBody::Order(order) if order.purpose == Purpose::Entry => Some(order.quantity.0),
        _ => None,
    })
}

fn is_unknown(event: &Event) -> bool {
    matches!(&event.body, EventBody::OrderUpdate(update) if update.status == OrderStatus::Unknown)
}

#[test]
fn listen_key_expired_despite_keepalives() {
    for mut world in worlds(10, fair) {
        let gone = |world: &mut World| world.desk().venue().open_orders().is_empty();
        let lots = enter_and_settle(&mut world, BTC, Action::Long);
        let since = world.now;
        world.strike(Blow::ExpireKey).unwrap();
        // The position goes while nothing is heard of it; its stop must not stay.
        world.desk().force(BTC, Lots(lots), FillCause::Adl);
        until(&mut world, 10_000, "the end of the stop", gone);
        let keys = asked(&world, since).iter().filter(|it| it.name == "POST /fapi/v1/listenKey").count();
        assert_eq!(keys, 1, "new listen keys");
        // Until somebody says so no new risk is taken.
        for _ in 0..50 {
            world.give(ETH, Action::Long).unwrap();
            pass(&mut world, 100);
        }
        assert!(!asked(&world, since).iter().any(Asked::enters));
        // And the new stream is heard: nobody has to ask.
        world.command(CommandKind::Resume, BTC).unwrap();
        let lots = enter_and_settle(&mut world, ETH, Action::Long);
        world.desk().force(ETH, Lots(lots), FillCause::Adl);
        until(&mut world, 200, "the end of the second stop", gone);
    }
}

#[test]
fn listen_key_expired_without_a_word() {
    for mut world in worlds(5, fair) {
        let gone = |world: &mut World| world.desk().venue().open_orders().is_empty();
        let lots = enter_and_settle(&mut world, BTC, Action::Long);
        pass(&mut world, 10_000);
        let since = world.now;
        world.strike(Blow::ExpireKeySilently).unwrap();
        world.desk().force(BTC, Lots(lots), FillCause::Adl);
        // Nobody says it, so it is found by asking, and the stream is not believed any more.
        until(&mut world, 20_000, "the end of the stop", gone);
        pass(&mut world, 5_000);
        let keys = asked(&world, since).iter().filter(|it| it.name == "POST /fapi/v1/listenKey").count();
        assert_eq!(keys, 1, "new listen keys");
        world.command(CommandKind::Resume, BTC).unwrap();
        let lots = enter_and_settle(&mut world, ETH, Action::Long);
        world.desk().force(ETH, Lots(lots), FillCause::Adl);
        until(&mut world, 200, "the end of the second stop", gone);
    }
}

#[test]
fn random_stalls() {
    // Calls by REST stay without an answer, some for the ten seconds after which they are given up.
    let weather = || fair().with(Kind::RestLost, at(3_000), at(90_000));
    let (mut during, mut longest_ms) = (0, 0);
    for mut world in worlds(8, weather) {
        let (mut since_ms, mut request) = (0, None);
        while world.now < at(90_000) {
            let hangs = world.process.as_ref().and_then(|process| process.other);
            since_ms = if hangs.is_some() && hangs == request { since_ms + 100 } else { 0 };
            request = hangs;
            // Nothing has come back for half a second.
            if since_ms >= 500 && !trade_is_there(&world, BTC) && held(&mut world, BTC) == 0 {
                let from = world.now;
                world.give(BTC, Action::Long).unwrap();
                if trade_is_there(&world, BTC) {
                    let way = until(&mut world, 25, "an entry", |world| {
                        asked(world, from).iter().any(|it| it.enters() && it.by_socket)
                    });
                    let stop = until(&mut world, 200, "its stop", |world| settled(world, BTC));
                    longest_ms = longest_ms.max(stop);
                    assert!(way <= 25);
                    let still = world.process.as_ref().and_then(|process| process.other) == request;
                    during += i32::from(still);
                    world.command(CommandKind::Close, BTC).unwrap();
                }
            }
            world.command(CommandKind::Resume, BTC).unwrap();
            pass(&mut world, 100);
        }
    }
    assert!(longest_ms <= 62, "{longest_ms} ms from entry to stop");
    assert!(during >= 20, "{during} entries while a call hung");
}

#[test]
fn clock_drift() {
    let mut refused = 0;
    for mut world in worlds(30, fair) {
        enter(&mut world, BTC, Action::Long);
        // The venue's clock goes forward before the stop is there.
        world.strike(Blow::VenueClock).unwrap();
        pass(&mut world, 0);
        world.desk().pass();
        until(&mut world, 150, "a stop", |world| settled(world, BTC));
        refused += world.desk().report().refusals.get(&-1021).copied().unwrap_or(0);
        assert!(!asked(&world, START).iter().any(Asked::exits));
        pass(&mut world, 5_000);
        assert!(settled(&mut world, BTC));
    }
    assert!(refused >= 5, "{refused} time stamps refused");
}

#[test]
fn clock_drift_of_hours() {
    // Up to 500 ppm: 1.8 s an hour, where one is too much.
    for mut world in worlds(4, fair) {
        while world.now < at(3 * 3_600_000) {
            pass(&mut world, 60_000);
        }
        enter_and_settle(&mut world, BTC, Action::Long);
        assert_eq!(world.desk().report().refusals.get(&-1021), None);
    }
}
