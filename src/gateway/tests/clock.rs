//! The venue's clock: how often it is asked for, what is believed, and what goes out again when a time
//! stamp was refused.

use super::*;

const TIME: &str = "Get /fapi/v1/time";

fn desk() -> Desk {
    let mut desk = Desk::new();
    desk.gateway = gateway(settings(), 60 * NS_PER_SEC, false);
    desk
}

/// A request whose time stamp is refused; the question for the time that follows it.
fn refused(desk: &mut Desk, request: RequestId) -> RequestId {
    desk.response(&refusal(request, 400, -1021));
    let calls = desk.called();
    assert_eq!((calls.len(), calls[0].1.as_str()), (1, TIME));
    calls[0].0
}

fn time(desk: &mut Desk, request: RequestId, server_ms: i64) {
    desk.rest(request, 200, &json!({ "serverTime": server_ms }));
}

#[test]
fn time_is_asked_for_by_the_minute() {
    let mut desk = desk();
    let mut asked_at = Vec::new();
    for second in 1..=200 {
        desk.wait(NS_PER_SEC);
        for (request, call) in desk.called() {
            assert_eq!(call, TIME);
            asked_at.push(second);
            let server_ms = desk.now.ms() + 7;
            time(&mut desk, request, server_ms);
        }
    }
    assert_eq!(asked_at, [60, 120, 180]);
    desk.place(entry(1));
    assert_eq!(desk.written()[0].1["params"]["timestamp"], desk.now.ms() + 7);
}

#[test]
fn a_question_that_failed_is_asked_again() {
    let mut desk = desk();
    for outcome in
        [RestOutcome::Lost, RestOutcome::Unsent, answered(500, None, b""), answered(200, None, b"?")]
    {
        desk.wait(60 * NS_PER_SEC);
        let calls = desk.called();
        assert_eq!(calls[0].1, TIME);
        desk.on(Input::Rest(calls[0].0, outcome));
    }
}

#[test]
fn in_lockstep_nobody_asks() {
    let mut desk = Desk::new();
    desk.gateway = gateway(settings(), 60 * NS_PER_SEC, true);
    desk.wait(600 * NS_PER_SEC);
    desk.place(stop(1));
    let request = desk.request();
    desk.response(&refusal(request, 400, -1021));
    assert_eq!((desk.called().len(), desk.said()), (0, vec!["Rejected 1 -1021".to_string()]));
}

/// The offset after a round trip so long, this long after the reading at the start.
fn offset_after(after_s: i64, round_trip_ms: i64) -> i64 {
    let mut desk = Desk::new();
    desk.gateway = gateway(settings(), after_s * NS_PER_SEC, false);
    desk.wait(after_s * NS_PER_SEC);
    let (request, _) = desk.called().into_iter().find(|(_, call)| call == TIME).unwrap();
    desk.now = desk.now + round_trip_ms * 1_000_000;
    let server_ms = desk.now.ms() - round_trip_ms / 2 + 40;
    time(&mut desk, request, server_ms);
    desk.place(entry(1));
    desk.written()[0].1["params"]["timestamp"].as_i64().unwrap() - desk.now.ms()
}

#[test]
fn a_slow_reading_does_not_replace_a_better_one_that_is_recent() {
    assert_eq!(offset_after(60, 500), 40);
    assert_eq!(offset_after(60, 540), 0);
    // An hour later the clocks may be 360 ms apart: half a round trip may be as wrong.
    assert_eq!(offset_after(3_600, 1_220), 40);
    assert_eq!(offset_after(3_600, 1_224), 0);
}

#[test]
fn a_slow_reading_is_better_than_one_that_was_refused() {
    let mut desk = desk();
    desk.place(stop(1));
    let request = desk.request();
    let question = refused(&mut desk, request);
    desk.now = desk.now + 800 * 1_000_000;
    time(&mut desk, question, T0_MS + 10_400);
    assert_eq!(desk.written()[0].1["params"]["timestamp"], T0_MS + 800 + 10_000);
}

#[test]
fn a_stop_whose_time_stamp_was_refused_goes_out_once_more() {
    let mut desk = desk();
    desk.place(stop(1));
    let (request, first) = desk.written().pop().unwrap();
    let question = refused(&mut desk, request);
    assert_eq!(desk.said(), [""; 0], "not told: the venue did nothing");
    desk.now = desk.now + 200 * 1_000_000;
    time(&mut desk, question, T0_MS + 1_500);
    let (request, second) = desk.written().pop().unwrap();
    assert_eq!(second["params"]["clientAlgoId"], first["params"]["clientAlgoId"]);
    assert_eq!(second["params"]["timestamp"], T0_MS + 1_600);
    assert_ne!(second["params"]["signature"], first["params"]["signature"]);
    desk.response(&success(request, &algo_result(1, "NEW")));
    assert_eq!(desk.said(), ["Accepted 1"]);
}

