//! Settings from a file, the environment and flags: refused in one line, or in force as they were said.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use quantum_trader::risk::config::{SETTINGS, Settings, load};

use crate::target::{Target, assert_one_line, bounded};

/// What an input says.
#[derive(Default)]
struct Said {
    flags: Vec<(String, String)>,
    environment: Vec<(OsString, OsString)>,
    file: Vec<u8>,
}

/// Lines `--set NAME=VALUE` and `env NAME=VALUE`; all others are the file's.
fn read(bytes: &[u8]) -> Said {
    let mut said = Said::default();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let pair = |rest: &[u8]| {
            let rest = rest.strip_suffix(b"\n").unwrap_or(rest);
            let at = rest.iter().position(|byte| *byte == b'=')?;
            Some((rest[..at].to_vec(), rest[at + 1..].to_vec()))
        };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if let Some((name, value)) = line.strip_prefix(b"--set ").and_then(pair) {
            said.flags.push((text(name), text(value)));
        } else if let Some((name, value)) = line.strip_prefix(b"env ").and_then(pair) {
            said.environment.push((OsString::from_vec(name), OsString::from_vec(value)));
        } else {
            said.file.extend_from_slice(line);
        }
    }
    said
}

fn check_settings(bytes: &[u8]) -> bool {
    let Said { flags, environment, file } = read(bytes);
    let text = String::from_utf8_lossy(&file);
    let load =
        |environment: Vec<(OsString, OsString)>| load(&flags, environment, Some(("file", &text)), None);
    let loaded = bounded(bytes.len(), 1 << 16, 1_024, || load(environment.clone()));
    assert_eq!(load(environment.into_iter().rev().collect()), loaded, "the environment has no order");
    match loaded {
        Ok(loaded) => {
            let again = Settings::from_toml(&loaded.settings.to_toml());
            assert_eq!(again, Ok(loaded.settings), "what is written is read back");
            for (name, value) in &flags {
                check_in_force(name, value, &flags, &loaded.settings);
            }
            true
        }
        Err(error) => {
            assert_one_line(&error.to_string());
            false
        }
    }
}

/// A flag is over everything else, and of two the last counts.
fn check_in_force(name: &str, value: &str, flags: &[(String, String)], settings: &Settings) {
    let last = flags.iter().rev().find(|(other, _)| other == name).is_some_and(|(_, last)| last == value);
    let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name).filter(|_| last) else { return };
    let mut alone = Settings::DEFAULT;
    assert_eq!(setting.set(&mut alone, value), Some(()), "{name}={value} was taken");
    assert_eq!(setting.value(&alone), setting.value(settings), "{name}={value}");
}

#[test]
fn settings() {
    let seeds = [
        "RM_MIN_CONFIDENCE = 0.75\nQT_BAR_INTERVAL = \"15m\"\n",
        "# a comment\nRM_REQUIRE_TREND = false\nQT_RING_SLOTS = 65_536\nRM_MAX_DAILY_DD_PCT = '0.02'\n",
        "env RM_MIN_CONFIDENCE=0.8\nenv QT_QPA_PLATFORM=wayland\nenv HOME=/\nenv QT_API_SECRET=x\n",
        "--set RM_MIN_CONFIDENCE=0.8\n--set QT_BAR_INTERVAL=1m\n--set RM_MIN_CONFIDENCE=0.9\n",
        "RM_MIN_CONFIDENCE = 0.75\nenv RM_MIN_CONFIDENCE=0.8\n--set RM_MIN_CONFIDENCE=0.85\n",
    ];
    let mut seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    seeds.push(Settings::DEFAULT.to_toml().into_bytes());
    let forms = [
        " = ", "\n", "\"15m\"", "--set ", "env ", "[", "]", "{", "}", "'''", "\"\"\"", "#", "0x10", "1_000",
        "\u{fffd}",
    ];
    let target = Target {
        name: "settings",
        inputs: 4_000,
        seeds,
        recorded: Vec::new(),
        words: SETTINGS.iter().map(|setting| setting.name).chain(forms).collect(),
        check: check_settings,
    };
    target.run();
}
