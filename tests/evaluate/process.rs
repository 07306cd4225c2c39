//! The built command: settings, streams, exit codes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

const LINES: &str = "\
{\"type\":\"account\",\"equity\":\"10000\"}
{\"type\":\"instrument\",\"symbol\":\"BTCUSDT\",\"tick\":\"0.1\",\"step\":\"0.001\",\"min_qty\":\"0.001\",\"min_notional\":\"5\"}
{\"type\":\"signal\",\"symbol\":\"BTCUSDT\",\"action\":\"LONG\",\"consensus\":\"STRONG\",\"confidence\":\"0.75\",\"price\":\"50000\",\"spread_bps\":\"10\",\"atr\":\"1500\",\"ema_200\":\"48000\",\"volume_24h\":\"5000000000\"}
{\"type\":\"price\",\"symbol\":\"BTCUSDT\",\"price\":\"47750\"}";

fn evaluate(arguments: &[&str], environment: &[(&str, &str)], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_qtx"))
        .arg("evaluate")
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A refused start closes its input unread.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn lines_in_lines_out_and_exit_0() {
    let out = evaluate(&[], &[], LINES.as_bytes());
    let said = text(&out.stdout);
    let said: Vec<&str> = said.lines().collect();
    assert_eq!((out.status.code(), out.stderr.len(), said.len()), (Some(0), 0, 3));
    assert!(said[1].contains("\"signal\":\"STOP_LOSS\"") && said[2].contains("\"pnl\":\"-22.50\""));
    let empty = evaluate(&[], &[], b"");
    assert_eq!((empty.status.code(), empty.stdout.len()), (Some(0), 0));
    let bad = evaluate(&[], &[], b"\n\xff\n{}");
    let said = text(&bad.stdout);
    assert_eq!((bad.status.code(), said.lines().count()), (Some(0), 3), "{said}");
    assert!(said.lines().enumerate().all(|(i, line)| line.contains(&format!("\"line\":{}", i + 1))));
}

#[test]
fn settings_come_once_and_a_bad_one_is_a_2() {
    for (arguments, environment) in
        [(&["--set", "RM_MAX_POSITION_USD=100000"][..], &[][..]), (&[], &[("RM_MAX_POSITION_USD", "100000")])]
    {
        let out = evaluate(arguments, environment, LINES.as_bytes());
        assert!(text(&out.stdout).contains("\"quantity\":\"0.044\""), "{}", text(&out.stderr));
    }
    for (arguments, environment, words) in [
        (&[][..], &[("RM_MIN_CONFIDENCE", "2")][..], "RM_MIN_CONFIDENCE"),
        (&[], &[("RM_MIN_CONFIDENC", "1")], "did you mean"),
        (&["--set", "RM_ATR_MULT_SL=2"], &[], "RM_SL_MULTIPLIER"),
        (&["--config", "nosuch.toml"], &[], "nosuch.toml"),
    ] {
        let out = evaluate(arguments, environment, LINES.as_bytes());
        let stderr = text(&out.stderr);
        assert_eq!(
            (out.status.code(), out.stdout.len(), stderr.lines().count()),
            (Some(2), 0, 1),
            "{stderr}"
        );
        assert!(stderr.contains(words), "{stderr}");
    }
}

#[test]
fn a_line_too_long_is_one_error_and_the_next_is_read() {
    let mut input = vec![b'x'; 3 << 20];
    input.extend(b"\n{\"type\":\"reset\"}\n");
    input.extend(vec![b'y'; (1 << 20) + 1]);
    let out = evaluate(&[], &[], &input);
    let said = text(&out.stdout);
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said.len(), 3);
    assert!(said[0].contains("\"line\":1,\"error\":\"longer than"), "{}", said[0]);
    assert_eq!(said[1], "{\"type\":\"reset\"}");
    assert!(said[2].contains("\"line\":3"));
}
