//! What the venue answers: responses of the order websocket, bodies of REST answers.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_json::value::RawValue;

use super::user_stream::SideName;
use crate::event::OrderStatus;
use crate::num::Millis;

/// A response of the order websocket.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// As sent; `null` where the request could not be read.
    #[serde(borrow, default)]
    pub id: Option<Cow<'a, str>>,
    /// As an HTTP status.
    pub status: u16,
    #[serde(borrow, default)]
    pub result: Option<&'a RawValue>,
    #[serde(default)]
    pub error: Option<ErrorBody>,
    /// How much of the venue's limits is used: see [`super::counts_of_answer`].
    #[serde(borrow, default)]
    pub rate_limits: Option<&'a RawValue>,
}

/// A refusal, of either interface.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct ErrorBody {
    pub code: i32,
    #[serde(default)]
    pub msg: String,
    #[serde(default)]
    pub data: Option<ErrorData>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ErrorData {
    /// Until when to stay silent.
    #[serde(default)]
    pub retry_after: Option<Millis>,
    /// The venue's clock when it said so.
    #[serde(default)]
    pub server_time: Option<Millis>,
}

impl ErrorBody {
    /// The refusal a REST body holds; a body that holds none has code 0.
    pub fn of_rest(body: &[u8]) -> ErrorBody {
        serde_json::from_slice(body).unwrap_or_default()
    }
}

/// What is said of an ordinary order: when it is placed, cancelled, asked for or listed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderAnswer<'a> {
    pub order_id: i64,
    #[serde(borrow)]
    pub symbol: Cow<'a, str>,
    #[serde(borrow)]
    pub client_order_id: Cow<'a, str>,
    #[serde(borrow)]
    pub status: Cow<'a, str>,
    #[serde(borrow)]
    pub executed_qty: Cow<'a, str>,
    #[serde(default)]
    pub update_time: Millis,
}

/// What is said of a conditional order: when it is placed, asked for or listed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlgoAnswer<'a> {
    pub algo_id: i64,
    #[serde(borrow)]
    pub client_algo_id: Cow<'a, str>,
    #[serde(borrow)]
    pub symbol: Cow<'a, str>,
    #[serde(borrow)]
    pub algo_status: Cow<'a, str>,
    #[serde(default)]
    pub update_time: Millis,
}

/// The status word of an ordinary order; `None` for one that means nothing to us.
pub fn order_status(word: &str) -> Option<OrderStatus> {
    Some(match word {
        "NEW" | "PARTIALLY_FILLED" => OrderStatus::Accepted,
        "FILLED" => OrderStatus::Filled,
        "CANCELED" | "PENDING_CANCEL" => OrderStatus::Canceled,
        "EXPIRED" | "EXPIRED_IN_MATCH" => OrderStatus::Expired,
        "REJECTED" => OrderStatus::Rejected,
        _ => return None,
    })
}

/// The status word of a conditional order; `None` for one that means nothing to us. A finished one was
/// triggered: how its ordinary order ended is that one's to say.
pub fn algo_status(word: &str) -> Option<OrderStatus> {
    Some(match word {
        "NEW" => OrderStatus::Accepted,
        "TRIGGERING" | "TRIGGERED" | "FINISHED" => OrderStatus::Triggered,
        "CANCELED" => OrderStatus::Canceled,
        "EXPIRED" => OrderStatus::Expired,
        "REJECTED" => OrderStatus::Rejected,
        _ => return None,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerTime {
    pub server_time: Millis,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenKey {
    pub listen_key: String,
}

/// `accountConfig`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AccountConfig {
    /// Hedge mode.
    pub dual_side_position: bool,
    pub multi_assets_margin: bool,
    #[serde(default = "yes")]
    pub can_trade: bool,
}

fn yes() -> bool {
    true
}

/// One row of `symbolConfig`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SymbolConfig<'a> {
    #[serde(borrow)]
    pub symbol: Cow<'a, str>,
    #[serde(borrow)]
    pub margin_type: Cow<'a, str>,
    pub leverage: u32,
}

impl SymbolConfig<'_> {
    pub fn is_isolated(&self) -> bool {
        self.margin_type.eq_ignore_ascii_case("ISOLATED")
    }
}

/// What setting the leverage answers.
#[derive(Debug, Deserialize)]
pub struct LeverageAnswer {
    pub leverage: u32,
}

/// `account`, of version 3.
#[derive(Debug, Deserialize)]
pub struct Account<'a> {
    #[serde(borrow)]
    pub assets: Vec<Asset<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asset<'a> {
    #[serde(borrow)]
    pub asset: Cow<'a, str>,
    #[serde(borrow)]
    pub wallet_balance: Cow<'a, str>,
    #[serde(default)]
    pub update_time: Millis,
}

