//! `qtx sim` as a process.

use std::process::{Command, Output};

use serde_json::Value;

fn sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_qtx")).arg("sim").args(args).env_remove("QT_SIM_STOPS").output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn it_says_where_it_is_and_what_it_did() {
    let output = sim(&["--bind", "127.0.0.1:0", "--duration", "0.2", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [started, report] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(started["rest"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    assert!(started["api"].as_str().unwrap().ends_with("/ws-fapi/v1"));
    assert_eq!(started["symbols"][0], "BTCUSDT");
    assert!(report["frames"].as_u64().unwrap() > 0);
}

#[test]
fn it_shows_how_to_run_against_it() {
    let output = sim(&["--bind", "127.0.0.1:0", "--duration", "0.01", "--set", "QT_SIM_STOPS=refuse"]);
    assert!(output.status.success(), "{output:?}");
    for part in ["qtx run --venue binance", "QT_BINANCE_API_URL=ws://127.0.0.1:", "key      sim", "frames"] {
        assert!(text(&output.stdout).contains(part), "{part}: {}", text(&output.stdout));
    }
}

#[test]
fn what_it_can_not_do_it_refuses_in_a_line() {
    for (args, part) in [
        (&["--speed", "max"][..], "--speed"),
        (&["--speed", "0"], "0.001 to 1000000"),
        (&["--duration", "-1"], "--duration"),
        (&["--bind", "nowhere"], "--bind"),
        (&["--bind", "192.0.2.1:1"], "--bind 192.0.2.1:1"),
        (&["--market", "no-such-file"], "no-such-file"),
        (&["--tls-cert", "/no.pem", "--tls-key", "/no.key"], "/no.pem"),
        (&["--set", "QT_SIM_STOPS=maybe"], "accept or refuse or swallow"),
    ] {
        let output = sim(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let error = text(&output.stderr);
        assert!(error.contains(part) && error.lines().count() == 1, "{args:?}: {error}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    assert_eq!(sim(&["--tls-cert", "x"]).status.code(), Some(2));
}
