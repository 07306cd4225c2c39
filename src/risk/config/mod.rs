//! Every setting of the engine, its value and where the value came from.
//!
//! [`SETTINGS`] is the one list: the [`Settings`] struct, parsing, the errors, the listing, the
//! example file and the journaled text are all made from its rows. A value that is not allowed, or a
//! name that is not in the list, is an error before anything starts; it never becomes a default.

mod bounded;
mod check;
mod error;
mod load;
mod show;
mod stored;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod value;

pub use bounded::{Address, BoundedText, FilePath, OrderPrefix};
pub use error::{ConfigError, Given};
pub use load::{Loaded, Preset, Source, load};
pub use show::{json, table};
pub use table::{Key, SETTINGS, Setting, Settings};
pub use text::example;
pub use value::{
    Allowed, AtrSmoothing, ConsensusSet, ExitPrice, HotCore, LockMemory, OnUnknownPosition, SimStops,
};
