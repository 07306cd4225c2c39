//! Stops, closes and what is left over.

use quantum_trader::sim::server::Stops;
use quantum_trader::soak::{self, Blow, Dice};

use super::*;

#[test]
fn stops_broken_overnight_by_the_algo_move() {
    let mut by_socket = 0;
    for seed in 0..25 {
        let storm = |dice: &mut Dice| Weather::draw(START, 40 * NS_PER_SEC, dice);
        let mut world = World::new(seed, storm).unwrap();
        world.watch_door();
        world.run_until(world.weather.clears).unwrap();
        soak::finish(&mut world).unwrap();
        for asked in asked(&world, START).iter().filter(|asked| asked.is("STOP_MARKET")) {
            match asked.name.as_str() {
                "algoOrder.place" => by_socket += 1,
                "POST /fapi/v1/algoOrder" => {}
                other => panic!("a stop by {other}"),
            }
            assert_eq!(asked.params["algoType"], "CONDITIONAL");
        }
        // The ordinary endpoint refuses them with this.
        assert_eq!(world.desk().report().refusals.get(&-4120), None);
    }
    assert!(by_socket > 100, "{by_socket} stops by websocket");
    for mut world in worlds(5, fair) {
        // The order websocket is gone when the stop is due.
        enter(&mut world, BTC, Action::Long);
        world.strike(Blow::CutOrders).unwrap();
        until(&mut world, 150, "a stop", |world| settled(world, BTC));
        let stops: Vec<_> = asked(&world, START).into_iter().filter(|it| it.is("STOP_MARKET")).collect();
        assert!(stops.iter().all(|it| it.name == "POST /fapi/v1/algoOrder"), "{stops:?}");
    }
}

#[test]
fn gap_between_fill_and_stop() {
    let (mut longest_ms, mut gaps) = (0, 0);
    for mut world in worlds(20, fair) {
        enter(&mut world, BTC, Action::Long);
        let mut bare_ms = 0;
        for _ in 0..3_000 {
            bare_ms = if covered(&mut world, BTC) { 0 } else { bare_ms + 1 };
            gaps += i32::from(bare_ms == 1);
            longest_ms = longest_ms.max(bare_ms);
            pass(&mut world, 1);
        }
    }
    // The fill is up to 20 ms on its way to us, and the stop as long back.
    assert!(longest_ms <= 42, "{longest_ms} ms without a stop");
    assert!(gaps >= 20);
}

#[test]
fn stop_rejected_by_percent_price() {
    for mut world in worlds(10, fair) {
        world.desk().faults().set_stops(Stops::Refuse);
        enter(&mut world, BTC, Action::Long);
        // Fill, stop, refusal and close are one way of up to 20 ms each; not the deadline's 1.5 s.
        until(&mut world, 90, "a close", |world| held(world, BTC) == 0);
        assert_eq!(world.desk().report().refusals.get(&-4131), Some(&1));
        // And it does not go on like that.
        for _ in 0..50 {
            world.give(BTC, Action::Long).unwrap();
            pass(&mut world, 100);
        }
        let entries = asked(&world, START).iter().filter(|asked| asked.enters()).count();
        assert_eq!((entries, held(&mut world, BTC)), (1, 0));
    }
}

#[test]
fn remainder_below_minimum_notional() {
    for mut world in worlds(10, fair) {
        let lots = enter_and_settle(&mut world, SOL, Action::Long);
        // One lot of a dollar is left, where the venue's minimum is five.
        let since = world.now;
        world.desk().force(SOL, Lots(lots - 1), FillCause::Adl);
        assert_eq!(held(&mut world, SOL), 1);
        let gone = |world: &mut World| {
            let nothing_rests = world.desk().venue().open_orders().is_empty();
            held(world, SOL) == 0 && nothing_rests && !trade_is_there(world, SOL)
        };
        until(&mut world, 200, "the remainder's close", gone);
        assert_eq!(asked(&world, since).iter().filter(|asked| asked.exits()).count(), 1);
        // The next one is no part of it.
        world.command(CommandKind::Resume, SOL).unwrap();
        enter_and_settle(&mut world, SOL, Action::Short);
    }
}

#[test]
fn stop_quantity_wrong_after_a_partial() {
    for mut world in worlds(8, fair) {
        let lots = enter_and_settle(&mut world, BTC, Action::Long);
        // The owner sells a part of it past the engine, and then all but one lot.
        for left in [lots / 2, 1] {
            let takes = held(&mut world, BTC) - left;
            world.trade_by_hand(BTC, Side::Sell, Lots(takes));
            assert_eq!(held(&mut world, BTC), left);
            until(&mut world, 40_000, "a stop for what is left", |world| settled(world, BTC));
            assert_eq!(held(&mut world, BTC), left);
            world.command(CommandKind::Resume, BTC).unwrap();
        }
    }
}

#[test]
fn stop_quantity_wrong_after_a_partial_of_ours() {
    let mut partials = 0;
    // Half is taken at the first move in the right direction.
    let partial =
        |settings| Settings { enable_partial_tp: true, partial_tp_at_r: Dec::new(2, 2), ..settings };
    for mut world in worlds_with(12, fair, partial) {
        let lots = enter_and_settle(&mut world, BTC, Action::Long);
        for _ in 0..20_000 {
            pass(&mut world, 1);
            assert!(covered(&mut world, BTC), "bare while a part is taken");
        }
        if held(&mut world, BTC) != lots {
            partials += 1;
            assert!(settled(&mut world, BTC), "{} for {}", stopped(&mut world, BTC), held(&mut world, BTC));
        }
    }
    assert!(partials >= 6, "{partials} partials");
}
