//! What a table is made of: its columns, declared once with their meaning, and the cells of a row.

use std::fmt::Write as _;

use arrayvec::ArrayVec;

use super::Table;
use crate::event::Symbol;
use crate::num::{Dec, Millis, OrderId, TimeNs};

/// Columns a table may have.
pub const COLUMNS_MAX: usize = 32;

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Boolean,
    Integer,
    /// Nanoseconds since the Unix epoch, UTC.
    Nanos,
    /// Milliseconds since the Unix epoch, UTC.
    Millis,
    /// Exact, 18 places.
    Decimal,
    Text,
    /// A text of its own in every row: a JSON object.
    Json,
}

impl Type {
    /// As the documentation calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Type::Boolean => "boolean",
            Type::Integer => "integer",
            Type::Nanos => "time, ns",
            Type::Millis => "time, ms",
            Type::Decimal => "decimal",
            Type::Text => "text",
            Type::Json => "JSON text",
        }
    }
}

/// A column, and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    pub kind: Type,
    /// A row may have no value here.
    pub optional: bool,
    /// Meaning and unit.
    pub about: &'static str,
}

/// A table's columns, in order.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// What a row is.
    pub about: &'static str,
    pub columns: &'static [Column],
}

/// A value of a row, or none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    None,
    Boolean(bool),
    Integer(i64),
    Nanos(i64),
    Millis(i64),
    Decimal(Dec),
    Text(&'a str),
    Order(OrderId),
    /// A hash, as 16 hexadecimal digits.
    Hash(u64),
}

impl Cell<'_> {
    /// As text that says all of it; nothing for none.
    pub fn write(&self, text: &mut String) {
        // Writing to a `String` cannot fail.
        let _ = match self {
            Cell::None => Ok(()),
            Cell::Boolean(value) => write!(text, "{value}"),
            Cell::Integer(value) | Cell::Nanos(value) | Cell::Millis(value) => write!(text, "{value}"),
            Cell::Decimal(value) => write!(text, "{value}"),
            Cell::Text(value) => text.write_str(value),
            Cell::Order(id) => write!(text, "{id}"),
            Cell::Hash(hash) => write!(text, "{hash:016x}"),
        };
    }
}

pub type Cells<'a> = ArrayVec<Cell<'a>, COLUMNS_MAX>;

/// A row of a table; its fields are the columns.
pub trait Row {
    const TABLE: Table;
    const SCHEMA: Schema;

    fn cells(&self) -> Cells<'_>;
}

/// What can stand in a column: type and cells of it are one thing and can't differ.
pub trait Value {
    const TYPE: Type;
    const OPTIONAL: bool = false;

    fn cell(&self) -> Cell<'_>;
}

macro_rules! values {
    ($($type:ty: $kind:ident, |$value:ident| $cell:expr;)*) => {
        $(impl Value for $type {
            const TYPE: Type = Type::$kind;

            fn cell(&self) -> Cell<'_> {
                let $value = self;
                $cell
            }
        })*
    };
}

values! {
    bool: Boolean, |value| Cell::Boolean(*value);
    i64: Integer, |value| Cell::Integer(*value);
    i32: Integer, |value| Cell::Integer(i64::from(*value));
    u32: Integer, |value| Cell::Integer(i64::from(*value));
    // Sequence numbers: a journal with more than 63 bits of them does not end in a lifetime.
    u64: Integer, |value| Cell::Integer(i64::try_from(*value).unwrap_or(i64::MAX));
    TimeNs: Nanos, |value| Cell::Nanos(value.0);
    Dec: Decimal, |value| Cell::Decimal(*value);
    Word: Text, |value| Cell::Text(value);
    Symbol: Text, |value| Cell::Text(value.as_str());
    Hash: Text, |value| Cell::Hash(value.0);
    Json: Json, |value| Cell::Text(&value.0);
}

/// A word of a closed set, as the rules and the text dump of a journal have it.
pub type Word = &'static str;

/// A hash, shown as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub u64);

/// The text of a JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(pub String);

/// A time the venue put to something; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VenueTime(pub Millis);

impl Value for VenueTime {
    const TYPE: Type = Type::Millis;
    const OPTIONAL: bool = true;

    fn cell(&self) -> Cell<'_> {
        if self.0 == 0 { Cell::None } else { Cell::Millis(self.0) }
    }
}

impl Value for OrderId {
    const TYPE: Type = Type::Text;
    const OPTIONAL: bool = true;

    fn cell(&self) -> Cell<'_> {
        if self.is_none() { Cell::None } else { Cell::Order(*self) }
    }
}

impl<T: Value> Value for Option<T> {
    const TYPE: Type = T::TYPE;
    const OPTIONAL: bool = true;

    fn cell(&self) -> Cell<'_> {
        self.as_ref().map_or(Cell::None, T::cell)
    }
}

/// Declares the row of a table. What is written above a field is its column's meaning, in the
/// documentation, in the files and here.
macro_rules! row {
    ($(#[doc = $about:literal])+ $table:ident => $row:ident {
        $($(#[doc = $doc:literal])+ $column:ident: $type:ty,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $row {
            $($(#[doc = $doc])+ pub $column: $type,)+
        }

        impl Row for $row {
            const TABLE: Table = Table::$table;
            const SCHEMA: Schema = Schema {
                about: concat!($($about),+),
                columns: &[$(Column {
                    name: stringify!($column),
                    kind: <$type as Value>::TYPE,
                    optional: <$type as Value>::OPTIONAL,
                    about: concat!($($doc),+),
                },)+],
            };

            fn cells(&self) -> Cells<'_> {
                let mut cells = Cells::new();
                $(cells.push(self.$column.cell());)+
                cells
            }
        }

        const _: () = assert!($row::SCHEMA.columns.len() <= COLUMNS_MAX);
    };
}

pub(super) use row;
