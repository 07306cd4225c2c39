//! The types a setting can have: what is allowed, reading from text, printing back.

use std::fmt;
use std::ops::{Bound, RangeBounds};

use borsh::{BorshDeserialize, BorshSerialize};
use bytemuck::{CheckedBitPattern, NoUninit};

use crate::event::{Consensus, Symbol, words};
use crate::num::{Dec, MAX_PLACES, parse_scaled};

/// Decimal places a setting may have.
pub const PLACES_MAX: u32 = 6;

const DAY_S: u32 = 86_400;

words! {
    /// The price an exit is tested against.
    ExitPrice {
        /// What the exit could get: bid for longs, ask for shorts.
        Book = 1 "book",
        Last = 2 "last",
        Mark = 3 "mark",
    }
}

words! {
    /// What is done with a position that our fills do not explain.
    OnUnknownPosition {
        /// Nothing: trading is halted, and the position is the operator's.
        Halt = 1 "halt",
        /// It becomes a trade, with a stop and the rules of exits.
        Adopt = 2 "adopt",
        /// It becomes a trade that is closed at once.
        Close = 3 "close",
    }
}

words! {
    /// How true ranges are averaged.
    AtrSmoothing {
        /// (previous × (N − 1) + range) / N.
        Wilder = 1 "wilder",
        /// Simple mean of the last N.
        Sma = 2 "sma",
    }
}

words! {
    /// Whether the process's memory is kept from being paged out.
    LockMemory {
        Off = 1 "off",
        /// A run that may not does not start.
        On = 2 "on",
        /// A run that may not says so and goes on.
        Try = 3 "try",
    }
}

words! {
    /// What the simulated venue does with conditional orders.
    SimStops {
        Accept = 1 "accept",
        /// Every one is refused.
        Refuse = 2 "refuse",
        /// No answer, and no order.
        Swallow = 3 "swallow",
    }
}

/// Where the hot thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HotCore {
    /// On the last core the process may use.
    Auto,
    /// Wherever the scheduler puts it.
    Off,
    Number(u16),
}

impl HotCore {
    /// What the system's set of cores holds.
    pub const NUMBER_MAX: u16 = 1_023;
}

impl fmt::Display for HotCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HotCore::Auto => f.write_str("auto"),
            HotCore::Off => f.write_str("off"),
            HotCore::Number(number) => write!(f, "{number}"),
        }
    }
}

/// Which consensus may trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ConsensusSet(u8);

impl ConsensusSet {
    pub const fn of(members: &[Consensus]) -> ConsensusSet {
        let (mut bits, mut i) = (0, 0);
        while i < members.len() {
            bits |= 1 << members[i] as u8;
            i += 1;
        }
        ConsensusSet(bits)
    }

    /// One bit a member, by its code.
    pub const fn bits(self) -> u8 {
        self.0
    }

    pub const fn contains(self, consensus: Consensus) -> bool {
        self.0 & (1 << consensus as u8) != 0
    }
}

/// Strongest first, with commas between.
impl fmt::Display for ConsensusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = Consensus::ALL.iter().rev().filter(|c| self.contains(**c));
        for (i, member) in members.enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            f.write_str(member.as_str())?;
        }
        Ok(())
    }
}

/// What a setting may be. Its `Display` completes the sentence "allowed is …".
#[derive(Clone, Debug, PartialEq)]
pub enum Allowed {
    Decimal(Bound<Dec>, Bound<Dec>),
    Integer {
        min: i64,
        max: i64,
    },
    PowerOfTwo {
        min: i64,
        max: i64,
    },
    Bool,
    Words(&'static [&'static str]),
    /// One or more of the consensus words.
    ConsensusSet,
    /// A symbol, or empty for none.
    SymbolOrEmpty,
    /// A time span that divides a day, kept in seconds.
    BarInterval,
    /// The number of a core, or a word for one.
    HotCore,
    /// A server's address with one of these schemes.
    Address(&'static [&'static str]),
    /// A file's path, or empty for none.
    PathOrEmpty,
    /// What client order ids begin with.
    Prefix,
    /// Nothing can be switched on yet.
    Empty(&'static str),
}

