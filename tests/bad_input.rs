//! The built `qtx` under hostile and careless use: what is refused is refused in one line with exit
//! code 2, what can be lived with is counted, and nothing panics or hangs.

mod bad_input_support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};

use bad_input_support::*;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Every refusal: arguments, and what the line on standard error must have.
#[test]
fn refusals_name_the_thing_the_value_and_what_is_allowed() {
    let here = Place::new();
    for (name, content) in FILES {
        here.write(name, content);
    }
    fs::create_dir(here.path("folder")).unwrap();
    make_fifo(&here.path("fifo"));
    assert_eq!(here.qtx(&["run", "--market", "ok.tsv", "--journal", "taken"]).code, 0);
    for (arguments, words) in REFUSALS {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let out = here.qtx(&arguments);
        out.refused(&arguments, words);
    }
}

#[test]
fn a_market_that_breaks_off_ends_the_run_in_order() {
    for (tail, words) in [
        ("garbage\n", "2: line \"garbage\""),
        ("17212608", "2: line \"17212608\": recv_ns, a tab, the frame"),
        ("\n", "2: line: recv_ns"),
        ("-1\t{}\n", "2: recv_ns \"-1\""),
        ("9223372036854775807\t{}\n", "2: recv_ns \"9223372036854775807\": nanoseconds since 1970"),
        ("\u{0}\u{1}\n", "2: line"),
    ] {
        let here = Place::new();
        here.write("m.tsv", format!("{OK}{tail}").as_bytes());
        let out = here.qtx(&["run", "--market", "m.tsv", "--json"]);
        out.refused(&[tail], &[words, "the run ended there"]);
        assert_eq!(out.json()["frames"], 1, "{tail:?}: the summary comes all the same");
        let verify = here.qtx(&["journal", "verify", "qtx-journal", "--json"]);
        assert_eq!((verify.code, &verify.json()["ended"]), (0, &Value::from("market_fault")), "{tail:?}");
    }
}

/// What becomes of a frame: `taken`, `skipped`, or the reason it is refused for.
fn frames() -> Vec<(Vec<u8>, &'static str)> {
    let quote = |bid: &str| QUOTE.replace("60000.00", bid).into_bytes();
    let padded = |bytes: usize| format!("{{\"e\":\"{}\"}}", "x".repeat(bytes - 8)).into_bytes();
    let mut rows = vec![
        (QUOTE.as_bytes().to_vec(), "taken"),
        (QUOTE.as_bytes()[..80].to_vec(), "syntax"),
        ([QUOTE.as_bytes(), b"garbage"].concat(), "syntax"),
        (b"".to_vec(), "size"),
        (b"{}".to_vec(), "unknown_stream"),
        (b"[]".to_vec(), "unknown_stream"),
        (b"{\"lastUpdateId\":1,\"bids\":[],\"asks\":[]}".to_vec(), "skipped"),
        (QUOTE.replace("BTCUSDT", "NOSUCH").into_bytes(), "unknown_symbol"),
        (QUOTE.replace("bookTicker", "nosuch").into_bytes(), "unknown_stream"),
        (QUOTE.replace("BTCUSDT", "BTC\u{fffd}USDT").into_bytes(), "unknown_symbol"),
        (QUOTE.as_bytes().iter().map(|b| if *b == b'B' { 0xff } else { *b }).collect(), "syntax"),
        (padded(65_536), "unknown_stream"),
        (padded(65_537), "size"),
        (padded(70_000), "size"),
        (padded(17 << 20), "size"),
        (QUOTE.as_bytes().to_vec(), "taken"),
    ];
    let numbers =
        ["NaN", "", "6e4", "-60000.00", "123456789012345678901234567890", "0x10", " 1", "+1", "1.", "∞"];
    rows.extend(numbers.map(|number| (quote(number), "bad_value")));
    rows.push((quote("60000.05"), "off_tick"));
    rows
}

