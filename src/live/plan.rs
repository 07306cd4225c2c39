//! Which streams to ask of which connection.

use std::collections::BTreeSet;

use crate::event::Feed;
use crate::venue::binance::{Channel, interval_text};
use crate::wire::{Url, UrlError};

/// Most streams of a connection (venue, "Websocket Market Streams").
const STREAMS_MAX: usize = 1_024;
/// Longest address: web servers take request lines of 8 KiB, the protocol's words included.
const URL_BYTES_MAX: usize = 7_500;
/// `/x@trade`: as long as a stream of a symbol is at least, with the slash in front of it.
const STREAM_BYTES_MIN: usize = 8;
const _: () = assert!(URL_BYTES_MAX / STREAM_BYTES_MIN <= STREAMS_MAX, "an address never names too many");
/// Longest symbol the venue has by a wide margin.
const SYMBOL_BYTES_MAX: usize = 32;

/// Base addresses of the market streams, without a slash at the end.
#[derive(Clone, Copy, Debug)]
pub struct Bases<'a> {
    /// `wss://fstream.binance.com/public`: the order book's.
    pub public: &'a str,
    /// `wss://fstream.binance.com/market`: all others.
    pub market: &'a str,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("no symbols")]
    NoSymbols,
    #[error("no channels")]
    NoChannels,
    #[error("{0:?} is not a symbol: letters, digits and _, at most {SYMBOL_BYTES_MAX}")]
    Symbol(String),
    #[error("the venue has no bars of {0} s: 1m, 3m, 5m, 15m, 30m, 1h, 2h, 4h, 6h, 8h, 12h, 1d")]
    Interval(u32),
    #[error("{base}: {error}")]
    Base { base: String, error: UrlError },
    #[error("{0}: too long for a base address")]
    BaseTooLong(String),
}

/// Addresses that between them carry each channel of each symbol once, in the combined form: as few as
/// the bounds of a connection allow. `bar_interval_s` is the length of a bar of [`Channel::Kline`], and
/// not looked at without it.
///
/// # Errors
/// A symbol that can't stand in an address, an interval the venue does not have, a base that is no
/// address.
pub fn plan(
    symbols: &[&str],
    channels: &[Channel],
    bar_interval_s: u32,
    bases: Bases<'_>,
) -> Result<Vec<(Feed, Url)>, PlanError> {
    if symbols.is_empty() {
        return Err(PlanError::NoSymbols);
    }
    if channels.is_empty() {
        return Err(PlanError::NoChannels);
    }
    if let Some(bad) = symbols.iter().find(|symbol| !is_symbol(symbol)) {
        return Err(PlanError::Symbol(bad.chars().take(SYMBOL_BYTES_MAX).collect()));
    }
    let interval = match channels.contains(&Channel::Kline) {
        true => interval_text(bar_interval_s).ok_or(PlanError::Interval(bar_interval_s))?,
        false => "",
    };
    let mut plan = Vec::new();
    for (feed, base) in [(Feed::Public, bases.public), (Feed::Market, bases.market)] {
        let channels = || channels.iter().filter(|channel| channel.feed() == feed);
        let mut streams: Vec<String> = symbols
            .iter()
            .flat_map(|symbol| channels().map(|channel| channel.stream_with_bars(symbol, interval)))
            .collect();
        // Asked for twice it would be sent once, and the second name wasted.
        let mut named = BTreeSet::new();
        streams.retain(|stream| named.insert(stream.clone()));
        for url in urls(base, &streams)? {
            plan.push((feed, url));
        }
    }
    Ok(plan)
}

