//! Processes that die and start again.

use quantum_trader::soak::{self, Blow, Kind};

use super::*;

/// Ends the process, now: a blow may also leave it to die in the middle of its next order.
fn kill(world: &mut World, blow: Blow) {
    while world.process.is_some() {
        world.strike(blow).unwrap();
    }
}

fn begin_again(world: &mut World) {
    until(world, 30_000, "a start", |world| world.process.is_some());
}

#[test]
fn position_without_stop_after_the_process_died() {
    for mut world in worlds(12, fair) {
        enter_and_settle(&mut world, BTC, Action::Long);
        kill(&mut world, Blow::Kill);
        // Nobody is there, and the stop is.
        while world.process.is_none() {
            assert!(held(&mut world, BTC) != 0 && covered(&mut world, BTC), "bare while nobody ran");
            pass(&mut world, 1);
        }
        for _ in 0..3_000 {
            assert!(held(&mut world, BTC) != 0 && covered(&mut world, BTC), "bare after the start");
            pass(&mut world, 1);
        }
    }
}

#[test]
fn position_without_stop_after_the_process_died_between_fill_and_stop() {
    let mut bare = 0;
    for (i, mut world) in worlds(40, fair).enumerate() {
        // The moments after an order was filled, one by one.
        enter(&mut world, BTC, Action::Short);
        pass(&mut world, i as i64);
        kill(&mut world, Blow::Kill);
        begin_again(&mut world);
        bare += i32::from(!covered(&mut world, BTC));
        let limit_ms = world.settings.protection_deadline_ms;
        until(&mut world, limit_ms, "a stop after the start", |world| covered(world, BTC));
    }
    assert!(bare >= 5, "only {bare} died in the gap");
}

#[test]
fn orphan_stop_legs_after_restart() {
    for blow in [Blow::Kill, Blow::LoseJournal] {
        for mut world in worlds(8, fair) {
            let lots = enter_and_settle(&mut world, ETH, Action::Long);
            kill(&mut world, blow);
            // The position is closed while nobody runs, and its stop stays.
            world.trade_by_hand(ETH, Side::Sell, Lots(lots));
            assert_eq!(held(&mut world, ETH), 0);
            assert_eq!(world.desk().venue().open_orders().len(), 1);
            begin_again(&mut world);
            let gone = |world: &mut World| world.desk().venue().open_orders().is_empty();
            until(&mut world, 40_000, "the orphan's end", gone);
            pass(&mut world, 20_000);
            assert!(gone(&mut world) && held(&mut world, ETH) == 0, "{blow:?}");
        }
    }
}

#[test]
fn restart_reconciliation_that_does_not_converge() {
    // Deaths in short order, while fills and answers get lost.
    let storm = || {
        let mut weather = fair()
            .with(Kind::LoseReports, at(3_000), at(40_000))
            .with(Kind::LoseAnswers, at(3_000), at(40_000))
            .with(Kind::RestLost, at(10_000), at(30_000));
        for second in [6, 9, 12, 20, 24, 28, 36, 39] {
            weather = weather.struck(Blow::Kill, at(second * 1_000));
        }
        weather.struck(Blow::LosePower, at(16_000)).struck(Blow::LoseJournal, at(32_000))
    };
    let mut starts = 0;
    for mut world in worlds(10, storm) {
        while world.now < at(40_000) {
            for id in EACH {
                let action = if world.now.0 % 2 == 0 { Action::Long } else { Action::Short };
                world.give(id, action).unwrap();
            }
            world.command(CommandKind::Resume, BTC).unwrap();
            pass(&mut world, 333);
        }
        // Within half a minute both sides say the same.
        let outcome = soak::finish(&mut world).unwrap();
        starts += outcome.figures.starts;
        // And stay there: nothing is placed or cancelled any more to get there.
        let since = world.now;
        pass(&mut world, 60_000);
        assert_eq!(world.differences(), (Vec::new(), 0));
        let moved = asked(&world, since).iter().filter(|asked| asked.enters() || asked.exits()).count();
        assert_eq!(moved, 0, "orders after everything had settled");
    }
    assert!(starts >= 40, "{starts} starts");
}

#[test]
fn restart_reconciliation_that_flattens_a_real_position() {
    let policies = [OnUnknownPosition::Adopt, OnUnknownPosition::Close, OnUnknownPosition::Halt];
    // What the journal explains is known whatever is done with unknown positions.
    let cases = policies.into_iter().map(|policy| (policy, Blow::Kill));
    for (policy, blow) in cases.chain([(OnUnknownPosition::Adopt, Blow::LoseJournal)]) {
        // From before the first start: what is set later is not in force.
        let with_policy = |settings| Settings { on_unknown_position: policy, ..settings };
        for mut world in worlds_with(5, fair, with_policy) {
            let in_force = |world: &World| {
                let engine = world.process.as_ref().unwrap().intake.core.engine();
                engine.settings().on_unknown_position
            };
            assert_eq!(in_force(&world), policy);
            let long = enter_and_settle(&mut world, BTC, Action::Long);
            let short = enter_and_settle(&mut world, ETH, Action::Short);
            let since = world.now;
            kill(&mut world, blow);
            begin_again(&mut world);
            assert_eq!(in_force(&world), policy);
            for _ in 0..400 {
                pass(&mut world, 50);
                assert_eq!(
                    (held(&mut world, BTC), held(&mut world, ETH)),
                    (long, short),
                    "{policy:?} {blow:?}"
                );
                assert!(covered(&mut world, BTC) && covered(&mut world, ETH), "{policy:?} {blow:?}");
            }
            assert!(!asked(&world, since).iter().any(|asked| asked.exits() || asked.enters()));
        }
    }
}
