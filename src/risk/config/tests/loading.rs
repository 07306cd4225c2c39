//! Precedence, refusals and contradictions.

use std::os::unix::ffi::OsStringExt;

use super::*;

/// Each row: who speaks, whose word counts.
#[test]
fn precedence() {
    let key = Key::RM_MAX_LEVERAGE;
    let preset = Preset::new("calm", &[("RM_MAX_LEVERAGE", "2")]);
    let file = ("qtx.toml", "RM_MAX_LEVERAGE = 3");
    for said in 0..16u32 {
        let (flag, env, in_file, in_preset) = (said & 8 != 0, said & 4 != 0, said & 2 != 0, said & 1 != 0);
        let loaded = load(
            &pairs(if flag { &[("RM_MAX_LEVERAGE", "9"), ("RM_MAX_LEVERAGE", "5")] } else { &[] }),
            env.then_some(("RM_MAX_LEVERAGE", "4")),
            in_file.then_some(file),
            in_preset.then_some(&preset),
        )
        .unwrap();
        let (value, source) = match () {
            () if flag => (5, Source::Flag),
            () if env => (4, Source::Environment),
            () if in_file => (3, Source::File("qtx.toml".into())),
            () if in_preset => (2, Source::Preset("calm".into())),
            () => (30, Source::Default),
        };
        assert_eq!(loaded.settings.max_leverage, Dec::int(value), "{said:04b}");
        assert_eq!(*loaded.source(key), source, "{said:04b}");
        let others = SETTINGS.iter().filter(|s| s.key != key);
        assert!(others.map(|s| loaded.source(s.key)).all(|source| *source == Source::Default));
    }
}

#[test]
fn an_overridden_value_must_still_be_allowed() {
    let flags = pairs(&[("RM_MIN_CONFIDENCE", "0.8")]);
    let error = load(&flags, [("RM_MIN_CONFIDENCE", "7")], None, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "RM_MIN_CONFIDENCE: value \"7\" (environment) is not allowed: a decimal from 0 to 1 with at most 6 places"
    );
}

#[test]
fn unknown_names_stop_the_start() {
    let cases = [
        ("RM_MIN_CONFIDENC", "did you mean RM_MIN_CONFIDENCE (a decimal from 0 to 1 with at most 6 places)?"),
        (
            "RM_MIN_CONFIDENCE ",
            "did you mean RM_MIN_CONFIDENCE (a decimal from 0 to 1 with at most 6 places)?",
        ),
        (
            "rm_min_confidence",
            "did you mean RM_MIN_CONFIDENCE (a decimal from 0 to 1 with at most 6 places)?",
        ),
        ("QT_API_SECRTE", "did you mean QT_API_SECRET?"),
        ("QT_NOTHING_OF_OURS", "every name that begins with RM_ or QT_ must be one"),
        ("RM_", "every name that begins with RM_ or QT_ must be one"),
    ];
    for (name, hint) in cases {
        // A value is shown where it can't be that of a misspelt key.
        let shown = if name.starts_with("RM_") { "=1" } else { "" };
        let name_and_value = format!("{name}{shown}");
        assert_eq!(
            refusal(&[(name, "1")]),
            format!("{name_and_value} (environment) is not a setting: {hint}")
        );
        let flag = load(&pairs(&[(name, "1")]), [("HOME", "/")], None, None).unwrap_err();
        assert_eq!(flag.to_string(), format!("{name_and_value} (flag) is not a setting: {hint}"));
        let file = from_file(&format!("{name:?} = 1")).unwrap_err();
        assert_eq!(file.to_string(), format!("{name_and_value} (file qtx.toml) is not a setting: {hint}"));
    }
    assert!(matches!(from_file("[risk]\nRM_MIN_CONFIDENCE = 0.7"), Err(ConfigError::Unknown { .. })));
    assert_eq!(refusal(&[(&"RM_\n".repeat(5_000), "1")]).lines().count(), 1);
}

