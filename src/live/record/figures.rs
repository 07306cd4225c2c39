//! What a recording counted, as text and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::event::Feed;
use crate::num::{NS_PER_SEC, TimeNs};
use crate::venue::binance::Channel;

/// Gaps told one by one; more are counted only.
const GAPS_KEPT: usize = 1_000;
/// How the venue's combined frames begin.
const STREAM_KEY: &[u8] = b"{\"stream\":\"";
/// Of frames that name no stream we know.
const OTHER: &str = "other";

/// A time in which a connection was not there: frames of it may be missing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gap {
    pub feed: String,
    /// Index of the connection.
    pub connection: usize,
    /// Time of the last frame before it.
    pub from_ns: i64,
    /// When the connection was open again; null if it was not.
    pub to_ns: Option<i64>,
    pub why: String,
}

/// How long ago a connection's last frame came.
#[derive(Clone, Copy, Debug)]
pub struct FeedAge {
    pub feed: Feed,
    pub last_frame: TimeNs,
    pub age_ns: i64,
}

/// Counts so far.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    pub frames: u64,
    /// Of the frames, without time stamps and before compression.
    pub bytes: u64,
    pub seconds: f64,
    pub by_channel: BTreeMap<&'static str, u64>,
    pub connections: usize,
    /// Connections opened again.
    pub reconnects: u64,
    pub gaps: u64,
    /// Line breaks inside frames that became blanks.
    pub mended: u64,
    /// The first of the gaps.
    pub gap_list: Vec<Gap>,
    #[serde(skip)]
    pub ages: BTreeMap<usize, FeedAge>,
}

impl Figures {
    pub(super) fn new(connections: usize) -> Figures {
        Figures { connections, ..Figures::default() }
    }

    pub(super) fn count(&mut self, connection: usize, feed: Feed, at: TimeNs, frame: &[u8]) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
        *self.by_channel.entry(channel_of(frame)).or_default() += 1;
        self.ages.insert(connection, FeedAge { feed, last_frame: at, age_ns: 0 });
    }

    pub(super) fn note_ages(&mut self, now: TimeNs) {
        for age in self.ages.values_mut() {
            age.age_ns = now.since(age.last_frame);
        }
    }

    /// Its index, for [`Figures::end_gap`].
    pub(super) fn begin_gap(&mut self, gap: Gap) -> usize {
        self.gaps += 1;
        if self.gap_list.len() < GAPS_KEPT {
            self.gap_list.push(gap);
            return self.gap_list.len() - 1;
        }
        usize::MAX
    }

    /// How long it was; 0 for one that is only counted.
    pub(super) fn end_gap(&mut self, index: usize, now: TimeNs) -> i64 {
        let Some(gap) = self.gap_list.get_mut(index) else { return 0 };
        gap.to_ns = Some(now.0);
        now.since(TimeNs(gap.from_ns))
    }

    /// One line for the terminal: the newest frame of each feed, how old it is.
    pub fn progress(&self) -> String {
        let mut newest: BTreeMap<Feed, i64> = BTreeMap::new();
        for age in self.ages.values() {
            let kept = newest.entry(age.feed).or_insert(age.age_ns);
            *kept = (*kept).min(age.age_ns);
        }
        let feeds = newest.iter().map(|(feed, ns)| format!("  {feed} {:.1} s ago", seconds(*ns)));
        format!("{}{}", self.rate(), feeds.collect::<String>())
    }

    fn rate(&self) -> String {
        let rate = if self.seconds > 0.0 { self.frames as f64 / self.seconds } else { 0.0 };
        format!("{} frames  {}  {rate:.0} frames/s", self.frames, size(self.bytes))
    }
}

/// What `qtx record` ends with.
#[derive(Clone, Debug, Serialize)]
pub struct RecordSummary {
    pub file: String,
    pub file_bytes: u64,
    #[serde(flatten)]
    pub figures: Figures,
}

impl fmt::Display for RecordSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = &self.figures;
        writeln!(f, "recorded     {} in {:.1} s", figures.rate(), figures.seconds)?;
        let channels: Vec<String> =
            figures.by_channel.iter().map(|(channel, count)| format!("{channel} {count}")).collect();
        let channels = if channels.is_empty() { "none".to_string() } else { channels.join(", ") };
        writeln!(f, "by channel   {channels}")?;
        writeln!(
            f,
            "connections  {}, opened again {} times, {} gaps",
            figures.connections, figures.reconnects, figures.gaps
        )?;
        for gap in &figures.gap_list {
            let from = TimeNs(gap.from_ns);
            match gap.to_ns {
                Some(to) => writeln!(
                    f,
                    "gap          {from} {} for {:.3} s: {}",
                    gap.feed,
                    seconds(TimeNs(to).since(from)),
                    gap.why
                )?,
                None => writeln!(f, "gap          {from} {} to the end: {}", gap.feed, gap.why)?,
            }
        }
        if figures.mended > 0 {
            writeln!(f, "mended       {} line breaks inside frames became blanks", figures.mended)?;
        }
        write!(f, "file         {}, {}", self.file, size(self.file_bytes))
    }
}

/// The channel a combined frame names.
fn channel_of(frame: &[u8]) -> &'static str {
    let named = || {
        let rest = frame.strip_prefix(STREAM_KEY)?;
        let name = rest.split(|byte| *byte == b'"').next()?;
        Channel::from_stream(std::str::from_utf8(name).ok()?)
    };
    named().map_or(OTHER, Channel::name)
}

fn seconds(ns: i64) -> f64 {
    ns as f64 / NS_PER_SEC as f64
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_by_the_stream_they_name() {
        for (frame, channel) in [
            (&b"{\"stream\":\"btcusdt@aggTrade\",\"data\":{}}"[..], "aggTrade"),
            (b"{\"stream\":\"btcusdt@kline_1m\",\"data\":{}}", "kline"),
            (b"{\"stream\":\"!forceOrder@arr\"}", "forceOrder"),
            (b"{\"stream\":\"btcusdt@depth5\"}", "other"),
            (b"{\"stream\":\"btcusdt@aggTrade", "aggTrade"),
            (b"{\"e\":\"aggTrade\"}", "other"),
            (b"{\"stream\":\"\xff\"}", "other"),
            (b"", "other"),
        ] {
            assert_eq!(channel_of(frame), channel, "{}", String::from_utf8_lossy(frame));
        }
    }

    #[test]
    fn gaps_beyond_the_list_are_counted() {
        let gap = Gap { feed: "public".into(), connection: 0, from_ns: 5, to_ns: None, why: "x".into() };
        let mut figures = Figures::new(1);
        for n in 0..GAPS_KEPT {
            assert_eq!(figures.begin_gap(gap.clone()), n);
        }
        let beyond = figures.begin_gap(gap);
        assert_eq!(figures.end_gap(beyond, TimeNs(9)), 0);
        assert_eq!(figures.end_gap(0, TimeNs(9)), 4);
        assert_eq!((figures.gaps, figures.gap_list.len()), (GAPS_KEPT as u64 + 1, GAPS_KEPT));
    }
}
