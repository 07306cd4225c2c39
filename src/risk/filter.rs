//! TradeOpportunityFilter: is this signal worth looking at? `docs/RULES.md` §3.

use std::cmp::Ordering;

use super::check::{Checks, Observed};
use super::config::Settings;
use crate::event::Rule;
use crate::num::planted::{Bug, is_planted};
use crate::num::{Dec, NS_PER_MS, Rounding, Side, Ticks, Wide, cmp_products, div_wide, wide_product};
use crate::signal::{Confidence, Resolved};

/// How far bid and ask are apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spread {
    /// From the book, in ticks.
    Book { bid: Ticks, ask: Ticks },
    /// Given in basis points of the price.
    Bps(Dec),
}

/// The market at a decision. `None` is never replaced by a default: it rejects.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// Decision price; positive.
    pub price: Ticks,
    pub tick: Dec,
    pub spread: Option<Spread>,
    pub atr: Option<Dec>,
    pub ema: Option<Dec>,
    pub volume_24h: Option<Dec>,
    /// Nanoseconds since the last quote; `None` before the first.
    pub quote_age_ns: Option<i64>,
    /// Nanoseconds the feed is behind its own best.
    pub feed_lag_ns: i64,
    pub taker_fee: Dec,
    /// There is a wallet: without one there is no equity to risk a part of.
    pub funded: bool,
}

/// The market whose rise makes shorts harder.
#[derive(Clone, Copy, Debug)]
pub struct Regime {
    pub price: Dec,
    pub ema: Dec,
    pub fresh: bool,
}

/// What the conditions hold once they are complete.
struct Complete {
    price: Dec,
    spread: Spread,
    atr: Dec,
    ema: Dec,
    volume_24h: Dec,
}

/// The regime symbol counts as rising from this share above its EMA.
const REGIME_RISE: Dec = Dec::new(102, 2);

/// Rules 1 to 8 of §3. `regime` is `None` when its symbol is unknown.
pub fn passes(
    side: Side,
    signal: &Resolved,
    conditions: &Conditions,
    regime: Option<&Regime>,
    settings: &Settings,
    checks: &mut Checks,
) -> bool {
    let Some(complete) = ready(conditions, checks) else { return false };
    fresh(conditions, settings, checks)
        && checks.note(
            Rule::Consensus,
            settings.min_consensus_types.contains(signal.consensus),
            Observed::Consensus(signal.consensus),
            Observed::ConsensusSet(settings.min_consensus_types),
        )
        && confident(signal.confidence, &complete, settings, checks)
        && with_trend(side, &complete, settings, checks)
        && regime_allows(side, signal.confidence, &complete, regime, settings, checks)
        && checks.note(
            Rule::Volume,
            complete.volume_24h >= settings.min_volume_24h,
            Observed::Number(complete.volume_24h),
            Observed::Number(settings.min_volume_24h),
        )
        && narrow(&complete, settings, checks)
        && worth_its_cost(&complete, conditions, settings, checks)
}

fn ready(c: &Conditions, checks: &mut Checks) -> Option<Complete> {
    let positive = |value: Option<Dec>| value.filter(|v| v.0 > 0);
    let complete = || {
        let spread = c.spread?;
        let sane = match spread {
            Spread::Book { bid, ask } => bid.is_price() && ask.is_price() && bid <= ask,
            Spread::Bps(bps) => !bps.is_negative(),
        };
        (sane && c.funded && c.price.is_price()).then_some(())?;
        Some(Complete {
            price: c.tick.checked_mul_int(c.price.wide())?,
            spread,
            atr: positive(c.atr)?,
            ema: positive(c.ema)?,
            volume_24h: c.volume_24h?,
        })
    };
    let complete = complete();
    checks.note(Rule::Ready, complete.is_some(), Observed::Missing, Observed::Missing);
    complete
}

