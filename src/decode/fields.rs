//! Keys and values of a parsed frame.
//!
//! [`fields!`] declares which keys of an object are read; [`Slot`] holds one of them and turns it
//! into a number, a flag or a text, or into the fault that names it.

use std::fmt::Write as _;

use simd_json::ValueType;
use simd_json::prelude::{TypedValue as _, ValueAsScalar as _, ValueIntoString as _};
use simd_json::tape::{Array, Object, Value};

use super::fault::{Excerpt, Expected, Fault};
use super::instruments::Row;
use crate::event::FaultReason;
use crate::num::{Dec, DecError, Millis, NS_PER_MS, Size, Ticks};

/// Later times do not fit nanoseconds since 1970 in 64 bits: the year 2262.
const MILLIS_MAX: Millis = i64::MAX / NS_PER_MS;
/// Far above any market's prices and volumes, in ticks, size units and whole currency alike, and
/// low enough that thousands of them can be summed without leaving 64 bits (decimals: 128).
const MAGNITUDE_MAX: i64 = Ticks::PRICE_MAX.0;
const _: () = assert!(Size::QUANTITY_MAX.0 == MAGNITUDE_MAX);

/// One key of an object and its value, if the frame has it.
#[derive(Clone, Copy)]
pub(super) struct Slot<'a> {
    key: &'static str,
    value: Option<Value<'a, 'a>>,
}

/// Declares the keys read from one object, as a struct of [`Slot`]s filled in one pass in whatever
/// order they come. Unknown keys are passed over: the venue adds some every year.
macro_rules! fields {
    ($name:ident { $($field:ident: $key:literal,)* }) => {
        struct $name<'a> {
            $($field: $crate::decode::fields::Slot<'a>,)*
        }

        impl<'a> $name<'a> {
            fn read(object: &simd_json::tape::Object<'a, 'a>) -> Result<Self, $crate::decode::fault::Fault> {
                let mut found = $name { $($field: $crate::decode::fields::Slot::missing($key),)* };
                for (key, value) in object.iter() {
                    match key {
                        $($key => found.$field.fill(value)?,)*
                        _ => {}
                    }
                }
                Ok(found)
            }
        }
    };
}
pub(super) use fields;

impl<'a> Slot<'a> {
    pub(super) const fn missing(key: &'static str) -> Slot<'a> {
        Slot { key, value: None }
    }

    /// Another value under the same key: an element of its array.
    pub(super) fn holding(&self, value: Value<'a, 'a>) -> Slot<'a> {
        Slot { key: self.key, value: Some(value) }
    }

    /// A key that comes twice has no one meaning, so the frame is refused.
    pub(super) fn fill(&mut self, value: Value<'a, 'a>) -> Result<(), Fault> {
        if self.value.is_some() {
            return Err(self.bad("the key once"));
        }
        self.value = Some(value);
        Ok(())
    }

    pub(super) fn is_present(&self) -> bool {
        self.value.is_some()
    }

    /// A fault of this key, with its value.
    #[cold]
    pub(super) fn fault(&self, reason: FaultReason, expected: Expected) -> Fault {
        Fault::new(reason, self.key, self.excerpt(), expected)
    }

    #[cold]
    pub(super) fn bad(&self, expected: &'static str) -> Fault {
        match self.value {
            Some(_) => self.fault(FaultReason::BadValue, Expected::Text(expected)),
            None => self.fault(FaultReason::MissingField, Expected::Text(expected)),
        }
    }

    #[cold]
    fn excerpt(&self) -> Excerpt {
        let Some(value) = self.value else { return Excerpt::EMPTY };
        let mut excerpt = Excerpt::EMPTY;
        // Writing to an excerpt cannot fail.
        let _ = match value.value_type() {
            ValueType::String => excerpt.write_str(value.as_str().unwrap_or_default()),
            ValueType::Bool => write!(excerpt, "{}", value.as_bool().unwrap_or_default()),
            ValueType::I64 => write!(excerpt, "{}", value.as_i64().unwrap_or_default()),
            ValueType::U64 => write!(excerpt, "{}", value.as_u64().unwrap_or_default()),
            ValueType::F64 => write!(excerpt, "{:e}", value.as_f64().unwrap_or_default()),
            kind => write!(excerpt, "{kind:?}"),
        };
        excerpt
    }