#[test]
fn refused_frames_are_counted_and_journaled() {
    let here = Place::new();
    let (mut file, mut faults, frames) = (Vec::new(), std::collections::BTreeMap::new(), frames());
    for (i, (frame, fate)) in frames.iter().enumerate() {
        file.extend(format!("{}\t", 1_721_260_800_000_000_000 + i).bytes());
        file.extend([frame.as_slice(), b"\n"].concat());
        *faults.entry(*fate).or_insert(0u64) += 1;
    }
    here.write("frames.tsv", &file);
    // A venue sends no frame that belongs to no stream: what the decoder does with one is seen without.
    let direct = ["run", "--market", "frames.tsv", "--json", "--transport", "direct"];
    let out = here.qtx(&direct);
    assert_eq!(out.code, 0, "{}", out.stderr);
    let summary = out.json();
    let (taken, skipped) = (faults.remove("taken").unwrap(), faults.remove("skipped").unwrap());
    assert_eq!(summary["decode_faults"], serde_json::json!(faults));
    assert_eq!(number(&summary, "frames"), frames.len() as u64);
    assert_eq!(number(&summary, "frames_taken"), taken);
    assert_eq!(sum(&summary["frames_skipped"]), skipped);
    accounts(&here, &summary);

    // The same file with the smallest limit.
    let summary = here.qtx(&[&direct[..], &["--set", "QT_MAX_FRAME_BYTES=1024"]].concat()).json();
    assert_eq!(summary["decode_faults"]["size"], 5, "the empty one and the padded ones");
    accounts(&here, &summary);
}

/// Prices and times that are valid one by one and absurd together.
#[test]
fn absurd_markets_are_survived() {
    let here = Place::new();
    here.write("absurd.tsv", absurd().as_bytes());
    let settings = ["RM_MIN_STOP_COST=0", "RM_MIN_VOLUME_24H=0", "RM_MAX_SPREAD_BPS=1000"];
    let mut arguments = vec!["run", "--market", "absurd.tsv", "--bar", "1s", "--json"];
    settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
    let out = here.qtx(&arguments);
    assert_eq!(out.code, 0, "{}", out.stderr);
    let summary = out.json();
    assert!(number(&summary, "frames_out_of_order") > 0 && number(&summary, "frames_taken") > 0);
    accounts(&here, &summary);
}

/// A hole of two centuries costs a day of timers, in frames as in candles.
#[test]
fn time_may_jump() {
    let here = Place::new();
    let frame = |recv_ns: i64| format!("{recv_ns}\t{QUOTE}\n");
    let year_2200 = 7_258_118_400_000_000_000;
    here.write("jump.tsv", [frame(0), frame(year_2200), frame(0), frame(year_2200 + 1)].concat().as_bytes());
    let out = here.qtx(&["run", "--market", "jump.tsv", "--json", "--duration", "1000000000"]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    let out = here.qtx(&["run", "--market", "jump.tsv", "--json"]);
    let summary = out.json();
    assert_eq!((number(&summary, "frames"), number(&summary, "frames_out_of_order")), (4, 1));
    assert!(number(&summary, "events") < 500_000, "{}", summary["events"]);
    let candles = "946684800000,5,5,5,5,2\n946684860000,5,6,4,5,2\n4102444740000,5,5,5,5,2\n";
    here.write("btcusdt.csv", candles.as_bytes());
    let out = here.qtx(&["run", "--market", "btcusdt.csv", "--json"]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert!(number(&out.json(), "frames") < 200_000);
}

#[test]
fn settings_come_from_where_they_may() {
    let here = Place::new();
    for name in ["QT_QPA_PLATFORM", "QT_IM_MODULE", "QT_SCALE_FACTOR", "QT_WAYLAND_FORCE_DPI"] {
        assert_eq!(here.qtx_with(&["config"], &[(name, "1")]).code, 0, "{name}");
        let flag = format!("{name}=1");
        here.qtx(&["config", "--set", &flag]).refused(&[name], &[name, "is not a setting"]);
    }
    let typo = here.qtx_with(&["config"], &[("QT_BAR_INTERVALL", "1m")]);
    typo.refused(&["typo"], &["QT_BAR_INTERVALL (environment)", "did you mean QT_BAR_INTERVAL ("]);
    let value = here.qtx_with(&["config"], &[("RM_MIN_CONFIDENCE", "1e-1")]);
    value.refused(&["value"], &["RM_MIN_CONFIDENCE: value \"1e-1\" (environment)", "a decimal"]);
}

/// `| head` closes standard output: neither a panic nor a failure. A full disk is one.
#[test]
fn standard_streams_may_go_away() {
    let here = Place::new();
    for arguments in [
        &["config", "--long"][..],
        &["config", "--example"],
        &["config", "--instruments"],
        &["run", "--speed", "max", "--duration", "10"],
        &["run", "--speed", "max", "--duration", "10", "--json"],
        &["journal", "verify", "qtx-journal"],
        &["journal", "info", "qtx-journal"],
        &["journal", "dump", "qtx-journal"],
    ] {
        let mut child =
            here.command(arguments, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let out = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert_eq!((out.status.code(), stderr.as_ref()), (Some(0), ""), "{arguments:?}");
    }
    let mut child = here.command(&["run", "--market", "nosuch"], &[]).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(2), "the exit code does not need a reader");
    if let Ok(full) = fs::File::options().write(true).open("/dev/full") {
        let out = here.command(&["config"], &[]).stdout(full).output().unwrap();
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2));
        assert!(stderr.contains("standard output: can't write"), "{stderr}");
    }
}

