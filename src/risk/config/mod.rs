//! Every setting of the engine, its value and where the value came from.
//!
//! [`SETTINGS`] is the one list: the [`Settings`] struct, parsing, the errors, the listing, the
//! example file and the journaled text are all made from its rows. A value that is not allowed, or a
//! name that is not in the list, is an error before anything starts; it never becomes a default.

mod table;
mod value;

pub use table::{SETTINGS, Setting, Settings};
pub use value::{Allowed, AtrSmoothing, ConsensusSet, ExitPrice};
