//! Exact rationals and how they are printed.

use num_bigint::BigInt;
pub use num_rational::BigRational as Q;
use num_traits::{One, Signed, Zero};
use quantum_trader::num::Dec;

pub fn q(dec: Dec) -> Q {
    Q::new(dec.0.into(), Dec::ONE.0.into())
}

pub fn int(value: i64) -> Q {
    Q::from_integer(value.into())
}

/// A decimal text.
pub fn read(text: &str) -> Q {
    q(Dec::parse(text).unwrap())
}

pub fn floor_to(value: &Q, unit: &Q) -> Q {
    (value / unit).floor() * unit
}

pub fn ceil_to(value: &Q, unit: &Q) -> Q {
    (value / unit).ceil() * unit
}

/// Rounded to `places`, ties to even or away from zero.
fn rounded(value: &Q, places: u32, away: bool) -> BigInt {
    let scaled = value.abs() * Q::from_integer(BigInt::from(10).pow(places));
    let floor = scaled.floor();
    let (rest, half) = (&scaled - &floor, Q::new(1.into(), 2.into()));
    let floor = floor.to_integer();
    let odd = (&floor % BigInt::from(2)) != BigInt::zero();
    let up = rest > half || (rest == half && (away || odd));
    let magnitude = if up { floor + BigInt::one() } else { floor };
    if value.is_negative() { -magnitude } else { magnitude }
}

fn text(scaled: &BigInt, places: usize) -> String {
    let sign = if scaled.is_negative() { "-" } else { "" };
    let digits = format!("{:0>width$}", scaled.abs().to_string(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Exact, with at least `least` places; else 18 places, half to even.
pub fn plain(value: &Q, least: usize) -> String {
    let mut text = text(&rounded(value, 18, false), 18);
    while text.ends_with('0') && text.len() - text.find('.').unwrap() - 1 > least.max(1) {
        text.pop();
    }
    if least == 0 { text.strip_suffix(".0").map(str::to_string).unwrap_or(text) } else { text }
}

/// Eight places, half away from zero.
pub fn ratio(value: &Q) -> String {
    text(&rounded(value, 8, true), 8)
}

#[test]
fn numbers_print_as_they_should() {
    assert_eq!(plain(&read("7"), 2), "7.00");
    assert_eq!(plain(&read("-0.12500"), 2), "-0.125");
    assert_eq!(plain(&read("10"), 0), "10");
    assert_eq!(plain(&(int(1) / int(3)), 2), "0.333333333333333333");
    assert_eq!(ratio(&(int(-1) / int(8_000_000) / int(100))), "0.00000000");
    assert_eq!(ratio(&read("-0.000000005")), "-0.00000001");
    assert_eq!(ratio(&read("2.123456785")), "2.12345679");
}
