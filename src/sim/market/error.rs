//! Why a market source cannot go on.

use std::fmt;

/// Bytes of an offending value that are shown.
const SHOWN_BYTES_MAX: usize = 80;

/// A refusal, in one line: `file:line: field "value": what is allowed`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SourceError {
    /// Path, or `synthetic`.
    pub file: String,
    /// Counted from 1; 0 where the trouble is not in a line.
    pub line: u64,
    pub field: &'static str,
    /// As found, cut after 80 bytes.
    pub value: String,
    /// What would have been right, or what the system said.
    pub allowed: String,
    /// A price between two ticks: a finer tick would read it.
    pub between_ticks: bool,
}

impl SourceError {
    pub(super) fn new(
        file: &str,
        line: u64,
        field: &'static str,
        value: &[u8],
        allowed: impl Into<String>,
    ) -> SourceError {
        let shown = value.get(..SHOWN_BYTES_MAX).unwrap_or(value);
        let mut value_text = String::from_utf8_lossy(shown).into_owned();
        if shown.len() < value.len() {
            value_text.push('…');
        }
        let (file, allowed) = (file.to_string(), allowed.into());
        SourceError { file, line, field, value: value_text, allowed, between_ticks: false }
    }

    /// What the system said while reading on from `line`.
    pub(super) fn io(file: &str, line: u64, error: &std::io::Error) -> SourceError {
        // A cut compressed stream and a cut disk both end here; the words differ by library.
        let allowed = match error.kind() {
            std::io::ErrorKind::UnexpectedEof => format!("the compressed stream is cut short ({error})"),
            _ => error.to_string(),
        };
        SourceError::new(file, line, "read", b"", allowed)
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.field)?;
        if !self.value.is_empty() {
            write!(f, " {:?}", self.value)?;
        }
        write!(f, ": {}", self.allowed)
    }
}
