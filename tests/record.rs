//! Recording from websocket servers on loopback: what they send is what the file holds, byte for byte,
//! and what `Frames` reads back; losses, refusals, signals.

mod wire_support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use quantum_trader::event::Feed;
use quantum_trader::host::stop::StopFlag;
use quantum_trader::live::record::{FramesFile, RecordConfig, RecordError, RecordSummary, Told, record};
use quantum_trader::live::{Bases, plan};
use quantum_trader::sim::market::{Frames, MarketSource};
use quantum_trader::venue::binance::Channel;
use quantum_trader::wire::{Roots, Url};
use rustls::version::TLS13;
use wire_support::{tls::*, *};

const CHANNELS: [Channel; 2] = [Channel::BookTicker, Channel::AggTrade];

/// Frames of one connection, of every length up to the longest, told apart by their number.
fn made(channel: &str, count: usize) -> Vec<String> {
    let frame = |n: usize| {
        let pad = "é".repeat(n * n % 700 * (n % 7));
        format!("{{\"stream\":\"btcusdt@{channel}\",\"data\":{{\"n\":{n},\"pad\":\"{pad}\"}}}}")
    };
    (0..count).map(frame).collect()
}

/// Agrees to the upgrade; what was asked for.
fn upgrade(stream: &mut (impl Read + Write)) -> String {
    let mut request = vec![];
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        request.extend(byte);
    }
    stream.write_all(&agree(&key(&request))).unwrap();
    String::from_utf8(request).unwrap().lines().next().unwrap().to_owned()
}

/// Sends frames and waits for a pong: the client has taken them all by then.
fn send(stream: &mut (impl Read + Write), frames: &[String]) {
    for frame in frames {
        stream.write_all(&text(frame)).unwrap();
    }
    stream.write_all(&frame(PING, true, b"1")).unwrap();
    let mut pong = [0; 7];
    stream.read_exact(&mut pong).unwrap();
    assert_eq!(client_frames(&pong), [(PONG, b"1".to_vec())]);
}

/// Until the client hangs up, which is not always polite.
fn hold(mut stream: impl Read) {
    let _ = stream.read_to_end(&mut vec![]);
}

/// A server whose connections are handed to `serve`, one after the other.
fn serve<T: Send + 'static>(
    connections: usize,
    mut serve: impl FnMut(usize, TcpStream) -> T + Send + 'static,
) -> (String, JoinHandle<Vec<T>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("ws://{}", listener.local_addr().unwrap());
    let accept = move || (0..connections).map(|n| serve(n, listener.accept().unwrap().0)).collect();
    (base, thread::spawn(accept))
}

fn config(public: &str, market: &str) -> RecordConfig {
    let bases = Bases { public, market };
    let lines = plan(&["BTCUSDT"], &CHANNELS, 60, bases).unwrap();
    RecordConfig { lines, roots: Roots::Public, duration: None }
}

fn to_file(config: &RecordConfig, path: &Path, stop: &StopFlag) -> (RecordSummary, Vec<String>) {
    let file = FramesFile::create(path, false).unwrap();
    let mut notes = vec![];
    let summary = record(config, file, stop, |told| {
        if let Told::Note(note) = told {
            notes.push(note.to_owned());
        }
    });
    (summary.unwrap(), notes)
}

fn read(path: &Path) -> Vec<String> {
    let mut frames = Frames::open(path).unwrap();
    let (mut frame, mut found) = (Vec::new(), Vec::new());
    while frames.next_frame(&mut frame).unwrap().is_some() {
        found.push(String::from_utf8(frame.clone()).unwrap());
    }
    assert_eq!(frames.counts(), Default::default(), "nothing had to be mended");
    found
}

fn of(frames: &[String], channel: &str) -> Vec<String> {
    frames.iter().filter(|frame| frame.contains(channel)).cloned().collect()
}

