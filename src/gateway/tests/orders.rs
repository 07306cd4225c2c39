//! Orders: the two roads, acknowledgements lost and found, refusals.

use super::*;
use crate::venue::binance::code;

fn placed(order: Order) -> (Desk, RequestId) {
    let mut desk = Desk::new();
    desk.place(order);
    let request = desk.request();
    (desk, request)
}

/// A stop that rests, is cancelled, and so on: what each answer to its placing amounts to.
#[test]
fn what_each_answer_to_an_order_amounts_to() {
    type Row = (u16, i32, &'static [&'static str], AnswerClass);
    let rows: [Row; 11] = [
        (400, -2019, &["Rejected 1 -2019"], AnswerClass::Refused),
        (400, -2021, &["Rejected 1 -2021"], AnswerClass::Refused),
        (400, -1021, &["Rejected 1 -1021"], AnswerClass::Clock),
        (429, -1003, &["Orders Down", "Rejected 1 -1003"], AnswerClass::RateLimited),
        (418, -1003, &["Orders Down", "Rejected 1 -1003"], AnswerClass::RateLimited),
        (400, -1007, &["Unknown 1 -1007"], AnswerClass::StateUnknown),
        (400, -1006, &["Unknown 1 -1006"], AnswerClass::StateUnknown),
        (503, 0, &["Unknown 1"], AnswerClass::StateUnknown),
        (503, -1008, &["Rejected 1 -1008"], AnswerClass::Refused),
        (500, -1000, &["Unknown 1 -1000"], AnswerClass::StateUnknown),
        // The late proof that it was accepted: it is asked for.
        (400, -4116, &["Unknown 1 -4116"], AnswerClass::Refused),
    ];
    for (status, code, expected, class) in rows {
        let (mut desk, request) = placed(entry(1));
        desk.response(&refusal(request, status, code));
        assert_eq!(desk.said(), expected, "{status} {code}");
        assert_eq!(desk.gateway.counters().answered(class), 1, "{status} {code}");
        assert!(desk.written().is_empty(), "nothing is sent again");
    }
}

#[test]
fn an_acknowledgement_is_told_once_whoever_brings_it() {
    let (mut desk, request) = placed(entry(1));
    desk.user(&order_message(1, "NEW", "NEW", "0", None));
    desk.response(&success(request, &order_result(1, "NEW", "0")));
    desk.user(&order_message(1, "NEW", "NEW", "0", None));
    assert_eq!(desk.said(), ["Accepted 1"]);
    assert_eq!(desk.gateway.counters().duplicates, 2);

    let (mut desk, request) = placed(stop(2));
    desk.response(&success(request, &algo_result(2, "NEW")));
    desk.user(&algo_message(2, "NEW"));
    assert_eq!(desk.said(), ["Accepted 2"]);
}

#[test]
fn a_fill_before_the_acknowledgement() {
    let (mut desk, request) = placed(entry(1));
    desk.user(&account_message("ORDER", "999.97", "0", Some("0.002")));
    desk.user(&order_message(1, "TRADE", "FILLED", "0.002", Some((11, "0.002"))));
    desk.response(&success(request, &order_result(1, "NEW", "0")));
    assert_eq!(desk.said(), ["Order 999.97", "Position 2", "Fill 1 2@600000", "Filled 1"]);
}

#[test]
fn the_life_of_a_stop() {
    let (mut desk, request) = placed(stop(2));
    desk.response(&success(request, &algo_result(2, "NEW")));
    desk.user(&algo_message(2, "TRIGGERING"));
    desk.user(&algo_message(2, "TRIGGERED"));
    // An ordinary order of the same name from here on.
    desk.user(&order_message(2, "NEW", "NEW", "0", None));
    desk.user(&order_message(2, "TRADE", "PARTIALLY_FILLED", "0.001", Some((5, "0.001"))));
    desk.user(&order_message(2, "TRADE", "FILLED", "0.002", Some((6, "0.001"))));
    desk.user(&algo_message(2, "FINISHED"));
    let expected = ["Accepted 2", "Triggered 2", "Fill 2 1@600000", "Fill 2 1@600000", "Filled 2"];
    assert_eq!(desk.said(), expected);
}

#[test]
fn how_a_stop_can_end() {
    for (before, status, expected) in [
        ("NEW", "CANCELED", "Canceled 2"),
        ("NEW", "EXPIRED", "Expired 2"),
        ("NEW", "REJECTED", "Rejected 2 -2010"),
        ("TRIGGERED", "REJECTED", "Expired 2 -2010"),
        ("TRIGGERED", "EXPIRED", "Expired 2"),
    ] {
        let (mut desk, _) = placed(stop(2));
        desk.user(&algo_message(2, before));
        desk.events();
        desk.user(&algo_message(2, status));
        desk.user(&algo_message(2, status));
        assert_eq!(desk.said(), [expected], "{before} {status}");
    }
}

