//! The two forms of a market frame, and the stream a frame belongs to.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::{Event, EventBody, InstrumentTable, Symbol};
use crate::venue::binance::{Channel, interval_seconds};

/// What one subscription is about: everything of a stream's name but how often it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct StreamKey {
    /// `None` is all symbols.
    symbol: Option<Symbol>,
    channel: Channel,
    /// Seconds of a bar; 0 for other channels.
    interval_s: u32,
}

impl StreamKey {
    /// The key of a stream's name; `None` for streams that nothing is ever sent on: unknown ones,
    /// ones whose symbol is not in lower case, and arrays over all symbols.
    pub fn of_name(name: &str) -> Option<StreamKey> {
        let channel = Channel::from_stream(name)?;
        if name.starts_with('!') {
            let sent_one_by_one = matches!(channel, Channel::BookTicker | Channel::ForceOrder);
            return sent_one_by_one.then_some(StreamKey { symbol: None, channel, interval_s: 0 });
        }
        let (symbol, suffix) = name.split_once('@')?;
        if symbol.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let interval_s = match channel {
            Channel::Kline => interval_seconds(suffix.split_once('_')?.1)?,
            _ => 0,
        };
        Some(StreamKey { symbol: Some(Symbol::new(&symbol.to_ascii_uppercase())?), channel, interval_s })
    }

    /// The stream of a decoded frame.
    pub fn of_event(event: &Event, instruments: &InstrumentTable) -> Option<StreamKey> {
        let (channel, interval_s) = match &event.body {
            EventBody::AggTrade(_) => (Channel::AggTrade, 0),
            EventBody::Trade(_) => (Channel::Trade, 0),
            EventBody::Quote(_) => (Channel::BookTicker, 0),
            EventBody::Depth(_) => (Channel::Depth, 0),
            EventBody::Bar(bar) => (Channel::Kline, bar.interval_s),
            EventBody::MarkPrice(_) => (Channel::MarkPrice, 0),
            EventBody::Ticker(_) => (Channel::Ticker, 0),
            EventBody::ForceOrder(_) => (Channel::ForceOrder, 0),
            _ => return None,
        };
        let symbol = instruments.get(event.instrument)?.symbol;
        Some(StreamKey { symbol: Some(symbol), channel, interval_s })
    }

    /// The stream of a frame that the decoder refused: a client is to see it all the same.
    pub fn of_text(frame: &str) -> Option<StreamKey> {
        let head: Head = serde_json::from_str(frame).ok()?;
        if let Some(name) = head.stream {
            return StreamKey::of_name(&name);
        }
        let channel = Channel::from_event_type(&head.event_type?)?;
        let interval_s = match channel {
            Channel::Kline => interval_seconds(&head.bar?.interval)?,
            _ => 0,
        };
        Some(StreamKey { symbol: Some(Symbol::new(&head.symbol?)?), channel, interval_s })
    }

    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// The same channel of all symbols.
    pub fn all_symbols(&self) -> StreamKey {
        StreamKey { symbol: None, ..*self }
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    stream: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow, rename = "e")]
    event_type: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "s")]
    symbol: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "k")]
    bar: Option<Bar<'a>>,
}

#[derive(Deserialize)]
struct Bar<'a> {
    #[serde(borrow, rename = "i")]
    interval: Cow<'a, str>,
}

/// The data of a frame in combined form, as its bytes are; `None` for one in raw form.
pub(super) fn combined_data(frame: &str) -> Option<&str> {
    let plain = || {
        let (name, rest) = frame.strip_prefix(r#"{"stream":""#)?.split_once('"')?;
        let data = rest.strip_prefix(r#","data":"#)?.strip_suffix('}')?;
        (!name.contains('\\')).then_some(data)
    };
    // Keys in another order, or blanks between them: rare enough to parse.
    let parsed = || {
        let head: Head = serde_json::from_str(frame).ok()?;
        head.stream?;
        Some(head.data?.get())
    };
    plain().or_else(parsed)
}

/// A raw frame in combined form, its bytes unchanged.
pub(super) fn combine(stream: &str, data: &str) -> String {
    format!(r#"{{"stream":"{stream}","data":{data}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_the_same_stream_have_one_key() {
        let key = |name| StreamKey::of_name(name);
        assert!(key("btcusdt@depth").is_some());
        assert_eq!(key("btcusdt@depth@0ms"), key("btcusdt@depth@100ms"));
        assert_eq!(key("btcusdt@markPrice"), key("btcusdt@markPrice@1s"));
        assert_ne!(key("btcusdt@kline_1m"), key("btcusdt@kline_5m"));
        assert_ne!(key("btcusdt@aggTrade"), key("ethusdt@aggTrade"));
        assert_eq!(key("!bookTicker"), key("btcusdt@bookTicker").map(|key| key.all_symbols()));
        for silent in ["BTCUSDT@aggTrade", "!markPrice@arr", "!ticker@arr", "btcusdt@kline_7m", "x", "@", ""]
        {
            assert_eq!(key(silent), None, "{silent}");
        }
    }

    #[test]
    fn a_frame_in_any_form_has_the_key_of_its_stream() {
        for (frame, name) in [
            (r#"{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate"}}"#, "btcusdt@depth"),
            (r#"{"e":"aggTrade","s":"BTCUSDT","p":"x"}"#, "btcusdt@aggTrade"),
            (r#"{"e":"kline","s":"BTCUSDT","k":{"i":"5m"}}"#, "btcusdt@kline_5m"),
        ] {
            assert_eq!(StreamKey::of_text(frame), StreamKey::of_name(name), "{frame}");
        }
        for none in
            [r#"{"lastUpdateId":1}"#, r#"{"result":null,"id":1}"#, "[]", "", "{\"e\":\"kline\",\"s\":\"A\"}"]
        {
            assert_eq!(StreamKey::of_text(none), None, "{none}");
        }
    }

    #[test]
    fn data_is_taken_out_byte_for_byte() {
        let data = r#"{"e":"kline", "k":{"t":1, "T":2}}"#;
        assert_eq!(combined_data(&combine("a@b", data)), Some(data));
        assert_eq!(combined_data(&format!(r#"{{ "data" : {data} , "stream":"a@b"}}"#)), Some(data));
        assert_eq!(combined_data(data), None);
        assert_eq!(combined_data(r#"{"stream":"a"#), None);
    }
}
