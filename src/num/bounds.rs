//! What a state read from bytes may hold.

/// A value that no state of ours holds, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is out of range")]
pub struct OutOfRange(pub &'static str);

/// Every condition holds; else the name of the value that the first broken one is about.
pub fn all_hold(conditions: &[(&'static str, bool)]) -> Result<(), OutOfRange> {
    conditions.iter().find(|(_, holds)| !holds).map_or(Ok(()), |(name, _)| Err(OutOfRange(name)))
}
