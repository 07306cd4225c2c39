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
    let mut checks = Checks::default();
    c.may_enter(Side::Buy, now, holdings, &Settings::DEFAULT, &mut checks);
    checks.failure().map(|check| check.rule)
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
    assert_eq!(close(&mut c, 0), 1);
    assert_eq!(c.risk_multiplier(&s), Dec::ONE);
}

#[test]
fn the_state_falls_by_itself_and_rises_by_the_operator() {
    let mut c = controller(1);
    assert_eq!(c.lower(TradingState::Halted), Some(TradingState::Active));
    assert_eq!(c.lower(TradingState::Reducing), None, "not up");
    assert_eq!(c.resume(AlarmKind::FeedDown), None);
    assert_eq!(c.resume(AlarmKind::Operator), Some(TradingState::Halted));
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
    assert_eq!(refused(&c, &held(Dec::int(7_500), Dec::ZERO), &s), None, "80% of equity exactly");
    assert_eq!(refused(&c, &held(Dec::int(7_500) + Dec(1), Dec::ZERO), &s), Some(Rule::Exposure));
    // 3% of the day's peak is 300: 100 lost, 22.50 for this trade, 177.50 in the other's stop.
    lose(&mut c, 100, TimeNs(1));
    let stops = Dec::new(1_775, 1);
    assert_eq!(refused(&c, &held(Dec::ZERO, stops), &s), None);
    assert_eq!(refused(&c, &held(Dec::ZERO, stops + Dec(1)), &s), Some(Rule::OpenRisk));
    let off = Settings { enable_open_risk: false, ..s };
    assert_eq!(refused(&c, &held(Dec::ZERO, Dec::int(5_000)), &off), None);
}

#[test]
fn correlation_is_signed_and_unknown_is_too_much() {
    // 0.8 and 0.7 of variance: cov × |cov| against threshold² × var × var.
    let known = |covariance| Correlation::Known { covariance, variance_a: 100, variance_b: 100 };
    let c = controller(10_000);
    let with = |side, correlation| refusal(&c, TimeNs(1), &[holding(side, correlation)]);
    assert_eq!(with(Side::Buy, known(80)), Some(Rule::Correlation));
    assert_eq!(with(Side::Buy, known(70)), None, "the limit itself passes");
    assert_eq!(with(Side::Sell, known(80)), None, "a hedge");
    assert_eq!(with(Side::Sell, known(-80)), Some(Rule::Correlation), "the same bet the other way");
    assert_eq!(with(Side::Buy, Correlation::Undefined), Some(Rule::Correlation));
    assert_eq!(refusal(&c, TimeNs(1), &[]), None, "nothing to compare with");
}

#[test]
fn one_position_an_instrument_and_so_many_in_all() {
    let c = controller(10_000);
    let hedge = holding(Side::Sell, Correlation::Known { covariance: 1, variance_a: 1, variance_b: 1 });
    assert_eq!(refusal(&c, TimeNs(1), &[hedge; 3]), None);
    assert_eq!(refusal(&c, TimeNs(1), &[hedge; 4]), Some(Rule::Concurrent));
    let same = Holding { same_instrument: true, ..hedge };
    assert_eq!(refusal(&c, TimeNs(1), &[same]), Some(Rule::Position));
}
