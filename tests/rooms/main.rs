//! What the source promises about itself: which room may use which, where `unsafe` and floats may
//! stand, how long a file may be, what the documentation names. Each check is a function over text, shown here to refuse a bad
//! sample before it is believed about the good one.

mod source;

use std::fs;
use std::path::Path;

use source::{shipped, without_items, without_literals};

/// Every room in the order of the flow, and the rooms it may use beside `num` and `event`.
const ROOMS: [(&str, &[&str]); 21] = [
    ("num", &[]),
    ("event", &[]),
    ("wire", &[]),
    ("venue", &[]),
    ("decode", &["venue"]),
    ("market", &[]),
    // Votes are made of bars and indicators.
    ("signal", &["market"]),
    // The filter weighs confidence and consensus, as the signal room defines them.
    ("risk", &["market", "signal"]),
    ("trade", &["risk"]),
    ("engine", &["market", "signal", "risk", "trade"]),
    ("journal", &[]),
    // Rules and settings are told as the engine has them.
    ("replay", &["risk", "engine", "journal"]),
    // The dialect over the sockets of wire; what the engine believes is not its business.
    ("gateway", &["venue", "wire"]),
    ("sim", &["venue", "decode"]),
    // Thresholds are printed from the settings, skipped frames by the decoder's names; what an order
    // still covers, and which trades count, is told as the engine tells it.
    ("observe", &["market", "risk", "trade", "decode", "journal"]),
    ("host", &[]),
    (
        "live",
        &[
            "wire", "venue", "decode", "market", "signal", "risk", "trade", "engine", "journal", "gateway",
            "sim", "observe", "host", "replay",
        ],
    ),
    // Reasons of rejections are the log's.
    ("evaluate", &["risk", "trade", "engine", "observe"]),
    // What became of orders and fills is told by the engine's own tables and books.
    ("export", &["risk", "trade", "journal"]),
    // A whole world in one thread: everything but what an operator sees of it.
    (
        "soak",
        &["wire", "venue", "risk", "trade", "engine", "journal", "replay", "gateway", "sim", "host", "live"],
    ),
    (
        "cli",
        &[
            "wire", "venue", "decode", "market", "signal", "risk", "trade", "engine", "journal", "gateway",
            "sim", "observe", "host", "replay", "live", "evaluate", "export", "soak",
        ],
    ),
];

/// What the engine must never see, whatever the table says.
const OUTSIDE_ENGINE: [&str; 10] =
    ["wire", "gateway", "journal", "replay", "host", "observe", "sim", "live", "evaluate", "cli"];
/// Rooms in which no float stands.
const EXACT: [&str; 10] =
    ["num", "event", "market", "signal", "risk", "trade", "engine", "gateway", "evaluate", "export"];
const LINES_MAX: usize = 600;

/// A source file: path below `src` with `/`, and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    fn sample(path: &str, text: &str) -> File {
        File { path: path.to_string(), text: text.to_string() }
    }

    /// The folder or file under `src` it belongs to.
    fn room(&self) -> &str {
        let end = self.path.find(['/', '.']).unwrap_or(self.path.len());
        &self.path[..end]
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Modules between the crate's root and this file's items.
    fn depth(&self) -> usize {
        let parts = self.path.trim_end_matches(".rs").split('/').filter(|part| *part != "mod");
        parts.count()
    }

    fn at(&self, line: usize, what: impl std::fmt::Display) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Rooms named by `crate::room` and `crate::{room::…, …}`, each with its line.
fn crate_paths(code: &str) -> Vec<(usize, String)> {
    let word = |text: &str| text.trim_start().chars().take_while(|c| is_word(*c)).collect::<String>();
    let mut found = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            None => found.push((line, word(rest))),
            Some(group) => found.extend(items(group).iter().map(|item| (line, word(item)))),
        }
    }
    found.retain(|(_, name)| !name.is_empty());
    found
}

/// The items of a `{…}` group, given from behind its opening brace.
fn items(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' if depth == 0 => {
                items.push(&group[start..at]);
                start = at + 1;
            }
            '}' if depth == 0 => {
                items.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    items
}

