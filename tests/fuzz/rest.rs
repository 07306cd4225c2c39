//! Answers to everything a gateway asks, on both roads, among losses and silences: no order goes out twice,
//! a fill counts once, and the engine stays one that can be.

use crate::desk::Desk;
use crate::target::{Target, bounded, recorded_lines};
use crate::user_stream::{filled, placed_stop};

const ENTRY: &str = r#"{"orderId":9001,"symbol":"BTCUSDT","status":"NEW","clientOrderId":"qt-00000007-00000001","executedQty":"0.000","updateTime":1700000000000}"#;
const STOP: &str = r#"{"algoId":5002,"clientAlgoId":"qt-00000007-00000002","symbol":"BTCUSDT","algoStatus":"NEW","updateTime":1700000000000}"#;
const TRADES: &str = r#"[{"id":31,"orderId":9001,"symbol":"BTCUSDT","side":"BUY","price":"60000.00","qty":"0.004","commission":"0.12","commissionAsset":"USDT","maker":false,"time":1700000000000}]"#;
const ACCOUNT: &str = r#"{"assets":[{"asset":"USDT","walletBalance":"9999.88","updateTime":1700000000000}]}"#;
const POSITIONS: &str = r#"[{"symbol":"BTCUSDT","positionSide":"BOTH","positionAmt":"0.004","entryPrice":"60000","updateTime":1700000000000}]"#;
const LISTEN_KEY: &str = r#"200 {"listenKey":"a-key"}"#;
const TIME: &str = r#"200 {"serverTime":1700000000250}"#;

fn check_answers(bytes: &[u8]) -> bool {
    bounded(bytes.len(), 4 << 20, 2_048, || Desk::new().hear(bytes))
}

/// A response of the order websocket.
fn response(request: u32, result: &str) -> String {
    format!(r#"order {{"id":"{request}","status":200,"result":{result},"rateLimits":[]}}"#)
}

fn refusal(request: u32, status: u16, code: i32) -> String {
    format!(
        r#"order {{"id":"{request}","status":{status},"error":{{"code":{code},"msg":"no","data":{{"serverTime":1,"retryAfter":1700000060000}}}}}}"#
    )
}

fn seeds() -> Vec<Vec<u8>> {
    let lines = |lines: &[&str]| lines.join("\n").into_bytes();
    let ok = |body: &str| format!("200 {body}");
    let (placed, stop) = (response(1, ENTRY), response(2, STOP));
    let part = ENTRY.replace("NEW", "PARTIALLY_FILLED").replace("0.000", "0.004");
    let (done, gone) =
        (ENTRY.replace("NEW", "FILLED").replace("0.000", "0.008"), STOP.replace("NEW", "TRIGGERED"));
    let stopped = done.replace("9001", "9002").replace("00000001\"", "00000002\"");
    let (trades, account, positions) = (ok(TRADES), ok(ACCOUNT), ok(POSITIONS));
    let missed = ["user-down", "pass 300", LISTEN_KEY, "user-up"];
    // Open orders of both services, then each order, then what became of them.
    let reconciled = |orders: &[&str]| {
        let bodies: Vec<String> = [ok(&format!("[{ENTRY}]")), ok("[]")]
            .into_iter()
            .chain(orders.iter().map(|body| ok(body)))
            .collect();
        let mut all = vec!["long", &placed];
        all.extend(missed);
        // Each answer takes its time.
        for answer in bodies.iter().chain([&trades, &account, &positions]) {
            all.extend(["pass 1", answer]);
        }
        lines(&all)
    };
    vec![
        lines(&["long", &placed, &filled(), &stop, &placed_stop()]),
        reconciled(&[&part]),
        reconciled(&[&done]),
        lines(&[
            "long",
            &placed,
            &filled(),
            &stop,
            missed[0],
            missed[1],
            missed[2],
            missed[3],
            "200 []",
            &ok(&format!("[{STOP}]")),
            &ok(&gone),
            &ok(&stopped),
            &trades
                .replace("\"id\":31", "\"id\":33")
                .replace("9001", "9002")
                .replace("0.004", "0.008")
                .replace("BUY", "SELL"),
            &account,
            &positions.replace("0.004", "0"),
        ]),
        lines(&["orders-down", "long", &ok(ENTRY), &filled(), &ok(STOP), "orders-up", "flatten"]),
        lines(&["long", "notsent", &ok(ENTRY), "orders-down", "short", "lost", "pass 2000", &ok(ENTRY)]),
        lines(&["long", &refusal(1, 400, -2019), "short", &refusal(2, 400, -4116)]),
        lines(&["long", &refusal(1, 429, -1003), "short", "pass 61000", "short"]),
        lines(&["long", &refusal(1, 400, -1021), TIME, "pass 1900000", "200 {}", TIME]),
        lines(&["long", "pass 11000", "pass 1000", &response(2, ENTRY), "unsent", "pass 60000"]),
        lines(&[
            "orders-down",
            "long",
            r#"503 {"code":-1008,"msg":"overloaded"}"#,
            "short",
            r#"418/7 {"code":-1003,"msg":"banned"}"#,
        ]),
    ]
}

#[test]
fn rest() {
    let target = Target {
        name: "rest",
        inputs: 2_000,
        seeds: seeds(),
        recorded: recorded(),
        words: vec![
            "long\n",
            "short\n",
            "flatten\n",
            "resume\n",
            "price 540000\n",
            "pass 300\n",
            "pass 11000\n",
            "pass 61000\n",
            "orders-down\n",
            "orders-up\n",
            "user-down\n",
            "user-up\n",
            "lost\n",
            "unsent\n",
            "notsent\n",
            LISTEN_KEY,
            "200 {}\n",
            "200 []\n",
            "400 ",
            "429/7 ",
            "200/0/2399 ",
            "\"rateLimits\":[{\"rateLimitType\":\"ORDERS\",\"count\":299}]",
            "503 ",
            "order ",
            "-1003",
            "-1007",
            "-1021",
            "-1125",
            "-2013",
            "-2022",
            "-4116",
            "FILLED",
            "PARTIALLY_FILLED",
            "CANCELED",
            "EXPIRED",
            "REJECTED",
            "TRIGGERED",
            "FINISHED",
            "orderId",
            "algoId",
            "executedQty",
            "walletBalance",
            "positionAmt",
            "0.001",
            "60000.05",
            "BTCUSDT",
            "ETHUSDT",
            "USDT",
            "BOTH",
        ],
        check: check_answers,
    };
    target.run();
}

#[test]
fn a_reconciliation_is_gone_through() {
    for seed in &seeds()[1..4] {
        let mut desk = Desk::new();
        desk.hear(seed);
        let said: Vec<&str> = desk.said.iter().map(|event| event.body.name()).collect();
        // The wallet is told by nobody else, and the last word is that the stream is believed again.
        assert!(said.contains(&"AccountUpdate") && said.ends_with(&["FeedStatus"]), "{said:?}");
    }
}

/// Documented answers, each as the one to an entry.
fn recorded() -> Vec<Vec<u8>> {
    let lines = recorded_lines("user-data/binance_connector_rust_usds_futures_samples.jsonl", 200);
    let sample = |line: &Vec<u8>| {
        let line: serde_json::Value = serde_json::from_slice(line).ok()?;
        let (road, body) = (line["api"].as_str()?, &line["json"]);
        Some(match road {
            "websocket_api" => format!("long\norder {body}").into_bytes(),
            _ => format!("orders-down\nlong\n200 {body}").into_bytes(),
        })
    };
    lines.iter().filter_map(sample).filter(|text| text.len() < 4_096).collect()
}
