//! A frame read from its front: literals, and numbers in the shapes the venue prints.
//!
//! Every step answers `None` where the next bytes are not what it looks for, or where it does not care to
//! read them (a number of unusual length). What was read before is then of no use: the frame is another
//! decoder's. Digits are taken eight at a time, as the bytes of a 64-bit integer.

use crate::num::{Dec, MAX_PLACES, Millis, NS_PER_MS};

/// `'0'` in every byte: text XOR this has the digits' values, and 10 or more in every other byte.
const ZEROS: u64 = 0x3030_3030_3030_3030;
const TOP_BITS: u64 = 0x8080_8080_8080_8080;
/// Brings a byte of 10 or more to its top bit.
const TEN_TO_TOP: u64 = 0x7676_7676_7676_7676;
/// Digits in one integer of digits.
const EIGHT: usize = 8;
/// Later times do not fit nanoseconds since 1970 in 64 bits.
const MILLIS_MAX: Millis = i64::MAX / NS_PER_MS;

/// What is left of a frame.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

/// A plain decimal of up to 15 digits before the point and up to [`Number::PLACES`] behind it.
#[derive(Clone, Copy)]
pub(super) struct Number {
    pub(super) whole: u64,
    /// The places' digits, one a byte, the first in the lowest; those that are not there are 0.
    pub(super) places: u64,
}

impl Number {
    pub(super) const PLACES: usize = EIGHT;

    #[inline]
    pub(super) fn decimal(self) -> Dec {
        const ONE: u128 = 10u128.pow(MAX_PLACES);
        const PLACE: u64 = 10u64.pow(MAX_PLACES - Number::PLACES as u32);
        let places = eight(self.places) * PLACE;
        // Below 10^15 wholes of 10^18: far from the end of 128 bits.
        Dec(u128::from(self.whole).wrapping_mul(ONE).wrapping_add(u128::from(places)) as i128)
    }
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(super) fn new(frame: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: frame }
    }

    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Past these bytes, which must be the next.
    #[inline(always)]
    pub(super) fn literal<const N: usize>(&mut self, wanted: &[u8; N]) -> Option<()> {
        self.rest = self.rest.strip_prefix(wanted)?;
        Some(())
    }

    /// Past these bytes, if they are the next.
    #[inline(always)]
    pub(super) fn has<const N: usize>(&mut self, wanted: &[u8; N]) -> bool {
        self.literal(wanted).is_some()
    }

    #[inline(always)]
    pub(super) fn advance(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }

    /// A JSON integer of 1 to 15 digits.
    #[inline(always)]
    pub(super) fn integer(&mut self) -> Option<i64> {
        let head = digits_at(self.rest);
        let count = count(head);
        // JSON has no zeros in front.
        if count == 0 || (head & 0xff == 0 && count > 1) {
            return None;
        }
        let (value, count) =
            if count < EIGHT { (eight(aligned(head, count)), count) } else { self.long(head)? };
        self.advance(count)?;
        i64::try_from(value).ok()
    }

    /// A time of today: 13 digits, from 2001 to 2262.
    #[inline(always)]
    pub(super) fn millis(&mut self) -> Option<Millis> {
        const DIGITS: usize = 13;
        let (digits, rest) = self.rest.split_first_chunk::<DIGITS>()?;
        // The last five digits, behind three that are among the first eight.
        let (head, tail) = (digits_at(digits), digits_at(&digits[DIGITS - EIGHT..]));
        if strangers(head) | strangers(tail) != 0 || head & 0xff == 0 {
            return None;
        }
        let millis = eight(head) * 100_000 + eight(tail >> 24 << 24);
        self.rest = rest;
        i64::try_from(millis).ok().filter(|millis| *millis <= MILLIS_MAX)
    }

    /// A plain decimal without a sign, and the quotation mark behind it.
    #[inline(always)]
    pub(super) fn number(&mut self) -> Option<Number> {
        let head = digits_at(self.rest);
        let length = count(head);
        if length == 0 {
            return None;
        }
        let (whole, length) =
            if length < EIGHT { (eight(aligned(head, length)), length) } else { self.long(head)? };
        self.advance(length)?;
        if self.has(b"\"") {
            return Some(Number { whole, places: 0 });
        }
        self.literal(b".")?;
        let tail = digits_at(self.rest);
        let length = count(tail);
        if length == 0 {
            return None;
        }
        self.advance(length)?;
        self.literal(b"\"")?;
        Some(Number { whole, places: tail & (u64::MAX >> (64 - 8 * length)) })
    }

    #[inline(always)]
    pub(super) fn flag(&mut self) -> Option<bool> {
        if self.has(b"true") {
            return Some(true);
        }
        self.literal(b"false")?;
        Some(false)
    }

    /// Eight digits and up to seven more: value and length.
    #[inline(always)]
    fn long(&self, head: u64) -> Option<(u64, usize)> {
        const POWERS: [u64; EIGHT] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
        let tail = digits_at(self.rest.get(EIGHT..)?);
        let count = count(tail);
        let power = POWERS.get(count)?;
        Some((eight(head) * power + eight(aligned(tail, count)), EIGHT + count))
    }
}

