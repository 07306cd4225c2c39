//! `qtx soak` as its users call it: ranges, exit codes, what is printed.

use std::process::{Command, Output};

use serde_json::Value;

fn qtx(args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qtx"));
    command.arg("soak").args(args.split_whitespace()).env_remove("PLANT_DEFECT");
    command
}

fn soak(args: &str) -> Output {
    qtx(args).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn what_is_no_range_is_refused() {
    for (args, word) in [
        ("--seeds 0", "--seeds"),
        ("--from 18446744073709551615 --seeds 2", "beyond the last seed"),
        ("--from 18446744073709551616", "--from"),
        ("--threads 257", "--threads"),
        ("--threads 18446744073709551615", "--threads"),
        ("--seed 1 --seeds 2", "--seeds"),
        ("--seed 1 --from 2", "--from"),
        ("--seed 1 --threads 2", "--threads"),
    ] {
        let output = soak(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args}: {said}");
        assert!(said.contains(word) && output.stdout.is_empty(), "{args}: {said}");
    }
}

#[test]
fn seeds_near_the_last_one_and_more_threads_than_seeds() {
    let output = soak("--from 18446744073709551613 --seeds 2 --threads 256 --json");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let result = json(&output);
    assert_eq!((&result["seeds"], &result["failed"]), (&2.into(), &0.into()));
    assert_eq!(result["first_seed"], u64::MAX - 2);
    assert_eq!(result["last_seed"], u64::MAX - 1);
    assert_eq!(result["interrupted"], false);
    let pairs = result["coverage"]["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 72);
    assert!(pairs.iter().any(|pair| pair["count"].as_u64() > Some(0)));
    assert!(result["coverage"]["rows"].as_object().unwrap().len() >= 16);
    assert!(result["longest"]["settled"]["seed"].as_u64() >= Some(u64::MAX - 2));
}

#[test]
fn one_seed_is_its_journal_and_then_its_result() {
    let output = soak("--seed 7 --json --coverage");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let result = lines.pop().unwrap();
    assert_eq!((&result["first_seed"], &result["seeds"]), (&7.into(), &1.into()));
    assert!(lines.len() > 100 && lines[0]["kind"] == "RunStart", "{}", lines[0]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("clears at") && said.contains("seed 7: settled after"), "{said}");
    assert!(said.contains("rows of the recovery table"), "{said}");
    // As the campaign of this one seed writes it.
    let alone = json(&soak("--from 7 --seeds 1 --json"));
    for field in ["journals", "figures", "coverage", "failures"] {
        assert_eq!(alone[field], result[field], "{field}");
    }
}

#[test]
fn an_interrupted_campaign_says_what_it_has_done() {
    let args = "--seeds 18446744073709551615 --threads 1 --json";
    let mut child = qtx(args).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let id = rustix::process::Pid::from_child(&child);
    // It may not listen yet: then the signal ends it in another way.
    loop {
        let handlers = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = handlers.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        if u64::from_str_radix(caught.trim(), 16).unwrap() & 0b10 != 0 {
            break;
        }
        std::thread::yield_now();
    }
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    let result: Value = serde_json::from_reader(child.stdout.take().unwrap()).unwrap();
    assert_eq!(result["interrupted"], true);
    assert!(result["seeds"].as_u64() >= Some(1), "{result}");
}