#[test]
fn what_was_sent_is_what_is_read_back() {
    for name in ["frames.tsv", "frames.tsv.zst"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let stop = StopFlag::manual();
        static DONE: AtomicUsize = AtomicUsize::new(0);
        DONE.store(0, Ordering::SeqCst);
        let server = |channel: &'static str| {
            let stop = stop.clone();
            serve(1, move |_, mut stream| {
                let request = upgrade(&mut stream);
                send(&mut stream, &made(channel, 400));
                if DONE.fetch_add(1, Ordering::SeqCst) == 1 {
                    stop.request();
                }
                hold(stream);
                request
            })
        };
        let (public, books) = server("bookTicker");
        let (market, trades) = server("aggTrade");
        let (summary, notes) = to_file(&config(&public, &market), &path, &stop);
        assert_eq!(books.join().unwrap(), ["GET /stream?streams=btcusdt@bookTicker HTTP/1.1"]);
        assert_eq!(trades.join().unwrap(), ["GET /stream?streams=btcusdt@aggTrade HTTP/1.1"]);

        let found = read(&path);
        assert_eq!(found.len(), 800);
        for channel in ["bookTicker", "aggTrade"] {
            assert_eq!(of(&found, channel), made(channel, 400));
            assert_eq!(summary.figures.by_channel[channel], 400);
        }
        assert_eq!(summary.figures.frames, 800);
        assert_eq!(summary.figures.bytes, found.iter().map(|frame| frame.len() as u64).sum::<u64>());
        assert_eq!(summary.file_bytes, std::fs::metadata(&path).unwrap().len());
        assert_eq!((summary.figures.gaps, summary.figures.reconnects), (0, 0));
        assert!(notes.is_empty(), "{notes:?}");
    }
}

#[test]
fn a_lost_connection_is_opened_again_and_the_gap_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frames.tsv");
    let stop = StopFlag::manual();
    let frames = made("aggTrade", 90);
    let (stopping, parts) = (stop.clone(), frames.clone());
    let (market, server) = serve(3, move |n, mut stream| {
        upgrade(&mut stream);
        send(&mut stream, &parts[n * 30..(n + 1) * 30]);
        match n {
            0 => stream.write_all(&frame(CLOSE, true, b"\x03\xe9going")).unwrap(),
            1 => return, // hangs up
            _ => stopping.request(),
        }
        hold(stream);
    });
    let mut config = config(&market, &market);
    config.lines.retain(|(feed, _)| *feed == Feed::Market);
    let (summary, notes) = to_file(&config, &path, &stop);
    server.join().unwrap();
    assert_eq!(read(&path), frames);
    let figures = &summary.figures;
    assert_eq!((figures.frames, figures.gaps, figures.reconnects), (90, 2, 2));
    for (gap, why) in
        figures.gap_list.iter().zip(["closed by the server (Some(1001) \"going\")", "stream ended"])
    {
        assert!(gap.feed == "market" && gap.why.contains(why), "{gap:?}");
        assert!(gap.to_ns.is_some_and(|to| to >= gap.from_ns), "{gap:?}");
    }
    assert_eq!(notes.len(), 4, "{notes:?}");
    assert!(notes[0].contains("market ws://127.0.0.1") && notes[0].contains("lost: closed by"), "{notes:?}");
    assert!(notes[1].contains("back after"), "{notes:?}");
    assert!(summary.to_string().contains("opened again 2 times, 2 gaps"), "{summary}");
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!((&json["frames"], &json["gaps"]), (&90.into(), &2.into()), "{json}");
}

