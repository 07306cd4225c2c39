//! What each price does to a position: every rule at its limit, long and short.

use super::*;
use proptest::prelude::*;

const LIMITS: PartLimits =
    PartLimits { min_quantity: Lots(1), min_notional: Dec::int(5), tick_lot_value: Dec::new(1, 4) };

/// Long 0.010 at 50,000.0 with an ATR of 1,500: the worked example of the rules.
fn position(side: Side, s: &Settings) -> ExitState {
    let entry = AveragePrice { cost: 500_000 * 10, quantity: Lots(10) };
    ExitState::open(side, entry, Dec::int(1_500), Dec::new(1, 1), TimeNs(0), s).unwrap()
}

fn test(state: &mut ExitState, price: i64, s: &Settings) -> ExitActions {
    state.track(Ticks(price));
    state.test(Ticks(price), TimeNs(1), Lots(10), &LIMITS, Dec::new(1, 1), s)
}

#[test]
fn worked_example_and_its_mirror() {
    let s = Settings::DEFAULT;
    let mut long = position(Side::Buy, &s);
    assert_eq!((long.stop, long.target), (Ticks(477_500), Ticks(556_250)));
    assert_eq!(test(&mut long, 522_500, &s).breakeven, Some(Ticks(500_500)), "at +1R");
    let at_two_r = test(&mut long, 545_000, &s);
    assert_eq!((at_two_r.partial, at_two_r.trailing), (Some(Lots(5)), Some(Ticks(530_000))));
    assert!(test(&mut long, 530_000, &s).stop_hit);

    let mut short = position(Side::Sell, &s);
    assert_eq!((short.stop, short.target), (Ticks(522_500), Ticks(443_750)));
    assert_eq!(test(&mut short, 477_500, &s).breakeven, Some(Ticks(499_500)));
    let at_two_r = test(&mut short, 455_000, &s);
    assert_eq!((at_two_r.partial, at_two_r.trailing), (Some(Lots(5)), Some(Ticks(470_000))));
    assert!(test(&mut short, 443_750, &s).target_hit);
}

#[test]
fn one_price_may_cross_several_levels() {
    let s = Settings::DEFAULT;
    let mut long = position(Side::Buy, &s);
    let actions = test(&mut long, 550_000, &s);
    assert_eq!(actions.partial, Some(Lots(5)));
    assert_eq!(
        actions.moves().collect::<Vec<_>>(),
        [(StopMove::Breakeven, Ticks(500_500)), (StopMove::Trailing, Ticks(535_000))]
    );
    assert_eq!(test(&mut long, 549_000, &s), ExitActions::default(), "nothing twice");
}

#[test]
fn a_part_the_venue_would_refuse_is_never_closed() {
    let s = Settings::DEFAULT;
    let mut long = position(Side::Buy, &s);
    let strict = PartLimits { min_notional: Dec::int(273), ..LIMITS };
    assert_eq!(long.test(Ticks(545_000), TimeNs(1), Lots(10), &strict, Dec::new(1, 1), &s).partial, None);
    assert_eq!(test(&mut long, 546_000, &s).partial, None, "tried once");
}

/// So many ticks in the position's favour.
fn ahead(side: Side, ticks: i64) -> i64 {
    500_000 + ticks * side.sign()
}

/// What one price does to a fresh position.
fn first(side: Side, ticks_ahead: i64, s: &Settings) -> ExitActions {
    test(&mut position(side, s), ahead(side, ticks_ahead), s)
}

const SIDES: [Side; 2] = [Side::Buy, Side::Sell];
/// Ticks of the position's R: 1.5 ATR.
const R: i64 = 22_500;

#[test]
fn stop_and_target_fire_at_their_level_and_not_a_tick_before() {
    let s = Settings::DEFAULT;
    for side in SIDES {
        for (ticks, stop, target) in [
            (-R - 1, true, false),
            (-R, true, false),
            (1 - R, false, false),
            (56_249, false, false),
            (56_250, false, true),
            (56_251, false, true),
        ] {
            let actions = first(side, ticks, &s);
            assert_eq!((actions.stop_hit, actions.target_hit), (stop, target), "{side:?} {ticks}");
            let closed = ExitActions { stop_hit: stop, target_hit: target, ..ExitActions::default() };
            assert_eq!(actions == closed, stop || target || ticks < 0, "a full close ends the list");
        }
    }
}

