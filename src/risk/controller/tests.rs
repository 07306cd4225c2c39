//! Limits at their boundaries, latches, streaks, what lifts them.

use super::*;

fn controller(wallet: i64) -> Controller {
    let mut c = Controller::default();
    roll(&mut c, TimeNs(0));
    c.set_wallet(Dec::int(wallet));
    c
}

fn roll(c: &mut Controller, now: TimeNs) -> Vec<Limit> {
    let mut changes = LimitChanges::new();
    c.roll(now, &Settings::DEFAULT, &mut changes);
    assert!(changes.iter().all(|change| !change.active));
    changes.iter().map(|change| change.limit).collect()
}

fn lose(c: &mut Controller, money: i64, now: TimeNs) -> Vec<Limit> {
    let mut changes = LimitChanges::new();
    c.book(Dec::int(-money));
    c.update_limits(now, &Settings::DEFAULT, &mut changes);
    changes.iter().map(|change| change.limit).collect()
}

fn refusal(c: &Controller, now: TimeNs, holdings: &[Holding]) -> Option<Rule> {
    let mut refused = [Side::Buy, Side::Sell].map(|side| {
        // The same for a short among mirrored holdings.
        let mirrored =
            |h: &Holding| Holding { side: if side == Side::Buy { h.side } else { h.side.opposite() }, ..*h };
        let holdings: Vec<Holding> = holdings.iter().map(mirrored).collect();
        let mut checks = Checks::default();
        c.may_enter(side, now, &holdings, &Settings::DEFAULT, &mut checks);
        checks.failure().map(|check| check.rule)
    });
    assert_eq!(refused[0], refused[1], "long and short");
    refused[0].take()
}

/// A controller that has lost `money` at once, and the limits that this switched on with what they saw.
fn after_losing(money: Dec) -> (Controller, Vec<(Limit, Dec)>) {
    let mut c = controller(10_000);
    let mut changes = LimitChanges::new();
    c.book(-money);
    c.update_limits(TimeNs(1), &Settings::DEFAULT, &mut changes);
    assert!(changes.iter().all(|change| change.active));
    (c, changes.iter().map(|change| (change.limit, change.observed)).collect())
}

/// The smallest amount of money there is.
const UNIT: Dec = Dec(1);

#[test]
fn each_drawdown_limit_is_strict_to_the_last_place() {
    for (limit, money) in
        [(Limit::Recovery, 200), (Limit::Daily, 300), (Limit::CircuitBreaker, 500), (Limit::Weekly, 1_000)]
    {
        let on = |money: Dec| after_losing(money).1.iter().any(|change| change.0 == limit);
        let at = Dec::int(money);
        assert_eq!((on(at - UNIT), on(at), on(at + UNIT)), (false, false, true), "{limit:?}");
    }
}

#[test]
fn a_limit_that_comes_on_says_the_drawdown_that_it_saw() {
    let (mut c, seen) = after_losing(Dec::int(1_100));
    let drawdown = Dec::new(11, 2);
    let all = [Limit::Daily, Limit::Weekly, Limit::Recovery, Limit::CircuitBreaker];
    assert_eq!(seen, all.map(|limit| (limit, drawdown)));
    assert_eq!((c.daily_drawdown(), c.weekly_drawdown()), (drawdown, drawdown));
    // The day begins with the equity carried into it; the week goes on.
    roll(&mut c, TimeNs(NS_PER_DAY));
    assert_eq!((c.daily_drawdown(), c.weekly_drawdown()), (Dec::ZERO, drawdown));
}

#[test]
fn drawdown_is_from_the_highest_equity_of_the_day_and_of_the_week() {
    let mut c = controller(10_000);
    lose(&mut c, -10_000, TimeNs(1));
    assert_eq!(c.daily_drawdown(), Dec::ZERO);
    // 3% of 20,000 are 600.
    assert_eq!(lose(&mut c, 600, TimeNs(2)), [Limit::Recovery]);
    assert_eq!(lose(&mut c, 1, TimeNs(3)), [Limit::Daily]);
    assert_eq!(c.day_peak(), Dec::int(20_000));
    roll(&mut c, TimeNs(NS_PER_DAY));
    // The week's 10% are 2,000, of which 601 are lost.
    assert!(!lose(&mut c, 1_399, TimeNs(NS_PER_DAY)).contains(&Limit::Weekly));
    assert_eq!(lose(&mut c, 1, TimeNs(NS_PER_DAY)), [Limit::Weekly]);
}

