//! `docs/OPERATIONS.md` names what there is: alarms, settings and their defaults, lines of refusals.

#[allow(dead_code)] // What rooms are checked by is more.
#[path = "rooms/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use quantum_trader::event::AlarmKind;
use quantum_trader::risk::config::{SETTINGS, Setting, Settings};

use source::shipped_with_texts;

/// No settings: they are taken from the environment alone.
const SECRETS: [&str; 4] = ["QT_API_KEY", "QT_API_KEY_FILE", "QT_API_SECRET", "QT_API_SECRET_FILE"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> String {
    fs::read_to_string(root().join("docs/OPERATIONS.md")).unwrap()
}

/// Cells of the rows of the table under this heading, without the table's own head.
fn table<'a>(text: &'a str, head: &str) -> Vec<Vec<&'a str>> {
    let rows = text.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let cells = |row: &'a str| row.trim_matches('|').split(" | ").map(str::trim).collect();
    rows.map(cells).collect()
}

/// What a cell has between backquotes.
fn quoted(cell: &str) -> &str {
    cell.strip_prefix('`')
        .and_then(|rest| rest.strip_suffix('`'))
        .unwrap_or_else(|| panic!("{cell}: no name"))
}

#[test]
fn every_alarm_has_its_row() {
    let text = document();
    let rows = table(&text, "| alarm | means | the engine has | do |");
    let named: Vec<&str> = rows.iter().map(|cells| quoted(cells[0])).collect();
    assert!(rows.iter().all(|cells| cells.len() == 4), "a cell too many or too few");
    let alarms: BTreeSet<&str> = AlarmKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(named.iter().copied().collect::<BTreeSet<_>>(), alarms);
    assert_eq!(named.len(), alarms.len(), "an alarm with two rows");
}

#[test]
fn every_setting_named_exists() {
    let text = document();
    let names = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let names: BTreeSet<&str> =
        names.filter(|name| name.starts_with("QT_") || name.starts_with("RM_")).collect();
    let known = |name: &&&str| SECRETS.contains(name) || Setting::named(name).is_some();
    assert_eq!(names.iter().find(|name| !known(name)), None);
    assert!(names.len() > 20, "{names:?}");
}

#[test]
fn defaults_are_those_in_force() {
    let text = document();
    let rows = table(&text, "| setting | default | decides |");
    assert!(!rows.is_empty());
    for cells in rows {
        let setting = SETTINGS.iter().find(|setting| setting.name == quoted(cells[0]));
        let value = setting.map(|setting| setting.value(&Settings::DEFAULT));
        assert_eq!(value.as_deref(), Some(quoted(cells[1])), "{}", cells[0]);
    }
}

#[test]
fn refusals_are_in_the_words_of_the_code() {
    let text = document();
    let rows = table(&text, "| the line says | do |");
    let mut code = String::new();
    read_sources(&root().join("src"), &mut code);
    // A text that goes on in the next line of the source is one text.
    let code: String = code.split("\\\n").map(str::trim_start).collect();
    assert!(!rows.is_empty());
    for cells in rows {
        assert!(code.contains(quoted(cells[0])), "nothing says {}", cells[0]);
    }
}

/// What ships and says something: no tests, no comments.
fn read_sources(dir: &Path, code: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        } else if path.is_dir() {
            read_sources(&path, code);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            code.push_str(&shipped_with_texts(&fs::read_to_string(&path).unwrap()));
        }
    }
}
