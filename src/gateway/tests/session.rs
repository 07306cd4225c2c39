//! The user stream: lost, expired, found again, and what it missed.

use super::*;

pub(super) fn trade(id: i64, sequence: u32, quantity: &str) -> Value {
    json!({"id": id, "orderId": 9_000 + sequence, "symbol": "BTCUSDT", "side": "BUY", "price": "60000.0",
           "qty": quantity, "commission": "0.03", "commissionAsset": "USDT", "maker": false, "time": T0_MS})
}

pub(super) fn account(wallet: &str, at: i64) -> Value {
    json!({"assets": [{"asset": "BNB", "walletBalance": "1", "updateTime": 0},
                      {"asset": "USDT", "walletBalance": wallet, "updateTime": at}], "positions": []})
}

pub(super) fn positions(quantity: &str, at: i64) -> Value {
    json!([{"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": quantity, "entryPrice": "60000", "updateTime": at},
           {"symbol": "OTHERUSDT", "positionSide": "BOTH", "positionAmt": "5", "entryPrice": "1", "updateTime": at}])
}

/// The lists of the one instrument concerned, answered.
pub(super) fn lists(desk: &mut Desk, orders: &[Value], algo_orders: &[Value]) {
    let calls = desk.called();
    let asked: Vec<&str> = calls.iter().map(|(_, what)| what.as_str()).collect();
    assert_eq!(asked, ["Get /fapi/v1/openOrders", "Get /fapi/v1/openAlgoOrders"]);
    desk.rest(calls[0].0, 200, &json!(orders));
    desk.rest(calls[1].0, 200, &json!(algo_orders));
}

/// The only REST call waiting, answered.
pub(super) fn answer(desk: &mut Desk, call: &str, body: &Value) {
    let calls = desk.called();
    let (request, what) = calls.first().unwrap_or_else(|| panic!("{call}: nothing was asked"));
    assert_eq!((calls.len(), what.as_str()), (1, call));
    desk.rest(*request, 200, body);
}

/// A desk whose user stream was lost and is open again; `before` happens while it is up.
fn reopened(before: impl FnOnce(&mut Desk)) -> Desk {
    let mut desk = Desk::new();
    before(&mut desk);
    desk.events();
    desk.on(Input::UserLink(Link::Down));
    assert_eq!(desk.said(), ["User Down"]);
    desk.wait(NS_PER_SEC);
    answer(&mut desk, "Post /fapi/v1/listenKey", &json!({"listenKey": "abc"}));
    assert_eq!(desk.out.open_user.take().as_deref(), Some("abc"));
    desk.on(Input::UserLink(Link::Up));
    desk
}

#[test]
fn a_stream_that_missed_nothing() {
    let mut desk = reopened(|_| {});
    assert_eq!(desk.said(), [""; 0], "not up before it was asked");
    answer(&mut desk, "Get /fapi/v3/account", &account("100", T0_MS));
    answer(&mut desk, "Get /fapi/v3/positionRisk", &positions("0", T0_MS));
    assert_eq!(desk.said(), ["Snapshot 100", "User Up"]);
    assert_eq!(desk.gateway.counters().reconciliations, 1);
}

#[test]
fn fills_that_were_missed_come_before_what_became_of_their_order() {
    let mut desk = reopened(|desk| {
        desk.place(entry(1));
        let request = desk.request();
        desk.response(&success(request, &order_result(1, "NEW", "0")));
        desk.user(&order_message(1, "TRADE", "PARTIALLY_FILLED", "0.001", Some((41, "0.001"))));
    });
    lists(&mut desk, &[], &[]);
    answer(&mut desk, "Get /fapi/v1/order", &order_result(1, "FILLED", "0.002"));
    assert_eq!(desk.said(), [""; 0], "held until the fills are told");
    answer(
        &mut desk,
        "Get /fapi/v1/userTrades",
        &json!([trade(41, 1, "0.001"), trade(42, 1, "0.001"), trade(43, 800, "1")]),
    );
    let mut foreign = order_result(800, "FILLED", "1");
    foreign["clientOrderId"] = json!("web_1");
    answer(&mut desk, "Get /fapi/v1/order", &foreign);
    answer(&mut desk, "Get /fapi/v3/account", &account("99.94", T0_MS));
    answer(&mut desk, "Get /fapi/v3/positionRisk", &positions("0.002", T0_MS));
    assert_eq!(desk.said(), ["Fill 1 1@600000", "Filled 1", "Snapshot 99.94", "Position 2", "User Up"]);
    assert_eq!(desk.gateway.counters().foreign, 1);
    // What the old stream still had says nothing new.
    desk.user(&order_message(1, "TRADE", "FILLED", "0.002", Some((42, "0.001"))));
    assert_eq!(desk.said(), [""; 0]);
}

