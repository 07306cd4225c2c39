//! Integers in an instrument's own scale. The scale itself is in `event::Instrument`.

use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bytemuck::Pod, bytemuck::Zeroable, borsh::BorshSerialize, borsh::BorshDeserialize)]
        #[repr(transparent)]
        pub struct $name(pub i64);

        impl $name {
            pub const ZERO: $name = $name(0);

            pub const fn abs(self) -> $name {
                $name(self.0.abs())
            }

            pub const fn wide(self) -> i128 {
                self.0 as i128
            }
        }

        impl Add for $name {
            type Output = $name;
            fn add(self, other: $name) -> $name {
                $name(self.0 + other.0)
            }
        }

        impl Sub for $name {
            type Output = $name;
            fn sub(self, other: $name) -> $name {
                $name(self.0 - other.0)
            }
        }

        impl Neg for $name {
            type Output = $name;
            fn neg(self) -> $name {
                $name(-self.0)
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: $name) {
                self.0 += other.0;
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, other: $name) {
                self.0 -= other.0;
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", self.0, stringify!($name).to_lowercase())
            }
        }
    };
}

unit!(
    /// A price, in the instrument's tick size.
    Ticks
);
unit!(
    /// An order or position quantity, in the instrument's step size.
    Lots
);
unit!(
    /// A quantity seen in market data, in the instrument's finer size unit: venues publish more
    /// places than they accept in orders.
    Size
);

impl Ticks {
    /// Largest price accepted from outside: a million at a tick of 1e-9. Sums of prices, and prices
    /// times quantities, then stay inside 128 bits.
    pub const PRICE_MAX: Ticks = Ticks(10i64.pow(15));

    /// Itself, or the end of the range of prices it lies beyond.
    pub fn nearest_price(self) -> Ticks {
        self.clamp(Ticks(1), Self::PRICE_MAX)
    }

    /// Positive and within [`Ticks::PRICE_MAX`].
    pub const fn is_price(self) -> bool {
        self.0 > 0 && self.0 <= Self::PRICE_MAX.0
    }

    /// Largest level computed from prices, either way: differences of levels stay inside 64 bits, and
    /// their products with quantities inside 128.
    pub const LEVEL_MAX: Ticks = Ticks(100 * Self::PRICE_MAX.0);

    pub const fn is_level(self) -> bool {
        self.0.unsigned_abs() <= Self::LEVEL_MAX.0.unsigned_abs()
    }
}

impl Lots {
    /// Largest quantity of an order or a fill; its product with a price fits 128 bits.
    pub const QUANTITY_MAX: Lots = Lots(10i64.pow(15));
    /// More than the orders of one trade could ever fill.
    pub const TOTAL_MAX: Lots = Lots(100 * Self::QUANTITY_MAX.0);

    /// Positive and within [`Lots::QUANTITY_MAX`].
    pub const fn is_quantity(self) -> bool {
        self.0 > 0 && self.0 <= Self::QUANTITY_MAX.0
    }
}

impl Size {
    /// Largest quantity accepted from outside; its product with a price fits 128 bits.
    pub const QUANTITY_MAX: Size = Size(10i64.pow(15));
}

/// The direction of an order, or of the position it opens.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    bytemuck::NoUninit,
    bytemuck::CheckedBitPattern,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Side {
    Buy = 1,
    Sell = 2,
}

impl Side {
    pub const fn opposite(self) -> Side {
        match self {
            Side::Buy => Side::Sell,
            Side::Sell => Side::Buy,
        }
    }

    /// +1 for buys (longs), −1 for sells (shorts).
    pub const fn sign(self) -> i64 {
        match self {
            Side::Buy => 1,
            Side::Sell => -1,
        }
    }

    /// The venue's word for the order side.
    pub const fn as_str(self) -> &'static str {
        match self {
            Side::Buy => "BUY",
            Side::Sell => "SELL",
        }
    }

    /// The word for a position opened by this side.
    pub const fn direction(self) -> &'static str {
        match self {
            Side::Buy => "LONG",
            Side::Sell => "SHORT",
        }
    }
}