impl Allowed {
    /// Whether the value is written as a string in TOML.
    pub const fn quoted(&self) -> bool {
        match self {
            Allowed::Decimal(..) | Allowed::Integer { .. } | Allowed::PowerOfTwo { .. } | Allowed::Bool => {
                false
            }
            Allowed::Words(_)
            | Allowed::ConsensusSet
            | Allowed::SymbolOrEmpty
            | Allowed::BarInterval
            | Allowed::HotCore
            | Allowed::Address(_)
            | Allowed::PathOrEmpty
            | Allowed::Prefix
            | Allowed::Empty(_) => true,
        }
    }

    fn integer(&self, text: &str) -> Option<i64> {
        // `str::parse` would take a plus sign.
        let value: i64 = if text.starts_with('+') { None } else { text.parse().ok() }?;
        match *self {
            Allowed::Integer { min, max } => (min..=max).contains(&value).then_some(value),
            Allowed::PowerOfTwo { min, max } => {
                ((min..=max).contains(&value) && value.count_ones() == 1).then_some(value)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allowed::Decimal(min, max) => {
                f.write_str("a decimal ")?;
                match min {
                    Bound::Included(min) => write!(f, "from {min} ")?,
                    Bound::Excluded(min) => write!(f, "above {min} ")?,
                    Bound::Unbounded => {}
                }
                match max {
                    Bound::Included(max) => write!(f, "to {max} ")?,
                    Bound::Excluded(max) => write!(f, "to below {max} ")?,
                    Bound::Unbounded => {}
                }
                write!(f, "with at most {PLACES_MAX} places")
            }
            Allowed::Integer { min, max } => write!(f, "an integer from {min} to {max}"),
            Allowed::PowerOfTwo { min, max } => write!(f, "a power of two from {min} to {max}"),
            Allowed::Bool => f.write_str("true or false"),
            Allowed::Words(words) => f.write_str(&words.join(" or ")),
            Allowed::ConsensusSet => {
                f.write_str("some of ")?;
                write!(f, "{}, with commas between", ConsensusSet::of(Consensus::ALL))
            }
            Allowed::SymbolOrEmpty => {
                write!(f, "a symbol of at most {} ASCII characters, or empty", Symbol::BYTES_MAX)
            }
            Allowed::BarInterval => f.write_str("a whole number of s, m, h or d that divides a day, as 15m"),
            Allowed::Address(schemes) => write!(
                f,
                "an address with {}, of at most 128 characters, without a query and without a slash at its end",
                schemes.join(":// or ") + "://"
            ),
            Allowed::PathOrEmpty => f.write_str("a path of at most 200 bytes, or empty"),
            Allowed::Prefix => f.write_str("1 to 12 ASCII letters and digits"),
            Allowed::HotCore => write!(f, "auto, off, or a core from 0 to {}", HotCore::NUMBER_MAX),
            Allowed::Empty(why) => write!(f, "empty, since {why}"),
        }
    }
}

/// A type a setting can have. `read` and `print` are inverse: what is printed reads back the same.
pub trait Value: Sized {
    /// `None` if the text is malformed or not allowed.
    fn read(text: &str, allowed: &Allowed) -> Option<Self>;
    fn print(&self, allowed: &Allowed) -> String;
}

impl Value for Dec {
    fn read(text: &str, allowed: &Allowed) -> Option<Dec> {
        const UNIT: i128 = 10i128.pow(MAX_PLACES - PLACES_MAX);
        let Allowed::Decimal(min, max) = *allowed else { return None };
        let value = Dec(parse_scaled(text.as_bytes(), PLACES_MAX).ok()?.checked_mul(UNIT)?);
        (min, max).contains(&value).then_some(value)
    }

    fn print(&self, _: &Allowed) -> String {
        self.to_string()
    }
}

impl Value for i64 {
    fn read(text: &str, allowed: &Allowed) -> Option<i64> {
        allowed.integer(text)
    }

    fn print(&self, _: &Allowed) -> String {
        self.to_string()
    }
}

impl Value for u32 {
    fn read(text: &str, allowed: &Allowed) -> Option<u32> {
        match allowed {
            Allowed::BarInterval => read_interval(text),
            _ => u32::try_from(allowed.integer(text)?).ok(),
        }
    }

