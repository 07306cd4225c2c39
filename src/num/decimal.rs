//! [`Dec`]: a signed decimal with 18 places in an `i128`, and the parser every number from outside
//! goes through.

use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

use borsh::{BorshDeserialize, BorshSerialize};

use super::mul_div;

/// Decimal places of [`Dec`].
pub const MAX_PLACES: u32 = 18;
const ONE: i128 = 10i128.pow(MAX_PLACES);

/// How a quotient that is not exact becomes an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Towards negative infinity.
    Floor,
    /// Towards positive infinity.
    Ceil,
    /// To the nearest, ties to the even neighbour: indicator values.
    HalfEven,
    /// To the nearest, ties away from zero: printed ratios.
    HalfAway,
    /// What does not fit is cut off: ratios that are rounded later, since a second rounding of a cut
    /// number is the first one of the exact number.
    TowardZero,
}

impl Rounding {
    /// `n / d` rounded; `None` for a zero divisor or `i128::MIN / -1`.
    pub fn div_i128(self, n: i128, d: i128) -> Option<i128> {
        let quotient = n.checked_div(d)?;
        let remainder = n - quotient * d;
        if remainder == 0 {
            return Some(quotient);
        }
        let negative = (n < 0) != (d < 0);
        let rest = remainder.unsigned_abs();
        let twice = rest.cmp(&(d.unsigned_abs() - rest));
        let away = self.away_from_zero(negative, twice, quotient & 1 == 1);
        Some(if !away {
            quotient
        } else if negative {
            quotient - 1
        } else {
            quotient + 1
        })
    }

    /// Whether an inexact quotient, truncated towards zero, moves one step away from zero.
    pub(super) fn away_from_zero(self, negative: bool, twice_rest: std::cmp::Ordering, odd: bool) -> bool {
        use std::cmp::Ordering::{Equal, Greater};
        match self {
            Rounding::Floor => negative,
            Rounding::Ceil => !negative,
            Rounding::HalfEven => twice_rest == Greater || (twice_rest == Equal && odd),
            Rounding::HalfAway => twice_rest != std::cmp::Ordering::Less,
            Rounding::TowardZero => false,
        }
    }
}

/// Why a text is not a number we accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecError {
    #[error("empty number")]
    Empty,
    #[error("not a plain decimal number")]
    Malformed,
    #[error("more decimal places than the scale holds")]
    TooPrecise,
    #[error("number out of range")]
    OutOfRange,
    #[error("not a multiple of the instrument's step")]
    NotAMultiple,
}

/// Parses a plain decimal (`-12.50`; no exponent, no plus sign, no blanks) into an integer scaled by
/// `10^places`. Trailing zeros beyond `places` are accepted, other digits there are
/// [`DecError::TooPrecise`].
pub fn parse_scaled(text: &[u8], places: u32) -> Result<i128, DecError> {
    let (negative, digits) = match text {
        [] => return Err(DecError::Empty),
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut value: i128 = 0;
    let mut fraction_digits: Option<u32> = None;
    let mut any_digit = false;
    for &byte in digits {
        match byte {
            b'0'..=b'9' => {
                any_digit = true;
                if let Some(count) = fraction_digits.as_mut() {
                    if *count == places {
                        if byte != b'0' {
                            return Err(DecError::TooPrecise);
                        }
                        continue;
                    }
                    *count += 1;
                }
                value = value
                    .checked_mul(10)
                    .and_then(|v| v.checked_add(i128::from(byte - b'0')))
                    .ok_or(DecError::OutOfRange)?;
            }
            b'.' if fraction_digits.is_none() && any_digit => fraction_digits = Some(0),
            _ => return Err(DecError::Malformed),
        }
    }
    if !any_digit || digits.ends_with(b".") {
        return Err(DecError::Malformed);
    }
    let missing = places - fraction_digits.unwrap_or(0);
    let scaled =
        10i128.checked_pow(missing).and_then(|scale| value.checked_mul(scale)).ok_or(DecError::OutOfRange)?;
    Ok(if negative { -scaled } else { scaled })
}

/// A decimal number with 18 places: money, ratios, indicator values, prices off the tick grid.
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    bytemuck::Pod,
    bytemuck::Zeroable,
    BorshSerialize,
    BorshDeserialize,
)]
#[repr(transparent)]
pub struct Dec(pub i128);

