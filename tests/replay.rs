//! A journal run again: the same in every output, or told where not; cut anywhere, made whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use quantum_trader::event::record::{COMMIT, Entry, Record};
use quantum_trader::event::{InstrumentTable, OutputBody};
use quantum_trader::journal::archive::ArchiveWriter;
use quantum_trader::journal::read::Numbered;
use quantum_trader::journal::{Identity, JournalReader};
use quantum_trader::replay::verify::{Range, verify};
use quantum_trader::replay::{Difference, Follower, Recovery, RecoveryError};
use serde_json::Value;
use tempfile::TempDir;

fn qtx(args: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_qtx")).args(args).env_clear().current_dir(dir).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// A quarter of an hour of a made market with trades, stops and exits; its summary beside it.
fn run() -> &'static (TempDir, Value) {
    static RUN: OnceLock<(TempDir, Value)> = OnceLock::new();
    RUN.get_or_init(|| {
        let home = tempfile::tempdir().unwrap();
        let args = ["run", "--market", "synthetic:7", "--transport", "direct", "--speed", "max"];
        let more = ["--duration", "900", "--journal", "journal", "--ring-dir", ".", "--json"];
        let ran = qtx(&[&args[..], &more[..]].concat(), home.path());
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let summary = json(&ran);
        assert!(summary["trades_closed"].as_u64() > Some(20), "{summary:#}");
        (home, summary)
    })
}

fn journal() -> PathBuf {
    run().0.path().join("journal")
}

/// All records, and whose they are.
fn records() -> (Vec<Record>, Identity) {
    let mut reader = JournalReader::open(&journal()).unwrap();
    let mut records = Vec::new();
    while let Some((record, _)) = reader.next_record().unwrap() {
        records.push(record);
    }
    (records, reader.identity().unwrap())
}

/// Where the last event before record `index` begins.
fn event_before(records: &[Record], index: usize) -> usize {
    (0..index).rev().find(|i| !records[*i].is_output() && records[*i].part == 0).unwrap()
}

fn write(dir: &Path, records: &[Record], identity: &Identity) {
    fs::create_dir_all(dir).unwrap();
    let mut archive = ArchiveWriter::create(dir, identity).unwrap();
    archive.append(records).unwrap();
    archive.sync().unwrap();
}

fn seal(record: &mut Record) {
    record.crc = crc32c::crc32c(&bytemuck::bytes_of(record)[..124]);
}

#[test]
fn every_output_is_the_same_and_so_is_the_state() {
    let (home, summary) = run();
    assert_eq!(summary["shadow"]["divergences"], 0);
    assert_eq!(summary["shadow"]["verified_seq"], summary["journal"]["records"]);
    for _ in 0..2 {
        let replayed = qtx(&["replay", "journal", "--json"], home.path());
        let answer = json(&replayed);
        assert_eq!(replayed.status.code(), Some(0), "{answer:#}");
        assert_eq!(answer["identical"], true);
        assert_eq!(answer["state_hash"], summary["state_hash"]);
        assert_eq!(
            (&answer["events"], &answer["records"]),
            (&summary["events"], &summary["journal"]["records"])
        );
    }
    let rules = fs::read_to_string(journal().join("rules.jsonl")).unwrap();
    let signals = summary["signals"].as_u64().unwrap();
    assert_eq!(rules.lines().count() as u64, signals, "every decision with its rules");
    let first: Value = serde_json::from_str(rules.lines().next().unwrap()).unwrap();
    let last_rule = first["rules"].as_array().unwrap().last().unwrap();
    assert_eq!(last_rule["passed"], first["approved"], "the last rule looked at is the verdict: {first}");
}

#[test]
fn a_part_of_it_is_compared_alone() {
    let records = run().1["journal"]["records"].as_u64().unwrap();
    let range = Range { from: records / 3, to: records / 2 };
    let report = verify(&journal(), range, |_| ()).unwrap();
    assert!(report.is_same() && report.last_sequence >= range.to - 2_000 && report.last_sequence < records);
    let refused = qtx(&["replay", "journal", "--from", "9", "--to", "8"], run().0.path());
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(qtx(&["replay", "nothing"], run().0.path()).status.code(), Some(2));
}

