//! A market made from a seed, for so many days.

use super::{backtest, count, decided, report};

#[test]
fn a_seed_is_the_same_run_and_ends_after_its_days() {
    let market = "candles:2:5:atr=1.5:gaps=4:gap=5";
    let run = |market: &str| decided(report(&["--market", market, "--days", "1.5", "--risk", "both"]));
    let first = run(market);
    assert_eq!(first, run(market));
    assert_ne!(first, run("candles:2:6:atr=1.5:gaps=4:gap=5"));
    for column in ["on", "off"] {
        let column = &first[column];
        assert_eq!(column["from"], "2024-01-01T00:00:00.000Z");
        let to = column["to"].as_str().unwrap();
        assert!(("2024-01-02T11:59:58".."2024-01-02T12:00:10").contains(&to), "{to}");
        assert_eq!(count(&column["run"]["decode_errors"]), 0);
        assert_eq!(count(&column["run"]["hot_allocations"]), 0);
        // With history loaded, signals come from the first bar on.
        assert!(count(&column["total"]["signals"]) > 20, "{:#}", column["total"]);
    }
    assert_eq!(first["on"]["total"]["signals"], first["off"]["total"]["signals"]);
    let symbols = first["instruments"].as_array().unwrap().iter().map(|row| row["symbol"].as_str().unwrap());
    assert_eq!(symbols.collect::<Vec<_>>(), ["BTCUSDT", "ETHUSDT"]);
}

#[test]
fn any_made_market_can_be_measured() {
    let market = report(&["--market", "synthetic:3", "--days", "0.01"]);
    assert_eq!(market["bar"], "5s", "what the market brings for itself");
    assert!(count(&market["on"]["total"]["signals"]) > 0);
    let market = market["market"].as_array().unwrap();
    assert_eq!(market[0]["path"], "synthetic:3");
    assert_eq!(market[0]["kind"], "made");
}

#[test]
fn what_names_no_market_is_refused() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["--market", "candles"], &["candles:COUNT[:SEED]"]),
        (&["--market", "candles:0"], &["number of instruments \"0\""]),
        (&["--market", "candles:2:x"], &["seed \"x\""]),
        (&["--market", "candles:2:1:gaps"], &["\"gaps\"", "gaps=N a day"]),
        (&["--market", "candles:2:1:gaps=many"], &["gaps=many", "gap=PERCENT"]),
        (&["--market", "candles:2:1:gaps=-1"], &["gaps", "0 to 1440 a day"]),
        (&["--market", "candles:2:1:gaps=1:gap=50"], &["gap", "0.3 of the price"]),
        (&["--market", "candles:2", "--bar", "5s"], &["bar_interval_s", "multiple of 60"]),
        (&["--market", "nosuch.csv"], &["nosuch.csv", "candles:COUNT", "--candles"]),
        (&["--market", "candles:2", "--candles", "x.csv"], &["stands alone", "--candles"]),
        (&["--market", "candles:2", "--days", "0"], &["--days \"0\"", "above 0"]),
        (&["--market", "candles:2", "--instruments", "x.json"], &["stands alone", "--instruments"]),
    ];
    for (args, words) in cases {
        let output = backtest(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        words.iter().for_each(|word| assert!(error.contains(word), "{args:?}: {word:?} in {error}"));
    }
}
