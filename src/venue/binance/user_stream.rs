//! What the user stream says. Numbers stay the venue's text: what they mean is the instrument's to say.

use std::borrow::Cow;

use serde::Deserialize;

use crate::event::{AccountReason, FillCause};
use crate::num::{Millis, Side};

/// A message of the user stream.
#[derive(Debug)]
pub enum UserMessage<'a> {
    Order(OrderTradeUpdate<'a>),
    Algo(AlgoUpdate<'a>),
    Account(AccountMessage<'a>),
    Config(ConfigUpdate<'a>),
    ListenKeyExpired,
    MarginCall,
    /// A fill without its fee: `ORDER_TRADE_UPDATE` follows with it.
    TradeLite,
    /// Something we do not need, or do not know.
    Other,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    e: Cow<'a, str>,
}

impl<'a> UserMessage<'a> {
    /// # Errors
    /// Text that is not JSON, or a message of a kind we know without a field we need.
    pub fn parse(text: &'a [u8]) -> serde_json::Result<UserMessage<'a>> {
        let Kind { e } = serde_json::from_slice(text)?;
        Ok(match e.as_ref() {
            "ORDER_TRADE_UPDATE" => UserMessage::Order(serde_json::from_slice(text)?),
            "ALGO_UPDATE" => UserMessage::Algo(serde_json::from_slice(text)?),
            "ACCOUNT_UPDATE" => UserMessage::Account(serde_json::from_slice(text)?),
            "ACCOUNT_CONFIG_UPDATE" => UserMessage::Config(serde_json::from_slice(text)?),
            "listenKeyExpired" => UserMessage::ListenKeyExpired,
            "MARGIN_CALL" => UserMessage::MarginCall,
            "TRADE_LITE" => UserMessage::TradeLite,
            _ => UserMessage::Other,
        })
    }
}

/// `BUY` or `SELL`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum SideName {
    #[serde(rename = "BUY")]
    Buy,
    #[serde(rename = "SELL")]
    Sell,
}

impl From<SideName> for Side {
    fn from(name: SideName) -> Side {
        match name {
            SideName::Buy => Side::Buy,
            SideName::Sell => Side::Sell,
        }
    }
}

/// `ORDER_TRADE_UPDATE`: an order's state, and the fill that changed it.
#[derive(Debug, Deserialize)]
pub struct OrderTradeUpdate<'a> {
    #[serde(rename = "E")]
    pub event_ms: Millis,
    /// When it happened: the time that trades have in a list as well.
    #[serde(rename = "T")]
    pub traded_ms: Option<Millis>,
    #[serde(borrow, rename = "o")]
    pub order: OrderFields<'a>,
}

#[derive(Debug, Deserialize)]
pub struct OrderFields<'a> {
    #[serde(borrow, rename = "s")]
    pub symbol: Cow<'a, str>,
    #[serde(borrow, rename = "c")]
    pub client_id: Cow<'a, str>,
    #[serde(rename = "S")]
    pub side: SideName,
    /// What happened: NEW, TRADE, CANCELED, CALCULATED …
    #[serde(borrow, rename = "x")]
    pub execution: Cow<'a, str>,
    #[serde(borrow, rename = "X")]
    pub status: Cow<'a, str>,
    #[serde(rename = "i")]
    pub venue_id: i64,
    /// Quantity of this fill.
    #[serde(borrow, rename = "l")]
    pub last_quantity: Cow<'a, str>,
    /// Price of this fill.
    #[serde(borrow, rename = "L")]
    pub last_price: Cow<'a, str>,
    /// Filled so far.
    #[serde(borrow, rename = "z")]
    pub filled: Cow<'a, str>,
    #[serde(borrow, rename = "N")]
    pub fee_asset: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "n")]
    pub fee: Option<Cow<'a, str>>,
    #[serde(rename = "t")]
    pub trade_id: i64,
    #[serde(rename = "m")]
    pub maker: bool,
}

impl OrderFields<'_> {
    /// Whether this message carries a fill; the venue announces some forced orders before they fill.
    pub fn is_fill(&self) -> bool {
        matches!(self.execution.as_ref(), "TRADE" | "CALCULATED") && self.trade_id != 0
    }

    /// Who forced the order upon the account; `None` for one that somebody sent.
    pub fn forced(&self) -> Option<FillCause> {
        let calculated = self.execution == "CALCULATED";
        forced_by(&self.client_id).or(calculated.then_some(FillCause::Liquidation))
    }
}

/// Who forced an order with this client id upon the account.
pub fn forced_by(client_id: &str) -> Option<FillCause> {
    // The longer names end in the shorter one.
    if client_id.starts_with("adl_autoclose") {
        Some(FillCause::Adl)
    } else if client_id.starts_with("settlement_autoclose-") || client_id.starts_with("delivery_autoclose-") {
        Some(FillCause::Settlement)
    } else if client_id.starts_with("autoclose-") {
        Some(FillCause::Liquidation)
    } else {
        None
    }
}

/// `ALGO_UPDATE`: a conditional order's state.
#[derive(Debug, Deserialize)]
pub struct AlgoUpdate<'a> {
    #[serde(rename = "E")]
    pub event_ms: Millis,
    #[serde(borrow, rename = "o")]
    pub order: AlgoFields<'a>,
}

#[derive(Debug, Deserialize)]
pub struct AlgoFields<'a> {
    #[serde(borrow, rename = "s")]
    pub symbol: Cow<'a, str>,
    #[serde(borrow, rename = "caid")]
    pub client_id: Cow<'a, str>,
    #[serde(rename = "aid")]
    pub algo_id: i64,
    #[serde(borrow, rename = "X")]
    pub status: Cow<'a, str>,
}