    fn print(&self, allowed: &Allowed) -> String {
        match allowed {
            Allowed::BarInterval => print_interval(*self),
            _ => self.to_string(),
        }
    }
}

impl Value for bool {
    fn read(text: &str, allowed: &Allowed) -> Option<bool> {
        match (allowed, text) {
            (Allowed::Bool, "true") => Some(true),
            (Allowed::Bool, "false") | (Allowed::Empty(_), "") => Some(false),
            _ => None,
        }
    }

    fn print(&self, allowed: &Allowed) -> String {
        match allowed {
            Allowed::Empty(_) => String::new(),
            _ => self.to_string(),
        }
    }
}

impl Value for ExitPrice {
    fn read(text: &str, _: &Allowed) -> Option<ExitPrice> {
        ExitPrice::parse(text)
    }

    fn print(&self, _: &Allowed) -> String {
        self.to_string()
    }
}

impl Value for SimStops {
    fn read(text: &str, _: &Allowed) -> Option<SimStops> {
        SimStops::parse(text)
    }

    fn print(&self, _: &Allowed) -> String {
        self.to_string()
    }
}

impl Value for OnUnknownPosition {
    fn read(text: &str, _: &Allowed) -> Option<OnUnknownPosition> {
        OnUnknownPosition::parse(text)
    }

    fn print(&self, _: &Allowed) -> String {
        self.to_string()
    }
}

impl Value for AtrSmoothing {
    fn read(text: &str, _: &Allowed) -> Option<AtrSmoothing> {
        AtrSmoothing::parse(text)
    }

    fn print(&self, _: &Allowed) -> String {
        self.to_string()
    }
}

impl Value for LockMemory {
    fn read(text: &str, _: &Allowed) -> Option<LockMemory> {
        LockMemory::parse(text)
    }

    fn print(&self, _: &Allowed) -> String {
        self.to_string()
    }
}

impl Value for HotCore {
    fn read(text: &str, _: &Allowed) -> Option<HotCore> {
        match text {
            "auto" => Some(HotCore::Auto),
            "off" => Some(HotCore::Off),
            number => {
                let core = Allowed::Integer { min: 0, max: HotCore::NUMBER_MAX.into() }.integer(number)?;
                u16::try_from(core).ok().map(HotCore::Number)
            }
        }
    }

    fn print(&self, _: &Allowed) -> String {
        self.to_string()
    }
}

impl Value for ConsensusSet {
    fn read(text: &str, _: &Allowed) -> Option<ConsensusSet> {
        text.split(',').try_fold(ConsensusSet(0), |set, word| {
            let member = Consensus::parse(word)?;
            // A word given twice is a slip of the pen for another one.
            (!set.contains(member)).then_some(ConsensusSet(set.0 | ConsensusSet::of(&[member]).0))
        })
    }

    fn print(&self, _: &Allowed) -> String {
        self.to_string()
    }
}

impl Value for Option<Symbol> {
    fn read(text: &str, _: &Allowed) -> Option<Option<Symbol>> {
        if text.is_empty() { Some(None) } else { Symbol::new(text).map(Some) }
    }

    fn print(&self, _: &Allowed) -> String {
        self.map_or_else(String::new, |symbol| symbol.to_string())
    }
}

/// Seconds in each unit of a bar interval, longest first.
const INTERVAL_UNITS: [(char, u32); 4] = [('d', DAY_S), ('h', 3_600), ('m', 60), ('s', 1)];

fn read_interval(text: &str) -> Option<u32> {
    let (unit, unit_s) = INTERVAL_UNITS.into_iter().find(|(unit, _)| text.ends_with(*unit))?;
    let count = text.strip_suffix(unit).filter(|count| count.bytes().all(|b| b.is_ascii_digit()))?;
    let seconds = count.parse::<u32>().ok()?.checked_mul(unit_s)?;
    // No day is a multiple of nothing.
    DAY_S.is_multiple_of(seconds).then_some(seconds)
}

fn print_interval(seconds: u32) -> String {
    let (unit, unit_s) =
        INTERVAL_UNITS.into_iter().find(|(_, unit_s)| seconds.is_multiple_of(*unit_s)).unwrap_or(('s', 1));
    format!("{}{unit}", seconds / unit_s)
}