#[test]
fn without_a_positive_peak_there_is_no_drawdown() {
    let mut c = controller(0);
    assert!(lose(&mut c, 10, TimeNs(1)).is_empty(), "of nothing there is no share");
    assert_eq!((c.daily_drawdown(), c.worst_daily_drawdown()), (Dec::ZERO, Dec::ZERO));
    let mut debt = controller(-10);
    assert!(lose(&mut debt, 10, TimeNs(1)).is_empty(), "and no limit of one");
    assert_eq!((debt.daily_drawdown(), debt.worst_daily_drawdown()), (Dec::ZERO, Dec::ZERO));
}

#[test]
fn a_day_begins_once_at_midnight() {
    let mut c = controller(10_000);
    lose(&mut c, 301, TimeNs(1));
    assert_eq!(roll(&mut c, TimeNs(NS_PER_DAY - 1)), []);
    assert_eq!(refusal(&c, TimeNs(NS_PER_DAY - 1), &[]), Some(Rule::DailyDrawdown));
    assert_eq!(roll(&mut c, TimeNs(NS_PER_DAY)), [Limit::Daily, Limit::Recovery]);
    // What is lost within the day counts from its first equity, whenever the clock is looked at.
    lose(&mut c, 250, TimeNs(NS_PER_DAY));
    let drawdown = c.daily_drawdown();
    assert!(drawdown > Dec::new(25, 3));
    assert_eq!(roll(&mut c, TimeNs(NS_PER_DAY + 1)), []);
    assert_eq!(roll(&mut c, TimeNs(2 * NS_PER_DAY - 1)), []);
    assert_eq!(c.daily_drawdown(), drawdown);
}

#[test]
fn what_is_switched_off_neither_trips_nor_multiplies() {
    let s = Settings {
        enable_circuit_breaker: false,
        enable_recovery_mode: false,
        enable_streak_protection: false,
        ..Settings::DEFAULT
    };
    let mut c = controller(10_000);
    c.book(Dec::int(-600));
    let mut changes = LimitChanges::new();
    assert!(!c.update_limits(TimeNs(1), &s, &mut changes));
    for _ in 0..4 {
        c.on_trade_closed(Dec::int(-1), &s, &mut changes);
    }
    assert_eq!(changes.iter().map(|change| change.limit).collect::<Vec<_>>(), [Limit::Daily]);
    assert_eq!(c.risk_multiplier(&s), Dec::ONE);
    let mut checks = Checks::default();
    c.may_enter(Side::Buy, TimeNs(1), &[], &s, &mut checks);
    assert_eq!(checks.iter().map(|check| check.rule).collect::<Vec<_>>(), [Rule::DailyDrawdown]);
}

#[test]
fn recovery_and_streak_multiply_each_other_while_each_lasts() {
    let s = Settings::DEFAULT;
    let (mut c, _) = after_losing(Dec::int(200));
    assert_eq!(c.risk_multiplier(&s), Dec::ONE, "2% is not above 2%");
    c.book(-UNIT);
    assert_eq!(c.risk_multiplier(&s), Dec::new(5, 1), "judged when it is asked for");
    for _ in 0..3 {
        c.on_trade_closed(-UNIT, &s, &mut LimitChanges::new());
    }
    assert_eq!(c.risk_multiplier(&s), Dec::new(25, 2));
    roll(&mut c, TimeNs(NS_PER_DAY));
    assert_eq!(c.risk_multiplier(&s), Dec::new(5, 1), "a new day ends the one and not the other");
}

