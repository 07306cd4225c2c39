//! A message that is not what its kind has to be.

use crate::num::DecError;

/// The text is not JSON, lacks a field, or holds a number that can't be ours. Which of them helps
/// nobody: it is counted, and what it may have said is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl From<DecError> for Unreadable {
    fn from(_: DecError) -> Unreadable {
        Unreadable
    }
}

impl From<serde_json::Error> for Unreadable {
    fn from(_: serde_json::Error) -> Unreadable {
        Unreadable
    }
}
