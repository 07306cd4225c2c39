//! The example file, the listing and the digest.

use super::*;

/// `UPDATE_EXPECT=1 cargo test` writes the file anew.
#[test]
fn the_example_file_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/qtx.example.toml");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, example()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == example(),
        "qtx.example.toml differs from the table: UPDATE_EXPECT=1 writes it anew"
    );
    assert_eq!(from_file(&committed).unwrap().settings, Settings::DEFAULT);
    let assignment = |line: &&str| line.starts_with("# RM_") || line.starts_with("# QT_");
    let taken_off: Vec<&str> = committed.lines().filter(assignment).map(|line| &line[2..]).collect();
    let loaded = from_file(&taken_off.join("\n")).unwrap();
    assert_eq!(loaded.settings, Settings::DEFAULT);
    for setting in SETTINGS {
        assert_eq!(*loaded.source(setting.key), Source::File("qtx.toml".into()), "{}", setting.name);
    }
}

#[test]
fn the_listing_is_aligned_and_complete() {
    let loaded = from_env(&[("RM_MIN_CONFIDENCE", "0.75"), ("RM_REGIME_SYMBOL", "BTCUSDT")]).unwrap();
    let short = table(&loaded, false);
    let lines: Vec<&str> = short.lines().collect();
    assert_eq!(lines.len(), 1 + SETTINGS.len());
    let value_at = lines[0].find("VALUE").unwrap();
    let source_at = lines[0].find("SOURCE").unwrap();
    for (line, setting) in lines[1..].iter().zip(SETTINGS) {
        assert_eq!(line[..value_at].trim_end(), setting.name);
        let value = setting.value(&loaded.settings);
        assert_eq!(line[value_at..source_at].trim_end().trim_matches('"'), value);
        assert_eq!(&line[source_at..], loaded.source(setting.key).to_string());
    }
    let long = table(&loaded, true);
    for (line, setting) in long.lines().skip(1).zip(SETTINGS) {
        assert!(line.contains(&setting.allowed.to_string()) && line.ends_with(setting.doc), "{line}");
    }
}

#[test]
fn json_has_every_setting() {
    let loaded = from_env(&[("RM_MIN_CONFIDENCE", "0.75")]).unwrap();
    let rows = json(&loaded);
    assert_eq!(rows.as_array().unwrap().len(), SETTINGS.len());
    assert_eq!(
        rows[Key::RM_MIN_CONFIDENCE as usize],
        serde_json::json!({
            "name": "RM_MIN_CONFIDENCE",
            "value": "0.75",
            "source": "environment",
            "default": "0.7",
            "unit": "fraction",
            "allowed": "a decimal from 0 to 1 with at most 6 places",
            "doc": "Least confidence of a signal.",
        })
    );
}

#[test]
fn the_digest_sees_every_setting_that_decides() {
    // The published vectors of FNV-1a.
    assert_eq!(text::fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(text::fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    let host = ["QT_HOT_CORE", "QT_REALTIME_PRIORITY", "QT_MLOCK"];
    let servers = |name: &str| {
        name.starts_with("QT_BINANCE_")
            || ["QT_CA_FILE", "QT_ORDER_PREFIX", "QT_RECONCILE_S", "QT_TIME_SYNC_S"].contains(&name)
    };
    let journal = ["QT_RING_SLOTS", "QT_SYNC_MS", "QT_COMPRESS", "QT_ARCHIVE_MAX_MB", "QT_ARCHIVE_MAX_DAYS"];
    let silent = |name: &str| {
        name.starts_with("RM_LOG_") || journal.contains(&name) || host.contains(&name) || servers(name)
    };
    let mut digests = vec![Settings::DEFAULT.digest()];
    for setting in SETTINGS {
        let other = edges(&setting.allowed).0.into_iter().find_map(|text| {
            let mut settings = Settings::DEFAULT;
            setting.set(&mut settings, &text)?;
            (settings != Settings::DEFAULT).then_some(settings)
        });
        match other {
            // RM_LOG_TO_DATABASE has no second value.
            None => assert_eq!(setting.name, "RM_LOG_TO_DATABASE"),
            Some(other) if silent(setting.name) => {
                assert_eq!(other.digest(), Settings::DEFAULT.digest(), "{}", setting.name);
            }
            Some(other) => digests.push(other.digest()),
        }
    }
    let deciding = SETTINGS.iter().filter(|setting| !silent(setting.name)).count();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), deciding + 1);
}

#[test]
fn a_text_of_bounded_length_is_shown_as_it_was_given() {
    let prefix = OrderPrefix::new("qt9").unwrap();
    assert_eq!((prefix.to_string(), format!("{prefix:?}")), ("qt9".into(), "\"qt9\"".into()));
    assert!(!prefix.is_empty() && OrderPrefix::new("").unwrap().is_empty());
    assert_eq!(OrderPrefix::new("123456789012").map(|text| text.to_string()), Some("123456789012".into()));
    assert_eq!(OrderPrefix::new("1234567890123"), None);
}

/// Settings as a snapshot has them, one of them with another text.
fn stored(changed: &str, text: &str) -> std::io::Result<Settings> {
    let mut bytes = Vec::new();
    for setting in SETTINGS {
        let value = if setting.name == changed { text.into() } else { setting.value(&Settings::DEFAULT) };
        borsh::to_writer(&mut bytes, &(setting.name, value)).unwrap();
    }
    borsh::from_slice(&bytes)
}

#[test]
fn stored_settings_have_one_text_for_a_value_and_that_an_allowed_one() {
    assert_eq!(stored("", "").unwrap(), Settings::DEFAULT);
    let changed = Settings { min_confidence: Dec::new(8, 1), ..Settings::DEFAULT };
    assert_eq!(stored("RM_MIN_CONFIDENCE", "0.8").unwrap(), changed);
    for text in ["0.80", ".8", "1.1", "eight", ""] {
        let error = stored("RM_MIN_CONFIDENCE", text).unwrap_err().to_string();
        assert!(error.starts_with("RM_MIN_CONFIDENCE is not a decimal"), "{text}: {error}");
    }
}
