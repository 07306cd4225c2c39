//! The shape every target has: inputs that are right, words, and what must hold of any input.
//!
//! In `cargo test` the seeds come first, then so many inputs as the target asks for. Most are made from the seeds:
//! a word exchanged for another, bytes changed, lines added and left out, parts repeated, the rest taken from
//! another seed. Of eight one is any bytes, and one words of the dialect in any order. With `FUZZ_DIR` set, as `scripts/fuzz` sets it, seeds and words are written there for a coverage-guided engine,
//! which makes the inputs. With `FUZZ_INPUT` set, that file is the only input.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use bolero::check;
use bolero::generator::bolero_generator::TypeGenerator;
use quantum_trader::host::alloc::most_held;

/// How long or how often instead of [`Target::inputs`].
const ASKED_FOR: [&str; 2] = ["BOLERO_RANDOM_TEST_TIME_MS", "BOLERO_RANDOM_ITERATIONS"];
const EDITS_MAX: u8 = 3;
const INPUT_BYTES_MAX: usize = 1 << 16;

/// What numbers and texts are got wrong with.
const WORDS: [&str; 24] = [
    "0",
    "-0",
    "1",
    "-1",
    "0.1",
    "1e400",
    "NaN",
    "0.000000000000000001",
    "999999999999999.9",
    "65536",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "170141183460469231731687303715884105728",
    "null",
    "true",
    "false",
    "\"\"",
    "[]",
    "{}",
    "\u{0}",
    "é",
    "\\ud800",
];

pub struct Target {
    /// Of the test, and of its folder in `FUZZ_DIR`.
    pub name: &'static str,
    /// How many `cargo test` makes.
    pub inputs: usize,
    /// Inputs that are right.
    pub seeds: Vec<Vec<u8>>,
    /// Recorded ones, where there are any.
    pub recorded: Vec<Vec<u8>>,
    /// What inputs are made of.
    pub words: Vec<&'static str>,
    /// Panics if something that must hold does not. `true` for an input that is right.
    pub check: fn(&[u8]) -> bool,
}

impl Target {
    pub fn run(&self) {
        if let Some(input) = std::env::var_os("FUZZ_INPUT") {
            let right = (self.check)(&fs::read(&input).unwrap());
            return println!("{}: {}", self.name, if right { "right" } else { "refused" });
        }
        for seed in &self.seeds {
            assert!((self.check)(seed), "{}: a seed must be right: {}", self.name, seed.escape_ascii());
        }
        match std::env::var_os("FUZZ_DIR") {
            Some(dir) => {
                self.write_seeds(&Path::new(&dir).join(self.name)).unwrap();
                check!().for_each(|bytes: &[u8]| {
                    (self.check)(bytes);
                });
            }
            None => self.check_made(),
        }
    }

    fn check_made(&self) {
        let tried = [const { AtomicUsize::new(0) }; Kind::COUNT];
        let asked_for = ASKED_FOR.iter().any(|name| std::env::var_os(name).is_some());
        let test = check!().with_iterations(if asked_for { usize::MAX } else { self.inputs });
        test.with_type::<Made>().map(|made| self.make(&made)).for_each(|input| {
            tried[input.kind as usize].fetch_add(1, Ordering::Relaxed);
            (self.check)(&input.bytes);
        });
        let tried = tried.map(AtomicUsize::into_inner);
        println!("{}: {} edited, {} raw, {} soup", self.name, tried[0], tried[1], tried[2]);
        if !asked_for {
            assert!(tried.iter().sum::<usize>() >= self.inputs, "{tried:?} of {}", self.inputs);
            assert!(tried.iter().all(|count| *count > 0), "{tried:?}: a kind of inputs was never made");
        }
    }