/// `ACCOUNT_UPDATE`: balances and positions that changed.
#[derive(Debug, Deserialize)]
pub struct AccountMessage<'a> {
    #[serde(rename = "E")]
    pub event_ms: Millis,
    /// When it changed: the time that answers over REST have as well.
    #[serde(rename = "T")]
    pub changed_ms: Option<Millis>,
    #[serde(borrow, rename = "a")]
    pub account: AccountFields<'a>,
}

#[derive(Debug, Deserialize)]
pub struct AccountFields<'a> {
    #[serde(borrow, rename = "m")]
    pub reason: Cow<'a, str>,
    #[serde(borrow, rename = "B", default)]
    pub balances: Vec<Balance<'a>>,
    #[serde(borrow, rename = "P", default)]
    pub positions: Vec<Position<'a>>,
}

impl AccountFields<'_> {
    pub fn reason(&self) -> AccountReason {
        match self.reason.as_ref() {
            "ORDER" => AccountReason::Order,
            "FUNDING_FEE" => AccountReason::Funding,
            // Of any kind, COIN_SWAP_DEPOSIT among them: the owner moved money.
            other if ["DEPOSIT", "WITHDRAW", "TRANSFER"].iter().any(|end| other.ends_with(end)) => {
                AccountReason::Transfer
            }
            _ => AccountReason::Adjustment,
        }
    }
}

#[derive(Debug, Deserialize)]
pub struct Balance<'a> {
    #[serde(borrow, rename = "a")]
    pub asset: Cow<'a, str>,
    #[serde(borrow, rename = "wb")]
    pub wallet: Cow<'a, str>,
    /// Change other than profit and fees.
    #[serde(borrow, rename = "bc", default)]
    pub change: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub struct Position<'a> {
    #[serde(borrow, rename = "s")]
    pub symbol: Cow<'a, str>,
    /// Signed.
    #[serde(borrow, rename = "pa")]
    pub quantity: Cow<'a, str>,
    #[serde(borrow, rename = "ep")]
    pub entry: Cow<'a, str>,
    #[serde(borrow, rename = "ps")]
    pub side: Cow<'a, str>,
}

impl Position<'_> {
    /// The one position of one-way mode; `LONG` and `SHORT` belong to hedge mode.
    pub fn is_one_way(&self) -> bool {
        self.side == "BOTH"
    }
}

/// `ACCOUNT_CONFIG_UPDATE`: somebody changed the leverage of a symbol, or the margin mode.
#[derive(Debug, Deserialize)]
pub struct ConfigUpdate<'a> {
    #[serde(borrow, rename = "ac")]
    pub leverage: Option<LeverageChange<'a>>,
    #[serde(rename = "ai")]
    pub modes: Option<ModeChange>,
}

#[derive(Debug, Deserialize)]
pub struct LeverageChange<'a> {
    #[serde(borrow, rename = "s")]
    pub symbol: Cow<'a, str>,
    #[serde(rename = "l")]
    pub leverage: u32,
}

#[derive(Debug, Deserialize)]
pub struct ModeChange {
    #[serde(rename = "j")]
    pub multi_assets: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forced(client_id: &str, execution: &str) -> Option<FillCause> {
        let json = format!(
            r#"{{"e":"ORDER_TRADE_UPDATE","E":1,"o":{{"s":"BTCUSDT","c":"{client_id}","S":"SELL","x":"{execution}",
            "X":"FILLED","i":7,"l":"1","z":"1","L":"9","t":5,"m":false}}}}"#
        );
        match UserMessage::parse(json.as_bytes()).unwrap() {
            UserMessage::Order(update) => update.order.forced(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn forced_orders_are_told_by_their_names() {
        assert_eq!(forced("autoclose-12", "TRADE"), Some(FillCause::Liquidation));
        assert_eq!(forced("adl_autoclose_12", "CALCULATED"), Some(FillCause::Adl));
        assert_eq!(forced("settlement_autoclose-9", "TRADE"), Some(FillCause::Settlement));
        assert_eq!(forced("delivery_autoclose-9", "TRADE"), Some(FillCause::Settlement));
        assert_eq!(forced("web_x", "CALCULATED"), Some(FillCause::Liquidation));
        assert_eq!(forced("qt-00000001-00000001", "TRADE"), None);
    }

    #[test]
    fn reasons_of_wallet_changes() {
        use AccountReason::*;
        for (text, reason) in [
            ("ORDER", Order),
            ("FUNDING_FEE", Funding),
            ("DEPOSIT", Transfer),
            ("WITHDRAW", Transfer),
            ("MARGIN_TRANSFER", Transfer),
            ("COIN_SWAP_DEPOSIT", Transfer),
            ("INSURANCE_CLEAR", Adjustment),
            ("", Adjustment),
        ] {
            let fields =
                AccountFields { reason: Cow::Borrowed(text), balances: Vec::new(), positions: Vec::new() };
            assert_eq!(fields.reason(), reason, "{text}");
        }
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        for text in [
            "",
            "x",
            "[]",
            "{}",
            r#"{"e":1}"#,
            r#"{"e":"ORDER_TRADE_UPDATE"}"#,
            r#"{"e":"ALGO_UPDATE","E":1}"#,
        ] {
            assert!(UserMessage::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(matches!(UserMessage::parse(br#"{"e":"GRID_UPDATE"}"#), Ok(UserMessage::Other)));
    }
}
