//! Symbols as 128-bit integers, and the instruments they name.

use super::cursor::{Cursor, Number};
use super::grid::Grid;
use crate::event::{Instrument, InstrumentTable};
use crate::num::{InstrumentId, Size, Ticks};

/// Bytes that are looked at at once: a name and what ends it.
const WINDOW: usize = 16;
/// The bit between upper and lower case, in every byte.
const CASE: u128 = 0x2020_2020_2020_2020_2020_2020_2020_2020;
const ONES: u128 = 0x0101_0101_0101_0101_0101_0101_0101_0101;
/// No row has this index: a table has fewer.
const EMPTY: u16 = u16::MAX;

/// One instrument, its names and how its numbers are read.
pub(super) struct Row {
    pub(super) id: InstrumentId,
    /// The symbol and a quotation mark, the first byte in the lowest.
    quoted: u128,
    /// All bits of `quoted`'s bytes.
    mask: u128,
    /// The symbol as names of streams have it.
    lower: u128,
    /// What both are looked up by.
    folded: u128,
    /// Bytes of the symbol.
    length: usize,
    price: Grid,
    size: Grid,
}

impl Row {
    /// `None` where the other decoder has to do it: a long symbol, or one that JSON would escape; a fine unit.
    fn new(id: InstrumentId, instrument: &Instrument) -> Option<Row> {
        let name = instrument.symbol.as_str();
        let length = name.len();
        if length >= WINDOW || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return None;
        }
        Some(Row {
            id,
            quoted: padded(&format!("{name}\"")),
            mask: below(length + 1),
            lower: padded(&name.to_ascii_lowercase()),
            folded: folded(padded(name), length),
            length,
            price: Grid::new(instrument.tick, Ticks::PRICE_MAX.0)?,
            size: Grid::new(instrument.size_step, Size::QUANTITY_MAX.0)?,
        })
    }

    /// A price above zero.
    #[inline(always)]
    pub(super) fn price(&self, number: Number) -> Option<Ticks> {
        self.price.multiple(number).filter(|ticks| *ticks > 0).map(Ticks)
    }

    /// A quantity, zero allowed.
    #[inline(always)]
    pub(super) fn size(&self, number: Number) -> Option<Size> {
        self.size.multiple(number).map(Size)
    }

    /// Past this instrument's symbol and its quotation mark, if they are the next.
    #[inline(always)]
    pub(super) fn skip_symbol(&self, cursor: &mut Cursor) -> Option<()> {
        if window(cursor)? & self.mask != self.quoted {
            return None;
        }
        cursor.advance(self.length + 1)
    }
}

/// The instruments by symbol: a table of four places a row or more, of which the name's hash tells where to
/// look first. Whatever is found there, its name is compared.
pub(super) struct Names {
    rows: Vec<Row>,
    places: Vec<u16>,
    /// What leaves as many bits of a hash as the table has places for.
    shift: u32,
}

impl Names {
    pub(super) fn new(table: &InstrumentTable) -> Names {
        let bits = (4 * table.len().max(1)).next_power_of_two().trailing_zeros();
        let shift = u64::BITS - bits;
        let mut names =
            Names { rows: Vec::with_capacity(table.len()), places: vec![EMPTY; 1 << bits], shift };
        // The first of those that come to one place is found first, so of rows with one symbol the first counts.
        // Of symbols that differ in case alone, which streams can't tell apart, the first alone is answered.
        table
            .iter()
            .filter_map(|(id, instrument)| Row::new(id, instrument))
            .for_each(|row| names.insert(row));
        names
    }

    fn insert(&mut self, row: Row) {
        let mut at = self.first_place(row.folded);
        while self.places[at] != EMPTY {
            at = self.next_place(at);
        }
        // A table has fewer rows than `EMPTY`.
        self.places[at] = self.rows.len() as u16;
        self.rows.push(row);
    }

    /// The instrument of the stream whose name begins here; past its symbol.
    #[inline(always)]
    pub(super) fn stream(&self, cursor: &mut Cursor) -> Option<&Row> {
        let (name, length) = name_before(b'@', window(cursor)?)?;
        let row = self.find(folded(name, length)).filter(|row| row.lower == name)?;
        cursor.advance(length)?;
        Some(row)
    }

    /// The instrument whose symbol is next; past the symbol and its quotation mark.
    #[inline(always)]
    pub(super) fn symbol(&self, cursor: &mut Cursor) -> Option<&Row> {
        let (name, length) = name_before(b'"', window(cursor)?)?;
        let row = self.find(folded(name, length))?;
        row.skip_symbol(cursor)?;
        Some(row)
    }

    /// The row whose symbol this may be; the caller compares the bytes.
    #[inline(always)]
    fn find(&self, folded: u128) -> Option<&Row> {
        let mut at = self.first_place(folded);
        // Three places of four are empty, so this ends.
        loop {
            let row = self.rows.get(usize::from(*self.places.get(at)?))?;
            if row.folded == folded {
                return Some(row);
            }
            at = self.next_place(at);
        }
    }

    #[inline(always)]
    fn first_place(&self, folded: u128) -> usize {
        /// An odd number near 2^64 / golden ratio: Fibonacci hashing (Knuth, volume 3, section 6.4).
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        let (low, high) = (folded as u64, (folded >> 64) as u64);
        ((low ^ high.rotate_left(29)).wrapping_mul(MULTIPLIER) >> self.shift) as usize
    }

    #[inline(always)]
    fn next_place(&self, at: usize) -> usize {
        (at + 1) & (self.places.len() - 1)
    }
}

/// A name without the difference between upper and lower case; others may come to the same.
#[inline(always)]
fn folded(name: u128, length: usize) -> u128 {
    (name | CASE) & below(length)
}

/// The bytes of a name as an integer; none are lost, names are shorter than it.
fn padded(name: &str) -> u128 {
    name.bytes().rev().fold(0, |sum, byte| sum << 8 | u128::from(byte))
}

/// All bits of the lowest bytes, 1 to 16 of them.
#[inline(always)]
fn below(bytes: usize) -> u128 {
    u128::MAX >> (8 * (WINDOW - bytes))
}

#[inline(always)]
fn window(cursor: &Cursor) -> Option<u128> {
    cursor.rest().first_chunk::<WINDOW>().map(|bytes| u128::from_le_bytes(*bytes))
}

/// The bytes before the first `end`, if there are any, and how many.
#[inline(always)]
fn name_before(end: u8, window: u128) -> Option<(u128, usize)> {
    let ends = window ^ (ONES * u128::from(end));
    // The top bit of each byte that was `end`, exact up to the first of them: the difference may borrow there.
    let found = ends.wrapping_sub(ONES) & !ends & (ONES << 7);
    let length = found.trailing_zeros() as usize / 8;
    (1..WINDOW).contains(&length).then(|| (window & below(length), length))
}
