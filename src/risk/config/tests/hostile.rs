//! Properties over all settings, and text nobody would write.

use proptest::prelude::*;

use super::*;

/// A value the setting allows, chosen by `seed`.
fn pick(allowed: &Allowed, seed: u64) -> String {
    let within = |low: i128, high: i128| low + i128::from(seed) % (high - low + 1);
    match *allowed {
        Allowed::Decimal(min, max) => {
            let limit = |bound: Bound<Dec>, inward: i128| match bound {
                Bound::Included(limit) => limit.0 / STEP.0,
                Bound::Excluded(limit) => limit.0 / STEP.0 + inward,
                Bound::Unbounded => panic!("a decimal without a limit"),
            };
            Dec(within(limit(min, 1), limit(max, -1)) * STEP.0).to_string()
        }
        Allowed::Integer { min, max } => within(min.into(), max.into()).to_string(),
        _ => {
            let choices = edges(allowed).0;
            choices[seed as usize % choices.len()].clone()
        }
    }
}

fn any_settings() -> impl Strategy<Value = Settings> {
    prop::collection::vec(any::<u64>(), SETTINGS.len()).prop_map(|seeds| {
        let mut settings = Settings::DEFAULT;
        for (setting, seed) in SETTINGS.iter().zip(seeds) {
            setting.set(&mut settings, &pick(&setting.allowed, seed)).expect("picked within what is allowed");
        }
        let s = &mut settings;
        (s.atr_mult_sl, s.sl_multiplier, s.target_rr) = (Dec::new(15, 1), Dec::new(15, 1), Dec::new(25, 1));
        (s.tp_multiplier, s.exit_atr_period) = (Dec::new(375, 2), s.atr_period);
        s.min_risk_pct = s.min_risk_pct.min(s.max_risk_pct);
        s.min_position_usd = s.min_position_usd.min(s.max_position_usd);
        s.gate_max_order_usd = s.gate_max_order_usd.max(s.max_position_usd);
        s.gate_max_position_usd = s.gate_max_position_usd.max(s.max_position_usd);
        s.off_position_usd = s.off_position_usd.min(s.gate_max_order_usd).min(s.gate_max_position_usd);
        settings
    })
}

/// Pieces that make text which is nearly a configuration.
fn nearly_toml() -> impl Strategy<Value = String> {
    let names = (0..SETTINGS.len()).prop_map(|row| SETTINGS[row].name.to_string());
    let pieces = prop::sample::select(
        &[
            " = ", "\n", "0.7", "15m", "true", "\"", "'", "[", "]", "{", "}", ",", "#", ".", "-", "1e9", "_",
            "é", "\\",
        ][..],
    );
    let piece = prop_oneof![names, pieces.prop_map(String::from), ".{0,4}"];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn settings_survive_a_round_trip(settings in any_settings()) {
        let text = settings.to_toml();
        let read = Settings::from_toml(&text);
        prop_assert_eq!(read.as_ref(), Ok(&settings), "{}", text);
        prop_assert_eq!(Preset::of("x", &settings).values.len(), SETTINGS.len());
    }

    /// Whatever a value is, it is refused in one line or it prints back to itself.
    #[test]
    fn hostile_values(row in 0..SETTINGS.len(), text in "[-+.,_ 0-9a-zA-Z\\PC\n]{0,40}") {
        let setting = &SETTINGS[row];
        let mut settings = Settings::DEFAULT;
        match setting.set(&mut settings, &text) {
            None => prop_assert_eq!(refusal(&[(setting.name, &text)]).lines().count(), 1),
            Some(()) => {
                let (printed, before) = (setting.value(&settings), settings);
                prop_assert_eq!(setting.set(&mut settings, &printed), Some(()));
                prop_assert_eq!(settings, before);
            }
        }
    }

    #[test]
    fn hostile_files(text in nearly_toml()) {
        match from_file(&text) {
            Err(error) => prop_assert_eq!(error.to_string().lines().count(), 1, "{}", error),
            Ok(loaded) => prop_assert_eq!(Settings::from_toml(&loaded.settings.to_toml()), Ok(loaded.settings)),
        }
    }
}
