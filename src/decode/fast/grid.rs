//! From a decimal to ticks or size units, without a division.

use super::cursor::{Number, eight};
use crate::num::{Dec, Scale};

/// A unit of at most [`Number::PLACES`] places.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    /// Bytes of [`Number::places`] that the unit has no place for.
    beyond: u64,
    /// Bits of those it has.
    bits: u32,
    /// 10 to the number of its places.
    power: u64,
    /// The unit in its last place is `2^twos` times an odd number, and this the odd number's inverse modulo 2^64.
    inverse: u64,
    twos: u32,
    /// The largest quotient that is answered.
    most: u64,
}

impl Grid {
    /// `None` for a unit that is finer, or that has no [`Scale`]. Multiples of more than `most` units are not
    /// answered.
    pub(super) fn new(unit: Dec, most: i64) -> Option<Grid> {
        let scale = Scale::of(unit)?;
        let (places, units) = (scale.places(), scale.units());
        let beyond = if places < Number::PLACES { u64::MAX << (8 * places) } else { 0 };
        let twos = units.trailing_zeros();
        (places <= Number::PLACES).then_some(Grid {
            beyond,
            bits: 8 * places as u32,
            power: 10u64.pow(places as u32),
            inverse: inverse(units >> twos),
            twos,
            most: u64::try_from(most).ok()?.min(u64::MAX / units),
        })
    }

    /// The number in units; `None` if it is no multiple, or too large.
    #[inline(always)]
    pub(super) fn multiple(&self, number: Number) -> Option<i64> {
        if number.places & self.beyond != 0 {
            return None;
        }
        // The kept places become the last of eight digits: what wraps around is zeros.
        let places = eight(number.places.rotate_right(self.bits));
        let scaled = number.whole.checked_mul(self.power)?.checked_add(places)?;
        // Multiplying by the inverse divides what is a multiple, and takes everything else beyond
        // 2^64 / units, since it is a permutation (Granlund and Montgomery 1994, section 9).
        let quotient = scaled.wrapping_mul(self.inverse).rotate_right(self.twos);
        if quotient > self.most { None } else { i64::try_from(quotient).ok() }
    }
}

/// Of an odd number, modulo 2^64: each round doubles the bits that are right, from three.
fn inverse(odd: u64) -> u64 {
    (0..5).fold(odd, |x, _| x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::cursor::Cursor;
    use super::*;
    use crate::num::{MAX_PLACES, parse_scaled};

    const UNITS: [&str; 14] = [
        "0.1",
        "0.01",
        "0.05",
        "0.25",
        "1",
        "2.5",
        "5",
        "100",
        "0.000001",
        "0.0000001",
        "0.00000001",
        "0.00000015",
        "7",
        "48",
    ];
    const MOST: i64 = 1_000_000_000_000_000;

    #[test]
    fn units_that_are_finer_have_no_grid() {
        assert!(Grid::new(Dec::new(1, 9), MOST).is_none());
        assert!(Grid::new(Dec::ZERO, MOST).is_none());
        assert!(Grid::new(Dec::new(1, 8), MOST).is_some());
    }

    #[test]
    fn the_largest_is_answered_and_no_more() {
        let cents = Grid::new(Dec::new(1, 2), MOST).unwrap();
        let multiple = |text: &str| cents.multiple(Cursor::new(text.as_bytes()).number()?);
        assert_eq!(multiple("10000000000000\""), Some(MOST));
        assert_eq!(multiple("10000000000000.01\""), None);
        assert_eq!(multiple("999999999999999\""), None);
    }

    proptest! {
        /// Answered is what is a multiple, with the multiple that a division gives.
        #[test]
        fn multiples_are_those_of_a_division(
            text in prop_oneof!["[0-9]{1,6}(\\.[0-9]{1,3}0{0,5})?", "[0-9]{1,15}(\\.[0-9]{1,8})?", "[0-9]{1,4}(\\.[05]0{0,4})?"],
            unit in prop::sample::select(UNITS.to_vec()),
        ) {
            let unit = Dec::parse(unit).unwrap();
            let quoted = format!("{text}\"");
            let number = Cursor::new(quoted.as_bytes()).number().unwrap();
            let value = parse_scaled(text.as_bytes(), MAX_PLACES).unwrap();
            let wanted = (value % unit.0 == 0).then(|| i64::try_from(value / unit.0).unwrap_or(i64::MAX));
            let wanted = wanted.filter(|multiple| *multiple <= MOST);
            prop_assert_eq!(Grid::new(unit, MOST).unwrap().multiple(number), wanted);
        }
    }
}