fn fresh(c: &Conditions, s: &Settings, checks: &mut Checks) -> bool {
    let ms = |ns: i64| Observed::Ratio { numerator: i128::from(ns), denominator: NS_PER_MS.into(), scale: 1 };
    let age = c.quote_age_ns.unwrap_or(i64::MAX);
    if is_planted(Bug::StaleGateRemoved) {
        return true;
    }
    checks.note(
        Rule::Stale,
        age <= s.max_data_age_ms * NS_PER_MS,
        ms(age),
        Observed::count(s.max_data_age_ms),
    ) && checks.note(
        Rule::FeedLag,
        c.feed_lag_ns <= s.max_feed_lag_ms * NS_PER_MS,
        ms(c.feed_lag_ns),
        Observed::count(s.max_feed_lag_ms),
    )
}

fn confident(confidence: Confidence, c: &Complete, s: &Settings, checks: &mut Checks) -> bool {
    // ATR / price > limit, multiplied out.
    let ratio = cmp_products(&[c.atr.0, Dec::ONE.0], &[s.max_atr_ratio.0, c.price.0]);
    let volatile = s.volatility_gate && ratio.is_none_or(|order| order == Ordering::Greater);
    let needed = if volatile { s.min_confidence.max(s.high_vol_confidence) } else { s.min_confidence };
    let observed = Observed::Number(confidence.to_dec());
    checks.note(Rule::Confidence, confidence.at_least(needed), observed, Observed::Number(needed))
}

fn with_trend(side: Side, c: &Complete, s: &Settings, checks: &mut Checks) -> bool {
    if !s.require_trend {
        return true;
    }
    let sign = i128::from(side.sign());
    let limit = Dec::ONE.0 - sign * s.trend_tolerance.0;
    let order = cmp_products(&[c.price.0, Dec::ONE.0, sign], &[c.ema.0, limit, sign]);
    let threshold = c.ema.mul(Dec(limit), Rounding::HalfEven).unwrap_or(c.ema);
    checks.note_option(
        Rule::Trend,
        order.map(|o| o != Ordering::Less),
        Observed::Number(c.price),
        Observed::Number(threshold),
    )
}

fn regime_allows(
    side: Side,
    confidence: Confidence,
    c: &Complete,
    regime: Option<&Regime>,
    s: &Settings,
    checks: &mut Checks,
) -> bool {
    if s.regime_symbol.is_none() {
        return true;
    }
    let Some(regime) = regime.filter(|r| r.fresh && r.ema.0 > 0) else {
        return checks.note(
            Rule::Regime,
            side == Side::Buy,
            Observed::Missing,
            Observed::Number(REGIME_RISE),
        );
    };
    let rising = cmp_products(&[regime.price.0, Dec::ONE.0], &[regime.ema.0, REGIME_RISE.0]);
    let exception = c.price < c.ema && confidence.at_least(s.regime_short_confidence);
    let passed = side == Side::Buy || rising == Some(Ordering::Less) || exception;
    let observed = Observed::Ratio { numerator: regime.price.0, denominator: regime.ema.0, scale: 1 };
    checks.note(Rule::Regime, passed, observed, Observed::Number(REGIME_RISE))
}

fn narrow(c: &Complete, s: &Settings, checks: &mut Checks) -> bool {
    let limit = Observed::Number(s.max_spread_bps);
    match c.spread {
        Spread::Bps(bps) => checks.note(Rule::Spread, bps <= s.max_spread_bps, Observed::Number(bps), limit),
        // (ask − bid) / ((ask + bid) / 2) × 10,000
        Spread::Book { bid, ask } => {
            let (width, twice_mid) = ((ask - bid).wide(), (ask + bid).wide());
            let order = cmp_products(&[width, 20_000, Dec::ONE.0], &[s.max_spread_bps.0, twice_mid]);
            let observed = Observed::Ratio { numerator: width, denominator: twice_mid, scale: 20_000 };
            checks.note_option(Rule::Spread, order.map(|o| o != Ordering::Greater), observed, limit)
        }
    }
}