#[test]
fn a_triggered_stop_is_cancelled_and_asked_for_as_an_ordinary_order() {
    let (mut desk, _) = placed(stop(2));
    desk.cancel(2, OrderKind::StopMarket);
    desk.query(2, OrderKind::StopMarket);
    let written = desk.written();
    assert_eq!(written.len(), 1, "the algo service is asked by REST");
    assert_eq!(written[0].1["method"], "algoOrder.cancel");
    assert_eq!(written[0].1["params"]["clientAlgoId"], client_id(2));
    assert_eq!(desk.called()[0].1, "Get /fapi/v1/algoOrder");
    desk.user(&algo_message(2, "TRIGGERED"));
    desk.cancel(2, OrderKind::StopMarket);
    desk.query(2, OrderKind::StopMarket);
    let methods: Vec<Value> = desk.written().iter().map(|(_, text)| text["method"].clone()).collect();
    assert_eq!(methods, ["order.cancel", "order.status"]);
}

#[test]
fn what_a_cancel_brings() {
    let (mut desk, _) = placed(entry(1));
    desk.cancel(1, OrderKind::Market);
    let request = desk.request();
    desk.response(&success(request, &order_result(1, "CANCELED", "0.001")));
    assert_eq!(desk.said(), [""; 0], "the user stream says it");
    desk.user(&order_message(1, "CANCELED", "CANCELED", "0.001", None));
    assert_eq!(desk.said(), ["Canceled 1"]);
    for code in [-2011, -2013, -1003, -1021] {
        desk.cancel(1, OrderKind::Market);
        if let Some((request, _)) = desk.written().pop() {
            desk.response(&refusal(request, 400, code));
            assert!(desk.said().contains(&format!("CancelRejected 1 {code}")), "{code}");
        }
    }
}

#[test]
fn a_query_is_always_answered() {
    let (mut desk, request) = placed(entry(1));
    desk.response(&success(request, &order_result(1, "NEW", "0")));
    desk.events();
    for (status, executed, expected, lots) in [
        ("NEW", "0", "Accepted 1", 0),
        ("PARTIALLY_FILLED", "0.001", "Accepted 1", 1),
        ("FILLED", "0.002", "Filled 1", 2),
        ("FILLED", "0.002", "Filled 1", 2),
    ] {
        desk.query(1, OrderKind::Market);
        let request = desk.request();
        desk.response(&success(request, &order_result(1, status, executed)));
        let events = desk.events();
        let [(BTC, EventBody::OrderUpdate(update))] = events[..] else { panic!("{events:?}") };
        assert_eq!((words(&events[0].1).as_str(), update.filled), (expected, Lots(lots)));
    }
    desk.query(9, OrderKind::Market);
    let request = desk.request();
    desk.response(&refusal(request, 400, code::NO_SUCH_ORDER));
    assert_eq!(desk.said(), ["NotFound 9 -2013"]);
}

#[test]
fn a_finished_stop_is_known_to_have_triggered_and_its_order_says_the_rest() {
    let (mut desk, _) = placed(stop(2));
    desk.query(2, OrderKind::StopMarket);
    let request = desk.called()[0].0;
    desk.rest(request, 200, &algo_result(2, "FINISHED"));
    assert_eq!(desk.said(), ["Triggered 2"]);
    desk.query(2, OrderKind::StopMarket);
    assert_eq!(desk.written()[0].1["method"], "order.status");
}

#[test]
fn a_lost_connection_makes_unanswered_orders_unknown_and_sends_nothing_again() {
    let mut desk = Desk::new();
    (1..=3).for_each(|sequence| desk.place(entry(sequence)));
    let written = desk.written();
    desk.response(&success(written[0].0, &order_result(1, "NEW", "0")));
    desk.user(&order_message(2, "TRADE", "PARTIALLY_FILLED", "0.001", Some((1, "0.001"))));
    desk.events();
    desk.on(Input::OrderLink(Link::Down));
    // 1 was acknowledged, 2 proved that it exists.
    assert_eq!(desk.said(), ["Unknown 3"]);
    assert!(desk.written().is_empty() && desk.called().is_empty());
    assert_eq!(desk.gateway.unknown_orders(), 1);
    // The answer may still be found, and then counts.
    desk.user(&order_message(3, "NEW", "NEW", "0", None));
    assert_eq!(desk.said(), ["Accepted 3"]);
    assert_eq!(desk.gateway.unknown_orders(), 0);
}