#[test]
fn a_stop_that_triggered_meanwhile_is_followed_to_its_ordinary_order() {
    let mut desk = reopened(|desk| {
        desk.place(stop(2));
        desk.written();
        desk.user(&algo_message(2, "NEW"));
    });
    lists(&mut desk, &[], &[]);
    answer(&mut desk, "Get /fapi/v1/algoOrder", &algo_result(2, "FINISHED"));
    answer(&mut desk, "Get /fapi/v1/order", &order_result(2, "FILLED", "0.002"));
    answer(&mut desk, "Get /fapi/v1/userTrades", &json!([trade(7, 2, "0.002")]));
    answer(&mut desk, "Get /fapi/v3/account", &account("90", T0_MS));
    answer(&mut desk, "Get /fapi/v3/positionRisk", &json!([]));
    let said = desk.said();
    // No "Triggered 2" in between: its fills may have ended the trade.
    assert_eq!(&said[..3], ["Fill 2 2@600000", "Filled 2", "Snapshot 90"]);
    assert_eq!(said.last().unwrap(), "User Up");
}

/// The new stream is read while the questions are on their way; an answer may be older than it.
#[test]
fn an_answer_that_the_stream_overtook_is_old_news() {
    let mut desk = reopened(|desk| {
        desk.place(entry(1));
        desk.written();
        desk.user(&order_message(1, "NEW", "NEW", "0", None));
    });
    lists(&mut desk, &[order_result(1, "NEW", "0")], &[]);
    let calls = desk.called();
    desk.user(&account_message("ORDER", "99.94", "0", Some("0.002")));
    desk.user(&order_message(1, "TRADE", "FILLED", "0.002", Some((42, "0.002"))));
    desk.rest(calls[0].0, 200, &order_result(1, "NEW", "0"));
    answer(&mut desk, "Get /fapi/v1/userTrades", &json!([]));
    answer(&mut desk, "Get /fapi/v3/account", &account("100", T0_MS - 50));
    answer(&mut desk, "Get /fapi/v3/positionRisk", &positions("0", T0_MS - 50));
    assert_eq!(
        desk.said(),
        ["Order 99.94", "Position 2", "Fill 1 2@600000", "Filled 1", "User Up"],
        "no \"Accepted 1\": the trade it was of may be gone"
    );
    desk.user(&order_message(1, "NEW", "NEW", "0", None));
    assert_eq!(desk.said(), [""; 0]);
}

#[test]
fn a_question_that_fails_begins_the_round_again() {
    let mut desk = reopened(|_| {});
    let (first, _) = desk.called()[0].clone();
    desk.on(Input::Rest(first, RestOutcome::Lost));
    desk.wait(NS_PER_SEC / 2);
    assert!(desk.called().is_empty());
    desk.wait(NS_PER_SEC / 2);
    let (second, what) = desk.called()[0].clone();
    assert_eq!(what, "Get /fapi/v3/account");
    desk.rest(second, 500, &json!({}));
    desk.wait(NS_PER_SEC);
    answer(&mut desk, "Get /fapi/v3/account", &json!({"assets": "nonsense"}));
    desk.wait(NS_PER_SEC);
    answer(&mut desk, "Get /fapi/v3/account", &account("1", T0_MS));
    answer(&mut desk, "Get /fapi/v3/positionRisk", &json!([]));
    assert_eq!(desk.said(), ["Snapshot 1", "User Up"]);
    assert_eq!(desk.gateway.counters().reconciliation_rounds, 4);
}

