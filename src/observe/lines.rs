//! Decision lines: one event of a trade's life, one line, as an operator greps them.

use crate::event::{
    Action, Alarm, AlarmKind, BarClosed, Decision, EntryFilled, Equity, Event, EventBody, ExitFired,
    Instrument, InstrumentTable, LimitChanged, Output, OutputBody, Rule, Seat, Signal, StopMoved,
    TradeClosed, TradingState,
};
use crate::num::{Dec, InstrumentId, Rounding, Ticks, TimeNs};
use crate::risk::config::Settings;

/// Formats outputs by the `RM_LOG_*` switches.
#[derive(Clone, Debug)]
pub struct Lines {
    instruments: InstrumentTable,
    settings: Settings,
}

/// A percentage with two places, half to even.
fn percent(part: Dec, whole: Dec) -> String {
    let value = part.div(whole, Rounding::HalfEven).and_then(|r| r.checked_mul_int(100)).unwrap_or(Dec::ZERO);
    format!("{value:.2}")
}

fn signed_percent(part: Dec, whole: Dec) -> String {
    let text = percent(part, whole);
    if text.starts_with('-') { text } else { format!("+{text}") }
}

impl Lines {
    pub fn new(instruments: InstrumentTable, settings: Settings) -> Lines {
        Lines { instruments, settings }
    }

    pub fn instruments(&self) -> &InstrumentTable {
        &self.instruments
    }

    fn symbol(&self, id: InstrumentId) -> String {
        self.instruments.get(id).map_or_else(|| "-".to_string(), |row| row.symbol.to_string())
    }

    /// The lines of an output, without time; empty where the switches say so.
    pub fn output(&self, output: &Output) -> Vec<String> {
        let s = &self.settings;
        let symbol = self.symbol(output.instrument);
        let Some(row) = self.instruments.get(output.instrument) else {
            return self.global(output).into_iter().collect();
        };
        match &output.body {
            OutputBody::Decision(d) if d.approved => {
                let mut lines = Vec::new();
                if s.log_position_sizing {
                    lines.push(format!("{symbol} {}", sizing(row, d)));
                }
                if s.log_trade_decisions {
                    lines.push(format!("{symbol} {}", approved(row, d)));
                }
                lines
            }
            OutputBody::Decision(d) if s.log_filter_rejections => {
                vec![format!("{symbol} {} REJECTED {}", d.side.direction(), self.reason(row, d))]
            }
            OutputBody::Votes(votes) if s.log_signal_breakdown => {
                vec![format!("{symbol} {}", breakdown(votes))]
            }
            OutputBody::EntryFilled(f) if s.log_exit_decisions => {
                vec![format!("{symbol} {}", filled(row, f))]
            }
            OutputBody::StopMoved(m) if s.log_exit_decisions => vec![format!("{symbol} {}", moved(row, m))],
            OutputBody::ExitFired(e) if s.log_exit_decisions => vec![format!("{symbol} {}", fired(row, e))],
            OutputBody::TradeClosed(c) if s.log_trade_decisions => {
                vec![format!("{symbol} {}", closed(row, c))]
            }
            OutputBody::BarClosed(b) if s.log_market_data => vec![format!("{symbol} {}", bar(row, b))],
            OutputBody::Alarm(a) => vec![format!("{symbol} {}", alarm(a))],
            _ => Vec::new(),
        }
    }

    /// Outputs that concern no instrument.
    fn global(&self, output: &Output) -> Option<String> {
        match &output.body {
            OutputBody::TradingStateChanged(c) => {
                Some(format!("TRADING {} -> {} ({})", c.from, c.to, c.cause))
            }
            OutputBody::LimitChanged(c) if self.settings.log_risk_metrics => Some(limit(c)),
            OutputBody::Equity(e) if self.settings.log_risk_metrics => Some(equity(e)),
            OutputBody::Alarm(a) => Some(alarm(a)),
            _ => None,
        }
    }

    /// Lines of events an operator wants to see: what was refused, what is cut off.
    pub fn event(&self, event: &Event) -> Option<String> {
        match &event.body {
            EventBody::DecodeFault(fault) => {
                let length = usize::from(fault.head_length).min(fault.head.len());
                let head = String::from_utf8_lossy(&fault.head[..length]).escape_debug().to_string();
                Some(format!("FRAME refused: {} ({} bytes): {head}", fault.reason.as_str(), fault.bytes))
            }
            EventBody::Gap(gap) => Some(format!("GAP {} frames dropped: journal full", gap.frames)),
            _ => None,
        }
    }

