//! `qtx journal export` as a user types it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::journal_support::*;

fn export(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qtx"));
    command.args(["journal", "export"]).arg(dir).args(args).output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_whole_journal_is_a_zero_and_a_damaged_one_a_one() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let to = out.to_str().unwrap();
    let mut written = records(&sample(9));
    write_archive(dir.path(), &written, 100);
    let (code, text, error) = said(&export(dir.path(), &["--to", to, "--format", "csv"]));
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(text.contains("trades              3 rows") && text.ends_with("no problem found\n"), "{text}");
    assert!(text.contains(&format!("{to}/trades.csv")), "{text}");

    let (code, _, error) = said(&export(dir.path(), &["--to", to, "--format", "csv"]));
    assert_eq!(code, Some(2));
    assert_eq!(error, format!("qtx: {to}/events.csv: is there already; --force replaces it\n"));

    written[10].payload[0] ^= 1;
    std::fs::remove_file(dir.path().join("segment-000001.qtj")).unwrap();
    write_archive(dir.path(), &written, 100);
    let args = ["--to", to, "--format", "csv", "--tables", "events,orders", "--force", "--json"];
    let (code, text, error) = said(&export(dir.path(), &args));
    assert_eq!((code, error.as_str()), (Some(1), ""));
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&report["last_sequence"], &report["ended"]), (&Value::from(10), &Value::from(false)));
    assert!(report["problem"].as_str().unwrap().contains("sequence 11"), "{report}");
    let tables: Vec<_> = report["tables"].as_object().unwrap().keys().collect();
    assert_eq!(tables, ["events", "orders"]);
    assert_eq!(report["tables"]["events"]["files"][0]["path"], format!("{to}/events.csv"));
}

#[test]
fn what_cannot_be_done_is_one_line_and_a_two() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let to = out.to_str().unwrap();
    write_archive(dir.path(), &records(&sample(3)), 100);
    for (args, line) in [
        (&["--tables", "trades,trade"][..], "no table is called \"trade\"; tables are events, decisions, "),
        (&["--from-time", "yesterday"], "--from-time \"yesterday\": not a time: a date (2024-07-15), "),
        (&["--from-seq", "7", "--to-seq", "6"], "the range is empty"),
        (&["--from-time", "2024-07-15", "--to-time", "2024-07-15T00:00:00Z"], "the range is empty"),
    ] {
        let (code, text, error) = said(&export(dir.path(), &[&["--to", to], args].concat()));
        assert_eq!((code, text.as_str()), (Some(2), ""), "{args:?}");
        assert_one_line(error.trim_end(), line);
    }
    let (code, _, error) = said(&export(&dir.path().join("none"), &["--to", to, "--format", "csv"]));
    assert_eq!(code, Some(2));
    assert_one_line(error.trim_end(), "none: not a folder");
    assert!(!out.exists(), "nothing was touched");
    #[cfg(not(feature = "export"))]
    {
        let (code, _, error) = said(&export(dir.path(), &["--to", to]));
        assert_eq!(code, Some(2));
        assert_one_line(error.trim_end(), "--features export");
    }
}

#[test]
fn times_choose_rows() {
    let dir = tempfile::tempdir().unwrap();
    write_archive(dir.path(), &records(&sample(9)), 100);
    let rows = |name: &str, args: &[&str]| {
        let to = dir.path().join(name);
        let fixed = ["--to", to.to_str().unwrap(), "--format", "csv", "--json"];
        let (code, text, error) = said(&export(dir.path(), &[&fixed, args].concat()));
        assert_eq!(code, Some(0), "{error}");
        serde_json::from_str::<Value>(&text).unwrap()["tables"]["events"]["rows"].as_u64().unwrap()
    };
    // The run begins at midnight; an event each microsecond, two outputs at each third.
    assert_eq!(rows("all", &[]), 18);
    assert_eq!(rows("from", &["--from-time", "2024-07-15T00:00:00.000008Z"]), 5);
    assert_eq!(rows("to", &["--to-time", "1721001600000003000"]), 4);
    assert_eq!(rows("day", &["--from-time", "2024-07-14", "--to-time", "2024-07-16"]), 18);
    assert_eq!(rows("other", &["--from-time", "2024-07-16"]), 0);
}