#[test]
fn exits_and_cancels_go_out_once_more_and_entries_do_not() {
    let mut desk = desk();
    let exit = Order { side: Side::Sell, reduce_only: true, purpose: Purpose::Exit, ..entry(3) };
    desk.place(entry(1));
    desk.place(exit);
    desk.cancel(1, OrderKind::Market);
    desk.query(1, OrderKind::Market);
    let written = desk.written();
    let question = refused(&mut desk, written[0].0);
    assert_eq!(desk.said(), ["Rejected 1 -1021"]);
    for (request, _) in &written[1..] {
        desk.response(&refusal(*request, 400, -1021));
    }
    assert!(desk.called().is_empty(), "one question is enough");
    time(&mut desk, question, T0_MS + 9_000);
    let again: Vec<_> = desk.written().into_iter().map(|(_, text)| text["method"].clone()).collect();
    assert_eq!(again, ["order.place", "order.cancel"]);
    assert_eq!(desk.said(), [""; 0]);
}

#[test]
fn a_second_refusal_is_told() {
    let mut desk = desk();
    desk.place(stop(1));
    let request = desk.request();
    let question = refused(&mut desk, request);
    time(&mut desk, question, T0_MS);
    let request = desk.request();
    desk.response(&refusal(request, 400, -1021));
    assert_eq!(desk.said(), ["Rejected 1 -1021"]);
    let request = desk.called()[0].0;
    time(&mut desk, request, T0_MS);
    assert!(desk.written().is_empty());
}

#[test]
fn without_the_time_the_refusal_is_told() {
    for outcome in
        [RestOutcome::Lost, RestOutcome::Unsent, answered(503, None, b""), answered(200, None, b"?")]
    {
        let mut desk = desk();
        desk.place(stop(1));
        desk.cancel(1, OrderKind::StopMarket);
        let written = desk.written();
        let question = refused(&mut desk, written[0].0);
        desk.response(&refusal(written[1].0, 400, -1021));
        desk.on(Input::Rest(question, outcome));
        assert_eq!(desk.said(), ["Rejected 1 -1021", "CancelRejected 1 -1021"], "{outcome:?}");
        assert!(desk.written().is_empty());
    }
}

/// The engine counts what the venue does not know after six seconds as lost; the venue may act for five.
#[test]
fn what_waited_too_long_does_not_go_out_again() {
    for (waited_ms, goes) in [(900, true), (901, false)] {
        let mut desk = desk();
        desk.place(stop(1));
        let request = desk.request();
        let question = refused(&mut desk, request);
        desk.now = desk.now + waited_ms * 1_000_000;
        time(&mut desk, question, T0_MS);
        assert_eq!(desk.written().len(), usize::from(goes), "{waited_ms}");
        assert_eq!(desk.said().is_empty(), goes, "{waited_ms}");
    }
}

#[test]
fn in_silence_nothing_goes_out_again() {
    let mut desk = desk();
    desk.place(stop(1));
    desk.place(entry(2));
    let written = desk.written();
    let question = refused(&mut desk, written[0].0);
    desk.response(&refusal(written[1].0, 429, -1003));
    desk.events();
    time(&mut desk, question, T0_MS);
    assert_eq!((desk.said(), desk.written().len()), (vec!["Rejected 1 -1021".to_string()], 0));
    // A question that had not left yet.
    let mut desk = super::clock::desk();
    desk.place(stop(1));
    desk.place(entry(2));
    let written = desk.written();
    desk.response(&refusal(written[0].0, 400, -1021));
    desk.response(&refusal(written[1].0, 429, -1003));
    assert_eq!(desk.said(), ["Orders Down", "Rejected 1 -1021", "Rejected 2 -1003"]);
    assert!(desk.called().is_empty());
}

#[test]
fn the_link_may_be_another_when_it_goes_out_again() {
    let mut desk = desk();
    desk.place(stop(1));
    let request = desk.request();
    let question = refused(&mut desk, request);
    desk.on(Input::OrderLink(Link::Down));
    time(&mut desk, question, T0_MS);
    assert_eq!(desk.called()[0].1, "Post /fapi/v1/algoOrder");
    assert_eq!(desk.said(), [""; 0]);
}