#[test]
fn other_variables_are_left_alone() {
    let all = [("HOME", "/"), ("QT_TEST_DATA", "anywhere"), ("RMX", "1"), ("qt", ""), ("", "")];
    assert_eq!(from_env(&all).unwrap(), Loaded::default());
    assert_eq!(from_file("QT_TEST_DATA = 'x'").unwrap(), Loaded::default());
    let not_utf8 = || std::ffi::OsString::from_vec(vec![b'7', 0xff]);
    let env = [("HOME".into(), not_utf8()), ("QT_TEST_DATA".into(), not_utf8()), (not_utf8(), not_utf8())];
    assert_eq!(load(&[], env, None, None).unwrap(), Loaded::default());
    let error = load(&[], [("RM_MIN_CONFIDENCE", not_utf8())], None, None).unwrap_err();
    assert_eq!(error.to_string(), "RM_MIN_CONFIDENCE: the value (environment) is not UTF-8");
    let error = load(&[], [("RM_MIN_CONFIDENC", not_utf8())], None, None).unwrap_err();
    assert!(matches!(error, ConfigError::Unknown { .. }));
}

#[test]
fn the_gateway_must_let_through_what_the_engine_decides() {
    for (name, value) in [("QT_GATE_MAX_ORDER_USD", "499"), ("QT_GATE_MAX_POSITION_USD", "499")] {
        let error = refusal(&[(name, value)]);
        for part in
            ["RM_MAX_POSITION_USD=500 (default)", &format!("{name}=499 (environment)"), "must not exceed"]
        {
            assert!(error.contains(part), "{error}");
        }
    }
    assert!(from_env(&[("QT_GATE_MAX_ORDER_USD", "500"), ("QT_GATE_MAX_POSITION_USD", "500")]).is_ok());
}

#[test]
fn with_the_layer_off_the_gateway_must_let_through_the_fixed_position() {
    for name in ["QT_GATE_MAX_ORDER_USD", "QT_GATE_MAX_POSITION_USD"] {
        // The other one is 1,000.
        let with = |layer: &str, fixed: &str| {
            from_env(&[("RM_ENABLE_RISK_LAYER", layer), ("RM_OFF_POSITION_USD", fixed), (name, "600")])
        };
        assert!(with("false", "600").is_ok(), "{name}");
        let error = with("false", "600.000001").unwrap_err().to_string();
        assert!(error.starts_with("RM_OFF_POSITION_USD=600.000001 (environment)"), "{error}");
        assert!(with("true", "600.000001").is_ok(), "{name}: not asked for while the layer is on");
    }
}

/// A secret is a name that may stand in the environment, and a value nobody sees.
#[test]
fn secrets_are_passed_over_and_never_shown() {
    for name in ["QT_API_KEY", "QT_API_KEY_FILE", "QT_API_SECRET", "QT_API_SECRET_FILE"] {
        let loaded = from_env(&[(name, "hunter2")]).unwrap();
        assert_eq!(loaded, Loaded::default(), "{name}");
        let shown = [table(&loaded, true), json(&loaded).to_string(), loaded.settings.to_toml(), example()];
        assert!(shown.iter().all(|text| !text.contains("hunter2") && !text.contains("QT_API_")), "{name}");
        let none: [(&str, &str); 0] = [];
        let flag = load(&pairs(&[(name, "hunter2")]), none, None, None).unwrap_err().to_string();
        let file = from_file(&format!("{name} = 'hunter2'")).unwrap_err().to_string();
        assert_eq!(flag, format!("{name} (flag) is a secret: it is taken from the environment alone"));
        assert!(file.contains("(file qtx.toml) is a secret") && !file.contains("hunter2"), "{file}");
    }
    let typo = refusal(&[("QT_API_SECRETS", "hunter2")]);
    assert!(typo.contains("did you mean QT_API_SECRET?") && !typo.contains("hunter2"), "{typo}");
}