#[test]
fn limits_are_strict_latch_and_lift_with_the_day_and_week() {
    let mut c = controller(10_000);
    assert_eq!(lose(&mut c, 300, TimeNs(1)), [Limit::Recovery], "3% exactly is not above 3%");
    assert_eq!(c.risk_multiplier(&Settings::DEFAULT), Dec::new(5, 1));
    assert_eq!(refusal(&c, TimeNs(1), &[]), None);
    assert_eq!(lose(&mut c, 1, TimeNs(2)), [Limit::Daily]);
    assert_eq!(refusal(&c, TimeNs(2), &[]), Some(Rule::DailyDrawdown));
    lose(&mut c, -301, TimeNs(3));
    assert_eq!(refusal(&c, TimeNs(3), &[]), Some(Rule::DailyDrawdown), "latched though recovered");
    assert_eq!(roll(&mut c, TimeNs(NS_PER_DAY)), [Limit::Daily]);
    assert_eq!(refusal(&c, TimeNs(NS_PER_DAY), &[]), None);
    // Thursday to Monday: the week's peak is still the old one.
    assert!(lose(&mut c, 1_001, TimeNs(NS_PER_DAY)).contains(&Limit::Weekly));
    roll(&mut c, TimeNs(2 * NS_PER_DAY));
    assert_eq!(refusal(&c, TimeNs(2 * NS_PER_DAY), &[]), Some(Rule::WeeklyDrawdown));
    assert_eq!(roll(&mut c, TimeNs(4 * NS_PER_DAY)), [Limit::Weekly]);
    assert_eq!(refusal(&c, TimeNs(4 * NS_PER_DAY), &[]), None);
}

#[test]
fn recovery_mode_ends_with_the_day_even_if_nothing_happens() {
    let mut c = controller(10_000);
    assert_eq!(lose(&mut c, 250, TimeNs(1)), [Limit::Recovery]);
    assert_eq!(c.risk_multiplier(&Settings::DEFAULT), Dec::new(5, 1));
    assert_eq!(roll(&mut c, TimeNs(NS_PER_DAY)), [Limit::Recovery]);
    assert_eq!(c.risk_multiplier(&Settings::DEFAULT), Dec::ONE);
}

#[test]
fn a_peak_below_nothing_had_drawdowns() {
    let mut c = controller(100);
    lose(&mut c, 110, TimeNs(1));
    roll(&mut c, TimeNs(NS_PER_DAY));
    assert_eq!(lose(&mut c, 1, TimeNs(NS_PER_DAY)), [], "the day's peak is -10");
    assert_eq!(c.risk_multiplier(&Settings::DEFAULT), Dec::ONE);
    // The week's peak is 100 still.
    assert_eq!(refusal(&c, TimeNs(NS_PER_DAY), &[]), Some(Rule::WeeklyDrawdown));
}

#[test]
fn absurd_money_stops_at_the_end_of_the_range() {
    let mut c = controller(1);
    for _ in 0..10 {
        c.book(Dec(i128::MAX));
        c.set_wallet(Dec(-money::MONEY_MAX.0));
        c.set_unrealised(money::MONEY_MAX);
        c.update_limits(TimeNs(1), &Settings::DEFAULT, &mut LimitChanges::new());
        c.book(Dec(i128::MIN));
        c.set_wallet(money::MONEY_MAX);
        c.set_unrealised(Dec(-money::MONEY_MAX.0));
        c.update_limits(TimeNs(1), &Settings::DEFAULT, &mut LimitChanges::new());
    }
    assert!(c.equity().is_some_and(|equity| equity.abs() <= money::MONEY_MAX));
}

#[test]
fn the_breaker_trips_once_a_day_and_holds_across_midnight() {
    let mut c = controller(10_000);
    let late = TimeNs(NS_PER_DAY - NS_PER_HOUR);
    assert!(lose(&mut c, 501, late).contains(&Limit::CircuitBreaker));
    assert!(!lose(&mut c, 100, late).contains(&Limit::CircuitBreaker));
    assert_eq!(refusal(&c, late, &[]), Some(Rule::CircuitBreaker));
    roll(&mut c, TimeNs(NS_PER_DAY));
    let end = late + 4 * NS_PER_HOUR;
    assert_eq!(refusal(&c, end - 1, &[]), Some(Rule::CircuitBreaker));
    assert_eq!(refusal(&c, end, &[]), None);
}

