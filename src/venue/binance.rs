//! Binance USD-M futures: channels, bar intervals, error codes, the instrument table from
//! `exchangeInfo`, and order entry: addresses, client ids, signatures, requests and answers.
//!
//! Sources: the venue's "USDⓈ-M Futures" API documentation (web socket market streams, error codes,
//! exchange information), checked against recorded frames.

pub mod answer;
mod client_id;
pub mod code;
mod endpoints;
mod exchange_info;
mod params;
mod rate_limits;
pub mod request;
pub mod sign;
pub mod user_stream;

pub use client_id::{ClientId, ClientIds};
pub use endpoints::{API_KEY_HEADER, Endpoints, SIMULATED_KEY, method, path};
pub use exchange_info::{ExchangeInfoError, parse_exchange_info};
pub use params::{Params, percent_encode};
pub use rate_limits::{RateKind, RateLimit, RateLimits, UsedCounts, counts_of_answer, weight};

use crate::event::Feed;

/// A kind of public market data: one event type in frames, one suffix in stream names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    AggTrade,
    Trade,
    BookTicker,
    Depth,
    Kline,
    MarkPrice,
    Ticker,
    ForceOrder,
}

/// What a channel is called.
struct Names {
    /// Value of the key `e` in its frames.
    event_type: &'static str,
    /// Its stream after `<symbol>@`, without parameters.
    stream: &'static str,
    /// Parameters of the stream as we subscribe to it.
    parameters: &'static str,
}

impl Channel {
    pub const ALL: [Channel; 8] = [
        Channel::AggTrade,
        Channel::Trade,
        Channel::BookTicker,
        Channel::Depth,
        Channel::Kline,
        Channel::MarkPrice,
        Channel::Ticker,
        Channel::ForceOrder,
    ];

    const fn names(self) -> Names {
        let (event_type, stream, parameters) = match self {
            Channel::AggTrade => ("aggTrade", "aggTrade", ""),
            Channel::Trade => ("trade", "trade", ""),
            Channel::BookTicker => ("bookTicker", "bookTicker", ""),
            Channel::Depth => ("depthUpdate", "depth", "@100ms"),
            Channel::Kline => ("kline", "kline", "_1m"),
            Channel::MarkPrice => ("markPriceUpdate", "markPrice", "@1s"),
            Channel::Ticker => ("24hrTicker", "ticker", ""),
            Channel::ForceOrder => ("forceOrder", "forceOrder", ""),
        };
        Names { event_type, stream, parameters }
    }

    /// The value of `e` in the channel's frames.
    pub const fn event_type(self) -> &'static str {
        self.names().event_type
    }

    /// The channel whose frames carry this event type.
    pub fn from_event_type(event_type: &str) -> Option<Channel> {
        Channel::ALL.into_iter().find(|channel| channel.event_type() == event_type)
    }

    /// The channel of a stream name: `btcusdt@kline_1m`, `btcusdt@depth@0ms`, `!forceOrder@arr`.
    pub fn from_stream(stream: &str) -> Option<Channel> {
        let name = match stream.strip_prefix('!') {
            Some(all_symbols) => all_symbols,
            None => stream.split_once('@')?.1,
        };
        let name = name.split(['@', '_']).next()?;
        Channel::ALL.into_iter().find(|channel| channel.names().stream == name)
    }

    /// The stream to subscribe to for one symbol: bars of one minute, depth every 100 ms, mark price
    /// every second.
    pub fn stream(self, symbol: &str) -> String {
        let Names { stream, parameters, .. } = self.names();
        format!("{}@{stream}{parameters}", symbol.to_ascii_lowercase())
    }

    /// As it is written in stream names and on the command line: `aggTrade`, `bookTicker`, `kline`, …
    pub const fn name(self) -> &'static str {
        self.names().stream
    }

    /// The channel of that name; case matters.
    pub fn from_name(name: &str) -> Option<Channel> {
        Channel::ALL.into_iter().find(|channel| channel.name() == name)
    }

    /// As [`Channel::stream`], with bars of another interval: the venue's text for it.
    pub fn stream_with_bars(self, symbol: &str, interval: &str) -> String {
        match self {
            Channel::Kline => format!("{}@{}_{interval}", symbol.to_ascii_lowercase(), self.name()),
            _ => self.stream(symbol),
        }
    }

    /// Which connection carries it: since 2026-04-23 the order book and everything else are apart.
    pub const fn feed(self) -> Feed {
        match self {
            Channel::BookTicker | Channel::Depth => Feed::Public,
            _ => Feed::Market,
        }
    }
}

/// Bar intervals of fixed length: the venue's text and seconds. The calendar month (`1M`) has none.
const INTERVALS: [(&str, u32); 14] = [
    ("1m", 60),
    ("3m", 180),
    ("5m", 300),
    ("15m", 900),
    ("30m", 1_800),
    ("1h", 3_600),
    ("2h", 7_200),
    ("4h", 14_400),
    ("6h", 21_600),
    ("8h", 28_800),
    ("12h", 43_200),
    ("1d", 86_400),
    ("3d", 259_200),
    ("1w", 604_800),
];

/// Seconds of a bar interval.
pub fn interval_seconds(text: &str) -> Option<u32> {
    INTERVALS.iter().find(|(name, _)| *name == text).map(|(_, seconds)| *seconds)
}

/// The venue's text for a bar interval.
pub fn interval_text(seconds: u32) -> Option<&'static str> {
    INTERVALS.iter().find(|(_, length)| *length == seconds).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_found_by_event_type_and_by_stream() {
        for channel in Channel::ALL {
            assert_eq!(Channel::from_event_type(channel.event_type()), Some(channel));
            assert_eq!(Channel::from_stream(&channel.stream("BTCUSDT")), Some(channel));
        }
        for channel in Channel::ALL {
            assert_eq!(Channel::from_name(channel.name()), Some(channel));
        }
        assert_eq!(Channel::from_name("aggtrade"), None);
        assert_eq!(Channel::from_stream("btcusdt@depth@0ms"), Some(Channel::Depth));
        assert_eq!(Channel::from_stream("!forceOrder@arr"), Some(Channel::ForceOrder));
        assert_eq!(Channel::from_stream("!bookTicker"), Some(Channel::BookTicker));
        // Partial books repeat whole levels and are another stream than the changes.
        for unknown in ["btcusdt@depth5@100ms", "btcusdt", "", "@", "!", "bookTicker", "btcusdt@"] {
            assert_eq!(Channel::from_stream(unknown), None, "{unknown:?}");
        }
    }

    #[test]
    fn subscriptions_are_lower_case() {
        assert_eq!(Channel::Kline.stream("1000PEPEUSDT"), "1000pepeusdt@kline_1m");
        assert_eq!(Channel::Depth.stream("BTCUSDT"), "btcusdt@depth@100ms");
        assert_eq!(Channel::Kline.stream_with_bars("BTCUSDT", "15m"), "btcusdt@kline_15m");
        assert_eq!(Channel::Ticker.stream_with_bars("BTCUSDT", "15m"), "btcusdt@ticker");
    }

    #[test]
    fn intervals_go_both_ways() {
        for (text, seconds) in INTERVALS {
            assert_eq!(interval_seconds(text), Some(seconds));
            assert_eq!(interval_text(seconds), Some(text));
        }
        assert_eq!(interval_seconds("1M"), None, "a month has no fixed length");
        assert_eq!(interval_text(61), None);
    }
}