/// One bit of one output, with a checksum that agrees: no damage, but not what the engine says.
#[test]
fn an_output_that_differs_is_named_with_its_event() {
    let (mut records, identity) = records();
    let at = records.iter().position(|record| record.kind_name() == "Order").unwrap();
    records[at].payload[16] ^= 1; // the quantity
    seal(&mut records[at]);
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("altered"), &records, &identity);
    let event = event_before(&records, at) as u64 + 1;

    let replayed = qtx(&["replay", "altered", "--json"], home.path());
    let answer = json(&replayed);
    assert_eq!(replayed.status.code(), Some(1));
    assert_eq!(answer["divergence"]["event_sequence"], event);
    assert_eq!(answer["divergence"]["sequence"], at as u64 + 1);
    let words = answer["divergence"]["words"].as_str().unwrap();
    for part in ["event", "recorded", "computed", "kind=Order", "kind=AggTrade", "quantity="] {
        assert!(words.contains(part), "{part} in {words}");
    }
    let behind = qtx(&["replay", "altered", "--from", &(event + 1).to_string()], home.path());
    assert_eq!(behind.status.code(), Some(0), "not asked for");
    let refused = Recovery::open(&home.path().join("altered")).unwrap_err();
    assert!(matches!(&refused, RecoveryError::Diverges(d) if d.event_sequence() == event), "{refused}");
    assert!(
        matches!(refused, RecoveryError::Diverges(d) if matches!(d.difference, Difference::Output { .. }))
    );
}

#[test]
fn an_output_too_many_one_too_few_and_a_wrong_commit_differ() {
    let (original, identity) = records();
    let home = tempfile::tempdir().unwrap();
    let check = |name: &str, records: &[Record], expected: &str| {
        let dir = home.path().join(name);
        write(&dir, records, &identity);
        let report = verify(&dir, Range::default(), |_| ()).unwrap();
        let words = report.divergence.map_or_else(|| "none".to_string(), |d| d.to_string());
        assert!(words.contains(expected), "{name}: {words}");
    };
    let last = original.iter().position(|record| record.flags & COMMIT != 0).unwrap();
    let renumber = |mut records: Vec<Record>| {
        for (index, record) in records.iter_mut().enumerate() {
            record.sequence = index as u64 + 1;
            seal(record);
        }
        records
    };
    let mut fewer = original.clone();
    fewer.remove(last);
    check("fewer", &renumber(fewer), "recorded  nothing more");
    let mut more = original.clone();
    more.insert(last + 1, original[last]);
    check("more", &renumber(more), "computed  nothing more");
    let mut uncommitted = original.clone();
    uncommitted[last].flags = 0;
    check("uncommitted", &renumber(uncommitted), "not the event's last");
    check("headless", &renumber(original[1..].to_vec()), "begins with RunStart");
}

/// Cut behind every record of some groups: the group is made whole, and its orders are known never to have been
/// sent; cut behind a whole one, nothing is added.
#[test]
fn a_journal_that_was_cut_goes_on_where_it_ended() {
    let (records, identity) = records();
    let home = tempfile::tempdir().unwrap();
    let order = records.iter().rposition(|record| record.kind_name() == "Order").unwrap();
    let begins = event_before(&records, order);
    let ends = (order..).find(|i| records[*i].flags & COMMIT != 0).unwrap();
    for cut in begins..=ends {
        let dir = home.path().join(cut.to_string());
        write(&dir, &records[..=cut], &identity);
        let recovery = Recovery::open(&dir).unwrap_or_else(|error| panic!("cut behind {cut}: {error}"));
        let never_sent = recovery.never_sent(quantum_trader::num::TimeNs(1)).count();
        let torn = recovery.resumed.recovered.torn.is_some();
        assert_eq!(recovery.resumed.last_sequence, ends as u64 + 1, "cut behind {cut}");
        assert_eq!((recovery.recovered.completed > 0, never_sent > 0), (cut < ends, cut < ends), "{cut}");
        assert!(!torn || cut < ends);
        let hash = recovery.engine.state_hash();
        drop(recovery);
        let report = verify(&dir, Range::default(), |_| ()).unwrap();
        assert!(report.is_same() && report.cut == 0, "{report:?}");
        assert_eq!((report.records, report.state_hash), (ends as u64 + 1, Some(hash)), "cut behind {cut}");
        assert!(quantum_trader::journal::verify(&dir).unwrap().is_ok());
        // Again: the same, and nothing left to do.
        let again = Recovery::open(&dir).unwrap();
        assert_eq!((again.recovered.completed, again.engine.state_hash()), (0, hash));
        let archived = JournalReader::open(&dir).unwrap().next_record().unwrap().unwrap().0;
        assert_eq!(archived, records[0]);
    }
}

