//! Plain decimals as multiples of an instrument's unit, in 64-bit arithmetic.
//!
//! `Instrument::parse_price` and `parse_size` divide 128-bit integers, which a book change of a
//! thousand levels does thousands of times. Here a number of the usual shape costs one pass over its
//! digits; any other shape is left to them, and so is every complaint.

use super::{Dec, MAX_PLACES};

/// Numbers of more bytes could leave 64 bits.
const BYTES_MAX: usize = 18;

/// A unit as `units × 10^-places`.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    places: usize,
    units: u64,
}

impl Scale {
    /// `None` for a unit that is not positive or whose digits take more than 64 bits.
    pub fn of(unit: Dec) -> Option<Scale> {
        let (mut units, mut places) = (unit.0, MAX_PLACES as usize);
        while places > 0 && units % 10 == 0 {
            (units, places) = (units / 10, places - 1);
        }
        u64::try_from(units).ok().filter(|units| *units > 0).map(|units| Scale { places, units })
    }

    /// Decimal places of the unit.
    pub fn places(self) -> usize {
        self.places
    }

    /// The unit in its last place: 5 for 0.05.
    pub fn units(self) -> u64 {
        self.units
    }

    /// The number as a multiple of the unit; `None` unless it is one, without sign, in at most
    /// [`BYTES_MAX`] bytes.
    pub fn parse(self, text: &[u8]) -> Option<i64> {
        if text.len() > BYTES_MAX {
            return None;
        }
        let point = text.iter().position(|byte| *byte == b'.');
        let (whole, fraction) = match point {
            None => (text, &b""[..]),
            // `at` is a position in `text`, so what follows it is at worst empty.
            Some(at) => (&text[..at], &text[at + 1..]),
        };
        if whole.is_empty() || (point.is_some() && fraction.is_empty()) {
            return None;
        }
        let (kept, rest) = fraction.split_at(fraction.len().min(self.places));
        if rest.iter().any(|byte| *byte != b'0') {
            return None;
        }
        let digits = kept.iter().try_fold(whole.iter().try_fold(0, push)?, push)?;
        let scaled = digits.checked_mul(10u64.pow((self.places - kept.len()) as u32))?;
        if self.units == 1 {
            return i64::try_from(scaled).ok();
        }
        scaled.is_multiple_of(self.units).then(|| scaled / self.units).and_then(|n| i64::try_from(n).ok())
    }
}

/// Appends a digit; 18 of them fit 64 bits.
fn push(value: u64, byte: &u8) -> Option<u64> {
    let digit = byte.wrapping_sub(b'0');
    (digit < 10).then(|| value * 10 + u64::from(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_beyond_64_bits_has_no_scale() {
        assert!(Scale::of(Dec::int(1_000)).is_some());
        assert!(Scale::of(Dec(i128::MAX)).is_none());
        assert!(Scale::of(Dec::ZERO).is_none());
        assert!(Scale::of(Dec::int(-1)).is_none());
    }

    #[test]
    fn the_usual_shapes_are_answered() {
        let scale = Scale::of(Dec::new(5, 2)).unwrap();
        assert_eq!(scale.parse(b"63943.90"), Some(1_278_878));
        assert_eq!(scale.parse(b"63943.9500000"), Some(1_278_879));
        assert_eq!(scale.parse(b"7"), Some(140));
        assert_eq!(scale.parse(b"63943.91"), None);
    }
}
