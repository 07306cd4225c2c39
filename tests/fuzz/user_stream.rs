//! Messages of the user stream, to a gateway and an engine with orders and positions: an order's state only
//! goes forward, a fill counts once, nothing is sent unasked, and the engine stays one that can be.

use quantum_trader::event::{EventBody, OrderStatus};

use crate::desk::Desk;
use crate::target::{Target, bounded, recorded_lines};

const ENTRY: &str = "qt-00000007-00000001";
const STOP: &str = "qt-00000007-00000002";

fn order(client_id: &str, execution: &str, status: &str, filled: &str, last: &str, trade: u32) -> String {
    format!(
        r#"{{"e":"ORDER_TRADE_UPDATE","E":1700000000001,"T":1700000000000,"o":{{"s":"BTCUSDT","c":"{client_id}","S":"BUY","o":"MARKET","q":"0.008","x":"{execution}","X":"{status}","i":9001,"l":"{last}","z":"{filled}","L":"60000.0","N":"USDT","n":"0.03","t":{trade},"m":false}}}}"#
    )
}

fn algo(status: &str) -> String {
    format!(
        r#"{{"e":"ALGO_UPDATE","E":1700000000001,"T":1700000000000,"o":{{"s":"BTCUSDT","caid":"{STOP}","aid":5002,"S":"SELL","X":"{status}"}}}}"#
    )
}

fn account(reason: &str, wallet: &str, change: &str, position: &str) -> String {
    format!(
        r#"{{"e":"ACCOUNT_UPDATE","E":1700000000001,"T":1700000000000,"a":{{"m":"{reason}","B":[{{"a":"USDT","wb":"{wallet}","bc":"{change}"}}],"P":[{{"s":"BTCUSDT","pa":"{position}","ep":"60000","ps":"BOTH"}}]}}}}"#
    )
}

fn check_messages(bytes: &[u8]) -> bool {
    let (right, said) = bounded(bytes.len(), 4 << 20, 2_048, || {
        let mut desk = Desk::new();
        let right = desk.hear(bytes);
        (right, desk.said)
    });
    let asks = [&b"order "[..], b"orders-", b"user-", b"200 ", b"pass"];
    if !asks.iter().any(|word| bytes.windows(word.len()).any(|part| part == *word)) {
        // Nothing was asked, so nothing is told in answer: each word is news.
        let mut stages = std::collections::BTreeMap::new();
        for event in &said {
            let EventBody::OrderUpdate(update) = event.body else { continue };
            if update.code > 0 {
                continue; // The gateway's own refusal: the order never was.
            }
            let stage = stage(update.status);
            let before = stages.insert(update.order, stage).unwrap_or(0);
            assert!(before < stage, "{update:?} behind {before}");
        }
    }
    right
}

fn stage(status: OrderStatus) -> u8 {
    match status {
        OrderStatus::Unknown => 1,
        OrderStatus::Accepted => 2,
        OrderStatus::Triggered => 3,
        OrderStatus::Filled | OrderStatus::Canceled | OrderStatus::Expired | OrderStatus::Rejected => 4,
        OrderStatus::NotFound | OrderStatus::CancelRejected => 5,
    }
}

/// The entry has filled.
pub fn filled() -> String {
    order(ENTRY, "TRADE", "FILLED", "0.008", "0.008", 32)
}

/// Its stop rests.
pub fn placed_stop() -> String {
    algo("NEW")
}

/// An entry that fills, and its stop.
pub fn bought() -> Vec<u8> {
    let new = order(ENTRY, "NEW", "NEW", "0", "0", 0);
    ["long", &new, &filled(), &account("ORDER", "9999.97", "0", "0.008"), &placed_stop()]
        .join("\n")
        .into_bytes()
}

#[test]
fn user_stream() {
    let lines = |lines: &[&str]| lines.join("\n").into_bytes();
    let (new, part) = (
        order(ENTRY, "NEW", "NEW", "0", "0", 0),
        order(ENTRY, "TRADE", "PARTIALLY_FILLED", "0.004", "0.004", 31),
    );
    let (filled, canceled) = (
        order(ENTRY, "TRADE", "FILLED", "0.008", "0.004", 32),
        order(ENTRY, "CANCELED", "CANCELED", "0.004", "0", 0),
    );
    let stopped = order(STOP, "TRADE", "FILLED", "0.008", "0.008", 33).replace("BUY", "SELL");
    let forced =
        order("autoclose-1700000000000", "CALCULATED", "FILLED", "0.008", "0.008", 34).replace("BUY", "SELL");
    let (account_bought, flat) =
        (account("ORDER", "9999.97", "0", "0.008"), account("ORDER", "9900", "0", "0"));
    let funding = account("FUNDING_FEE", "9999.5", "-0.5", "0.008");
    let deposit = account("DEPOSIT", "20000", "10000", "0");
    let config = r#"{"e":"ACCOUNT_CONFIG_UPDATE","E":1,"T":1,"ac":{"s":"BTCUSDT","l":25}}"#;
    let modes = r#"{"e":"ACCOUNT_CONFIG_UPDATE","E":1,"T":1,"ai":{"j":true}}"#;
    let others =
        [r#"{"e":"listenKeyExpired","E":1}"#, r#"{"e":"MARGIN_CALL","E":1}"#, r#"{"e":"TRADE_LITE","E":1}"#];
    let seeds = vec![
        bought(),
        lines(&["long", &part, &account_bought, &algo("NEW"), &canceled]),
        lines(&[
            "long",
            &filled,
            &algo("NEW"),
            &algo("TRIGGERING"),
            &algo("TRIGGERED"),
            &stopped,
            &flat,
            &algo("FINISHED"),
        ]),
        lines(&["long", &filled, &account_bought, &forced, &flat]),
        lines(&["long", &filled, &funding, &deposit, config, modes]),
        lines(&["long", "short", &new, &filled, "price 640000", "pass 1000", "flatten"]),
        lines(&others),
    ];
    let target = Target {
        name: "user_stream",
        inputs: 2_000,
        seeds,
        recorded: recorded(),
        words: vec![
            "ORDER_TRADE_UPDATE",
            "ALGO_UPDATE",
            "ACCOUNT_UPDATE",
            "ACCOUNT_CONFIG_UPDATE",
            "listenKeyExpired",
            ENTRY,
            STOP,
            "BTCUSDT",
            "ETHUSDT",
            "NEW",
            "TRADE",
            "FILLED",
            "PARTIALLY_FILLED",
            "CANCELED",
            "EXPIRED",
            "REJECTED",
            "TRIGGERED",
            "CALCULATED",
            "autoclose-1",
            "adl_autoclose",
            "FUNDING_FEE",
            "WITHDRAW",
            "USDT",
            "BNB",
            "BOTH",
            "SELL",
            "BUY",
            "0.001",
            "60000.05",
            "1000000000000",
            "\nlong\n",
            "\nshort\n",
            "\npass 1000\n",
            "\nprice 540000\n",
            "\nflatten\n",
            "\nresume\n",
        ],
        check: check_messages,
    };
    target.run();
}

fn recorded() -> Vec<Vec<u8>> {
    let lines = recorded_lines("user-data/binance_um_user_stream_recorded.jsonl", 100);
    let raw = lines.iter().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_slice(line).ok()?;
        Some(line["raw"].as_str()?.as_bytes().to_vec())
    });
    raw.collect()
}