#[test]
fn a_snapshot_is_a_shortcut_and_a_bad_one_is_passed_over() {
    let (records, identity) = records();
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &records, &identity);
    // By hand, at two events of the run.
    let mut follower = Follower::new();
    let mut reader = JournalReader::open(dir.path()).unwrap();
    let (mut taken, mut whole) = (Vec::new(), 0);
    while let Some(Numbered { first_sequence, last_sequence, entry }) = reader.next_entry().unwrap() {
        let due = [records.len() as u64 / 2, records.len() as u64 * 3 / 4];
        if matches!(entry, Entry::Event(_)) && due.get(taken.len()).is_some_and(|due| first_sequence > *due) {
            let engine = follower.engine().unwrap();
            let name = format!("snapshot-{:020}.qts", first_sequence - 1);
            fs::write(dir.path().join(&name), engine.snapshot(first_sequence - 1)).unwrap();
            taken.push((first_sequence - 1, name));
        }
        follower.take(first_sequence, &entry).unwrap();
        whole = last_sequence;
    }
    let hash = follower.engine().unwrap().state_hash();
    let open = || {
        let recovery = Recovery::open(dir.path()).unwrap();
        assert_eq!(recovery.engine.state_hash(), hash);
        (recovery.recovered.snapshot, recovery.recovered.replayed, recovery.recovered.notes)
    };
    assert_eq!(open(), (taken[1].0, whole - taken[1].0, vec![]));
    // A bit of the newer one.
    let path = dir.path().join(&taken[1].1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[1_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (snapshot, replayed, notes) = open();
    assert_eq!((snapshot, replayed), (taken[0].0, whole - taken[0].0));
    assert!(notes.len() == 1 && notes[0].contains("checksum"), "{notes:?}");
    // One from beyond the end, as after a power loss, does not stay.
    let ahead = dir.path().join(format!("snapshot-{:020}.qts", whole + 10));
    fs::write(&ahead, follower.engine().unwrap().snapshot(whole + 10)).unwrap();
    assert!(open().2.iter().any(|note| note.contains("ahead of the journal")) && !ahead.exists());
    for (_, name) in &taken {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    assert_eq!(open(), (0, whole, vec![]));
}

#[test]
fn what_if_sets_both_beside_each_other() {
    let (home, summary) = run();
    let strict = qtx(&["replay", "journal", "--set", "RM_MIN_CONFIDENCE=1", "--json"], home.path());
    let answer = json(&strict);
    assert_eq!(strict.status.code(), Some(0));
    assert_eq!(answer["recorded"]["total"]["approved"], summary["approved"], "{answer:#}");
    assert_eq!(answer["what_if"]["total"]["approved"], 0);
    assert_eq!(answer["settings"].as_array().unwrap().len(), 1);
    let differing = answer["differing"].as_array().unwrap();
    assert!(differing.len() as u64 >= summary["approved"].as_u64().unwrap());
    let was = differing.iter().filter(|d| d["recorded"].as_str().is_some_and(|d| d.contains("APPROVED")));
    assert_eq!(was.count() as u64, summary["approved"].as_u64().unwrap());
    // The same settings on the same market: what differs comes from fills a fraction of a millisecond apart.
    let same = qtx(&["replay", "journal", "--set", "QT_RING_SLOTS=65536", "--json"], home.path());
    let answer = json(&same);
    let (same, differ) = (answer["same"].as_u64().unwrap(), answer["differing"].as_array().unwrap().len());
    assert!(same > 20 * differ as u64, "{same} the same, {differ} differ");
    assert_eq!(answer["settings"].as_array().unwrap().len(), 0);
    let text = qtx(&["replay", "journal", "--set", "RM_MIN_CONFIDENCE=1"], home.path());
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("RM_MIN_CONFIDENCE") && text.contains("what if"), "{text}");
    let refused = qtx(&["replay", "journal", "--set", "RM_MIN_CONFIDENCE=1", "--from", "5"], home.path());
    assert_eq!(refused.status.code(), Some(2));
}

/// The check of the checks: an engine with a defect is told by its shadow and by every replay, at the same event.
#[cfg(feature = "planted-defect")]
#[test]
fn a_planted_defect_is_told_by_shadow_and_replay() {
    let home = tempfile::tempdir().unwrap();
    let args = ["run", "--market", "synthetic:7", "--transport", "direct", "--speed", "max"];
    let more = ["--duration", "600", "--journal", "journal", "--ring-dir", ".", "--json"];
    let ran = Command::new(env!("CARGO_BIN_EXE_qtx"))
        .args([&args[..], &more[..]].concat())
        .env_clear()
        .env("PLANT_DEFECT", "1")
        .current_dir(home.path())
        .output()
        .unwrap();
    let summary = json(&ran);
    assert!(summary["shadow"]["divergences"].as_u64() > Some(0), "{summary:#}");
    let answer = json(&qtx(&["replay", "journal", "--json"], home.path()));
    let words = answer["divergence"]["words"].as_str().unwrap();
    assert_eq!(summary["shadow"]["found"][0], words);
    assert!(words.contains("kind=Decision"), "{words}");
    assert!(summary["alarms"]["divergence"].as_u64() > Some(0), "{:#}", summary["alarms"]);
}

/// What the reader gives: outputs follow their event.
#[test]
fn the_follower_counts_what_it_takes() {
    let mut reader = JournalReader::open(&journal()).unwrap();
    let mut follower = Follower::new();
    let (mut closed, mut events) = (0, 0);
    while let Some(numbered) = reader.next_entry().unwrap() {
        follower.take(numbered.first_sequence, &numbered.entry).unwrap();
        match numbered.entry {
            Entry::Event(_) => events += 1,
            Entry::Output { output, .. } => {
                closed += u64::from(matches!(output.body, OutputBody::TradeClosed(_)));
            }
        }
    }
    assert_eq!((follower.counts().0, follower.is_settled()), (events, true));
    assert_eq!(run().1["trades_closed"], closed);
}

#[test]
fn other_instruments_are_refused() {
    let (records, identity) = records();
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &records, &identity);
    let recovery = Recovery::open(dir.path()).unwrap();
    let rows: Vec<_> = recovery.engine.instruments().copied().collect();
    let check = |rows: Vec<_>| {
        recovery.check_instruments(&InstrumentTable::new(rows).unwrap()).map_err(|error| error.to_string())
    };
    assert_eq!(check(rows.clone()), Ok(()));
    let mut dearer = rows.clone();
    dearer[0].taker_fee = quantum_trader::num::Dec::new(9, 4);
    assert_eq!(check(dearer), Ok(()), "fees and limits may change");
    let mut turned = rows.clone();
    turned.swap(0, 1);
    let line = check(turned).unwrap_err();
    assert!(line.contains("trades BTCUSDT,ETHUSDT") && line.contains("ETHUSDT,BTCUSDT"), "{line}");
    assert!(check(rows[1..].to_vec()).is_err());
    let mut finer = rows;
    finer[0].tick = quantum_trader::num::Dec::new(1, 2);
    let line = check(finer).unwrap_err();
    assert!(line.starts_with("BTCUSDT") && line.contains("0.01") && line.contains("0.1"), "{line}");
}