    fn all_words(&self) -> impl Iterator<Item = &'static str> {
        self.words.iter().copied().chain(WORDS)
    }

    /// Each seed a file of `seeds`, and `words` as a dictionary of libFuzzer.
    fn write_seeds(&self, dir: &Path) -> std::io::Result<()> {
        let seeds = dir.join("seeds");
        fs::create_dir_all(&seeds)?;
        for (number, seed) in self.seeds.iter().chain(&self.recorded).enumerate() {
            fs::write(seeds.join(format!("{number:04}")), seed)?;
        }
        let escape = |byte: u8| match byte {
            b'"' | b'\\' => format!("\\{}", byte as char),
            b' '..=b'~' => (byte as char).to_string(),
            _ => format!("\\x{byte:02x}"),
        };
        let line = |word: &str| format!("\"{}\"\n", word.bytes().map(escape).collect::<String>());
        fs::write(dir.join("words"), self.all_words().map(line).collect::<String>())
    }

    fn make(&self, made: &Made) -> Input {
        let kind = match made.kind % 8 {
            0 => Kind::Raw,
            1 => Kind::Soup,
            _ => Kind::Edited,
        };
        let bytes = match kind {
            Kind::Raw => made.picks.iter().flat_map(|pick| pick.to_le_bytes()).collect(),
            Kind::Soup => self.soup(made),
            Kind::Edited => {
                let mut bytes = self.source(made.seed).clone();
                for edit in made.edits.iter().take(usize::from(made.count % EDITS_MAX) + 1) {
                    self.apply(edit, &mut bytes);
                    bytes.truncate(INPUT_BYTES_MAX);
                }
                bytes
            }
        };
        Input { kind, bytes }
    }

    /// Words, and the parts of a seed, in any order.
    fn soup(&self, made: &Made) -> Vec<u8> {
        let seed = self.source(made.seed);
        let words = self.all_words().map(str::as_bytes);
        let parts = seed.chunk_by(|one, next| of_word(one) && of_word(next));
        let (words, parts): (Vec<&[u8]>, Vec<&[u8]>) = (words.collect(), parts.collect());
        let pick = |pick: &u16| {
            let from = if parts.is_empty() || pick % 4 == 0 { &words } else { &parts };
            from[usize::from(pick / 4) % from.len()]
        };
        made.picks.iter().flat_map(pick).copied().collect()
    }

    fn source(&self, pick: u16) -> &Vec<u8> {
        let pick = usize::from(pick) % (self.seeds.len() + self.recorded.len());
        self.seeds.get(pick).unwrap_or_else(|| &self.recorded[pick - self.seeds.len()])
    }

    fn apply(&self, edit: &Edit, bytes: &mut Vec<u8>) {
        let words: Vec<&str> = self.all_words().collect();
        let word = words[usize::from(edit.word) % words.len()].bytes();
        let at = usize::from(edit.at) % (bytes.len() + 1);
        let span = at..(at + usize::from(edit.count)).min(bytes.len());
        let other = self.source(edit.seed);
        match edit.what % 16 {
            0 => bytes.splice(at..bytes.len().min(at + 1), [edit.word]).for_each(drop),
            1 => bytes.splice(at..at, word).for_each(drop),
            2 => bytes.drain(span).for_each(drop),
            3 => {
                let part = bytes[span.clone()].repeat(usize::from(edit.word));
                bytes.splice(span.end..span.end, part).for_each(drop);
            }
            4 => bytes.truncate(at),
            5 => {
                bytes.truncate(at);
                bytes.extend_from_slice(&other[usize::from(edit.from) % (other.len() + 1)..]);
            }
            6 => bytes.drain(line_at(bytes, at)).for_each(drop),
            7..=9 => {
                // A line of another seed before this one.
                let line = &other[line_at(other, usize::from(edit.from) % (other.len() + 1))];
                let at = line_at(bytes, at).start;
                let end = if line.ends_with(b"\n") { &b""[..] } else { b"\n" };
                bytes.splice(at..at, [line, end].concat()).for_each(drop);
            }
            _ => bytes.splice(word_at(bytes, at), word).for_each(drop),
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Edited,
    Raw,
    Soup,
}

impl Kind {
    const COUNT: usize = 3;
}

/// An input, printed as text.
struct Input {
    kind: Kind,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.bytes.escape_ascii())
    }
}

/// What an input is made by: of a seed mostly by few edits, for more leave little that is right.
#[derive(Debug, TypeGenerator)]
struct Made {
    kind: u8,
    seed: u16,
    count: u8,
    edits: [Edit; EDITS_MAX as usize],
    picks: Vec<u16>,
}

#[derive(Debug, TypeGenerator)]
struct Edit {
    what: u8,
    at: u16,
    count: u8,
    word: u8,
    seed: u16,
    from: u16,
}

/// The line at a place, with its end.
fn line_at(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let start = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let end = bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| at + end + 1);
    start..end
}

/// The name or number at a place.
fn word_at(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let before = bytes[..at].iter().rev().take_while(|byte| of_word(byte)).count();
    let behind = bytes[at..].iter().take_while(|byte| of_word(byte)).count();
    at - before..at + behind
}

fn of_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-+".contains(byte)
}

/// Does what is to be done with an input of `length` bytes, and asks that it hold no more memory at once than
/// `base` bytes and `per_byte` for each of them.
pub fn bounded<R>(length: usize, base: u64, per_byte: u64, work: impl FnOnce() -> R) -> R {
    let (result, held) = most_held(work);
    let allowed = base + per_byte * length as u64;
    assert!(held <= allowed, "{held} bytes held for an input of {length}, {allowed} allowed");
    result
}

/// Errors are told in one line of bearable length.
pub fn assert_one_line(text: &str) {
    let one = !text.is_empty() && text.lines().count() == 1 && !text.contains(['\r', '\n']);
    assert!(one && text.len() <= 3_000, "{} bytes: {text:?}", text.len());
}

/// Lines of a recording below `QT_TEST_DATA` (default `../shared/data`), spread evenly over it; none where
/// it is not there, which is said.
pub fn recorded_lines(file: &str, count: usize) -> Vec<Vec<u8>> {
    let root =
        std::env::var_os("QT_TEST_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let path = root.join(file);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("skipped: {} (QT_TEST_DATA): {error}", path.display());
            return Vec::new();
        }
    };
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert!(!lines.is_empty(), "{} holds nothing", path.display());
    lines.iter().step_by(lines.len().div_ceil(count).max(1)).map(|line| line.to_vec()).collect()
}
