//! From the venue's numbers to ours.

use crate::event::{Fill, FillCause, Instrument};
use crate::num::{Dec, DecError, Lots, Millis, OrderId, Rounding, Side, Ticks};

/// The asset accounts are kept in: margin, wallet and fees of the instruments traded here.
pub const QUOTE_ASSET: &str = "USDT";

/// A fill as the venue writes it.
pub struct RawFill<'a> {
    pub order: OrderId,
    pub trade_id: i64,
    pub side: Side,
    pub price: &'a str,
    pub quantity: &'a str,
    /// `None` where the venue leaves it out: no fee.
    pub fee: Option<&'a str>,
    pub fee_asset: Option<&'a str>,
    pub event_ms: Millis,
    pub maker: bool,
    pub cause: FillCause,
}

/// A fill, and what had to be made up.
pub struct ParsedFill {
    pub fill: Fill,
    /// The price was off the tick grid: the venue's own closing orders can be.
    pub rounded: bool,
    /// The fee was paid in another asset; its worth is put down at the instrument's own rate.
    pub estimated_fee: bool,
}

impl RawFill<'_> {
    pub fn parse(&self, instrument: &Instrument) -> Result<ParsedFill, DecError> {
        let (price, rounded) = match instrument.parse_price(self.price.as_bytes()) {
            Ok(price) => (price, false),
            // Better a price half a tick off than a position nobody knows of.
            Err(DecError::NotAMultiple) => (nearest_tick(self.price, instrument)?, true),
            Err(error) => return Err(error),
        };
        let quantity = instrument.parse_quantity(self.quantity.as_bytes())?;
        if !price.is_price() || !(1..=Lots::QUANTITY_MAX.0).contains(&quantity.0) {
            return Err(DecError::OutOfRange);
        }
        let paid = self.fee.map_or(Ok(Dec::ZERO), Dec::parse)?;
        let in_quote = paid == Dec::ZERO || self.fee_asset.is_none_or(|asset| asset == QUOTE_ASSET);
        let fee = if in_quote { paid } else { estimated_fee(instrument, price, quantity)? };
        let fill = Fill {
            order: self.order,
            trade_id: self.trade_id,
            fee,
            price,
            quantity,
            event_ms: self.event_ms,
            side: self.side,
            maker: self.maker,
            cause: self.cause,
            pad: [0; 5],
        };
        Ok(ParsedFill { fill, rounded, estimated_fee: !in_quote })
    }
}

fn nearest_tick(text: &str, instrument: &Instrument) -> Result<Ticks, DecError> {
    let ticks = Rounding::HalfEven.div_i128(Dec::parse(text)?.0, instrument.tick.0);
    ticks.and_then(|ticks| i64::try_from(ticks).ok()).map(Ticks).ok_or(DecError::OutOfRange)
}

fn estimated_fee(instrument: &Instrument, price: Ticks, quantity: Lots) -> Result<Dec, DecError> {
    let notional = instrument.money(price.wide() * quantity.wide());
    notional.and_then(|value| value.mul(instrument.taker_fee, Rounding::Ceil)).ok_or(DecError::OutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::btcusdt;

    fn raw<'a>(price: &'a str, quantity: &'a str, fee: Option<&'a str>, asset: &'a str) -> RawFill<'a> {
        RawFill {
            order: OrderId::NONE,
            trade_id: 5,
            side: Side::Buy,
            price,
            quantity,
            fee,
            fee_asset: Some(asset),
            event_ms: 1,
            maker: false,
            cause: FillCause::Order,
        }
    }

    #[test]
    fn numbers_are_exact() {
        let parsed = raw("91739.90", "0.002", Some("0.09173990"), "USDT").parse(&btcusdt()).unwrap();
        assert_eq!((parsed.fill.price, parsed.fill.quantity), (Ticks(917_399), Lots(2)));
        assert_eq!(parsed.fill.fee, Dec::new(9_173_990, 8));
        assert!(!parsed.rounded && !parsed.estimated_fee);
    }

    #[test]
    fn a_forced_price_between_two_ticks_is_not_lost() {
        let parsed = raw("9910.12", "0.014", None, "USDT").parse(&btcusdt()).unwrap();
        assert_eq!((parsed.fill.price, parsed.fill.fee, parsed.rounded), (Ticks(99_101), Dec::ZERO, true));
    }

    #[test]
    fn a_fee_in_another_asset_is_put_down_at_our_rate() {
        let parsed = raw("60000", "0.010", Some("0.0004"), "BNB").parse(&btcusdt()).unwrap();
        assert_eq!((parsed.fill.fee, parsed.estimated_fee), (Dec::new(3, 1), true));
        let free = raw("60000", "0.010", Some("0"), "BNB").parse(&btcusdt()).unwrap();
        assert_eq!((free.fill.fee, free.estimated_fee), (Dec::ZERO, false));
    }

    #[test]
    fn what_no_fill_can_be() {
        for (price, quantity, fee) in [
            ("0", "0.001", "0"),
            ("-1", "0.001", "0"),
            ("1e5", "0.001", "0"),
            ("60000", "0", "0"),
            ("60000", "0.0005", "0"),
            ("60000", "", "0"),
            ("60000", "0.001", "x"),
        ] {
            assert!(
                raw(price, quantity, Some(fee), "USDT").parse(&btcusdt()).is_err(),
                "{price} {quantity} {fee}"
            );
        }
    }
}