/// Old segments were removed: what is left is read from a snapshot on, by replay and by the next start.
#[test]
fn a_journal_without_its_beginning_goes_on_from_a_snapshot() {
    let (records, identity) = records();
    let dir = tempfile::tempdir().unwrap();
    let mut archive =
        ArchiveWriter::with_segment_records(dir.path(), &identity, records.len() as u64 / 6).unwrap();
    archive.append(&records).unwrap();
    archive.sync().unwrap();
    drop(archive);
    let whole = verify(dir.path(), Range::default(), |_| ()).unwrap();
    assert!(whole.is_same() && whole.snapshot == 0, "{whole:?}");
    let mut segments: Vec<PathBuf> = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().path()).collect();
    segments.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("segment-"));
    segments.sort();
    assert!(segments.len() > 4, "{segments:?}");
    // A snapshot between two events in the middle.
    let mut follower = Follower::new();
    let mut reader = JournalReader::open(dir.path()).unwrap();
    let behind = loop {
        let numbered = reader.next_entry().unwrap().unwrap();
        let event = matches!(numbered.entry, Entry::Event(_));
        if event && numbered.first_sequence > records.len() as u64 / 2 {
            break numbered.first_sequence - 1;
        }
        follower.take(numbered.first_sequence, &numbered.entry).unwrap();
    };
    let name = format!("snapshot-{behind:020}.qts");
    fs::write(dir.path().join(name), follower.engine().unwrap().snapshot(behind)).unwrap();
    for path in &segments[..2] {
        fs::remove_file(path).unwrap();
    }
    let rest = verify(dir.path(), Range::default(), |_| ()).unwrap();
    assert!(rest.is_same(), "{rest:?}");
    assert_eq!((rest.snapshot, rest.state_hash), (behind, whole.state_hash));
    assert_eq!(rest.records, records.len() as u64 - behind);
    let recovery = Recovery::open(dir.path()).unwrap();
    assert_eq!(Some(recovery.engine.state_hash()), whole.state_hash);
    drop(recovery);
    // A part is reached from the snapshot in front of it.
    let range = Range { from: behind + 1_000, to: behind + 2_000 };
    let part = verify(dir.path(), range, |_| ()).unwrap();
    assert!(part.is_same() && part.snapshot == behind && part.records < 4_000, "{part:?}");
}