#[test]
fn variables_of_the_qt_toolkit_are_passed_over_in_the_environment_only() {
    let desktop = [
        "QT_QPA_PLATFORM",
        "QT_QPA_PLATFORMTHEME",
        "QT_IM_MODULE",
        "QT_SCALE_FACTOR",
        "QT_STYLE_OVERRIDE",
        "QT_PLUGIN_PATH",
        "QT_ACCESSIBILITY",
        "QT_AUTO_SCREEN_SCALE_FACTOR",
        "QT_LOGGING_RULES",
        "QT_DEBUG_PLUGINS",
        "QT_X11_NO_MITSHM",
        "QT_WAYLAND_DISABLE_WINDOWDECORATION",
        "QTWEBENGINE_CHROMIUM_FLAGS",
    ];
    for name in desktop {
        assert_eq!(from_env(&[(name, "1")]).unwrap(), Loaded::default(), "{name}");
        let file = from_file(&format!("{name} = '1'"));
        assert!(matches!(file, Err(ConfigError::Unknown { .. })), "{name} in a file");
        let flag = [(name.to_string(), "1".to_string())];
        let none: [(&str, &str); 0] = [];
        assert!(
            matches!(load(&flag, none, None, None), Err(ConfigError::Unknown { .. })),
            "{name} as a flag"
        );
    }
    for typo in ["QT_BAR_INTERVALL", "QT_QPA", "QT_SCALE_FACTORS", "QT_WEIGHTS_NHITS", "QT_", "QT_IM_MODULE_"]
    {
        let error = from_env(&[(typo, "1")]).unwrap_err();
        assert!(matches!(error, ConfigError::Unknown { .. }), "{typo}: {error}");
    }
    for setting in SETTINGS {
        let value = setting.value(&Settings::DEFAULT);
        let loaded = from_env(&[(setting.name, &value)]).unwrap();
        assert_eq!(loaded.source(setting.key), &Source::Environment, "{} is read", setting.name);
    }
}

type Values = &'static [(&'static str, &'static str)];

/// Each row breaks one rule between settings, just so, and the last column mends it.
#[test]
fn settings_must_agree() {
    let cases: [(Values, &str, Values); 7] = [
        (
            &[("RM_ATR_MULT_SL", "1.500001")],
            "RM_ATR_MULT_SL=1.500001 (environment), RM_SL_MULTIPLIER=1.5 (default): must be equal",
            &[("RM_ATR_MULT_SL", "1.5")],
        ),
        (
            &[("RM_TARGET_RR", "2.500001")],
            "RM_TP_MULTIPLIER=3.75 (default), RM_TARGET_RR=2.500001 (environment), RM_SL_MULTIPLIER=1.5 (default): the first must be the product",
            &[("RM_TARGET_RR", "2"), ("RM_TP_MULTIPLIER", "3")],
        ),
        (
            &[
                ("RM_TP_MULTIPLIER", "0.000001"),
                ("RM_TARGET_RR", "0.000001"),
                ("RM_SL_MULTIPLIER", "1.499999"),
                ("RM_ATR_MULT_SL", "1.499999"),
            ],
            "RM_TP_MULTIPLIER=0.000001 (environment), RM_TARGET_RR=0.000001 (environment), RM_SL_MULTIPLIER=1.499999 (environment): the first",
            &[("RM_SL_MULTIPLIER", "1"), ("RM_ATR_MULT_SL", "1")],
        ),
        (
            &[("RM_ATR_PERIOD", "21")],
            "RM_EXIT_ATR_PERIOD=14 (default), RM_ATR_PERIOD=21 (environment): must be equal",
            &[("RM_EXIT_ATR_PERIOD", "21")],
        ),
        (
            &[("RM_MIN_RISK_PCT", "0.015001")],
            "RM_MIN_RISK_PCT=0.015001 (environment), RM_MAX_RISK_PCT=0.015 (default): the first must not exceed",
            &[("RM_MIN_RISK_PCT", "0.015")],
        ),
        (
            &[("RM_MAX_POSITION_USD", "4.999999")],
            "RM_MIN_POSITION_USD=5 (default), RM_MAX_POSITION_USD=4.999999 (environment): the first must not exceed",
            &[("RM_MAX_POSITION_USD", "5")],
        ),
        (
            &[
                ("QT_WEIGHT_XGBOOST", "0"),
                ("QT_WEIGHT_LIGHTGBM", "0"),
                ("QT_WEIGHT_NHITS", "0.0"),
                ("QT_WEIGHT_PATCHTST", "0"),
            ],
            "QT_WEIGHT_XGBOOST=0 (environment), QT_WEIGHT_LIGHTGBM=0 (environment), QT_WEIGHT_NHITS=0 (environment), QT_WEIGHT_PATCHTST=0 (environment): at least one",
            &[("QT_WEIGHT_PATCHTST", "0.000001")],
        ),
    ];
    for (broken, line, mended) in cases {
        let error = refusal(broken);
        assert!(error.starts_with(line), "{error}");
        let flags = pairs(mended);
        assert!(load(&flags, broken.iter().copied(), None, None).is_ok(), "{mended:?}");
    }
}

