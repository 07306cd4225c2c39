//! TradeOpportunityFilter: is this signal worth looking at? `docs/RULES.md` §3.

use std::cmp::Ordering;

use super::check::{Checks, Observed};
use super::config::Settings;
use crate::event::Rule;
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
        (sane && c.price.is_price()).then_some(())?;
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