fn is_symbol(text: &str) -> bool {
    (1..=SYMBOL_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn urls(base: &str, streams: &[String]) -> Result<Vec<Url>, PlanError> {
    let head = format!("{}/stream?streams=", base.trim_end_matches('/'));
    let mut urls = Vec::new();
    let mut text = head.clone();
    for stream in streams {
        if head.len() + stream.len() > URL_BYTES_MAX {
            return Err(PlanError::BaseTooLong(base.chars().take(80).collect()));
        }
        if text.len() > head.len() && text.len() + 1 + stream.len() > URL_BYTES_MAX {
            urls.push(parse(base, &text)?);
            text.clone_from(&head);
        }
        if text.len() > head.len() {
            text.push('/');
        }
        text += stream;
    }
    if text.len() > head.len() {
        urls.push(parse(base, &text)?);
    }
    Ok(urls)
}

fn parse(base: &str, text: &str) -> Result<Url, PlanError> {
    text.parse().map_err(|error| PlanError::Base { base: base.to_string(), error })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASES: Bases<'_> =
        Bases { public: "wss://fstream.binance.com/public", market: "wss://fstream.binance.com/market" };

    fn paths(plan: &[(Feed, Url)]) -> Vec<(Feed, &str)> {
        plan.iter().map(|(feed, url)| (*feed, url.path())).collect()
    }

    #[test]
    fn streams_go_where_the_venue_has_them() {
        let channels = [Channel::AggTrade, Channel::BookTicker, Channel::Kline, Channel::Depth];
        let found = plan(&["BTCUSDT", "ethusdt"], &channels, 900, BASES).unwrap();
        assert_eq!(
            paths(&found),
            [
                (
                    Feed::Public,
                    "/public/stream?streams=btcusdt@bookTicker/btcusdt@depth@100ms/ethusdt@bookTicker/ethusdt@depth@100ms"
                ),
                (
                    Feed::Market,
                    "/market/stream?streams=btcusdt@aggTrade/btcusdt@kline_15m/ethusdt@aggTrade/ethusdt@kline_15m"
                ),
            ]
        );
        let trades = plan(&["BTCUSDT"], &[Channel::AggTrade], 5, BASES).unwrap();
        assert_eq!(paths(&trades), [(Feed::Market, "/market/stream?streams=btcusdt@aggTrade")]);
        let bases = Bases { market: "ws://127.0.0.1:9001/market/", ..BASES };
        let slash = plan(&["BTCUSDT", "BTCUSDT"], &[Channel::AggTrade; 2], 5, bases).unwrap();
        assert_eq!(paths(&slash), paths(&trades), "nothing is asked for twice");
    }

    #[test]
    fn what_is_refused() {
        let all = &Channel::ALL;
        let error = |symbols: &[&str], channels: &[Channel], interval_s, bases| {
            plan(symbols, channels, interval_s, bases).unwrap_err()
        };
        assert_eq!(error(&[], all, 60, BASES), PlanError::NoSymbols);
        assert_eq!(error(&["BTCUSDT"], &[], 60, BASES), PlanError::NoChannels);
        for bad in ["", "BTC USDT", "BTC/USDT", "btcusdt@aggTrade", "币安人生USDT", &"X".repeat(33)] {
            assert!(matches!(error(&["BTCUSDT", bad], all, 60, BASES), PlanError::Symbol(_)), "{bad}");
        }
        assert_eq!(error(&["BTCUSDT"], all, 5, BASES), PlanError::Interval(5));
        let bases = Bases { public: "https://fstream.binance.com", ..BASES };
        let line = error(&["BTCUSDT"], all, 60, bases).to_string();
        assert_eq!(line, "https://fstream.binance.com: does not begin with ws:// or wss://");
        let long = format!("ws://a/{}", "x".repeat(URL_BYTES_MAX));
        assert!(matches!(
            error(&["BTCUSDT"], all, 60, Bases { public: &long, ..BASES }),
            PlanError::BaseTooLong(_)
        ));
    }

    proptest! {
        /// Every stream once, on its feed, within the bounds, and no connection more than needed.
        #[test]
        fn each_stream_is_asked_for_once(
            symbols in prop::collection::btree_set("[A-Z0-9]{3,20}USDT", 1..900),
            chosen in prop::collection::btree_set(0usize..8, 1..8),
        ) {
            let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
            let channels: Vec<Channel> = chosen.iter().map(|i| Channel::ALL[*i]).collect();
            let found = plan(&symbols, &channels, 60, BASES).unwrap();
            let mut streams = BTreeSet::new();
            for (feed, url) in &found {
                let base = if *feed == Feed::Public { BASES.public } else { BASES.market };
                let (_, names) = url.path().split_once("?streams=").unwrap();
                let names: Vec<&str> = names.split('/').collect();
                prop_assert!(names.len() <= STREAMS_MAX);
                prop_assert!(base.len() + "/stream?streams=".len() + names.join("/").len() <= URL_BYTES_MAX);
                for name in names {
                    prop_assert_eq!(Channel::from_stream(name).unwrap().feed(), *feed);
                    prop_assert!(streams.insert(name.to_owned()), "{name} twice");
                }
            }
            prop_assert_eq!(streams.len(), symbols.len() * channels.len());
            for pair in found.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
                let next = pair[1].1.path().split_once("?streams=").unwrap().1.split('/').next().unwrap();
                let length = pair[0].1.path().len() - "/public".len() + BASES.public.len();
                prop_assert!(length + 1 + next.len() > URL_BYTES_MAX);
            }
        }
    }
}
