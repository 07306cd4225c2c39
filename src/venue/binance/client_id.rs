//! Client order ids as the venue sees them: `qt-65a1b2c3-0000002a`.

use std::fmt;

use crate::num::OrderId;

/// The venue takes 36 characters; the id itself needs 18 with its hyphens.
const PREFIX_BYTES_MAX: usize = 12;
const HEX_DIGITS: usize = 8;

/// The first part of all our ids: what tells our orders from those of others on the account.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientIds {
    prefix: [u8; PREFIX_BYTES_MAX],
    length: u8,
}

impl ClientIds {
    /// `None` unless the prefix is 1 to 12 ASCII letters and digits.
    pub fn new(prefix: &str) -> Option<ClientIds> {
        let bytes = prefix.as_bytes();
        let fine =
            (1..=PREFIX_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_alphanumeric);
        if !fine {
            return None;
        }
        let mut padded = [0; PREFIX_BYTES_MAX];
        padded[..bytes.len()].copy_from_slice(bytes);
        Some(ClientIds { prefix: padded, length: bytes.len() as u8 })
    }

    pub fn prefix(&self) -> &str {
        // ASCII by construction.
        std::str::from_utf8(&self.prefix[..usize::from(self.length)]).unwrap_or_default()
    }

    pub fn format(&self, order: OrderId) -> ClientId<'_> {
        ClientId { prefix: self.prefix(), order }
    }

    /// The order of a client id in exactly the form we write; `None` is somebody else's.
    pub fn parse(&self, text: &str) -> Option<OrderId> {
        let rest = text.strip_prefix(self.prefix())?.strip_prefix('-')?;
        let (epoch, sequence) = rest.split_once('-')?;
        Some(OrderId::new(parse_hex(epoch)?, parse_hex(sequence)?))
    }
}

fn parse_hex(text: &str) -> Option<u32> {
    // `from_str_radix` takes a plus sign and capitals, and a second spelling would be a second id.
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let fine = text.len() == HEX_DIGITS && text.bytes().all(digit);
    if fine { u32::from_str_radix(text, 16).ok() } else { None }
}

/// A client order id, to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientId<'a> {
    prefix: &'a str,
    order: OrderId,
}

impl fmt::Display for ClientId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:08x}-{:08x}", self.prefix, self.order.epoch(), self.order.sequence())
    }
}

impl fmt::Debug for ClientIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientIds({})", self.prefix())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids() -> ClientIds {
        ClientIds::new("qt").unwrap()
    }

    #[test]
    fn the_longest_id_fits_the_venue() {
        let longest = ClientIds::new("ABCDEFGHIJK9").unwrap();
        assert_eq!(longest.format(OrderId::new(u32::MAX, 1)).to_string().len(), 30);
        assert_eq!(ids().format(OrderId::new(0x65a1_b2c3, 42)).to_string(), "qt-65a1b2c3-0000002a");
    }

    #[test]
    fn prefixes_that_are_refused() {
        for prefix in ["", "ABCDEFGHIJKLM", "q t", "q-t", "qt_", "é"] {
            assert_eq!(ClientIds::new(prefix), None, "{prefix:?}");
        }
    }

    #[test]
    fn only_our_own_spelling_is_ours() {
        for other in [
            "",
            "qt",
            "qt-",
            "qt-1-2",
            "qx-65a1b2c3-0000002a",
            "QT-65a1b2c3-0000002a",
            "qt-65A1B2C3-0000002a",
            "qt-65a1b2c3-+000002a",
            "qt-65a1b2c3-0000002a-",
            "qt-65a1b2c3-0000002a0",
            "qt65a1b2c3-0000002a",
            "autoclose-1234567890",
        ] {
            assert_eq!(ids().parse(other), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn ids_go_both_ways(id: u64, prefix in "[A-Za-z0-9]{1,12}") {
            let ids = ClientIds::new(&prefix).unwrap();
            prop_assert_eq!(ids.parse(&ids.format(OrderId(id)).to_string()), Some(OrderId(id)));
        }
    }
}
