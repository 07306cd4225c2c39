//! Settings that are texts of their own: addresses, a path, a prefix. They are of bounded length, so
//! that the settings stay a plain value.

use std::fmt;

use super::Allowed;
use super::value::Value;

/// A text of at most `BYTES_MAX` bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BoundedText<const BYTES_MAX: usize> {
    bytes: [u8; BYTES_MAX],
    length: u8,
}

/// A server's address: scheme, host, port and the beginning of a path.
pub type Address = BoundedText<128>;
/// A file's path.
pub type FilePath = BoundedText<200>;
/// What the client ids of our orders begin with.
pub type OrderPrefix = BoundedText<12>;

impl<const BYTES_MAX: usize> BoundedText<BYTES_MAX> {
    /// `None` if it is too long. A text in the table that is does not compile.
    pub const fn new(text: &str) -> Option<BoundedText<BYTES_MAX>> {
        const { assert!(BYTES_MAX <= u8::MAX as usize) };
        let from = text.as_bytes();
        if from.len() > BYTES_MAX {
            return None;
        }
        let (mut bytes, mut i) = ([0; BYTES_MAX], 0);
        while i < from.len() {
            bytes[i] = from[i];
            i += 1;
        }
        Some(BoundedText { bytes, length: from.len() as u8 })
    }

    pub fn as_str(&self) -> &str {
        // Made from a text, whole.
        self.bytes.get(..usize::from(self.length)).and_then(|b| str::from_utf8(b).ok()).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl<const BYTES_MAX: usize> fmt::Display for BoundedText<BYTES_MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const BYTES_MAX: usize> fmt::Debug for BoundedText<BYTES_MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl<const BYTES_MAX: usize> Value for BoundedText<BYTES_MAX> {
    fn read(text: &str, allowed: &Allowed) -> Option<BoundedText<BYTES_MAX>> {
        let fine = match allowed {
            Allowed::Address(schemes) => is_address(text, schemes),
            Allowed::PathOrEmpty => !text.contains('\0'),
            Allowed::Prefix => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            _ => false,
        };
        if fine { BoundedText::new(text) } else { None }
    }

    fn print(&self, _: &Allowed) -> String {
        self.as_str().to_string()
    }
}

/// A scheme, then something that can be the rest of an address. Whether a host is behind it, the
/// connection finds out. No query: a setting is shown and journaled, and queries hold keys.
fn is_address(text: &str, schemes: &[&str]) -> bool {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)?.strip_prefix("://"));
    rest.is_some_and(|rest| {
        let graphic = rest.bytes().all(|byte| byte.is_ascii_graphic());
        graphic
            && !rest.is_empty()
            && !rest.starts_with('/')
            && !rest.ends_with('/')
            && !rest.contains(['?', '#', '@'])
    })
}