    /// Why a signal was rejected, with the observed value and what was asked for.
    pub fn reason(&self, row: &Instrument, d: &Decision) -> String {
        let (o, t, rule) = (d.observed, d.threshold, d.rule);
        let text = match rule {
            Rule::None => "every rule passed".to_string(),
            Rule::Ready => "not enough history, quotes or account state yet".to_string(),
            Rule::Stale => format!("last quote {o:.0} ms old, {t} allowed"),
            Rule::FeedLag => format!("feed {o:.0} ms behind its best, {t} allowed"),
            Rule::Consensus => format!("{} not in {}", d.consensus, self.settings.min_consensus_types),
            Rule::Confidence => format!("{} below {}", o.round(4, Rounding::Floor), t.display(2)),
            Rule::Trend => {
                let side = if d.side.sign() > 0 { "below" } else { "above" };
                let places = u32::from(row.price_places);
                format!(
                    "price {} {side} EMA limit {}",
                    o.display(places),
                    t.round(places + 1, Rounding::HalfEven)
                )
            }
            Rule::Regime => format!("regime at {:.4} of its EMA, shorts need below {t}", o),
            Rule::Volume => format!("24h volume {o:.0} below {t}"),
            Rule::Spread => format!("{o:.2} bps above {t}"),
            Rule::Cost => {
                let places = u32::from(row.price_places) + 1;
                let (have, need) = (o.round(places, Rounding::HalfEven), t.round(places, Rounding::HalfEven));
                format!("stop distance {have} below {need} ({} x costs)", self.settings.min_stop_cost)
            }
            Rule::CircuitBreaker => format!("paused after a daily drawdown above {}%", percent(t, Dec::ONE)),
            Rule::DailyDrawdown | Rule::WeeklyDrawdown => {
                format!("limit {}% exceeded, now {}%", percent(t, Dec::ONE), percent(o, Dec::ONE))
            }
            Rule::Concurrent => format!("{o} open or pending, {t} allowed"),
            Rule::Position => "already in this instrument".to_string(),
            Rule::Correlation if o == Dec::ZERO => {
                "returns too short, flat or unaligned to compare".to_string()
            }
            Rule::Correlation => {
                format!("{:.2} above {}", o.to_f64_lossy().abs().sqrt(), self.settings.max_correlation)
            }
            Rule::TradingState => {
                let state = TradingState::ALL.iter().find(|s| Dec::int(**s as i64) == o);
                format!("{} allows no entries", state.map_or("?", |s| s.as_str()))
            }
            Rule::Levels => format!("ATR {} gives no valid stop and target", o.round(8, Rounding::HalfEven)),
            Rule::Liquidation => format!("leverage {o} liquidates within one stop distance of the stop"),
            Rule::MinQuantity => format!("quantity {o} below {t}"),
            Rule::MinNotional => format!("notional {o:.2} below the venue's {t}"),
            Rule::MinPosition => format!("notional {o:.2} does not fit a position of at least {t}"),
            Rule::Exposure => format!("exposure would be {o:.2}, {t:.2} allowed"),
            Rule::OpenRisk => format!("open risk would be {o:.2}, {t:.2} allowed today"),
        };
        format!("{rule}: {text}")
    }
}

fn approved(row: &Instrument, d: &Decision) -> String {
    let price = row.price(d.price);
    let distance = |level: Ticks| row.price(level) - price;
    let risk = row.money((d.price - d.stop).abs().wide() * d.quantity.wide()).unwrap_or(Dec::ZERO);
    let reward =
        Dec::ratio((d.target - d.price).abs().wide(), (d.price - d.stop).abs().wide(), Rounding::HalfEven);
    format!(
        "{} APPROVED quantity={} entry={} stop={} ({}%) target={} ({}%) risk={:.2} ({}%) rr={:.2}",
        d.side.direction(),
        row.format_quantity(d.quantity),
        money(row, d.price),
        money(row, d.stop),
        signed_percent(distance(d.stop), price),
        money(row, d.target),
        signed_percent(distance(d.target), price),
        risk,
        percent(risk, d.threshold),
        reward.unwrap_or(Dec::ZERO),
    )
}

/// Prices with at least two places.
fn money(row: &Instrument, ticks: Ticks) -> String {
    row.price(ticks).display(u32::from(row.price_places).max(2)).to_string()
}

fn sizing(row: &Instrument, d: &Decision) -> String {
    let notional = row.money(d.price.wide() * d.quantity.wide()).unwrap_or(Dec::ZERO);
    let leverage = notional.div(d.threshold, Rounding::HalfEven).unwrap_or(Dec::ZERO);
    let places = u32::from(row.price_places) + 2;
    format!(
        "SIZING price={} atr={} stop_distance={} confidence={} risk_multiplier={} size={} notional={notional:.2} leverage={leverage:.2}",
        money(row, d.price),
        d.observed.round(places, Rounding::HalfEven),
        money(row, (d.price - d.stop).abs()),
        Dec::new(d.confidence_ppm.into(), 6).display(2),
        Dec::new(d.risk_multiplier_ppm.into(), 6).display(2),
        row.format_quantity(d.quantity),
    )
}