fn edges(file: &File) -> Vec<String> {
    let room = file.room();
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return match room {
            "lib" | "main" => Vec::new(),
            _ => vec![file.at(1, "belongs to no room of the table")],
        };
    };
    let code = without_literals(&file.text);
    let mut bad = Vec::new();
    for (line, used) in crate_paths(&code) {
        let known = used == room || used == "num" || used == "event" || allowed.contains(&used.as_str());
        // `num` and `event` stand below all others, in this order.
        let upward = room == "num" && used != "num";
        let forbidden = room == "engine" && OUTSIDE_ENGINE.contains(&used.as_str());
        if !known || upward || forbidden {
            bad.push(file.at(line, format!("{room} may not use {used}")));
        }
    }
    // A chain of `super::` as long as the module is deep reaches the other rooms past the table.
    let escape = "super::".repeat(file.depth());
    for (i, line) in shipped(&file.text).lines().enumerate() {
        if line.contains(&escape) {
            bad.push(file.at(i + 1, "reaches out of the room with super"));
        }
    }
    bad
}

fn unsafe_code(file: &File) -> Vec<String> {
    if file.path == "journal/mmap.rs" || file.room() == "host" {
        return Vec::new();
    }
    lines_with(&without_literals(&file.text), |line| has_word(line, "unsafe"))
        .map(|line| file.at(line, "unsafe outside journal/mmap.rs and host"))
        .collect()
}

fn length(file: &File) -> Option<String> {
    let lines = file.text.lines().count();
    (lines > LINES_MAX).then(|| file.at(lines, format!("{lines} lines, at most {LINES_MAX}")))
}

fn floats(file: &File) -> Vec<String> {
    if !EXACT.contains(&file.room()) || file.is_test() {
        return Vec::new();
    }
    let mut code = shipped(&file.text);
    if file.room() == "num" {
        // Reports read decimals as floats; nothing exact calls it, since the name itself is refused.
        code = without_items(&code, "pub fn to_f64_lossy");
    }
    lines_with(&code, |line| line.contains("f64") || line.contains("f32"))
        .map(|line| file.at(line, "a float where decisions are made"))
        .collect()
}

fn unwraps(file: &File) -> Vec<String> {
    if file.is_test() {
        return Vec::new();
    }
    let text: Vec<&str> = file.text.lines().collect();
    let explained = |line: usize| text[line.saturating_sub(2)..line].iter().any(|line| line.contains("//"));
    lines_with(&shipped(&file.text), |line| line.contains(".unwrap()"))
        .filter(|line| !explained(*line))
        .map(|line| file.at(line, "unwrap without a comment that says why it can't fail"))
        .collect()
}

/// Rooms as `lib.rs` lists them against the table, each with a line that says what it holds.
fn listing(lib: &str, rooms: &[&str]) -> Vec<String> {
    let lines: Vec<&str> = lib.lines().collect();
    let listed: Vec<&str> =
        lines.iter().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut bad = Vec::new();
    if listed != rooms {
        bad.push(format!("lib.rs lists {listed:?}; in the order of the flow it is {rooms:?}"));
    }
    for pair in lines.windows(2) {
        if pair[1].starts_with("pub mod ") && !pair[0].starts_with("// ") {
            bad.push(format!("lib.rs: {:?} has no line that says what it holds", pair[1]));
        }
    }
    bad
}

/// Files of the list in `docs/ARCHITECTURE.md`: names between backquotes. A name without a folder stands in the
/// folder of the name before it.
fn mapped(map: &str) -> Vec<String> {
    let mut folder = "";
    let mut files = Vec::new();
    for name in map.split('`').skip(1).step_by(2) {
        let (within, file) = name.rsplit_once('/').unwrap_or((folder, name));
        if file.ends_with(".rs") || (file.is_empty() && !within.is_empty()) {
            folder = within;
        }
        if file.ends_with(".rs") {
            files.push(format!("{folder}/{file}"));
        }
    }
    files
}