    pub(super) fn object(&self) -> Result<Object<'a, 'a>, Fault> {
        self.value.and_then(|value| value.as_object()).ok_or_else(|| self.bad("an object"))
    }

    pub(super) fn array(&self) -> Result<Array<'a, 'a>, Fault> {
        self.value.and_then(|value| value.as_array()).ok_or_else(|| self.bad("an array"))
    }

    pub(super) fn text(&self) -> Result<&'a str, Fault> {
        self.value.and_then(|value| value.into_string()).ok_or_else(|| self.bad("a string"))
    }

    pub(super) fn flag(&self) -> Result<bool, Fault> {
        self.value.as_bool().ok_or_else(|| self.bad("true or false"))
    }

    /// An id or a count: a JSON integer from 0.
    pub(super) fn integer(&self) -> Result<i64, Fault> {
        self.value
            .as_i64()
            .filter(|integer| *integer >= 0)
            .ok_or_else(|| self.bad("an integer from 0 to 2^63 - 1"))
    }

    /// A time that also fits nanoseconds.
    pub(super) fn millis(&self) -> Result<Millis, Fault> {
        let millis = self.integer()?;
        if millis > MILLIS_MAX {
            return Err(self.bad("milliseconds before the year 2262"));
        }
        Ok(millis)
    }

    /// A time that older frames lack; 0 then.
    pub(super) fn millis_if_any(&self) -> Result<Millis, Fault> {
        if self.is_present() { self.millis() } else { Ok(0) }
    }

    /// A price on the tick grid, above zero.
    pub(super) fn price(&self, row: &Row) -> Result<Ticks, Fault> {
        match self.price_or_zero(row)? {
            Ticks::ZERO => Err(self.bad("a price above 0")),
            price => Ok(price),
        }
    }

    /// A price on the tick grid, or zero.
    pub(super) fn price_or_zero(&self, row: &Row) -> Result<Ticks, Fault> {
        let parsed = row.price(self.text()?.as_bytes()).map_err(|error| match error {
            DecError::NotAMultiple => self.fault(FaultReason::OffTick, Expected::Tick(row.instrument.tick)),
            _ => self.not_a_number(error),
        })?;
        match parsed.0 {
            0..=MAGNITUDE_MAX => Ok(parsed),
            _ => Err(self.bad("a price of 0 to 10^15 ticks")),
        }
    }

    /// A market-data quantity, zero allowed.
    pub(super) fn size(&self, row: &Row) -> Result<Size, Fault> {
        let parsed = row.size(self.text()?.as_bytes()).map_err(|error| self.not_a_number(error))?;
        match parsed.0 {
            0..=MAGNITUDE_MAX => Ok(parsed),
            _ => Err(self.bad("a quantity of 0 to 10^15 size units")),
        }
    }

    /// A decimal of either sign.
    pub(super) fn decimal(&self) -> Result<Dec, Fault> {
        let parsed = Dec::parse(self.text()?).map_err(|error| self.not_a_number(error))?;
        if parsed.abs() > Dec::int(MAGNITUDE_MAX) {
            return Err(self.bad("a decimal of at most 10^15"));
        }
        Ok(parsed)
    }

    /// A decimal, zero allowed.
    pub(super) fn amount(&self) -> Result<Dec, Fault> {
        let amount = self.decimal()?;
        if amount.is_negative() { Err(self.bad("a decimal of at least 0")) } else { Ok(amount) }
    }

    /// A decimal, zero allowed, that older frames lack; 0 then.
    pub(super) fn amount_if_any(&self) -> Result<Dec, Fault> {
        if self.is_present() { self.amount() } else { Ok(Dec::ZERO) }
    }

    #[cold]
    fn not_a_number(&self, error: DecError) -> Fault {
        self.fault(FaultReason::BadValue, Expected::Number(error))
    }
}
