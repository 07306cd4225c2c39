//! Messages as the venue wrote them: recorded ones, and those of its documentation.
//!
//! They are read from `QT_TEST_DATA` (default `../shared/data`); without them the tests say so and pass.

use std::path::PathBuf;

use super::*;
use crate::event::FillCause;
use crate::venue::binance::answer::{
    Account, AccountConfig, AlgoAnswer, ErrorBody, ListenKey, OrderAnswer, PositionRisk, Response,
    ServerTime, SymbolConfig, UserTrade,
};

fn lines(file: &str) -> Vec<Value> {
    let root =
        std::env::var_os("QT_TEST_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let path = root.join("user-data").join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) => text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        Err(error) => {
            eprintln!("skipped: {}: {error}", path.display());
            Vec::new()
        }
    }
}

/// A recorded stream of an account whose orders came from elsewhere: positions and wallet are taken in,
/// the orders are foreign.
#[test]
fn the_recorded_stream_of_an_account() {
    let recorded = lines("binance_um_user_stream_recorded.jsonl");
    if recorded.is_empty() {
        return;
    }
    let mut desk = Desk::new();
    let mut said = Vec::new();
    for line in &recorded {
        desk.on(Input::UserText(line["raw"].as_str().unwrap().as_bytes()));
        said.extend(desk.said());
    }
    assert_eq!(
        said,
        [
            "Order 642.76097079",
            "Position 2",
            "Order 640.89671759",
            "Position 0",
            "Order 15237.42937172",
            "Position 100"
        ]
    );
    let counters = desk.gateway.counters();
    assert_eq!((counters.user_messages, counters.unreadable), (16, 0));
    // Nine ORDER_TRADE_UPDATEs; three are of a symbol that is not in the table.
    assert_eq!(counters.foreign, 9);
}

/// The same orders, were they ours.
#[test]
fn the_recorded_stream_of_orders_as_ours() {
    let mut desk = Desk::new();
    (1..=3).for_each(|sequence| desk.place(entry(sequence)));
    let mut said = Vec::new();
    let names = [
        ("android_XXXXXXXXXXXXXXXXXXXX", 1),
        ("android_YYYYYYYYYYYYYYYYYYYY", 2),
        ("KWsJ1UBaWM1C0IhvgdXxZb", 3),
    ];
    for line in lines("binance_um_user_stream_recorded.jsonl") {
        let mut raw = line["raw"].as_str().unwrap().to_string();
        for (name, sequence) in names {
            raw = raw.replace(name, &client_id(sequence));
        }
        desk.on(Input::UserText(raw.as_bytes()));
        said.extend(desk.said().into_iter().filter(|word| !word.starts_with(['O', 'P'])));
    }
    if !said.is_empty() {
        let expected = [
            "Accepted 1",
            "Fill 1 2@917399",
            "Filled 1",
            "Accepted 2",
            "Fill 2 2@908532",
            "Filled 2",
            "Fill 3 100@841465",
            "Filled 3",
        ];
        assert_eq!(said, expected);
    }
}

/// Forced exits, and everything else the fixtures have, without one that can't be read.
#[test]
fn documented_messages_of_the_user_stream() {
    let mut causes = Vec::new();
    let fixtures = lines("nautilus_binance_futures_fixtures.jsonl");
    let ours = fixtures.iter().filter(|line| line["name"].as_str().unwrap().starts_with("user_data_json/"));
    for line in ours {
        let mut desk = Desk::new();
        desk.user(&line["json"]);
        assert_eq!(desk.gateway.counters().unreadable, 0, "{}", line["name"]);
        for (_, body) in desk.events() {
            if let EventBody::Fill(fill) = body {
                assert!(fill.order.is_none());
                causes.push(fill.cause);
            }
        }
    }
    if !fixtures.is_empty() {
        use FillCause::{Adl, Liquidation, Settlement};
        assert_eq!(
            causes,
            [Adl, Liquidation, Liquidation, Settlement],
            "the delivered symbol is not in the table"
        );
    }
}

/// Every documented answer that is read somewhere is read by its type.
#[test]
fn documented_answers() {
    fn read<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<(), serde_json::Error> {
        serde_json::from_str::<T>(text).map(|_| ())
    }
    let mut seen = 0;
    for line in lines("binance_connector_rust_usds_futures_samples.jsonl") {
        let text = line["json"].to_string();
        let (api, function) = (line["api"].as_str().unwrap(), line["fn"].as_str().unwrap());
        let result = match (api, function) {
            ("websocket_api", "new_order" | "cancel_order" | "query_order") => {
                read_result::<OrderAnswer<'_>>(&text)
            }
            ("websocket_api", "new_algo_order") => read_result::<AlgoAnswer<'_>>(&text),
            ("rest_api", "new_order" | "cancel_order" | "query_order" | "query_current_open_order") => {
                read::<OrderAnswer<'_>>(&text)
            }
            ("rest_api", "new_algo_order" | "query_algo_order") => read::<AlgoAnswer<'_>>(&text),
            ("rest_api", "current_all_algo_open_orders") => read::<Vec<AlgoAnswer<'_>>>(&text),
            ("rest_api", "account_trade_list") => read::<Vec<UserTrade<'_>>>(&text),
            ("rest_api", "account_information_v3") => read::<Account<'_>>(&text),
            ("rest_api", "position_information_v3") => read::<Vec<PositionRisk<'_>>>(&text),
            ("rest_api", "futures_account_configuration") => read::<AccountConfig>(&text),
            ("rest_api", "symbol_configuration") => read::<Vec<SymbolConfig<'_>>>(&text),
            ("rest_api", "check_server_time") => read::<ServerTime>(&text),
            ("rest_api", "start_user_data_stream") => read::<ListenKey>(&text),
            _ => continue,
        };
        seen += 1;
        assert!(result.is_ok(), "{api} {function}: {result:?}");
    }
    assert!(seen == 0 || seen >= 16, "{seen}");
}

fn read_result<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<(), serde_json::Error> {
    let response: Response<'_> = serde_json::from_str(text)?;
    serde_json::from_str::<T>(response.result.unwrap().get()).map(|_| ())
}

#[test]
fn recorded_refusals() {
    let codes: Vec<i32> = lines("binance_error_frames.jsonl")
        .iter()
        .map(|line| {
            let text = line["json"].to_string();
            let response: Option<Response<'_>> = serde_json::from_str(&text).ok();
            response
                .and_then(|response| response.error)
                .unwrap_or_else(|| ErrorBody::of_rest(text.as_bytes()))
                .code
        })
        .collect();
    assert!(codes.is_empty() || codes == [-1003, -2019, -2022, -4003, -2010], "{codes:?}");
}