#[test]
fn more_trades_than_an_answer_holds() {
    let mut desk = reopened(|desk| {
        desk.place(entry(1));
        desk.written();
        desk.user(&order_message(1, "NEW", "NEW", "0", None));
    });
    lists(&mut desk, &[order_result(1, "NEW", "0")], &[]);
    answer(&mut desk, "Get /fapi/v1/order", &order_result(1, "NEW", "0"));
    let page: Vec<Value> = (0..1_000).map(|trade_id| trade(trade_id, 800, "1")).collect();
    answer(&mut desk, "Get /fapi/v1/userTrades", &json!(page));
    let rest = desk.out.rest.pop_front().unwrap();
    assert!(rest.call.query.contains("fromId=1000"), "{}", rest.call.query);
    desk.rest(rest.request, 200, &json!([trade(1_000, 1, "0.001")]));
    let mut foreign = order_result(800, "FILLED", "1000");
    foreign["clientOrderId"] = json!("web_1");
    answer(&mut desk, "Get /fapi/v1/order", &foreign);
    assert_eq!(desk.said(), ["Fill 1 1@600000", "Accepted 1"]);
}

#[test]
fn a_listen_key_that_expired() {
    let mut desk = Desk::new();
    desk.user(&json!({"e": "listenKeyExpired", "E": T0_MS, "listenKey": "old"}));
    assert_eq!(desk.said(), ["User Down"]);
    assert!(desk.out.close_user);
    // The connection goes too: the same loss.
    desk.on(Input::UserLink(Link::Down));
    assert_eq!(desk.said(), [""; 0]);
    desk.wait(NS_PER_SEC);
    let calls = desk.called();
    assert_eq!(calls[0].1, "Post /fapi/v1/listenKey");
    // Refused, and unreachable: again, later each time.
    desk.rest(calls[0].0, 400, &json!({"code": -1000, "msg": ""}));
    assert!(desk.called().is_empty());
    desk.wait(NS_PER_SEC);
    let again = desk.called()[0].0;
    desk.on(Input::Rest(again, RestOutcome::Unsent));
    desk.wait(2 * NS_PER_SEC);
    answer(&mut desk, "Post /fapi/v1/listenKey", &json!({"listenKey": "new"}));
    assert_eq!(desk.out.open_user.as_deref(), Some("new"));
    // It can't be opened.
    desk.on(Input::UserLink(Link::Down));
    desk.wait(5 * NS_PER_SEC);
    assert_eq!(desk.called()[0].1, "Post /fapi/v1/listenKey");
    assert_eq!(desk.gateway.counters().listen_keys_expired, 1);
}

#[test]
fn a_listen_key_is_kept_alive() {
    let mut desk = Desk::new();
    desk.wait(30 * 60 * NS_PER_SEC - 1);
    assert!(desk.called().is_empty());
    desk.wait(1);
    let calls = desk.called();
    assert_eq!(calls.iter().map(|(_, what)| what.as_str()).collect::<Vec<_>>(), ["Put /fapi/v1/listenKey"]);
    desk.rest(calls[0].0, 200, &json!({}));
    desk.wait(30 * 60 * NS_PER_SEC);
    let calls = desk.called();
    desk.rest(calls[0].0, 400, &json!({"code": -1125, "msg": "This listenKey does not exist."}));
    assert_eq!(desk.said(), ["User Down"]);
    assert!(desk.out.close_user);
}

#[test]
fn while_silent_nothing_is_asked() {
    let mut desk = Desk::new();
    desk.place(entry(1));
    let request = desk.request();
    desk.response(&refusal(request, 418, -1003));
    desk.on(Input::UserLink(Link::Down));
    desk.wait(119 * NS_PER_SEC);
    assert!(desk.called().is_empty());
    desk.wait(NS_PER_SEC);
    assert_eq!(desk.called()[0].1, "Post /fapi/v1/listenKey");
}

#[test]
fn a_cancel_without_a_user_stream_is_told_by_its_answer() {
    let mut desk = Desk::new();
    desk.place(stop(2));
    desk.written();
    desk.user(&algo_message(2, "NEW"));
    desk.on(Input::UserLink(Link::Down));
    desk.events();
    desk.cancel(2, OrderKind::StopMarket);
    let request = desk.request();
    desk.response(&success(
        request,
        &json!({"algoId": 5_002, "clientAlgoId": client_id(2), "code": "200", "msg": "success"}),
    ));
    assert_eq!(desk.said(), ["Canceled 2"]);
}

