//! Market streams: who hears what, in which form.

use quantum_trader::sim::server::{Ended, ServerConfig};

use super::support::*;

const LIST: &str = r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#;

fn depth(id: u64) -> String {
    format!(
        r#"{{"e":"depthUpdate","E":5,"T":4,"s":"BTCUSDT","U":{id},"u":{id},"pu":1,"b":[["50000.00","1.000"]],"a":[]}}"#
    )
}

fn kline(interval: &str) -> String {
    format!(
        r#"{{"stream":"btcusdt@kline_{interval}","data":{{"e":"kline","E":5,"s":"BTCUSDT","k":{{"t":0, "T":59999, "s":"BTCUSDT", "i":"{interval}", "f":1, "L":1, "o":"1.0", "c":"1.0", "h":"1.0", "l":"1.0", "v":"1", "n":1, "x":false, "q":"1", "V":"1", "Q":"1", "B":"0"}}}}}}"#
    )
}

#[test]
fn exactly_the_streams_asked_for_arrive_byte_for_byte() {
    let frames = vec![
        (1, quote("BTCUSDT", "50000.00", "50000.10")),
        (2, quote("ETHUSDT", "3000.00", "3000.01")),
        (3, depth(9)),
        (4, trade("BTCUSDT", "50000.00")),
        (5, kline("1m")),
        (6, kline("5m")),
        (7, quote("BTCUSDT", "50000.20", "50000.30")),
    ];
    let sim = Sim::start(frames.clone());
    let mut public = sim.ws("/public/stream?streams=btcusdt@bookTicker/btcusdt@depth@100ms");
    let mut market = sim.ws("/market/stream?streams=btcusdt@kline_5m");
    let mut raw = sim.ws("/public/ws/btcusdt@bookTicker/btcusdt@depth");
    sim.at(10);
    assert_eq!(public.next(), frames[0].1);
    assert_eq!(public.next(), format!(r#"{{"stream":"btcusdt@depth@100ms","data":{}}}"#, frames[2].1));
    assert_eq!(public.next(), frames[6].1);
    assert_eq!(market.next(), frames[5].1);
    let data = |frame: &str| frame.split_once(r#","data":"#).unwrap().1.strip_suffix('}').unwrap().to_owned();
    assert_eq!(raw.next(), data(&frames[0].1));
    assert_eq!(raw.next(), frames[2].1);
    assert_eq!(raw.next(), data(&frames[6].1));
    for ws in [&mut public, &mut market, &mut raw] {
        ws.nothing_before(LIST);
    }
    assert_eq!(sim.server.ended(), Some(&Ended::MarketEnd));
    let report = sim.server.stop();
    assert_eq!((report.frames, report.public_sent, report.market_sent), (7, 6, 1));
    assert_eq!((report.clients, report.slow_disconnects, report.skipped), (3, 0, 0));
}

#[test]
fn a_stream_of_the_other_road_is_never_sent() {
    let sim = Sim::start(books());
    let mut public = sim.ws("/public/stream?streams=btcusdt@aggTrade/ethusdt@bookTicker");
    let mut market = sim.ws("/market/ws/btcusdt@bookTicker");
    let mut old = sim.ws("/stream?streams=btcusdt@aggTrade/btcusdt@bookTicker");
    sim.at(10);
    assert_eq!(public.next(), books()[1].1);
    assert_eq!(old.next(), books()[0].1);
    for ws in [&mut public, &mut market, &mut old] {
        ws.nothing_before(LIST);
    }
}

#[test]
fn subscriptions_can_change() {
    let frames =
        (0..6).map(|i| (1 + i, quote("BTCUSDT", "50000.00", &format!("5000{i}.10")))).collect::<Vec<_>>();
    let sim = Sim::start(frames.clone());
    let mut ws = sim.ws("/public/ws");
    sim.at(2);
    ws.send(r#"{"method":"SUBSCRIBE","params":["btcusdt@bookTicker"],"id":1}"#);
    assert_eq!(ws.next(), r#"{"result":null,"id":1}"#);
    sim.at(4);
    let data = |i: usize| frames[i].1.split_once(r#","data":"#).unwrap().1.strip_suffix('}').unwrap();
    // The frame of an instant is sent when the instant is there.
    assert_eq!(ws.next(), data(2));
    assert_eq!(ws.next(), data(3));
    ws.send(r#"{"method":"UNSUBSCRIBE","params":["btcusdt@bookTicker"],"id":2}"#);
    assert_eq!(ws.next(), r#"{"result":null,"id":2}"#);
    sim.at(5);
    ws.send(r#"{"method":"SET_PROPERTY","params":["combined",true],"id":5}"#);
    assert_eq!(ws.next(), r#"{"result":null,"id":5}"#);
    ws.send(r#"{"method":"SUBSCRIBE","params":["btcusdt@bookTicker"],"id":6}"#);
    assert_eq!(ws.next(), r#"{"result":null,"id":6}"#);
    ws.send(LIST);
    assert_eq!(ws.next(), r#"{"result":["btcusdt@bookTicker"],"id":3}"#);
    sim.at(6);
    assert_eq!(ws.next(), frames[5].1);
}

#[test]
fn all_symbols_in_one_stream() {
    let sim = Sim::start(books());
    let mut ws = sim.ws("/public/stream?streams=!bookTicker");
    sim.at(10);
    assert_eq!((ws.next(), ws.next()), (books()[0].1.clone(), books()[1].1.clone()));
}

#[test]
fn lines_that_are_no_frames_are_skipped_and_bad_frames_are_passed_on() {
    let bad = quote("BTCUSDT", "50000.05", "x");
    let unknown = quote("AKROUSDT", "0.01", "0.02");
    let frames = vec![
        (1, r#"{"lastUpdateId":1,"bids":[],"asks":[]}"#.to_string()),
        (2, bad.clone()),
        (3, unknown.clone()),
        (4, "\u{1F4A5}".to_string()),
        (5, quote("BTCUSDT", "50000.00", "50000.10")),
    ];
    let sim = Sim::start(frames.clone());
    let mut ws = sim.ws("/public/stream?streams=btcusdt@bookTicker/akrousdt@bookTicker");
    sim.at(10);
    assert_eq!([ws.next(), ws.next(), ws.next()], [bad, unknown, frames[4].1.clone()]);
    let report = sim.server.stop();
    assert_eq!((report.frames, report.skipped, report.undecoded), (1, 2, 2));
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_others_are_not() {
    let frames = (0..400_000).map(|i| (1 + i / 4_000, quote("BTCUSDT", "50000.00", "50000.10"))).collect();
    let sim = Sim::start_with(ServerConfig { market_queue: 4_096, ..ServerConfig::default() }, frames);
    let slow = sim.ws("/public/stream?streams=btcusdt@bookTicker");
    let mut fast = sim.ws("/public/stream?streams=btcusdt@bookTicker");
    let mut heard = 0;
    for at_ms in 1..=100 {
        sim.at(at_ms);
        for _ in 0..4_000 {
            fast.next();
            heard += 1;
        }
    }
    assert_eq!(heard, 400_000);
    drop(slow);
    let report = sim.server.stop();
    assert_eq!(report.slow_disconnects, 1);
    assert_eq!(report.queue_share_max, 1.0);
}