#[test]
fn streaks_count_net_losses_and_zero_ends_them() {
    let s = Settings::DEFAULT;
    let mut c = controller(10_000);
    let close = |c: &mut Controller, pnl: i64| {
        let mut changes = LimitChanges::new();
        c.on_trade_closed(Dec::int(pnl), &s, &mut changes);
        changes.len()
    };
    assert_eq!((close(&mut c, -1), close(&mut c, -1), close(&mut c, -1)), (0, 0, 1));
    assert_eq!(c.risk_multiplier(&s), Dec::new(5, 1));
    assert_eq!(close(&mut c, -1), 0, "said once");
    assert_eq!(close(&mut c, 0), 1);
    assert_eq!(c.risk_multiplier(&s), Dec::ONE);
    assert_eq!((close(&mut c, -1), close(&mut c, -1), close(&mut c, 1)), (0, 0, 0), "two are no streak");
    assert_eq!((close(&mut c, -1), close(&mut c, -1)), (0, 0), "a gain began the count anew");
    assert_eq!(c.losses(), 2);
}

#[test]
fn the_state_falls_by_itself_and_rises_by_the_operator() {
    let mut c = controller(1);
    assert_eq!(c.lower(TradingState::Halted), Some(TradingState::Active));
    assert_eq!(c.lower(TradingState::Halted), None, "no change");
    assert_eq!(c.lower(TradingState::Reducing), None, "not up");
    assert_eq!(c.resume(AlarmKind::FeedDown), None);
    assert_eq!(c.resume(AlarmKind::Operator), Some(TradingState::Halted));
    assert_eq!(c.resume(AlarmKind::Operator), None, "no change");
}

#[test]
fn entries_are_for_the_active_state_alone() {
    for (state, refused) in [
        (TradingState::Active, None),
        (TradingState::Reducing, Some(Rule::TradingState)),
        (TradingState::Halted, Some(Rule::TradingState)),
    ] {
        let mut c = controller(10_000);
        c.lower(state);
        assert_eq!((c.state(), refusal(&c, TimeNs(1), &[])), (state, refused));
    }
}

#[test]
fn the_worst_drawdown_is_of_every_price_and_survives_the_day() {
    let mut c = controller(10_000);
    for loss in [100, -50, 30, -200, 10, -5] {
        lose(&mut c, loss, TimeNs(1));
    }
    // From 10,000 to 9,900; later from 10,120 to 10,110.
    assert_eq!(c.worst_daily_drawdown(), Dec::new(1, 2));
    roll(&mut c, TimeNs(NS_PER_DAY));
    lose(&mut c, 50, TimeNs(NS_PER_DAY));
    assert_eq!(c.worst_daily_drawdown(), Dec::new(1, 2));
    lose(&mut c, 100, TimeNs(NS_PER_DAY));
    assert!(c.worst_daily_drawdown() > Dec::new(1, 2));
}

#[test]
fn transfers_and_corrections_shift_the_peaks() {
    let mut c = controller(10_000);
    assert_eq!(c.set_wallet(Dec::int(5_000)), Dec::int(-5_000));
    assert_eq!(c.daily_drawdown(), Dec::ZERO);
}

fn holding(side: Side, correlation: Correlation) -> Holding {
    Holding { side, same_instrument: false, exposure: Dec::ZERO, stop_loss: Dec::ZERO, correlation }
}

#[test]
fn exposure_and_open_risk_include_their_limit() {
    let s = Settings::DEFAULT;
    let plan = Plan {
        side: Side::Buy,
        price: crate::num::Ticks(500_000),
        quantity: crate::num::Lots(10),
        stop: crate::num::Ticks(477_500),
        target: crate::num::Ticks(556_250),
        atr: Dec::int(1_500),
        notional: Dec::int(500),
        risk: Dec::new(225, 1),
    };
    let refused = |c: &Controller, held: &[Holding], s: &Settings| {
        let mut checks = Checks::default();
        let fits = c.fits(&plan, held, s, &mut checks);
        assert_eq!(fits, checks.failure().is_none());
        checks.failure().map(|check| check.rule)
    };
    let held = |exposure: Dec, stop_loss: Dec| {
        [Holding { exposure, stop_loss, ..holding(Side::Buy, Correlation::Undefined) }]
    };
    let mut c = controller(10_000);
    assert_eq!(refused(&c, &held(Dec::int(7_500) - UNIT, Dec::ZERO), &s), None);
    assert_eq!(refused(&c, &held(Dec::int(7_500), Dec::ZERO), &s), None, "80% of equity exactly");
    assert_eq!(refused(&c, &held(Dec::int(7_500) + UNIT, Dec::ZERO), &s), Some(Rule::Exposure));
    // 3% of the day's peak is 300: 100 lost, 22.50 for this trade, 177.50 in the other's stop.
    lose(&mut c, 100, TimeNs(1));
    let stops = Dec::new(1_775, 1);
    assert_eq!(refused(&c, &held(Dec::ZERO, stops - UNIT), &s), None);
    assert_eq!(refused(&c, &held(Dec::ZERO, stops), &s), None);
    assert_eq!(refused(&c, &held(Dec::ZERO, stops + UNIT), &s), Some(Rule::OpenRisk));
    let off = Settings { enable_open_risk: false, ..s };
    assert_eq!(refused(&c, &held(Dec::ZERO, Dec::int(5_000)), &off), None);
}

