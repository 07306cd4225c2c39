//! `qtx ctl status`: what an operator wants to see first, as text and as JSON.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::event::{InstrumentTable, Output, OutputBody};
use crate::num::{Dec, InstrumentId, Rounding, Ticks, TimeNs};
use crate::observe::{Exact, LastAlarm, Lines, Stats};
use crate::risk::config::Settings;
use crate::trade::OpenTrade;

/// How an engine stands. Times are the engine's own, which in a simulation are simulated.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    pub pid: u32,
    pub journal: String,
    /// Of the newest event in the journal.
    pub now: String,
    pub records: u64,
    pub state: String,
    /// Why, and since when; null while it has been ACTIVE from the start.
    pub cause: Option<String>,
    pub since: Option<String>,
    /// This start goes on with another's journal and has not heard yet what the venue did meanwhile: nothing
    /// is entered.
    pub recovering: bool,
    pub account: Account,
    pub positions: Vec<Position>,
    /// Symbols whose entries are on their way.
    pub pending: Vec<String>,
    pub limits: Vec<LimitInForce>,
    pub feeds: Vec<FeedNow>,
    pub queues: Vec<QueueNow>,
    pub last_alarm: Option<AlarmNow>,
    pub counts: Counts,
}

/// Money in quote currency, drawdowns as fractions of the day's and the week's peak.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Null before the account is known.
    pub equity: Option<Exact>,
    pub wallet: Option<Exact>,
    pub exposure: Exact,
    pub daily_drawdown: Exact,
    pub daily_drawdown_max: Exact,
    pub weekly_drawdown: Exact,
    pub weekly_drawdown_max: Exact,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Position {
    pub symbol: String,
    /// LONG or SHORT.
    pub side: String,
    pub quantity: Exact,
    pub entry: Exact,
    /// The engine's, which the one at the venue follows.
    pub stop: Exact,
    /// Null while no stop is acknowledged.
    pub venue_stop: Option<Exact>,
    pub target: Exact,
    /// What acknowledged stops at the venue would close.
    pub stopped: Exact,
    /// That is all of it.
    pub covered: bool,
    pub since: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LimitInForce {
    pub limit: String,
    pub observed: Exact,
    pub threshold: Exact,
    /// Null where it has no end of its own.
    pub until: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FeedNow {
    pub feed: String,
    pub state: String,
    pub since: String,
}

/// Shares in parts per million.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueueNow {
    pub queue: String,
    pub used_ppm: u32,
    pub used_ppm_max: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AlarmNow {
    pub at: String,
    pub alarm: String,
    /// As the log has it.
    pub text: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counts {
    pub approved: u64,
    pub rejected: u64,
    pub orders: u64,
    pub fills: u64,
    pub trades_closed: u64,
    pub alarms: u64,
    pub decode_faults: u64,
}

/// What does not change while an engine runs.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub journal: String,
    /// Has the instruments too.
    pub lines: Lines,
    pub settings: Settings,
}

impl Subject {
    pub fn instruments(&self) -> &InstrumentTable {
        self.lines.instruments()
    }

    pub fn status(&self, stats: &Stats) -> Status {
        let condition = &stats.condition;
        let pending = stats.book.trades().filter(|trade| trade.open().0 <= 0);
        Status {
            pid: std::process::id(),
            journal: self.journal.clone(),
            now: stats.now.to_string(),
            records: stats.records,
            state: condition.state.to_string(),
            recovering: condition.recovering,
            cause: condition.cause.map(|(cause, _)| cause.to_string()),
            since: condition.cause.map(|(_, since)| since.to_string()),
            account: self.account(stats),
            positions: stats.book.positions().map(|trade| self.position(trade)).collect(),
            pending: pending.map(|trade| self.symbol(trade.instrument)).collect(),
            limits: condition
                .limits
                .values()
                .map(|limit| LimitInForce {
                    limit: limit.limit.to_string(),
                    observed: limit.observed.into(),
                    threshold: limit.threshold.into(),
                    until: (limit.until_ns != TimeNs(0)).then(|| limit.until_ns.to_string()),
                })
                .collect(),
            feeds: condition
                .feeds
                .values()
                .map(|status| FeedNow {
                    feed: status.feed.to_string(),
                    state: status.state.to_string(),
                    since: TimeNs::from_ms(status.since_ms).to_string(),
                })
                .collect(),
            queues: condition
                .queues
                .iter()
                .map(|(queue, share)| QueueNow {
                    queue: queue.to_string(),
                    used_ppm: share.now_ppm,
                    used_ppm_max: share.max_ppm,
                })
                .collect(),
            last_alarm: condition.last_alarm.map(|last| self.alarm(&last)),
            counts: Counts {
                approved: stats.approved,
                rejected: stats.rejections(),
                orders: stats.orders,
                fills: stats.fills,
                trades_closed: stats.closed.count,
                alarms: stats.alarms.values().sum(),
                decode_faults: stats.decode_faults.values().sum(),
            },
        }
    }

    fn account(&self, stats: &Stats) -> Account {
        Account {
            equity: stats.equity.map(Exact::from),
            wallet: stats.wallet.map(Exact::from),
            exposure: stats.exposure.into(),
            daily_drawdown: stats.daily_drawdown.into(),
            daily_drawdown_max: self.settings.max_daily_dd_pct.into(),
            weekly_drawdown: stats.weekly_drawdown.into(),
            weekly_drawdown_max: self.settings.max_weekly_dd_pct.into(),
        }
    }

    fn position(&self, trade: &OpenTrade) -> Position {
        let row = self.instruments().get(trade.instrument);
        let price = |ticks: Ticks| Exact::from(row.map_or(Dec::ZERO, |row| row.price(ticks)));
        let lots = |lots| Exact::from(row.map_or(Dec::ZERO, |row| row.quantity(lots)));
        let places = row.map_or(8, |row| u32::from(row.price_places) + 2);
        Position {
            symbol: self.symbol(trade.instrument),
            side: trade.side.direction().to_string(),
            quantity: lots(trade.open()),
            entry: trade.entry.round(places, Rounding::HalfEven).into(),
            stop: price(trade.stop),
            venue_stop: trade.resting_stop().map(price),
            target: price(trade.target),
            stopped: lots(trade.stopped().min(trade.open())),
            covered: trade.is_covered(),
            since: trade.since.to_string(),
        }
    }

    fn alarm(&self, last: &LastAlarm) -> AlarmNow {
        let output = Output { instrument: last.instrument, body: OutputBody::Alarm(last.alarm) };
        AlarmNow {
            at: last.at.to_string(),
            alarm: last.alarm.kind.to_string(),
            text: self.lines.output(&output).join(" "),
        }
    }

    fn symbol(&self, id: InstrumentId) -> String {
        self.instruments().get(id).map_or_else(|| "-".to_string(), |row| row.symbol.to_string())
    }
}

/// A share in percent, two places.
fn percent(share: &Exact) -> String {
    let hundredfold = share.value().checked_mul_int(100).unwrap_or(share.value());
    format!("{:.2}%", hundredfold.round(2, Rounding::HalfEven))
}

fn money(value: Option<&Exact>) -> String {
    value.map_or_else(|| "-".to_string(), |value| format!("{:.2}", value.value()))
}

fn ppm(share: u32) -> String {
    format!("{:.1}%", f64::from(share) / 10_000.0)
}

fn or_none(parts: Vec<String>) -> String {
    if parts.is_empty() { "none".to_string() } else { parts.join(", ") }
}

impl Status {
    fn write_positions(&self, text: &mut String) -> fmt::Result {
        if self.positions.is_empty() {
            writeln!(text, "positions   none")?;
        }
        for (i, p) in self.positions.iter().enumerate() {
            let cover = match &p.venue_stop {
                Some(stop) if p.covered => format!("covered by a stop at {stop}"),
                _ => format!("NOT COVERED: acknowledged stops for {} of {}", p.stopped, p.quantity),
            };
            writeln!(
                text,
                "{:<12}{} {} {} entry {} stop {} target {}, {cover}, since {}",
                if i == 0 { "positions" } else { "" },
                p.symbol,
                p.side,
                p.quantity,
                p.entry,
                p.stop,
                p.target,
                p.since
            )?;
        }
        if !self.pending.is_empty() {
            writeln!(text, "pending     {}", self.pending.join(", "))?;
        }
        Ok(())
    }

    fn write_loop(&self, text: &mut String) -> fmt::Result {
        let limits = self.limits.iter().map(|limit| match &limit.until {
            Some(until) => format!("{} until {until}", limit.limit),
            None => limit.limit.clone(),
        });
        writeln!(text, "limits      {}", or_none(limits.collect()))?;
        let feeds =
            self.feeds.iter().map(|feed| format!("{} {} since {}", feed.feed, feed.state, feed.since));
        writeln!(text, "feeds       {}", or_none(feeds.collect()))?;
        let queues = self.queues.iter().map(|queue| {
            format!("{} {} (most {})", queue.queue, ppm(queue.used_ppm), ppm(queue.used_ppm_max))
        });
        writeln!(text, "queues      {}", or_none(queues.collect()))?;
        match &self.last_alarm {
            None => writeln!(text, "last alarm  none"),
            Some(last) => {
                writeln!(text, "last alarm  {} {} ({} in all)", last.at, last.text, self.counts.alarms)
            }
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let why = match (&self.cause, &self.since) {
            (Some(cause), Some(since)) => format!(": {cause}, since {since}"),
            _ => String::new(),
        };
        let a = &self.account;
        let recovering = if self.recovering { ", recovering: the venue is asked what happened" } else { "" };
        writeln!(text, "state       {}{why}{recovering}", self.state)?;
        writeln!(
            text,
            "equity      {}, wallet {}, exposure {}",
            money(a.equity.as_ref()),
            money(a.wallet.as_ref()),
            money(Some(&a.exposure))
        )?;
        writeln!(
            text,
            "drawdown    day {} of {}, week {} of {}",
            percent(&a.daily_drawdown),
            percent(&a.daily_drawdown_max),
            percent(&a.weekly_drawdown),
            percent(&a.weekly_drawdown_max)
        )?;
        self.write_positions(&mut text)?;
        self.write_loop(&mut text)?;
        let c = &self.counts;
        writeln!(
            text,
            "so far      {} approved, {} rejected, {} orders, {} fills, {} trades closed, {} frames refused",
            c.approved, c.rejected, c.orders, c.fills, c.trades_closed, c.decode_faults
        )?;
        write!(
            text,
            "engine      process {}, at {}, {} records in {}",
            self.pid, self.now, self.records, self.journal
        )?;
        f.write_str(&text)
    }
}
