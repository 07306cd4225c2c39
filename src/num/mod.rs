//! Exact numbers: prices in ticks, quantities in lots, money and ratios as decimals of 18 places.
//!
//! Nothing here is a float. Ticks, lots and sizes are integers in one instrument's own scale, so
//! adding two of them is exact by construction; [`Dec`] carries what has no natural integer scale.

mod bounds;
mod decimal;
mod id;
pub mod planted;
mod scale;
mod time;
mod units;
mod wide;

pub use bounds::{OutOfRange, all_hold};
pub use decimal::{Dec, DecError, MAX_PLACES, Rounding, parse_scaled};
pub use id::{InstrumentId, OrderId};
pub use scale::Scale;
pub use time::{Millis, NS_PER_DAY, NS_PER_HOUR, NS_PER_MS, NS_PER_SEC, NS_PER_WEEK, NotATime, Now, TimeNs};
pub use units::{Lots, Side, Size, Ticks};
pub use wide::{Wide, cmp_products, div_wide, mul_div, wide_product};