#[test]
fn file_values_are_taken_by_their_digits() {
    // The nearest binary float to each of these is not it.
    for (text, exact) in
        [("0.1", Dec::new(1, 1)), ("'0.1'", Dec::new(1, 1)), ("0.700_001", Dec::new(700_001, 6))]
    {
        let settings = from_file(&format!("RM_MIN_CONFIDENCE = {text} # least")).unwrap().settings;
        assert_eq!(settings.min_confidence, exact, "{text}");
    }
    let big = from_file("QT_SIM_EQUITY = 999999999999.999999").unwrap().settings;
    assert_eq!(big.sim_equity, Dec::new(999_999_999_999_999_999, 6), "18 digits do not fit a float");
    let words = "RM_EXIT_PRICE = \"last\"\nRM_ENABLE_TRAILING = false\nQT_RING_SLOTS = 4_096\n";
    let settings = from_file(words).unwrap().settings;
    assert_eq!((settings.exit_price, settings.enable_trailing), (ExitPrice::Last, false));
    assert_eq!(settings.ring_slots, 4_096);
}

#[test]
fn file_values_of_another_kind_are_refused() {
    let refused = [
        "1e-1",
        "+0.1",
        "nan",
        "-inf",
        "[0.7]",
        "{ a = 1 }",
        "2024-01-01",
        "true",
        "\"\"",
        "0b1",
        "\"0.7 \"",
        "[\n0.7]",
    ];
    for text in refused {
        let error = from_file(&format!("RM_MIN_CONFIDENCE = {text}")).expect_err(text);
        assert!(
            matches!(error, ConfigError::NotAllowed { name: "RM_MIN_CONFIDENCE", .. }),
            "{text}: {error}"
        );
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
    let table = from_file("[RM_MIN_CONFIDENCE]\nx = 1").unwrap_err();
    assert!(matches!(table, ConfigError::NotAllowed { name: "RM_MIN_CONFIDENCE", .. }), "{table}");
}

#[test]
fn a_file_that_is_not_toml_names_the_line() {
    for (text, line) in [
        ("RM_MIN_CONFIDENCE = 0.7\nRM_EXIT_PRICE = book\n", 2),
        ("\n\nRM_MIN_CONFIDENCE = 0.7\nRM_MIN_CONFIDENCE = 0.8", 4),
        ("RM_MIN_CONFIDENCE", 1),
    ] {
        let error = from_file(text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("qtx.toml, line {line}: ")), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn a_preset_of_other_settings_carries_all_of_them() {
    let theirs = from_env(&[("RM_MAX_LEVERAGE", "3"), ("QT_BAR_INTERVAL", "5s")]).unwrap().settings;
    let base = Preset::of("journal", &theirs);
    let what_if = load(&pairs(&[("RM_MAX_LEVERAGE", "2")]), [("HOME", "/")], None, Some(&base)).unwrap();
    assert_eq!(what_if.settings, Settings { max_leverage: Dec::int(2), ..theirs });
    assert_eq!(what_if.source(Key::QT_BAR_INTERVAL).to_string(), "preset journal");
    let wrong = Preset::new("wrong", &[("QT_BAR_INTERVAL", "7s")]);
    let error = load(&[], [("HOME", "/")], None, Some(&wrong)).unwrap_err().to_string();
    assert!(error.starts_with("QT_BAR_INTERVAL: value \"7s\" (preset wrong) is not allowed"), "{error}");
}