/// The list against the tree: no file twice, none that is not there, none left out.
fn unmapped(map: &str, files: &[&str]) -> Vec<String> {
    let mapped = mapped(map);
    let mut bad = Vec::new();
    for (index, file) in mapped.iter().enumerate() {
        if mapped[..index].contains(file) {
            bad.push(format!("{file} stands in the list twice"));
        }
        if !files.contains(&file.as_str()) {
            bad.push(format!("{file} is in the list and not in the tree"));
        }
    }
    let left_out = files.iter().filter(|file| !mapped.iter().any(|named| named == *file));
    bad.extend(
        left_out.filter(|file| !file.ends_with("/mod.rs")).map(|file| format!("{file} is not in the list")),
    );
    bad
}

fn lines_with(code: &str, test: impl Fn(&str) -> bool) -> impl Iterator<Item = usize> {
    code.lines().enumerate().filter(move |(_, line)| test(line)).map(|(i, _)| i + 1)
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c| !is_word(c)).any(|part| part == word)
}

fn sources() -> Vec<File> {
    fn walk(dir: &Path, root: &Path, files: &mut Vec<File>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, files);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let parts: Vec<_> =
                    path.strip_prefix(root).unwrap().iter().map(|part| part.to_string_lossy()).collect();
                files.push(File { path: parts.join("/"), text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &root, &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.len() > ROOMS.len(), "{} files below {}", files.len(), root.display());
    files
}

fn none(bad: Vec<String>) {
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    none(sources().iter().flat_map(edges).collect());
    let (_, engine) = ROOMS.iter().find(|(room, _)| *room == "engine").unwrap();
    for room in OUTSIDE_ENGINE {
        assert!(!engine.contains(&room), "the table lets the engine use {room}");
    }
}

#[test]
fn lib_lists_the_rooms_in_the_order_of_the_flow() {
    let files = sources();
    let lib = files.iter().find(|file| file.path == "lib.rs").unwrap();
    none(listing(&lib.text, &ROOMS.map(|(room, _)| room)));
    for (room, _) in ROOMS {
        assert!(files.iter().any(|file| file.room() == room), "{room} has no file");
    }
}

#[test]
fn the_list_of_files_is_the_tree() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ARCHITECTURE.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, map) = text.split_once("\nFiles, a room after the other.").unwrap();
    let (_, map) = map.split_once("\n\n").unwrap();
    let (map, _) = map.split_once("\n\n").unwrap();
    let files = sources();
    let shipped = files.iter().filter(|file| !file.is_test() && file.path.contains('/'));
    none(unmapped(map, &shipped.map(|file| file.path.as_str()).collect::<Vec<_>>()));
}

#[test]
fn unsafe_stands_in_two_places() {
    none(sources().iter().flat_map(unsafe_code).collect());
}

#[test]
fn no_file_is_too_long_to_read() {
    none(sources().iter().filter_map(length).collect());
}

#[test]
fn no_float_stands_where_decisions_are_made() {
    none(sources().iter().flat_map(floats).collect());
}

#[test]
fn every_unwrap_says_why_it_cannot_fail() {
    none(sources().iter().flat_map(unwraps).collect());
}

#[test]
fn a_forbidden_edge_is_found_in_every_spelling() {
    for bad in [
        "use crate::journal::Folder;",
        "use crate::{num::Dec, host};",
        "use crate::{\n    event::{Bar, Quote},\n    sim::link::{Link},\n};",
        "fn f() { crate::observe::say(); }",
        "pub(in crate::cli) fn f() {}",
        "use super::super::journal;",
        "#[cfg(test)]\nmod tests { use crate::sim; }",
        "use crate::nowhere::X;",
    ] {
        assert_eq!(edges(&File::sample("engine/orders.rs", bad)).len(), 1, "{bad}");
    }
    assert_eq!(edges(&File::sample("engine/mod.rs", "use super::journal;")).len(), 1);
    assert_eq!(edges(&File::sample("num/id.rs", "use crate::event::Bar;")).len(), 1);
    assert_eq!(edges(&File::sample("helpers/mod.rs", "")).len(), 1);
    for good in [
        "use crate::{event::{self, Bar}, num, risk::{config::Settings, check}};",
        "use super::{Engine, Outbox};\n// crate::journal\nconst A: &str = \"crate::sim\";",
        "pub(crate) fn f(x: crate::market::Fx) {}",
        "#[cfg(test)]\nmod tests { use super::super::Engine; }",
    ] {
        none(edges(&File::sample("engine/orders.rs", good)));
    }
    none(edges(&File::sample("cli/run.rs", "use crate::sim::link::Link;")));
}