#[test]
fn breakeven_partial_and_trailing_begin_at_their_r_and_not_a_tick_before() {
    let s = Settings::DEFAULT;
    for side in SIDES {
        let begun = |ticks: i64| {
            let actions = first(side, ticks, &s);
            (actions.breakeven, actions.partial, actions.trailing)
        };
        let level = |ticks| Some(Ticks(ahead(side, ticks)));
        assert_eq!(begun(R - 1), (None, None, None), "{side:?}");
        assert_eq!(begun(R), (level(500), None, None), "{side:?}");
        assert_eq!(begun(R + 1), (level(500), None, None), "{side:?}");
        assert_eq!(begun(2 * R - 1), (level(500), None, None), "{side:?}");
        assert_eq!(begun(2 * R), (level(500), Some(Lots(5)), level(30_000)), "{side:?}");
        assert_eq!(begun(2 * R + 1), (level(500), Some(Lots(5)), level(30_001)), "{side:?}");
    }
}

#[test]
fn r_is_compared_exactly_where_the_entry_is_no_whole_tick() {
    // Three lots at an average of 500,000⅓; the stop 477,500 makes R 22,500⅓: 1R is 522,500⅔.
    let s = Settings::DEFAULT;
    let entry = AveragePrice { cost: 1_500_001, quantity: Lots(3) };
    let mut long = ExitState::open(Side::Buy, entry, Dec::int(1_500), Dec::new(1, 1), TimeNs(0), &s).unwrap();
    assert_eq!((long.initial_stop, long.risk_tick_lots()), (Ticks(477_500), 67_501));
    assert_eq!(test(&mut long, 522_500, &s).breakeven, None);
    assert_eq!(test(&mut long, 522_501, &s).breakeven, Some(Ticks(500_500)));
}

#[test]
fn what_is_switched_off_does_nothing() {
    let off = Settings {
        enable_breakeven: false,
        enable_partial_tp: false,
        enable_trailing: false,
        enable_time_exit: false,
        ..Settings::DEFAULT
    };
    for side in SIDES {
        assert_eq!(first(side, 2 * R, &off), ExitActions::default());
        assert!(first(side, -R, &off).stop_hit && first(side, 56_250, &off).target_hit);
        let mut held = position(side, &off);
        let years = TimeNs(20_000 * NS_PER_HOUR);
        assert!(
            !held.test(Ticks(500_000), years, Lots(10), &LIMITS, Dec::new(1, 1), &off).time_out,
            "{side:?}"
        );
        assert!(!held.partial_tried && !held.trailing && !held.breakeven_done);
    }
}

#[test]
fn both_parts_of_a_partial_are_at_least_what_the_venue_takes() {
    let s = |percent: Dec| Settings { partial_tp_percent: percent, ..Settings::DEFAULT };
    let part = |percent: Dec, limits: &PartLimits, open: i64| {
        let s = s(percent);
        let mut long = position(Side::Buy, &s);
        long.test(Ticks(545_000), TimeNs(1), Lots(open), limits, Dec::new(1, 1), &s).partial
    };
    let at_least = |lots: i64| PartLimits { min_quantity: Lots(lots), ..LIMITS };
    let worth = |money: Dec| PartLimits { min_notional: money, ..LIMITS };
    let half = Dec::new(5, 1);
    assert_eq!(part(Dec::new(599_999, 6), &LIMITS, 10), Some(Lots(5)), "rounded down");
    assert_eq!(part(Dec::new(6, 1), &LIMITS, 10), Some(Lots(6)));
    // Neither part may be empty.
    let any = PartLimits { min_quantity: Lots(0), min_notional: Dec::ZERO, ..LIMITS };
    assert_eq!((part(Dec::new(99_999, 6), &any, 10), part(Dec::new(1, 1), &any, 10)), (None, Some(Lots(1))));
    assert_eq!((part(half, &any, 5), part(half, &any, 6)), (None, Some(Lots(5))));
    // Of 10 lots 3 are the smaller part, whichever of the two that is.
    for (percent, lots) in [(Dec::new(3, 1), 3), (Dec::new(7, 1), 7)] {
        let all = Some(Lots(lots));
        assert_eq!((part(percent, &at_least(3), 10), part(percent, &at_least(4), 10)), (all, None));
        // Three lots at 54,500 are worth 163.50.
        let least = Dec::new(1_635, 1);
        assert_eq!(
            (part(percent, &worth(least), 10), part(percent, &worth(least + Dec(1)), 10)),
            (all, None)
        );
    }
}

