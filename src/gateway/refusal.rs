//! Why the gateway itself refuses an instruction.

/// A refusal of ours. Its code goes where the venue's would; the venue's are negative, so a positive
/// one is never theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// The venue told us to be silent, and the time is not over.
    Silenced = 1,
    /// More orders in a minute than the setting allows.
    OrderRate = 2,
    /// More notional than one order may have.
    OrderNotional = 3,
    /// More notional than a position may reach.
    PositionNotional = 4,
    /// The price it was decided at is too far from the market's.
    PriceCollar = 5,
    /// No price is known to measure it against.
    NoPrice = 6,
    /// As many live orders, or unanswered requests, as we keep track of.
    Full = 7,
    /// An id that is not above all ids before it.
    IdUsed = 8,
    /// An instrument that is not in the table.
    UnknownInstrument = 9,
    /// A quantity or price that no order can have.
    Malformed = 10,
    /// The venue could not be reached, and nothing of the request was sent.
    Unreachable = 11,
    /// The venue's own limits on requests and orders leave no room for it.
    VenueRate = 12,
}

impl Refusal {
    pub const ALL: [Refusal; 12] = [
        Refusal::Silenced,
        Refusal::OrderRate,
        Refusal::OrderNotional,
        Refusal::PositionNotional,
        Refusal::PriceCollar,
        Refusal::NoPrice,
        Refusal::Full,
        Refusal::IdUsed,
        Refusal::UnknownInstrument,
        Refusal::Malformed,
        Refusal::Unreachable,
        Refusal::VenueRate,
    ];

    /// The `code` of the order update that tells the engine.
    pub const fn code(self) -> i32 {
        self as i32
    }

    pub const fn name(self) -> &'static str {
        match self {
            Refusal::Silenced => "silenced",
            Refusal::OrderRate => "order_rate",
            Refusal::OrderNotional => "order_notional",
            Refusal::PositionNotional => "position_notional",
            Refusal::PriceCollar => "price_collar",
            Refusal::NoPrice => "no_price",
            Refusal::Full => "full",
            Refusal::IdUsed => "id_used",
            Refusal::UnknownInstrument => "unknown_instrument",
            Refusal::Malformed => "malformed",
            Refusal::Unreachable => "unreachable",
            Refusal::VenueRate => "venue_rate",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_positive_and_in_order() {
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal.code(), index as i32 + 1, "{}", refusal.name());
        }
    }
}