fn breakdown(votes: &Signal) -> String {
    let words =
        Seat::ALL.iter().zip(votes.ballot.votes()).zip(votes.confidence).map(|((seat, vote), confidence)| {
            match vote {
                Action::Abstain | Action::Hold => format!("{seat}={vote}"),
                Action::Long | Action::Short => format!("{seat}={vote}:{confidence:.2}"),
            }
        });
    format!("VOTES {}", words.collect::<Vec<_>>().join(" "))
}

fn bar(row: &Instrument, b: &BarClosed) -> String {
    let places = u32::from(row.price_places) + 2;
    let ready = |value: Dec| match value {
        Dec::ZERO => "-".to_string(),
        known => known.round(places, Rounding::HalfEven).to_string(),
    };
    let [open, high, low, close] = [b.open, b.high, b.low, b.close].map(|ticks| money(row, ticks));
    format!(
        "BAR open={open} high={high} low={low} close={close} volume={} trades={} atr={} ema={}",
        row.size(b.volume),
        b.trades,
        ready(b.atr),
        ready(b.ema),
    )
}

fn equity(e: &Equity) -> String {
    format!(
        "EQUITY equity={:.2} wallet={:.2} daily_drawdown={}% weekly_drawdown={}% exposure={:.2} open={} pending={}",
        e.equity,
        e.wallet,
        percent(e.daily_drawdown, Dec::ONE),
        percent(e.weekly_drawdown, Dec::ONE),
        e.exposure,
        e.open_positions,
        e.pending_entries,
    )
}

fn filled(row: &Instrument, f: &EntryFilled) -> String {
    format!(
        "{} FILLED quantity={} entry={} stop={} target={}",
        f.side.direction(),
        row.format_quantity(f.quantity),
        f.entry.round(u32::from(row.price_places) + 2, Rounding::HalfEven).display(2),
        money(row, f.stop),
        money(row, f.target),
    )
}

fn moved(row: &Instrument, m: &StopMoved) -> String {
    let direction = m.side.direction();
    format!("{direction} STOP {} {} -> {}", m.kind, money(row, m.previous), money(row, m.stop))
}

fn fired(row: &Instrument, e: &ExitFired) -> String {
    let (quantity, price) = (row.format_quantity(e.quantity), money(row, e.price));
    format!(
        "{} EXIT {} quantity={quantity} price={price} r={:+.2}",
        e.side.direction(),
        e.signal,
        Signed(e.r)
    )
}

fn closed(row: &Instrument, c: &TradeClosed) -> String {
    format!(
        "{} {} by {} quantity={} entry={} exit={} pnl={:+.2} r={:+.2} mfe={:.2} mae={:.2} fees={:.2} held={}s",
        c.side.direction(),
        c.state,
        c.signal,
        row.format_quantity(c.quantity),
        c.entry.round(u32::from(row.price_places) + 2, Rounding::HalfEven).display(2),
        c.exit.round(u32::from(row.price_places) + 2, Rounding::HalfEven).display(2),
        Signed(c.pnl),
        Signed(c.r_multiple),
        c.mfe,
        c.mae,
        c.fees,
        c.closed_ns.since(c.opened_ns) / 1_000_000_000,
    )
}

/// A decimal printed with its sign.
struct Signed(Dec);

impl std::fmt::Display for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{:.*}", f.precision().unwrap_or(2), self.0);
        if text.starts_with('-') { f.write_str(&text) } else { write!(f, "+{text}") }
    }
}

fn limit(c: &LimitChanged) -> String {
    let state = if c.active { "ON" } else { "OFF" };
    let until = if c.until_ns == TimeNs(0) { String::new() } else { format!(" until {}", c.until_ns) };
    format!("LIMIT {} {state} observed={:.4} threshold={}{until}", c.limit, c.observed, c.threshold)
}

fn alarm(a: &Alarm) -> String {
    let what = match a.kind {
        AlarmKind::StopRefused | AlarmKind::EntryRefused | AlarmKind::ExitRefused => {
            format!("code {}", a.value)
        }
        AlarmKind::UnprotectedDeadline | AlarmKind::StopNotTriggered => format!("after {} ms", a.value),
        AlarmKind::WalletDiffers => format!("by {}", Dec::new(a.value, 8)),
        _ => format!("value {}", a.value),
    };
    let order = if a.order.is_none() { String::new() } else { format!(" order {}", a.order) };
    format!("ALARM {}: {what}{order}", a.kind)
}