#[test]
fn a_partial_is_tried_at_the_first_price_that_reaches_it_and_never_again() {
    let s = Settings::DEFAULT;
    for side in SIDES {
        let mut held = position(side, &s);
        assert_eq!(test(&mut held, ahead(side, 2 * R - 1), &s).partial, None);
        assert!(!held.partial_tried);
        assert_eq!(test(&mut held, ahead(side, 2 * R), &s).partial, Some(Lots(5)));
        assert_eq!(test(&mut held, ahead(side, 2 * R + 1), &s).partial, None);
    }
}

#[test]
fn between_prices_that_reach_its_r_the_trailing_stop_stays() {
    let s = Settings::DEFAULT;
    for side in SIDES {
        let mut held = position(side, &s);
        assert_eq!(test(&mut held, ahead(side, 2 * R), &s).trailing, Some(Ticks(ahead(side, 30_000))));
        assert!(held.trailing);
        // The best price was better in between, but that one was not tested here.
        held.track(Ticks(ahead(side, 2 * R + 4_000)));
        assert_eq!(test(&mut held, ahead(side, 2 * R - 1), &s).trailing, None);
        assert_eq!(held.stop, Ticks(ahead(side, 30_000)));
        assert_eq!(
            test(&mut held, ahead(side, 2 * R), &s).trailing,
            Some(Ticks(ahead(side, 34_000))),
            "behind the best, not behind this price"
        );
    }
}

#[test]
fn a_stop_moves_only_where_it_is_strictly_better_and_two_ticks_inside() {
    let s = Settings::DEFAULT;
    for side in SIDES {
        // Breakeven is 500 ticks ahead.
        for (stop, moved) in [(499, Some(Ticks(ahead(side, 500)))), (500, None), (501, None)] {
            let mut held = position(side, &s);
            held.stop = Ticks(ahead(side, stop));
            assert_eq!(test(&mut held, ahead(side, R), &s).breakeven, moved, "{side:?} {stop}");
            assert!(held.breakeven_done, "it stands at the level or better");
        }
        // A breakeven level one R ahead less 2 ticks, 1 tick, nothing.
        let offset = |gap: i64| Settings { breakeven_offset_pct: Dec::new((R - gap) * 2, 6), ..s };
        for (gap, done) in [(2, true), (1, false), (0, false)] {
            let s = offset(gap);
            let mut held = position(side, &s);
            let moved = test(&mut held, ahead(side, R), &s).breakeven;
            assert_eq!((moved.is_some(), held.breakeven_done), (done, done), "{side:?} {gap}");
            // What was refused is tried again at the next price that meets the rule.
            assert_eq!(test(&mut held, ahead(side, R + 2), &s).breakeven.is_some(), !done, "{side:?} {gap}");
        }
    }
}

#[test]
fn a_refill_moves_the_levels_with_the_average_but_a_moved_stop_only_forward() {
    let s = Settings::DEFAULT;
    let tick = Dec::new(1, 1);
    for side in SIDES {
        // 10 lots more, 400 ticks further ahead or behind: the average moves by 200.
        let refilled = |by: i64| {
            let cost = i128::from(ahead(side, 0)) * 20 + i128::from(by * side.sign()) * 10;
            AveragePrice { cost, quantity: Lots(20) }
        };
        let at = |ticks| Ticks(ahead(side, ticks));
        for (stop, by, expected) in [
            // A stop that did not move follows, wherever to.
            (-R, 400, 200 - R),
            (-R, -400, -200 - R),
            // One that moved stays, unless the fresh one is better.
            (150 - R, -400, 150 - R),
            (200 - R, 400, 200 - R),
            (199 - R, 400, 200 - R),
            (201 - R, 400, 201 - R),
        ] {
            let mut held = position(side, &s);
            (held.stop, held.best, held.opened_ns) = (at(stop), Some(at(7)), TimeNs(5));
            held.moved = stop != -R;
            held.refill(refilled(by), tick, &s).unwrap();
            assert_eq!(held.stop, at(expected), "{side:?} {stop} {by}");
            assert_eq!((held.initial_stop, held.target), (at(by / 2 - R), at(by / 2 + 56_250)));
            assert_eq!((held.entry, held.best, held.opened_ns), (refilled(by), Some(at(7)), TimeNs(5)));
        }
    }
}