#[test]
fn a_message_that_cannot_be_read_is_asked_for() {
    let mut desk = Desk::new();
    desk.place(entry(1));
    desk.request();
    let mut broken = order_message(1, "TRADE", "FILLED", "0.002", Some((5, "0.002")));
    broken["o"]["l"] = json!("0.00005");
    desk.user(&broken);
    desk.on(Input::UserText(b"{\"e\":"));
    assert_eq!(desk.gateway.counters().unreadable, 2);
    assert!(desk.called().is_empty(), "a burst is one reason");
    desk.wait(NS_PER_SEC);
    lists(&mut desk, &[], &[]);
    answer(&mut desk, "Get /fapi/v1/order", &order_result(1, "FILLED", "0.002"));
    answer(&mut desk, "Get /fapi/v1/userTrades", &json!([trade(5, 1, "0.002")]));
    answer(&mut desk, "Get /fapi/v3/account", &account("1", T0_MS));
    answer(&mut desk, "Get /fapi/v3/positionRisk", &json!([]));
    let said = desk.said();
    assert_eq!(&said[..2], ["Fill 1 2@600000", "Filled 1"]);
    assert_eq!(said.last().unwrap(), "User Resynced", "it was never down");
}

#[test]
fn wallet_changes_count_once() {
    let mut desk = Desk::new();
    let funding = account_message("FUNDING_FEE", "99", "-1", Some("0.002"));
    desk.user(&funding);
    desk.user(&funding);
    let events = desk.events();
    assert_eq!(events.len(), 1, "no position changed");
    assert_eq!(events[0].0, BTC, "what was funded");
    let EventBody::AccountUpdate(update) = events[0].1 else { panic!() };
    assert_eq!((update.change, update.wallet), (Dec::int(-1), Dec::int(99)));
    desk.user(&account_message("FUNDING_FEE", "98", "-1", None));
    desk.user(&account_message("MARGIN_TRANSFER", "198", "100", None));
    desk.user(&account_message("INSURANCE_CLEAR", "197", "-1", None));
    assert_eq!(desk.said(), ["Funding 98", "Transfer 198", "Adjustment 197"]);
    assert_eq!(desk.gateway.counters().duplicates, 1);
}

/// Wallet and position are states: the newer one counts, whichever comes first. A change is a change.
#[test]
fn a_message_that_another_has_overtaken_states_nothing() {
    let mut desk = Desk::new();
    let at = |ms: i64, mut message: Value| {
        message["T"] = json!(T0_MS + ms);
        message
    };
    desk.user(&at(5, account_message("ORDER", "90", "0", Some("0.003"))));
    desk.user(&at(4, account_message("ORDER", "95", "0", Some("0.002"))));
    assert_eq!(desk.said(), ["Order 90", "Position 3"]);
    desk.user(&at(4, account_message("DEPOSIT", "105", "10", None)));
    let transfer = desk.events();
    let [(_, EventBody::AccountUpdate(update))] = transfer.as_slice() else { panic!("{transfer:?}") };
    assert_eq!((update.wallet, update.change), (Dec::int(90), Dec::int(10)));
    assert_eq!(update.event_ms, T0_MS + 5, "as old as the wallet it states");
    desk.user(&at(5, account_message("ORDER", "89", "0", Some("0.004"))));
    assert_eq!(desk.said(), ["Order 89", "Position 4"], "of the same moment the later one counts");
    // One from next year does not make all that follows old.
    desk.user(&at(31_536_000_000, account_message("ORDER", "88", "0", Some("0.005"))));
    desk.now = desk.now + 61 * NS_PER_SEC;
    desk.user(&at(61_000, account_message("ORDER", "87", "0", Some("0.006"))));
    assert_eq!(desk.said(), ["Order 88", "Position 5", "Order 87", "Position 6"]);
}

#[test]
fn settings_changed_behind_our_back_are_told() {
    let mut desk = Desk::new();
    desk.user(&json!({"e": "ACCOUNT_CONFIG_UPDATE", "E": 1, "T": 1, "ac": {"s": "ETHUSDT", "l": 25}}));
    desk.user(&json!({"e": "ACCOUNT_CONFIG_UPDATE", "E": 1, "T": 1, "ai": {"j": true}}));
    let events = desk.events();
    let setup = |at: usize| match events[at] {
        (instrument, EventBody::VenueSetup(setup)) => (instrument, setup.leverage, setup.single_asset),
        ref other => panic!("{other:?}"),
    };
    assert_eq!((setup(0), setup(1)), ((ETH, 25, true), (InstrumentId::NONE, 0, false)));
}