impl Dec {
    pub const ZERO: Dec = Dec(0);
    pub const ONE: Dec = Dec(ONE);
    pub const MAX: Dec = Dec(i128::MAX);

    /// An integer as a decimal; a compile-time error or panic only if it leaves the range, which no
    /// `i64` can.
    pub const fn int(value: i64) -> Dec {
        Dec(value as i128 * ONE)
    }

    /// `mantissa * 10^-places`, for constants: `Dec::new(15, 1)` is 1.5.
    pub const fn new(mantissa: i64, places: u32) -> Dec {
        assert!(places <= MAX_PLACES);
        Dec(mantissa as i128 * 10i128.pow(MAX_PLACES - places))
    }

    /// Parses a plain decimal; see [`parse_scaled`].
    pub fn parse(text: &str) -> Result<Dec, DecError> {
        parse_scaled(text.as_bytes(), MAX_PLACES).map(Dec)
    }

    /// `self * other`, rounded once; `None` when it leaves the range.
    pub fn mul(self, other: Dec, rounding: Rounding) -> Option<Dec> {
        mul_div(self.0, other.0, ONE, rounding).map(Dec)
    }

    /// `self / other`, rounded once; `None` for a zero divisor or when it leaves the range.
    pub fn div(self, other: Dec, rounding: Rounding) -> Option<Dec> {
        mul_div(self.0, ONE, other.0, rounding).map(Dec)
    }

    /// `numerator / denominator` of two integers of the same scale.
    pub fn ratio(numerator: i128, denominator: i128, rounding: Rounding) -> Option<Dec> {
        mul_div(numerator, ONE, denominator, rounding).map(Dec)
    }

    pub fn checked_mul_int(self, factor: i128) -> Option<Dec> {
        self.0.checked_mul(factor).map(Dec)
    }

    pub const fn abs(self) -> Dec {
        Dec(self.0.abs())
    }

    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Rounds to `places` decimal places.
    pub fn round(self, places: u32, rounding: Rounding) -> Dec {
        assert!(places <= MAX_PLACES);
        let unit = 10i128.pow(MAX_PLACES - places);
        // The divisor is a positive power of ten, so the division cannot fail.
        Dec(rounding.div_i128(self.0, unit).map_or(self.0, |q| q * unit))
    }

    /// Exact, with at least `min_places` decimals and no further trailing zeros.
    pub fn display(self, min_places: u32) -> DecDisplay {
        DecDisplay { value: self, min_places: min_places.min(MAX_PLACES) }
    }

    /// For reports and plots only, never for a decision.
    pub fn to_f64_lossy(self) -> f64 {
        self.0 as f64 / ONE as f64
    }
}

/// A [`Dec`] ready to print; see [`Dec::display`].
pub struct DecDisplay {
    value: Dec,
    min_places: u32,
}

impl DecDisplay {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.value.0.unsigned_abs();
        let one = ONE.unsigned_abs();
        let (whole, mut fraction) = (magnitude / one, magnitude % one);
        let mut places = MAX_PLACES;
        while places > self.min_places && fraction.is_multiple_of(10) {
            fraction /= 10;
            places -= 1;
        }
        let sign = if self.value.0 < 0 { "-" } else { "" };
        if places == 0 {
            write!(f, "{sign}{whole}")
        } else {
            write!(f, "{sign}{whole}.{fraction:0width$}", width = places as usize)
        }
    }
}

impl fmt::Display for DecDisplay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

impl fmt::Display for Dec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = f.precision().map(|p| p as u32);
        match places {
            Some(p) => self.round(p.min(MAX_PLACES), Rounding::HalfEven).display(p).write(f),
            None => self.display(0).write(f),
        }
    }
}