#[test]
fn time_runs_out_above_the_hours_and_below_half_an_r_long_and_short() {
    let s = Settings { max_hours_no_progress: Dec::new(15, 1), ..Settings::DEFAULT };
    let late = 3 * NS_PER_HOUR / 2;
    for side in SIDES {
        let at = |ticks: i64, open_ns: i64| {
            let mut held = ExitState { opened_ns: TimeNs(1_000), ..position(side, &s) };
            let now = TimeNs(1_000 + open_ns);
            held.test(Ticks(ahead(side, ticks)), now, Lots(10), &LIMITS, Dec::new(1, 1), &s).time_out
        };
        assert!(!at(0, late - 1) && !at(0, late) && at(0, late + 1), "{side:?}");
        assert!(at(R / 2 - 1, late + 1) && !at(R / 2, late + 1) && !at(R / 2 + 1, late + 1), "{side:?}");
    }
}

#[test]
fn excursions_are_the_best_and_worst_price_in_r_and_never_negative() {
    let s = Settings::DEFAULT;
    for side in SIDES {
        let mut held = position(side, &s);
        assert_eq!(held.excursions(), (Dec::ZERO, Dec::ZERO), "no price yet");
        // A quarter of R against it is all it has seen.
        held.track(Ticks(ahead(side, -R / 4)));
        assert_eq!(held.excursions(), (Dec::ZERO, Dec::new(25, 2)), "{side:?}");
        for ticks in [R / 2, R / 4, -R / 5] {
            held.track(Ticks(ahead(side, ticks)));
        }
        assert_eq!(held.excursions(), (Dec::new(5, 1), Dec::new(25, 2)), "{side:?}");
        assert_eq!(
            (held.best, held.worst),
            (Some(Ticks(ahead(side, R / 2))), Some(Ticks(ahead(side, -R / 4))))
        );
        assert_eq!(held.r_at(Ticks(ahead(side, -R))), Dec::int(-1));
    }
}

proptest! {
    /// Whatever prices come, the stop only moves one way and stays inside the tested price.
    #[test]
    fn stops_ratchet(prices in proptest::collection::vec(470_000i64..560_000, 1..80), long: bool) {
        let s = Settings::DEFAULT;
        let side = if long { Side::Buy } else { Side::Sell };
        let mut state = position(side, &s);
        for price in prices {
            let before = state.stop;
            let actions = test(&mut state, price, &s);
            let moved = (state.stop - before).0 * side.sign();
            prop_assert!(moved >= 0);
            prop_assert_eq!(moved > 0, actions.moves().count() > 0);
            if moved > 0 {
                prop_assert!((price - state.stop.0) * side.sign() >= STOP_GAP_TICKS);
            }
            if actions.stop_hit || actions.target_hit {
                prop_assert_eq!(actions.moves().count(), 0);
                break;
            }
        }
    }
}

#[test]
fn a_stop_at_the_breakeven_of_a_part_was_left_there_when_the_rest_filled() {
    let s = Settings::DEFAULT;
    let mut long = position(Side::Buy, &s);
    assert_eq!(test(&mut long, 522_500, &s).breakeven, Some(Ticks(500_500)));
    // As much again, 1,000 higher.
    let entry = AveragePrice { cost: long.entry.cost * 2 + 10_000 * 10, quantity: Lots(20) };
    long.refill(entry, Dec::new(1, 1), &s).unwrap();
    assert_eq!((long.entry, long.stop), (entry, Ticks(500_500)), "nothing moves by itself");
    assert_eq!(test(&mut long, 527_500, &s).breakeven, Some(Ticks(505_505)));
    assert_eq!(test(&mut long, 527_500, &s).breakeven, None);
}

#[test]
fn a_moved_stop_that_met_the_initial_one_was_pulled_back_with_it() {
    let s = Settings::DEFAULT;
    let mut long = position(Side::Buy, &s);
    test(&mut long, 522_500, &s);
    let refill = |long: &mut ExitState, average: i64, lots: i64| {
        let entry = AveragePrice { cost: i128::from(average * lots), quantity: Lots(lots) };
        long.refill(entry, Dec::new(1, 1), &s).unwrap();
        long.stop
    };
    // The initial stop of 523,000 is where breakeven put it; that of 520,000 is behind.
    assert_eq!(refill(&mut long, 523_000, 20), Ticks(500_500));
    assert_eq!((long.initial_stop, refill(&mut long, 520_000, 30)), (Ticks(500_500), Ticks(500_500)));
}
