mod hostile;
mod loading;
mod shown;

use std::ops::Bound;

use super::*;
use crate::event::{Consensus, Symbol};
use crate::num::Dec;

fn pairs(values: &[(&str, &str)]) -> Vec<(String, String)> {
    values.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn from_env(values: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    load(&[], values.iter().copied(), None, None)
}

fn from_file(text: &str) -> Result<Loaded, ConfigError> {
    load(&[], std::iter::empty::<(String, String)>(), Some(("qtx.toml", text)), None)
}

fn refusal(values: &[(&str, &str)]) -> String {
    from_env(values).expect_err("refused").to_string()
}

/// The smallest step of a decimal setting.
const STEP: Dec = Dec::new(1, 6);

/// For each kind of setting: values on and just inside its limits, and values just outside or
/// malformed.
fn edges(allowed: &Allowed) -> (Vec<String>, Vec<String>) {
    let texts = |values: &str| values.split('|').map(String::from).collect::<Vec<_>>();
    match *allowed {
        Allowed::Decimal(min, max) => {
            let (low, below) = match min {
                Bound::Included(min) => (min, min - STEP),
                Bound::Excluded(min) => (min + STEP, min),
                Bound::Unbounded => panic!("a decimal without a lower limit"),
            };
            let (high, above) = match max {
                Bound::Included(max) => (max, max + STEP),
                Bound::Excluded(max) => (max - STEP, max),
                Bound::Unbounded => panic!("a decimal without an upper limit"),
            };
            let inside = [low.to_string(), high.to_string(), (low + STEP).display(9).to_string()];
            let seven_places = format!("{}1", (low + STEP).display(6));
            let huge = "9".repeat(50);
            let outside = [below.to_string(), above.to_string(), seven_places, huge];
            (inside.into(), [&outside[..], &texts("|x|-|-1| 1|1 |1,0|1e-1|.5|0.5.|nan|1_0|+1|\n")].concat())
        }
        Allowed::Integer { min, max } => (
            vec![min.to_string(), max.to_string()],
            [&[(min - 1).to_string(), (max + 1).to_string()][..], &texts("|x|-| 7|7 |+7|7.0|7e0|0x7|\n")]
                .concat(),
        ),
        Allowed::PowerOfTwo { min, max } => (
            vec![min.to_string(), max.to_string(), (min * 2).to_string()],
            [&[(min / 2).to_string(), (max * 2).to_string(), (min + 1).to_string()][..], &texts("|x|-2048")]
                .concat(),
        ),
        Allowed::Bool => (texts("true|false"), texts("|True|yes|1|0|on| true|true ")),
        Allowed::Words(words) => {
            (words.iter().map(|w| w.to_string()).collect(), words.iter().map(|w| w.to_uppercase()).collect())
        }
        Allowed::ConsensusSet => (
            texts("WEAK|UNANIMOUS,STRONG,SPLIT,WEAK|SPLIT,STRONG"),
            texts("|,|strong|STRONG,|STRONG,STRONG|STRONG, WEAK|MEDIUM"),
        ),
        Allowed::SymbolOrEmpty => {
            (texts("|BTCUSDT|\"'#\\"), texts("BTC USDT|ÄUSDT|ABCDEFGHIJKLMNOPQRSTUVWXY| |\n"))
        }
        Allowed::BarInterval => (
            texts("1s|5s|90s|1m|15m|1h|4h|24h|1d|60s"),
            texts("|0m|7m|5h|2d|1w|m|15|15 m|+1m|-1m|1.5h|15M|99999999999d|é"),
        ),
        Allowed::HotCore => (texts("auto|off|0|3|1023"), texts("|Auto|on|-1|1024|+1| 1|1.0|0x1|last")),
        Allowed::Address(schemes) => {
            let inside = schemes.iter().map(|scheme| format!("{scheme}://127.0.0.1:9443/a"));
            let longest = format!("{}://{}", schemes[0], "a".repeat(125 - schemes[0].len()));
            let mut outside = vec![format!("{longest}a")];
            for bad in ["", "/", "a/", "a b", "a?k=v", "a#b", "user@a", "é", "a\n"] {
                outside.push(format!("{}://{bad}", schemes[0]));
            }
            outside.extend(texts("|127.0.0.1:1|ftp://a|://a| https://a|HTTPS://a"));
            (inside.chain([longest]).collect(), outside)
        }
        Allowed::PathOrEmpty => (
            [texts("|ca.pem|/etc/ü ber/ca.pem"), vec!["x".repeat(200)]].concat(),
            vec!["x".repeat(201), "a\0b".into()],
        ),
        Allowed::Prefix => (texts("q|qt|Ab9|ABCDEFGHIJK9"), texts("|q-t|q t|é|ABCDEFGHIJKLM|_")),
        Allowed::Empty(_) => (texts(""), texts("sqlite:trades.db|off|false| ")),
    }
}

#[test]
fn every_setting_takes_its_limits_and_nothing_beyond() {
    for setting in SETTINGS {
        let (inside, outside) = edges(&setting.allowed);
        for text in inside {
            let mut settings = Settings::DEFAULT;
            assert_eq!(setting.set(&mut settings, &text), Some(()), "{} {text:?}", setting.name);
            let (printed, before) = (setting.value(&settings), settings);
            setting.set(&mut settings, &printed).unwrap();
            assert_eq!(settings, before, "{} {text:?} printed {printed:?}", setting.name);
        }
        for text in outside {
            let mut settings = Settings::DEFAULT;
            assert_eq!(setting.set(&mut settings, &text), None, "{} {text:?}", setting.name);
            assert_eq!(settings, Settings::DEFAULT, "a refused value changes nothing");
            let error = refusal(&[(setting.name, &text)]);
            assert!(error.starts_with(&format!("{}: value \"", setting.name)), "{error}");
            assert!(
                error.ends_with(&format!("(environment) is not allowed: {}", setting.allowed)),
                "{error}"
            );
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}

#[test]
fn rows_are_well_formed() {
    for (i, setting) in SETTINGS.iter().enumerate() {
        assert_eq!(setting.key as usize, i);
        assert!(setting.name.starts_with("RM_") || setting.name.starts_with("QT_"), "{}", setting.name);
        assert!(setting.doc.ends_with('.') && !setting.doc.contains('\n'), "{}", setting.doc);
        let mut settings = Settings::DEFAULT;
        setting.set(&mut settings, &setting.value(&Settings::DEFAULT)).expect("a default is allowed");
        assert_eq!(settings, Settings::DEFAULT, "{}", setting.name);
        let namesakes = SETTINGS.iter().filter(|other| other.name == setting.name).count();
        assert_eq!(namesakes, 1, "{}", setting.name);
    }
    assert_eq!(from_env(&[]).unwrap(), Loaded::default(), "the defaults agree with each other");
}

#[test]
fn values_reach_their_fields() {
    let loaded = from_env(&[
        ("RM_MIN_CONSENSUS_TYPES", "SPLIT,UNANIMOUS"),
        ("RM_MIN_CONFIDENCE", "0.100000"),
        ("RM_REGIME_SYMBOL", "BTCUSDT"),
        ("RM_EXIT_PRICE", "mark"),
        ("RM_ATR_SMOOTHING", "sma"),
        ("RM_MAX_DATA_AGE_MS", "60000"),
        ("QT_BAR_INTERVAL", "4h"),
        ("RM_ENABLE_OPEN_RISK", "false"),
    ]);
    let settings = loaded.unwrap().settings;
    let types = settings.min_consensus_types;
    assert!(types.contains(Consensus::Split) && types.contains(Consensus::Unanimous));
    assert!(!types.contains(Consensus::Strong) && !types.contains(Consensus::Weak));
    assert_eq!(types.to_string(), "UNANIMOUS,SPLIT");
    assert_eq!(settings.min_confidence, Dec::new(1, 1));
    assert_eq!(settings.regime_symbol, Symbol::new("BTCUSDT"));
    assert_eq!((settings.exit_price, settings.atr_smoothing), (ExitPrice::Mark, AtrSmoothing::Sma));
    assert_eq!((settings.max_data_age_ms, settings.bar_interval_s), (60_000, 14_400));
    assert!(!settings.enable_open_risk);
}