/// The next eight bytes as values of digits; no digits beyond the end.
#[inline(always)]
fn digits_at(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<EIGHT>() {
        Some(bytes) => u64::from_le_bytes(*bytes) ^ ZEROS,
        None => digits_at_end(bytes),
    }
}

#[cold]
fn digits_at_end(bytes: &[u8]) -> u64 {
    let mut padded = [0; EIGHT];
    // Fewer than eight are left.
    padded.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(padded) ^ ZEROS
}

/// The top bit of each byte that is no digit, exact up to the first of them: the sum may carry from there.
#[inline(always)]
fn strangers(digits: u64) -> u64 {
    (digits.wrapping_add(TEN_TO_TOP) | digits) & TOP_BITS
}

/// Digits before the first byte that is none.
#[inline(always)]
fn count(digits: u64) -> usize {
    strangers(digits).trailing_zeros() as usize / 8
}

/// The first `count` digits, at most seven, as the last of eight, behind zeros.
#[inline(always)]
fn aligned(digits: u64, count: usize) -> u64 {
    // In two steps: of none nothing is left, and 64 bits can't be shifted by 64.
    digits << (56 - 8 * count) << 8
}

/// The number eight digits make, the first in the lowest byte: neighbours are joined to pairs, and the four
/// pairs weighed and added in two multiplications.
#[inline(always)]
pub(super) fn eight(digits: u64) -> u64 {
    const PAIRS: u64 = 0x0000_00ff_0000_00ff;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let odd = (pairs & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let even = (pairs >> 16 & PAIRS).wrapping_mul(1 + (10_000 << 32));
    odd.wrapping_add(even) >> 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Option<Dec> {
        Cursor::new(text.as_bytes()).number().map(Number::decimal)
    }

    #[test]
    fn numbers_of_the_usual_shapes_are_read() {
        for text in ["0", "7", "0.016", "63943.90", "64991.37858696", "8875431314.20", "00012.5"] {
            assert_eq!(number(&format!("{text}\"")), Some(Dec::parse(text).unwrap()), "{text}");
        }
        for text in
            ["", ".5", "5.", "1.2.3", "-1", "+1", "1e5", " 1", "1 ", "0.123456789", "1234567890123456"]
        {
            assert_eq!(number(&format!("{text}\"")), None, "{text}");
        }
        assert_eq!(number("1.5"), None, "no quotation mark");
    }

    #[test]
    fn integers_are_those_of_json() {
        fn integer(text: &str) -> Option<(i64, &[u8])> {
            let mut cursor = Cursor::new(text.as_bytes());
            cursor.integer().map(|value| (value, cursor.rest()))
        }
        assert_eq!(integer("0,"), Some((0, &b","[..])));
        assert_eq!(integer("12345678"), Some((12_345_678, &b""[..])));
        assert_eq!(integer("4984028370881,\"s\""), Some((4_984_028_370_881, &b",\"s\""[..])));
        assert_eq!(integer("999999999999999}"), Some((999_999_999_999_999, &b"}"[..])));
        for text in ["", ",", "-1", "01", "00", "0123456789", "1000000000000000"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn times_have_thirteen_digits() {
        let millis = |text: &str| Cursor::new(text.as_bytes()).millis();
        assert_eq!(millis("1721347022507}"), Some(1_721_347_022_507));
        assert_eq!(millis("9223372036854"), Some(MILLIS_MAX));
        for text in ["9223372036855", "172134702250", "0721347022507", "17213470225.7", "172134702250}"] {
            assert_eq!(millis(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn bytes_that_are_no_digits_are_found(bytes in any::<[u8; 8]>(), digits in any::<[u8; 8]>(), length in 0..9usize) {
            let mut text = digits.map(|digit| b'0' + digit % 10);
            text[length..].copy_from_slice(&bytes[length..]);
            let wanted = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            prop_assert_eq!(count(digits_at(&text)), wanted);
        }

        #[test]
        fn eight_digits_are_their_number(value in 0..100_000_000u64, count in 0..8usize) {
            let text = format!("{value:08}");
            let digits = digits_at(text.as_bytes());
            prop_assert_eq!(eight(digits), value);
            prop_assert_eq!(eight(aligned(digits, count)), text[..count].parse().unwrap_or(0));
        }
    }
}