impl fmt::Debug for Dec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.display(0).write(f)
    }
}

impl Add for Dec {
    type Output = Dec;
    fn add(self, other: Dec) -> Dec {
        Dec(self.0 + other.0)
    }
}

impl Sub for Dec {
    type Output = Dec;
    fn sub(self, other: Dec) -> Dec {
        Dec(self.0 - other.0)
    }
}

impl AddAssign for Dec {
    fn add_assign(&mut self, other: Dec) {
        self.0 += other.0;
    }
}

impl SubAssign for Dec {
    fn sub_assign(&mut self, other: Dec) {
        self.0 -= other.0;
    }
}

impl Neg for Dec {
    type Output = Dec;
    fn neg(self) -> Dec {
        Dec(-self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_numbers_are_refused() {
        let cases: [(&str, DecError); 16] = [
            ("", DecError::Empty),
            ("-", DecError::Malformed),
            (".", DecError::Malformed),
            (".5", DecError::Malformed),
            ("5.", DecError::Malformed),
            ("+5", DecError::Malformed),
            (" 5", DecError::Malformed),
            ("5 ", DecError::Malformed),
            ("1e5", DecError::Malformed),
            ("NaN", DecError::Malformed),
            ("inf", DecError::Malformed),
            ("1.2.3", DecError::Malformed),
            ("--1", DecError::Malformed),
            ("0x10", DecError::Malformed),
            ("123456789012345678901234567890", DecError::OutOfRange),
            ("0.1234567890123456789", DecError::TooPrecise),
        ];
        for (text, error) in cases {
            assert_eq!(Dec::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(Dec::parse("0.1000000000000000000000000"), Ok(Dec::new(1, 1)));
    }

    #[test]
    fn printing_is_exact() {
        assert_eq!(Dec::new(-5, 1).to_string(), "-0.5");
        assert_eq!(Dec::int(7).display(2).to_string(), "7.00");
        assert_eq!(Dec::new(12345, 4).display(2).to_string(), "1.2345");
        assert_eq!(format!("{:.2}", Dec::new(2225, 3)), "2.22", "half to even");
        assert_eq!(format!("{:.2}", Dec::new(2235, 3)), "2.24", "half to even");
        assert_eq!(Dec(i128::MIN).to_string(), "-170141183460469231731.687303715884105728");
    }

    proptest! {
        #[test]
        fn text_survives_a_round_trip(value in any::<i128>().prop_filter("no MIN", |v| *v != i128::MIN)) {
            let dec = Dec(value);
            prop_assert_eq!(Dec::parse(&dec.to_string()), Ok(dec));
            prop_assert_eq!(Dec::parse(&dec.display(9).to_string()), Ok(dec));
        }

        #[test]
        fn parser_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..48), places in 0u32..=18) {
            let _ = parse_scaled(&bytes, places);
        }

        #[test]
        fn rounding_stays_within_one_unit(n in -10_000i128..10_000, d in -50i128..50) {
            prop_assume!(d != 0);
            for mode in [Rounding::Floor, Rounding::Ceil, Rounding::HalfEven, Rounding::HalfAway, Rounding::TowardZero] {
                let q = mode.div_i128(n, d).unwrap();
                prop_assert!((n - q * d).abs() < d.abs());
            }
            prop_assert_eq!(Rounding::Floor.div_i128(n, d).unwrap(), (n as f64 / d as f64).floor() as i128);
            prop_assert_eq!(Rounding::Ceil.div_i128(n, d).unwrap(), (n as f64 / d as f64).ceil() as i128);
            prop_assert_eq!(Rounding::HalfAway.div_i128(n, d).unwrap(), (n as f64 / d as f64).round() as i128);
            prop_assert_eq!(Rounding::HalfEven.div_i128(n, d).unwrap(), (n as f64 / d as f64).round_ties_even() as i128);
            prop_assert_eq!(Rounding::TowardZero.div_i128(n, d).unwrap(), (n as f64 / d as f64).trunc() as i128);
        }
    }
}