#[test]
fn correlation_is_signed_and_unknown_is_too_much() {
    // 0.8 and 0.7 of variance: cov × |cov| against threshold² × var × var.
    let known = |covariance| Correlation::Known { covariance, variance_a: 100, variance_b: 100 };
    let c = controller(10_000);
    let with = |side, correlation| refusal(&c, TimeNs(1), &[holding(side, correlation)]);
    assert_eq!(
        (with(Side::Buy, known(69)), with(Side::Buy, known(70))),
        (None, None),
        "the limit itself passes"
    );
    assert_eq!(with(Side::Buy, known(71)), Some(Rule::Correlation));
    assert_eq!(with(Side::Sell, known(80)), None, "a hedge");
    assert_eq!(with(Side::Sell, known(-70)), None);
    assert_eq!(with(Side::Sell, known(-71)), Some(Rule::Correlation), "the same bet the other way");
    assert_eq!(with(Side::Buy, Correlation::Undefined), Some(Rule::Correlation));
}

#[test]
fn every_holding_is_compared_and_the_first_above_the_limit_is_shown() {
    let known = |covariance| Correlation::Known { covariance, variance_a: 100, variance_b: 100 };
    let c = controller(10_000);
    let looked = |holdings: &[Holding], s: &Settings| {
        let mut checks = Checks::default();
        c.may_enter(Side::Buy, TimeNs(1), holdings, s, &mut checks);
        let check = checks.iter().find(|check| check.rule == Rule::Correlation)?;
        Some((check.passed, check.observed, check.threshold))
    };
    let (s, limit) = (Settings::DEFAULT, Observed::Number(Dec::new(49, 2)));
    let number = |hundredths| Observed::Number(Dec::new(hundredths, 2));
    let (calm, hedge) = (holding(Side::Buy, known(10)), holding(Side::Sell, known(90)));
    assert_eq!(looked(&[calm, hedge], &s), Some((true, number(0), limit)));
    assert_eq!(looked(&[calm, hedge, holding(Side::Buy, known(80))], &s), Some((false, number(64), limit)));
    assert_eq!(looked(&[calm, holding(Side::Sell, known(-90))], &s), Some((false, number(81), limit)));
    let unknown = holding(Side::Buy, Correlation::Undefined);
    assert_eq!(looked(&[calm, unknown], &s), Some((false, Observed::Missing, limit)));
    // With nothing to compare with, or a limit of 1, it is not looked at.
    assert_eq!(looked(&[], &s), None);
    let off = Settings { max_correlation: Dec::ONE, ..s };
    assert_eq!(looked(&[unknown], &off), None);
}

#[test]
fn one_position_an_instrument_and_so_many_in_all() {
    let c = controller(10_000);
    let hedge = holding(Side::Sell, Correlation::Known { covariance: 1, variance_a: 1, variance_b: 1 });
    assert_eq!(refusal(&c, TimeNs(1), &[hedge; 3]), None);
    assert_eq!(refusal(&c, TimeNs(1), &[hedge; 4]), Some(Rule::Concurrent));
    assert_eq!(refusal(&c, TimeNs(1), &[hedge; 5]), Some(Rule::Concurrent));
    let same = Holding { same_instrument: true, ..hedge };
    assert_eq!(refusal(&c, TimeNs(1), &[same]), Some(Rule::Position));
}