/// One row of `positionRisk`, of version 3.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PositionRisk<'a> {
    #[serde(borrow)]
    pub symbol: Cow<'a, str>,
    #[serde(borrow)]
    pub position_side: Cow<'a, str>,
    #[serde(borrow)]
    pub position_amt: Cow<'a, str>,
    #[serde(borrow)]
    pub entry_price: Cow<'a, str>,
    #[serde(borrow, default)]
    pub mark_price: Cow<'a, str>,
    #[serde(default)]
    pub update_time: Millis,
}

/// One row of `userTrades`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserTrade<'a> {
    pub id: i64,
    pub order_id: i64,
    #[serde(borrow)]
    pub symbol: Cow<'a, str>,
    pub side: SideName,
    #[serde(borrow)]
    pub price: Cow<'a, str>,
    #[serde(borrow)]
    pub qty: Cow<'a, str>,
    #[serde(borrow)]
    pub commission: Cow<'a, str>,
    #[serde(borrow)]
    pub commission_asset: Cow<'a, str>,
    pub maker: bool,
    pub time: Millis,
}

/// One row of `klines`: an array of which the first eleven places have a meaning.
#[derive(Debug)]
pub struct KlineRow<'a> {
    pub open_ms: Millis,
    pub open: Cow<'a, str>,
    pub high: Cow<'a, str>,
    pub low: Cow<'a, str>,
    pub close: Cow<'a, str>,
    pub volume: Cow<'a, str>,
    pub close_ms: Millis,
    pub quote_volume: Cow<'a, str>,
    pub trades: u32,
    pub taker_buy_volume: Cow<'a, str>,
}

/// A text, borrowed where the JSON has no escapes in it.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for KlineRow<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KlineRow<'a>, D::Error> {
        type Row<'a> = (
            Millis,
            Text<'a>,
            Text<'a>,
            Text<'a>,
            Text<'a>,
            Text<'a>,
            Millis,
            Text<'a>,
            u32,
            Text<'a>,
            de::IgnoredAny,
            de::IgnoredAny,
        );
        let (open_ms, open, high, low, close, volume, close_ms, quote_volume, trades, taker, _, _) =
            Row::deserialize(deserializer)?;
        Ok(KlineRow {
            open_ms,
            open: open.0,
            high: high.0,
            low: low.0,
            close: close.0,
            volume: volume.0,
            close_ms,
            quote_volume: quote_volume.0,
            trades,
            taker_buy_volume: taker.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_has_a_result_or_a_refusal() {
        let accepted = r#"{"id":"7","status":200,"result":{"orderId":325078477,"symbol":"BTCUSDT","status":"NEW",
            "clientOrderId":"qt-00000001-00000001","executedQty":"0.000","updateTime":1702555534435},"rateLimits":[]}"#;
        let response: Response = serde_json::from_str(accepted).unwrap();
        assert_eq!((response.id.as_deref(), response.status), (Some("7"), 200));
        let order: OrderAnswer = serde_json::from_str(response.result.unwrap().get()).unwrap();
        assert_eq!((order.order_id, order.update_time), (325_078_477, 1_702_555_534_435));

        let refused = r#"{"id":"7","status":429,"error":{"code":-1003,"msg":"Too much","data":
            {"serverTime":1789295210000,"retryAfter":1789295220000}}}"#;
        let error = serde_json::from_str::<Response>(refused).unwrap().error.unwrap();
        assert_eq!((error.code, error.data.unwrap().retry_after), (-1003, Some(1_789_295_220_000)));
        assert!(serde_json::from_str::<Response>(r#"{"id":null,"status":400}"#).unwrap().id.is_none());
    }

    #[test]
    fn a_body_without_a_code_has_none() {
        let margin = br#"{"code":-2019,"msg":"Margin is insufficient."}"#;
        assert_eq!(ErrorBody::of_rest(margin).code, -2019);
        for body in ["", "<html>502</html>", "{}", r#"{"code":"x"}"#] {
            assert_eq!(ErrorBody::of_rest(body.as_bytes()).code, 0, "{body}");
        }
    }

    #[test]
    fn a_kline_row_is_an_array() {
        let json = r#"[[1638747660000,"1","4","0.5","2","100",1638747719999,"150.5",7,"60","90","0"]]"#;
        let rows: Vec<KlineRow> = serde_json::from_str(json).unwrap();
        let row = &rows[0];
        assert_eq!(
            (row.open_ms, row.trades, &*row.high, &*row.taker_buy_volume),
            (1_638_747_660_000, 7, "4", "60")
        );
        assert!(serde_json::from_str::<Vec<KlineRow>>(r#"[[1,"1"]]"#).is_err());
    }

    #[test]
    fn status_words() {
        assert_eq!(order_status("EXPIRED_IN_MATCH"), Some(OrderStatus::Expired));
        assert_eq!(order_status("NEW_INSURANCE"), None);
        assert_eq!(algo_status("FINISHED"), Some(OrderStatus::Triggered));
        assert_eq!(algo_status("new"), None);
    }
}