/// A run so slow that it sleeps between two frames, once it has said where its journal is.
fn slow_run(here: &Place, arguments: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut all = vec!["run", "--speed", "0.001", "--ring-dir", "."];
    all.extend(arguments);
    let mut child = here.command(&all, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("journal") {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "ended before it began");
    }
    (child, stdout)
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn a_signal_closes_the_journal_in_order() {
    for (name, number) in [("SIGINT", Signal::INT), ("SIGTERM", Signal::TERM)] {
        let here = Place::new();
        let (mut child, mut stdout) = slow_run(&here, &[]);
        let second = here.qtx(&["run", "--speed", "max", "--duration", "1"]);
        second.refused(&[name], &["qtx-journal", "another process is writing"]);
        signal(&child, number);
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{name}");
        assert!(text.contains("HALTED") && text.contains("\nframes  "), "{name}: {text}");
        let verify = here.qtx(&["journal", "verify", "qtx-journal"]);
        assert!(verify.code == 0 && verify.stdout.contains("ended          signal"), "{}", verify.stdout);
    }
}

/// A run that can't close, since nobody reads what it has to say, is ended by the second signal.
#[test]
fn a_second_signal_ends_the_process_at_once() {
    let here = Place::new();
    let (_reader, mut writer) = std::io::pipe().unwrap();
    // What a pipe holds, so that the first line already waits.
    writer.write_all(&vec![b'.'; 65_536]).unwrap();
    let arguments = ["run", "--speed", "0.001", "--ring-dir", "."];
    let mut child = here.command(&arguments, &[]).stdout(writer).spawn().unwrap();
    // The archive begins after the signals have their handlers.
    while !here.path("qtx-journal/segment-000001.qtj").exists() {
        assert!(child.try_wait().unwrap().is_none(), "ended before it began");
        std::thread::yield_now();
    }
    // Two of a kind may arrive as one: until it has ended.
    while child.try_wait().unwrap().is_none() {
        signal(&child, Signal::INT);
        std::thread::yield_now();
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_killed_run_leaves_a_journal_that_says_so() {
    let here = Place::new();
    let (mut child, _stdout) = slow_run(&here, &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    let verify = here.qtx(&["journal", "verify", "qtx-journal"]);
    assert!(verify.stdout.contains("no: it was cut"), "{}{}", verify.stdout, verify.stderr);
    assert!(!verify.stderr.contains("panicked"), "{}", verify.stderr);
    assert_eq!(here.qtx(&["run", "--speed", "max", "--duration", "1"]).code, 0);
    assert!(here.qtx(&["journal", "verify", "qtx-journal"]).stdout.contains("ended          duration"));
}