#[test]
fn what_was_not_written_takes_the_other_road() {
    let mut desk = Desk::new();
    desk.place(entry(1));
    // The caller took the text, and the socket did not.
    let request = desk.request();
    desk.on(Input::NotSent(request));
    let calls = desk.called();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].1, "Post /fapi/v1/order");
    // The caller did not even take it when the connection went.
    desk.place(stop(2));
    desk.on(Input::OrderLink(Link::Down));
    let calls = desk.called();
    assert_eq!(calls[0].1, "Post /fapi/v1/algoOrder");
    assert_eq!(desk.said(), [""; 0], "neither is UNKNOWN");
    desk.rest(calls[0].0, 200, &algo_result(2, "NEW"));
    assert_eq!(desk.said(), ["Accepted 2"]);
    // From now on by REST, until it is back.
    desk.place(entry(3));
    assert_eq!(desk.called().len(), 1);
    desk.on(Input::OrderLink(Link::Up));
    desk.place(entry(4));
    assert_eq!(desk.written().len(), 1);
}

#[test]
fn what_became_of_a_rest_call() {
    let call = |outcome: RestOutcome<'_>| {
        let mut desk = Desk::new();
        desk.on(Input::OrderLink(Link::Down));
        desk.place(entry(1));
        let request = desk.called()[0].0;
        desk.on(Input::Rest(request, outcome));
        desk.said()
    };
    assert_eq!(call(RestOutcome::Lost), ["Unknown 1"]);
    assert_eq!(call(RestOutcome::Unsent), ["Rejected 1 11", "Orders Down"]);
    let answer = |status, body| answered(status, None, body);
    assert_eq!(call(answer(502, b"<html>")), ["Unknown 1"]);
    assert_eq!(call(answer(400, br#"{"code":-2019,"msg":"Margin is insufficient."}"#)), ["Rejected 1 -2019"]);
    assert_eq!(call(answer(200, b"{}")), ["Unknown 1"], "an answer that can't be read proves nothing");
}

#[test]
fn silence_is_kept() {
    let (mut desk, request) = placed(entry(1));
    let until_ms = T0_MS + 5_000;
    desk.place(entry(2));
    desk.response(&json!({"id": request.to_string(), "status": 429, "error": {"code": -1003, "msg": "",
        "data": {"serverTime": T0_MS, "retryAfter": until_ms}}}));
    // The second was not written yet, and is not any more.
    assert_eq!(desk.said(), ["Orders Down", "Rejected 2 1", "Rejected 1 -1003"]);
    desk.place(entry(3));
    desk.cancel(3, OrderKind::Market);
    desk.query(3, OrderKind::Market);
    desk.wait(4_999 * 1_000_000);
    assert_eq!(desk.said(), ["Rejected 3 1", "CancelRejected 3 1"]);
    assert!(desk.written().is_empty() && desk.called().is_empty());
    assert_eq!((desk.out.withheld, desk.count(Refusal::Silenced)), (3, 4));
    desk.wait(1_000_000);
    assert_eq!(desk.said(), ["Orders Up"]);
    desk.place(entry(4));
    assert_eq!(desk.written().len(), 1);
}

#[test]
fn how_long_silence_lasts() {
    for (status, retry_after_s, seconds) in [
        (429, Some(7), 7),
        (429, None, 60),
        (418, None, 120),
        (418, Some(3), 3),
        (418, Some(600), 600),
        (429, Some(u32::MAX), 3 * 86_400),
    ] {
        let mut desk = Desk::new();
        desk.on(Input::OrderLink(Link::Down));
        desk.place(entry(1));
        let request = desk.called()[0].0;
        desk.on(Input::Rest(request, answered(status, retry_after_s, b"")));
        desk.events();
        desk.wait(seconds * NS_PER_SEC - 1);
        assert_eq!(desk.said(), [""; 0], "{status} {retry_after_s:?}");
        desk.wait(1);
        assert_eq!(desk.said(), ["Orders Up"], "{status} {retry_after_s:?}");
    }
}

#[test]
fn a_refused_timestamp_sets_the_clock() {
    let (mut desk, request) = placed(entry(1));
    desk.response(&refusal(request, 400, -1021));
    let calls = desk.called();
    assert_eq!(calls[0].1, "Get /fapi/v1/time");
    desk.now = desk.now + 200_000_000;
    desk.rest(calls[0].0, 200, &json!({"serverTime": T0_MS + 1_500}));
    desk.place(entry(2));
    // Asked at 0, answered at 200 ms: the venue's 1,500 was at 100 of ours.
    assert_eq!(desk.written()[0].1["params"]["timestamp"], T0_MS + 200 + 1_400);
}

#[test]
fn limits_refuse_with_codes_of_our_own() {
    let too_large = Order { quantity: Lots(17), ..entry(1) };
    let far_away = Order { reference: Ticks(640_000), ..entry(1) };
    let malformed = Order { quantity: Lots(0), ..stop(1) };
    for (order, refusal) in [
        (too_large, Refusal::OrderNotional),
        (far_away, Refusal::PriceCollar),
        (malformed, Refusal::Malformed),
    ] {
        let mut desk = Desk::new();
        desk.place(order);
        assert_eq!(desk.said(), [format!("Rejected 1 {}", refusal.code())]);
        assert!(desk.written().is_empty());
        assert_eq!((desk.count(refusal), desk.out.withheld), (1, 1));
    }
    let mut desk = Desk::new();
    desk.on(Input::Instruction(InstrumentId(9), Instruction::Order(entry(1))));
    assert_eq!(desk.said(), [format!("Rejected 1 {}", Refusal::UnknownInstrument.code())]);
}

/// The venue's word counts for the position limit, and what is on its way does.
#[test]
fn a_position_and_what_is_pending_count_together() {
    let mut desk = Desk::new();
    let large = |sequence| Order { quantity: Lots(8), ..entry(sequence) };
    desk.place(large(1));
    desk.place(large(2));
    desk.place(entry(3));
    assert_eq!(desk.said(), ["Rejected 3 4"], "960 pending of 1,000");
    desk.written();
    desk.user(&order_message(1, "CANCELED", "CANCELED", "0", None));
    desk.user(&order_message(2, "EXPIRED", "EXPIRED", "0.001", Some((1, "0.001"))));
    desk.events();
    desk.place(Order { quantity: Lots(15), ..entry(4) });
    assert_eq!(desk.said(), [""; 0], "one lot is held, fifteen fit");
    desk.place(entry(5));
    assert_eq!(desk.said(), ["Rejected 5 4"]);
}

#[test]
fn an_id_is_used_once() {
    let mut desk = Desk::new();
    desk.place(entry(5));
    desk.place(entry(5));
    desk.place(entry(4));
    assert_eq!(desk.written().len(), 1);
    // Told to nobody: the id is a live order's.
    assert_eq!(desk.said(), [""; 0]);
    assert_eq!((desk.count(Refusal::IdUsed), desk.out.withheld), (2, 2));
}

#[test]
fn an_answer_overdue_is_lost_and_the_connection_with_it() {
    let (mut desk, _) = placed(entry(1));
    desk.wait(10 * NS_PER_SEC - 1);
    assert_eq!((desk.said(), desk.out.reopen_orders), (vec![], false));
    desk.wait(1);
    assert_eq!((desk.said(), desk.out.reopen_orders), (vec!["Unknown 1".to_string()], true));

    let mut desk = Desk::with(settings(), true);
    desk.place(entry(1));
    desk.wait(3_600 * NS_PER_SEC);
    assert_eq!((desk.said(), desk.out.reopen_orders), (vec![], false), "in lockstep time proves nothing");
}

#[test]
fn an_order_the_venue_never_heard_of_stops_counting_after_a_minute() {
    let large = |sequence| Order { quantity: Lots(16), ..entry(sequence) };
    let (mut desk, _) = placed(large(1));
    desk.on(Input::OrderLink(Link::Down));
    desk.on(Input::OrderLink(Link::Up));
    let ask = |desk: &mut Desk| {
        desk.query(1, OrderKind::Market);
        let request = desk.request();
        desk.response(&refusal(request, 400, code::NO_SUCH_ORDER));
        desk.events();
    };
    ask(&mut desk);
    desk.place(large(2));
    assert_eq!(desk.said(), ["Rejected 2 4"], "it may still turn out to exist");
    desk.wait(60 * NS_PER_SEC);
    ask(&mut desk);
    desk.place(large(3));
    assert_eq!(desk.said(), [""; 0]);
    // And if it does, that is told.
    desk.user(&order_message(1, "NEW", "NEW", "0", None));
    assert_eq!(desk.said(), ["Accepted 1"]);
}

#[test]
fn nonsense_is_counted() {
    let mut desk = Desk::new();
    for text in ["", "x", "[]", "null", r#"{"id":"1"}"#, "\u{0}", r#"{"status":200}"#] {
        desk.on(Input::OrderText(text.as_bytes()));
    }
    desk.on(Input::OrderText(&[0xff, 0xfe]));
    desk.response(&success(77, &json!({})));
    desk.response(&json!({"id": null, "status": 400, "error": {"code": -1102, "msg": ""}}));
    let counters = desk.gateway.counters();
    assert_eq!((counters.unreadable, counters.unmatched, counters.order_messages), (7, 3, 10));
    assert_eq!(desk.said(), [""; 0]);
}

#[test]
fn nothing_printed_holds_a_key() {
    let mut desk = Desk::new();
    desk.place(entry(1));
    desk.on(Input::OrderLink(Link::Down));
    desk.place(stop(2));
    let shown = format!(
        "{:?} {:?} {:?} {:?}",
        desk.out.urgent,
        desk.out.rest,
        desk.out.texts,
        desk.gateway.counters()
    );
    for secret in ["the-key", "the-secret", "signature"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