#[test]
fn unsafe_floats_length_and_unwraps_are_found() {
    let sample = |path: &str, text: &str| File::sample(path, text);
    assert_eq!(unsafe_code(&sample("journal/ring.rs", "fn f() { unsafe { g() } }")).len(), 1);
    assert_eq!(unsafe_code(&sample("journal/ring.rs", "#![deny(unsafe_code)] // unsafe")).len(), 0);
    assert_eq!(unsafe_code(&sample("journal/mmap.rs", "unsafe {}")).len(), 0);

    assert!(length(&sample("sim/link.rs", &"x\n".repeat(LINES_MAX + 1))).is_some());
    assert!(length(&sample("sim/link.rs", &"x\n".repeat(LINES_MAX))).is_none());

    let display = "pub fn to_f64_lossy(self) -> f64 { self.0 as f64 }";
    assert_eq!(floats(&sample("num/decimal.rs", display)).len(), 0);
    assert_eq!(floats(&sample("num/decimal.rs", &format!("{display}\nfn g() -> f64 {{ 0.0 }}"))).len(), 1);
    assert_eq!(floats(&sample("risk/exit.rs", "let x = stop.to_f64_lossy() > 1.0;")).len(), 1);
    assert_eq!(
        floats(&sample("risk/exit.rs", "#[cfg(test)]\nmod tests { fn f(x: f64) {} }\nfn g(x: f32) {}")).len(),
        1
    );
    assert_eq!(floats(&sample("observe/stats.rs", "fn f(x: f64) {}")).len(), 0);

    assert_eq!(unwraps(&sample("sim/link.rs", "// a bounded queue\n\nlet x = y.unwrap();")).len(), 1);
    assert_eq!(unwraps(&sample("sim/link.rs", "// never empty\nlet x = y.unwrap();")).len(), 0);
    assert_eq!(unwraps(&sample("sim/link.rs", "let x = y.unwrap(); // never empty")).len(), 0);
    assert_eq!(unwraps(&sample("sim/link/tests.rs", "let x = y.unwrap();")).len(), 0);
}

#[test]
fn a_listing_out_of_order_or_without_words_is_found() {
    let good = "// Numbers.\npub mod num;\n// Records.\npub mod event;\n";
    assert!(listing(good, &["num", "event"]).is_empty());
    assert_eq!(listing(good, &["event", "num"]).len(), 1);
    assert_eq!(listing("// Numbers.\npub mod num;\npub mod event;\n", &["num", "event"]).len(), 1);
    assert_eq!(listing("// Numbers.\npub mod num;\n", &["num", "event"]).len(), 1);
}

#[test]
fn a_list_that_is_not_the_tree_is_found() {
    let files = ["num/id.rs", "num/time.rs", "num/mod.rs", "sim/venue/orders.rs", "sim/venue/market.rs"];
    let good = "- `num/id.rs` ids as `Id` · `time.rs`\n- `sim/venue/` what `qtx` asks: `orders.rs`, `market.rs` a `check`.";
    assert_eq!(unmapped(good, &files), Vec::<String>::new());
    for (wrong, found) in [
        (good.replace("time", "times"), 2),
        (good.replace("`time.rs`", ""), 1),
        (good.replace("time", "id"), 2),
        (good.replace("sim/venue/", "sim/"), 4),
    ] {
        assert_eq!(unmapped(&wrong, &files).len(), found, "{wrong}");
    }
}