#[test]
fn over_tls_with_an_authority_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let stop = StopFlag::manual();
    let (tls, stopping) = (authority.server(&["127.0.0.1"], &[&TLS13]), stop.clone());
    let (base, server) = serve(1, move |_, mut stream| {
        let mut session = rustls::ServerConnection::new(tls.clone()).unwrap();
        let mut stream = rustls::Stream::new(&mut session, &mut stream);
        upgrade(&mut stream);
        send(&mut stream, &made("bookTicker", 100));
        stopping.request();
        hold(stream);
    });
    let base = base.replace("ws://", "wss://");
    let mut config = config(&base, &base);
    config.lines.retain(|(feed, _)| *feed == Feed::Public);
    config.roots = Roots::File(ca);
    let path = folder.path().join("frames.tsv.zst");
    to_file(&config, &path, &stop);
    server.join().unwrap();
    assert_eq!(read(&path), made("bookTicker", 100));
}

#[test]
fn an_address_that_was_never_reached_ends_it_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frames.tsv");
    let (missing, server) = serve(1, |_, mut stream| {
        let mut request = [0; 16];
        stream.read_exact(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
        hold(stream);
    });
    // A port that was just given back.
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("ws://{}", listener.local_addr().unwrap())
    };
    for (base, why) in [(&missing, "status 404"), (&closed, "refused")] {
        let url: Url = format!("{base}/stream?streams=btcusdt@aggTrade").parse().unwrap();
        let config = RecordConfig { lines: vec![(Feed::Market, url)], roots: Roots::Public, duration: None };
        let file = FramesFile::create(&path, false).unwrap();
        let error = record(&config, file, &StopFlag::manual(), |_| ()).unwrap_err();
        assert!(matches!(error, RecordError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
        assert!(!path.exists(), "{why}");
    }
    server.join().unwrap();
}

fn qtx(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qtx"));
    command.arg("record").args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn ctrl_c_ends_a_compressed_file_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frames.tsv.zst");
    let (interrupt, interrupted) = std::sync::mpsc::channel::<u32>();
    let (base, server) = serve(1, move |_, mut stream| {
        upgrade(&mut stream);
        send(&mut stream, &made("aggTrade", 200));
        let child = interrupted.recv().unwrap();
        let pid = rustix::process::Pid::from_raw(child as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        hold(stream);
    });
    let out = path.to_str().unwrap();
    let child = qtx(&["--out", out, "--market", &base, "--channels", "aggTrade", "--json"]).spawn().unwrap();
    interrupt.send(child.id()).unwrap();
    let output = child.wait_with_output().unwrap();
    server.join().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(read(&path), made("aggTrade", 200));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["frames"], &summary["by_channel"]["aggTrade"]), (&200.into(), &200.into()));

    // The same name again: refused, and the file is as it was.
    let again = qtx(&["--out", out, "--market", &base]).output().unwrap();
    assert_eq!(again.status.code(), Some(2));
    let line = String::from_utf8(again.stderr).unwrap();
    assert!(line.contains("is there already; --force replaces it") && line.lines().count() == 1, "{line}");
    assert_eq!(read(&path).len(), 200);
}

#[test]
fn what_is_refused_says_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("frames.tsv");
    let out = out.to_str().unwrap();
    for (args, about) in [
        (&["--channels", "aggtrade"][..], "\"aggtrade\" is not a channel: aggTrade, trade, bookTicker"),
        (&["--symbols", "BTC/USDT"], "\"BTC/USDT\" is not a symbol"),
        (&["--symbols", ""], "is not a symbol"),
        (&["--bar", "5s"], "--bar \"5s\" is not allowed: 1m"),
        (&["--duration", "-1"], "--duration \"-1\" is not allowed: seconds"),
        (&["--public", "https://a.test"], "does not begin with ws:// or wss://"),
        (&["--ca", "/no/such.pem"], "/no/such.pem"),
    ] {
        let output = qtx(&["--out", out]).args(args).output().unwrap();
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(line.contains(about) && line.lines().count() == 1, "{args:?}: {line}");
        assert!(!Path::new(out).exists(), "{args:?}");
    }
    let output = qtx(&["--out", "/no/such/folder/a.tsv"]).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("/no/such/folder/a.tsv: can't create"));
}