/// Stop distance against what the round trip costs.
fn worth_its_cost(c: &Complete, conditions: &Conditions, s: &Settings, checks: &mut Checks) -> bool {
    if s.min_stop_cost == Dec::ZERO {
        return true;
    }
    let one = Dec::ONE.0;
    // Money at 36 decimal places; the cost times 10,000, so that basis points need no division.
    let compare = || -> Option<(Wide, Wide)> {
        let fees = wide_product(&[20_000, conditions.taker_fee.0, c.price.0])?;
        let spread = match c.spread {
            Spread::Book { bid, ask } => wide_product(&[10_000, (ask - bid).wide(), conditions.tick.0, one])?,
            Spread::Bps(bps) => wide_product(&[c.price.0, bps.0])?,
        };
        let distance = wide_product(&[c.atr.0, s.atr_mult_sl.0])?;
        Some((distance, fees.checked_add(spread)?))
    };
    let Some((distance, cost)) = compare() else {
        return checks.note(Rule::Cost, false, Observed::Missing, Observed::Number(s.min_stop_cost));
    };
    let needed = cost.checked_mul(Wide::from(s.min_stop_cost.0));
    let have = distance.checked_mul(Wide::from(one * 10_000));
    let passed = have.zip(needed).map(|(have, needed)| have >= needed);
    let to_dec =
        |v: Wide, scale: i128| Dec(div_wide(v, Wide::from(scale), Rounding::Ceil).unwrap_or(i128::MAX));
    let observed = Observed::Number(to_dec(distance, one));
    let threshold = to_dec(cost, one * 10_000).mul(s.min_stop_cost, Rounding::Ceil).unwrap_or(Dec::MAX);
    checks.note_option(Rule::Cost, passed, observed, Observed::Number(threshold))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Consensus};

    const TICK: Dec = Dec::new(1, 1);

    /// Everything passes: 50,000.0 with an EMA of 48,000, an ATR of 1,500 and a spread of 10 bps.
    fn market() -> Conditions {
        Conditions {
            price: Ticks(500_000),
            tick: TICK,
            spread: Some(Spread::Book { bid: Ticks(499_750), ask: Ticks(500_250) }),
            atr: Some(Dec::int(1_500)),
            ema: Some(Dec::int(48_000)),
            volume_24h: Some(Dec::int(5_000_000_000)),
            quote_age_ns: Some(0),
            feed_lag_ns: 0,
            taker_fee: Dec::new(5, 4),
            funded: true,
        }
    }

    fn signal(confidence: Dec) -> Resolved {
        Resolved {
            action: Action::Long,
            consensus: Consensus::Strong,
            confidence: Confidence::exact(confidence),
        }
    }

    /// The rule that refuses; `None` if all pass.
    fn refusal(
        side: Side,
        confidence: Dec,
        c: &Conditions,
        regime: Option<&Regime>,
        s: &Settings,
    ) -> Option<Rule> {
        let mut checks = Checks::default();
        let passed = passes(side, &signal(confidence), c, regime, s, &mut checks);
        let failed = checks.failure().map(|check| check.rule);
        assert_eq!(passed, failed.is_none());
        failed
    }

    fn long(c: &Conditions, s: &Settings) -> Option<Rule> {
        refusal(Side::Buy, Dec::new(75, 2), c, None, s)
    }

    /// The rule that refuses a long and, with the EMA as far above the price as it was below, a short.
    fn both(c: &Conditions, s: &Settings) -> Option<Rule> {
        let mirrored = Conditions { ema: c.ema.map(|ema| Dec::int(100_000) - ema), ..*c };
        let short = refusal(Side::Sell, Dec::new(75, 2), &mirrored, None, s);
        assert_eq!(long(c, s), short, "{c:?}");
        short
    }

    #[test]
    fn limits_include_their_value_and_nothing_beyond() {
        let s = Settings::DEFAULT;
        let unit = Dec(1);
        let m = market();
        let aged = |ns: i64| Conditions { quote_age_ns: Some(5_000 * NS_PER_MS + ns), ..m };
        let lagging = |ns: i64| Conditions { feed_lag_ns: 500 * NS_PER_MS + ns, ..m };
        let traded = |volume: Dec| Conditions { volume_24h: Some(volume), ..m };
        let spread = |spread| Conditions { spread: Some(spread), ..m };
        let book = |bid: i64, ask: i64| spread(Spread::Book { bid: Ticks(bid), ask: Ticks(ask) });
        let bps = |bps: Dec| spread(Spread::Bps(bps));
        let atr = |atr| Conditions { atr: Some(atr), ..m };
        let cases = [
            (m, None),
            (aged(-1), None),
            (aged(0), None),
            (aged(1), Some(Rule::Stale)),
            (Conditions { quote_age_ns: None, ..m }, Some(Rule::Stale)),
            (lagging(-1), None),
            (lagging(0), None),
            (lagging(1), Some(Rule::FeedLag)),
            (traded(s.min_volume_24h - unit), Some(Rule::Volume)),
            (traded(s.min_volume_24h), None),
            (traded(s.min_volume_24h + unit), None),
            // 50 bps of a mid of 500,000 ticks is 2,500 ticks.
            (book(498_751, 501_250), None),
            (book(498_750, 501_250), None),
            (book(498_749, 501_250), Some(Rule::Spread)),
            (bps(Dec::int(50) - unit), None),
            (bps(Dec::int(50)), None),
            (bps(Dec::int(50) + unit), Some(Rule::Spread)),
            // Two fees of 25 and a spread of 50, twice: 200; the stop is 1.5 ATR away.
            (atr(Dec::new(13_333_333_333, 8)), Some(Rule::Cost)),
            (atr(Dec::new(13_333_333_334, 8)), None),
            // The same with the spread given: 5 bps less are 25 less, twice.
            (Conditions { spread: Some(Spread::Bps(Dec::int(5))), ..atr(Dec::int(100)) }, None),
            (
                Conditions { spread: Some(Spread::Bps(Dec::int(5))), ..atr(Dec::int(100) - unit) },
                Some(Rule::Cost),
            ),
        ];
        for (i, (conditions, expected)) in cases.iter().enumerate() {
            assert_eq!(both(conditions, &s), *expected, "case {i}");
        }
    }

    #[test]
    fn the_cost_rule_is_off_at_a_factor_of_zero() {
        let cheap = Conditions { atr: Some(Dec(1)), ..market() };
        assert_eq!(both(&cheap, &Settings::DEFAULT), Some(Rule::Cost));
        assert_eq!(both(&cheap, &Settings { min_stop_cost: Dec::ZERO, ..Settings::DEFAULT }), None);
    }

    #[test]
    fn cost_shows_the_stops_distance_and_the_least_allowed_in_price() {
        let mut checks = Checks::default();
        let shown = |c: &Conditions, checks: &mut Checks| {
            checks.clear();
            passes(Side::Buy, &signal(Dec::ONE), c, None, &Settings::DEFAULT, checks);
            let check = *checks.iter().last().unwrap();
            assert_eq!(check.rule, Rule::Cost);
            (check.observed, check.threshold)
        };
        let number = |value| Observed::Number(Dec::int(value));
        assert_eq!(shown(&market(), &mut checks), (number(2_250), number(200)));
        let given = Conditions { spread: Some(Spread::Bps(Dec::int(5))), ..market() };
        assert_eq!(shown(&given, &mut checks), (number(2_250), number(150)));
    }

    #[test]
    fn what_is_missing_or_senseless_is_not_ready() {
        let m = market();
        let book = |bid, ask| Some(Spread::Book { bid: Ticks(bid), ask: Ticks(ask) });
        for conditions in [
            Conditions { price: Ticks(0), ..m },
            Conditions { price: Ticks(Ticks::PRICE_MAX.0 + 1), ..m },
            Conditions { spread: None, ..m },
            Conditions { spread: book(500_001, 500_000), ..m },
            Conditions { spread: book(0, 500_000), ..m },
            Conditions { spread: book(500_000, Ticks::PRICE_MAX.0 + 1), ..m },
            Conditions { spread: Some(Spread::Bps(-Dec(1))), ..m },
            Conditions { atr: None, ..m },
            Conditions { atr: Some(Dec::ZERO), ..m },
            Conditions { atr: Some(-Dec(1)), ..m },
            Conditions { ema: None, ..m },
            Conditions { ema: Some(Dec::ZERO), ..m },
            Conditions { volume_24h: None, ..m },
            Conditions { funded: false, ..m },
        ] {
            for side in [Side::Buy, Side::Sell] {
                let refused = refusal(side, Dec::ONE, &conditions, None, &Settings::DEFAULT);
                assert_eq!(refused, Some(Rule::Ready), "{side:?} {conditions:?}");
            }
        }
    }

    #[test]
    fn the_least_of_everything_is_ready() {
        let m = market();
        let equal = Some(Spread::Book { bid: Ticks(500_000), ask: Ticks(500_000) });
        assert_eq!(both(&Conditions { spread: equal, ..m }, &Settings::DEFAULT), None);
        assert_eq!(both(&Conditions { spread: Some(Spread::Bps(Dec::ZERO)), ..m }, &Settings::DEFAULT), None);
        let open = Settings { require_trend: false, ..Settings::DEFAULT };
        for (least, refused) in [
            (Conditions { atr: Some(Dec(1)), ..m }, Some(Rule::Cost)),
            (Conditions { ema: Some(Dec(1)), ..m }, None),
            (Conditions { volume_24h: Some(Dec::ZERO), ..m }, Some(Rule::Volume)),
        ] {
            assert_eq!(both(&least, &open), refused, "{least:?}");
        }
    }

    #[test]
    fn confidence_is_raised_in_high_volatility() {
        let (s, m) = (Settings::DEFAULT, market());
        let at = |c: &Conditions, confidence, s: &Settings| {
            let short = Conditions { ema: Some(Dec::int(52_000)), ..*c };
            let refused = refusal(Side::Sell, confidence, &short, None, s);
            assert_eq!(refusal(Side::Buy, confidence, c, None, s), refused);
            refused
        };
        assert_eq!(at(&m, s.min_confidence - Dec(1), &s), Some(Rule::Confidence));
        assert_eq!(at(&m, s.min_confidence, &s), None);
        assert_eq!(at(&m, s.min_confidence + Dec(1), &s), None);
        // Exactly 5% of the price is not above 5%.
        let edge = Conditions { atr: Some(Dec::int(2_500)), ..m };
        let above = Conditions { atr: Some(Dec::int(2_500) + Dec(1)), ..m };
        assert_eq!(at(&edge, s.min_confidence, &s), None);
        assert_eq!(at(&above, s.high_vol_confidence - Dec(1), &s), Some(Rule::Confidence));
        assert_eq!(at(&above, s.high_vol_confidence, &s), None);
        assert_eq!(at(&above, s.min_confidence, &Settings { volatility_gate: false, ..s }), None);
        // The larger of the two needs is in force, whichever that is.
        let sure = Settings { min_confidence: Dec::new(9, 1), ..s };
        assert_eq!(at(&above, sure.min_confidence - Dec(1), &sure), Some(Rule::Confidence));
        assert_eq!(at(&above, sure.min_confidence, &sure), None);
    }

    #[test]
    fn only_a_consensus_of_the_set_passes() {
        let s = Settings::DEFAULT;
        for (consensus, refused) in [
            (Consensus::Unanimous, None),
            (Consensus::Strong, None),
            (Consensus::Split, Some(Rule::Consensus)),
            (Consensus::Weak, Some(Rule::Consensus)),
        ] {
            for (side, ema) in [(Side::Buy, 48_000), (Side::Sell, 52_000)] {
                let mut checks = Checks::default();
                let resolved = Resolved { consensus, ..signal(Dec::ONE) };
                let conditions = Conditions { ema: Some(Dec::int(ema)), ..market() };
                passes(side, &resolved, &conditions, None, &s, &mut checks);
                assert_eq!(checks.failure().map(|check| check.rule), refused, "{consensus:?} {side:?}");
            }
        }
    }

    #[test]
    fn the_trend_has_two_sides_and_a_tolerance() {
        let s = Settings { trend_tolerance: Dec::new(1, 2), ..Settings::DEFAULT };
        let at = |side, ticks: i64, s: &Settings| {
            refusal(side, Dec::new(75, 2), &Conditions { price: Ticks(ticks), ..market() }, None, s)
        };
        let refused = Some(Rule::Trend);
        let around = |side, ticks: i64, s: &Settings| [-1i64, 0, 1].map(|by| at(side, ticks + by, s));
        // 48,000 ∓ 1%: 47,520 and 48,480.
        assert_eq!(around(Side::Buy, 475_200, &s), [refused, None, None]);
        assert_eq!(around(Side::Sell, 484_800, &s), [None, None, refused]);
        let strict = Settings::DEFAULT;
        assert_eq!(around(Side::Buy, 480_000, &strict), [refused, None, None]);
        assert_eq!(around(Side::Sell, 480_000, &strict), [None, None, refused]);
        assert_eq!(at(Side::Sell, 500_000, &Settings { require_trend: false, ..s }), None);
    }

    #[test]
    fn a_rising_regime_refuses_shorts_but_for_weak_instruments_and_sure_signals() {
        let symbol = crate::event::Symbol::new("BTCUSDT");
        let s = Settings {
            regime_symbol: symbol,
            require_trend: false,
            min_confidence: Dec::ZERO,
            ..Settings::DEFAULT
        };
        let rising = Regime { price: Dec::int(102), ema: Dec::int(100), fresh: true };
        let calm = Regime { price: Dec::int(102) - Dec(1), ..rising };
        let stale = Regime { fresh: false, ..calm };
        let (above, sure) = (market(), s.regime_short_confidence);
        let below = Conditions { price: Ticks(479_999), ..above };
        let equal = Conditions { price: Ticks(480_000), ..above };
        let short = |confidence, c: &Conditions, regime| refusal(Side::Sell, confidence, c, regime, &s);
        assert_eq!(short(Dec::ONE, &above, Some(&rising)), Some(Rule::Regime));
        let risen = Regime { price: rising.price + Dec(1), ..rising };
        assert_eq!(short(Dec::ONE, &above, Some(&risen)), Some(Rule::Regime));
        assert_eq!(short(Dec::ONE, &equal, Some(&rising)), Some(Rule::Regime), "below is strict");
        assert_eq!(short(sure, &below, Some(&rising)), None);
        assert_eq!(short(sure + Dec(1), &below, Some(&rising)), None);
        assert_eq!(short(sure - Dec(1), &below, Some(&rising)), Some(Rule::Regime));
        assert_eq!(short(Dec::ZERO, &above, Some(&calm)), None);
        let without = Regime { ema: Dec::ZERO, ..calm };
        for unknown in [None, Some(&stale), Some(&without)] {
            assert_eq!(short(Dec::ONE, &below, unknown), Some(Rule::Regime));
            assert_eq!(refusal(Side::Buy, Dec::ONE, &above, unknown, &s), None);
        }
    }

    #[test]
    fn rules_are_looked_at_in_order_through_the_first_failure() {
        let mut checks = Checks::default();
        let weak = Resolved { consensus: Consensus::Weak, ..signal(Dec::ONE) };
        assert!(!passes(Side::Buy, &weak, &market(), None, &Settings::DEFAULT, &mut checks));
        let seen: Vec<Rule> = checks.iter().map(|check| check.rule).collect();
        assert_eq!(seen, [Rule::Ready, Rule::Stale, Rule::FeedLag, Rule::Consensus]);
    }
}
