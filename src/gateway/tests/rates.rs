//! The venue's own limits: what is kept back, what waits, what the venue counts.

use super::*;
use crate::venue::binance::RateLimits;

fn desk(weight_1m: u32, orders_10s: u32, orders_1m: u32) -> Desk {
    let mut desk = Desk::with(LimitSettings { orders_per_minute: 10_000, ..settings() }, false);
    desk.gateway.limit_rates(&RateLimits::of(weight_1m, orders_10s, orders_1m));
    desk
}

/// Small enough that no other limit is met.
fn small(sequence: u32) -> Order {
    Order { quantity: Lots(1), ..entry(sequence) }
}

#[test]
fn entries_leave_half_of_the_orders_to_what_protects() {
    let mut desk = desk(100, 8, 100);
    (1..=5).for_each(|sequence| desk.place(small(sequence)));
    assert_eq!(desk.written().len(), 4);
    assert_eq!(desk.said(), ["Rejected 5 12"]);
    (6..=10).for_each(|sequence| desk.place(stop(sequence)));
    assert_eq!(desk.written().len(), 4);
    assert_eq!((desk.said(), desk.count(Refusal::VenueRate)), (vec!["Rejected 10 12".to_string()], 2));
    // Cancels are no orders.
    desk.cancel(6, OrderKind::StopMarket);
    assert_eq!(desk.written().len(), 1);
    // Ten seconds, and one for the network.
    desk.now = desk.now + 11 * NS_PER_SEC - 1;
    desk.place(stop(11));
    assert_eq!(desk.said(), ["Rejected 11 12"]);
    desk.now = desk.now + 1;
    desk.place(stop(12));
    assert_eq!((desk.written().len(), desk.said()), (1, vec![]));
}

#[test]
fn the_minutes_orders_count_as_well() {
    let mut desk = desk(100, 100, 4);
    for sequence in 1..=5 {
        desk.place(stop(sequence));
        desk.now = desk.now + 11 * NS_PER_SEC;
    }
    assert_eq!(desk.said(), ["Rejected 5 12"]);
}

#[test]
fn cancels_have_all_of_the_weight_and_questions_three_quarters() {
    let mut desk = desk(8, 100, 100);
    (1..=4).for_each(|sequence| desk.query(sequence, OrderKind::Market));
    assert_eq!(desk.written().len(), 4);
    // Half of the weight is used: an entry still goes, for it has none; with more it does not.
    desk.place(small(20));
    desk.query(5, OrderKind::StopMarket);
    desk.place(small(21));
    (6..=8).for_each(|sequence| desk.query(sequence, OrderKind::Market));
    // Two of the questions are dropped: the engine asks again.
    assert_eq!((desk.written().len(), desk.called().len()), (2, 1));
    assert_eq!((desk.said(), desk.out.withheld), (vec!["Rejected 21 12".to_string()], 3));
    (1..=3).for_each(|sequence| desk.cancel(sequence, OrderKind::Market));
    assert_eq!((desk.written().len(), desk.said()), (2, vec!["CancelRejected 3 12".to_string()]));
    desk.place(stop(22));
    assert_eq!(desk.written().len(), 1, "a stop needs no weight");
}

#[test]
fn both_roads_spend_the_same() {
    let mut desk = desk(8, 2, 100);
    desk.place(stop(1));
    // It was not written, and goes the other way: nothing is spent twice.
    let request = desk.request();
    desk.on(Input::NotSent(request));
    desk.on(Input::OrderLink(Link::Down));
    desk.place(stop(2));
    desk.place(stop(3));
    assert_eq!(desk.called().len(), 2);
    assert_eq!(desk.said(), ["Rejected 3 12"]);
}

#[test]
fn requests_of_our_own_wait_until_there_is_room() {
    let mut desk = desk(8, 100, 100);
    (1..=5).for_each(|sequence| desk.query(sequence, OrderKind::Market));
    desk.written();
    desk.on(Input::UserLink(Link::Down));
    desk.wait(NS_PER_SEC);
    // One fits: the listen key. The wallet, which costs five, does not.
    assert_eq!(desk.called().len(), 1);
    desk.on(Input::UserLink(Link::Up));
    desk.wait(59 * NS_PER_SEC);
    assert!(desk.called().is_empty());
    desk.wait(NS_PER_SEC);
    let calls = desk.out.rest.drain(..).collect::<Vec<_>>();
    assert_eq!(format!("{:?}", calls[0].call), "Get /fapi/v3/account");
    let stamp = format!("&timestamp={}&", desk.now.ms());
    assert!(calls[0].call.query.contains(&stamp), "signed when it goes: {}", calls[0].call.query);
}

#[test]
fn questions_of_a_reconciliation_that_began_again_are_not_asked_twice() {
    let mut desk = desk(8, 100, 100);
    (1..=3).for_each(|sequence| desk.place(stop(sequence)));
    (1..=6).for_each(|sequence| desk.cancel(sequence, OrderKind::StopMarket));
    desk.written();
    for link in [Link::Up, Link::Down, Link::Up] {
        desk.on(Input::UserLink(link));
    }
    desk.wait(61 * NS_PER_SEC);
    let calls = desk.called();
    assert_eq!(calls.len(), 2, "each list once: {calls:?}");
}

#[test]
fn the_venues_count_is_believed() {
    let mut desk = desk(100, 8, 100);
    desk.place(small(1));
    let request = desk.request();
    let mut answer = success(request, &order_result(1, "NEW", "0"));
    answer["rateLimits"] =
        json!([{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 8, "count": 7}]);
    desk.response(&answer);
    assert_eq!(desk.said(), ["Accepted 1"]);
    desk.place(stop(2));
    assert_eq!(desk.written().len(), 1);
    desk.place(stop(3));
    assert_eq!(desk.said(), ["Rejected 3 12"]);
    // And by REST.
    desk.query(2, OrderKind::StopMarket);
    let request = desk.called()[0].0;
    let used = UsedCounts { weight_1m: Some(100), ..UsedCounts::default() };
    let body = algo_result(2, "NEW").to_string();
    let answer = RestOutcome::Answer { status: 200, retry_after_s: None, used, body: body.as_bytes() };
    desk.on(Input::Rest(request, answer));
    desk.events();
    desk.cancel(2, OrderKind::StopMarket);
    assert_eq!(desk.said(), ["CancelRejected 2 12"]);
}

#[test]
fn a_count_is_of_the_interval_in_which_it_was_asked_for() {
    let mut desk = desk(100, 8, 100);
    desk.query(2, OrderKind::StopMarket);
    let asked = desk.called()[0].0;
    // The answer takes until the venue's next minute.
    let next = (T0_MS / 60_000 + 1) * 60_000 - T0_MS;
    desk.wait((next + 1_500) * 1_000_000);
    let used = UsedCounts { weight_1m: Some(100), ..UsedCounts::default() };
    let body = algo_result(2, "NEW").to_string();
    let answer = RestOutcome::Answer { status: 200, retry_after_s: None, used, body: body.as_bytes() };
    desk.on(Input::Rest(asked, answer));
    desk.events();
    desk.cancel(2, OrderKind::StopMarket);
    assert_eq!((desk.said().len(), desk.written().len()), (0, 1));
}

#[test]
fn an_answer_whose_counts_cannot_be_read_is_still_an_answer() {
    let mut desk = Desk::new();
    for (sequence, counts) in [(1, json!("many")), (2, json!([{"rateLimitType": 7}])), (3, json!(null))] {
        desk.place(small(sequence));
        let request = desk.request();
        let mut answer = success(request, &order_result(sequence, "NEW", "0"));
        answer["rateLimits"] = counts;
        desk.response(&answer);
        assert_eq!(desk.said(), [format!("Accepted {sequence}")]);
    }
}

#[test]
fn too_many_orders_is_a_silence_as_well() {
    let mut desk = Desk::new();
    desk.place(entry(1));
    let request = desk.request();
    // Whatever the status it comes with.
    desk.response(&refusal(request, 400, -1015));
    assert_eq!(desk.said(), ["Orders Down", "Rejected 1 -1015"]);
    desk.place(stop(2));
    assert_eq!(desk.said(), ["Rejected 2 1"]);
    desk.wait(60 * NS_PER_SEC);
    assert_eq!(desk.said(), ["Orders Up"]);
}

#[test]
fn nothing_of_our_own_goes_out_in_silence() {
    let mut desk = Desk::new();
    desk.place(entry(1));
    let request = desk.request();
    desk.response(&refusal(request, 429, -1003));
    // A stream that comes up all the same, and whose questions wait.
    desk.on(Input::UserLink(Link::Up));
    desk.wait(59 * NS_PER_SEC);
    assert!(desk.called().is_empty());
    desk.wait(NS_PER_SEC);
    assert!(!desk.called().is_empty());
}

/// A gateway told of a refusal with this status and `Retry-After`.
fn told(status: u16, retry_after_s: Option<u32>) -> Desk {
    let mut desk = Desk::new();
    desk.on(Input::OrderLink(Link::Down));
    desk.place(entry(1));
    let request = desk.called()[0].0;
    desk.on(Input::Rest(request, answered(status, retry_after_s, b"")));
    desk
}

#[test]
fn only_what_outlasts_a_minute_is_kept_for_the_next_start() {
    let seconds = |desk: &Desk| desk.out.banned_until.map(|until| until.since(T0) / NS_PER_SEC);
    for (status, retry_after_s, kept) in [
        (429, None, None),
        (429, Some(60), None),
        (429, Some(61), Some(61)),
        (418, None, Some(120)),
        (418, Some(1), None),
        (418, Some(0), Some(120)),
        (418, Some(300), Some(300)),
        (418, Some(u32::MAX), Some(3 * 86_400)),
        (503, Some(300), None),
    ] {
        assert_eq!(seconds(&told(status, retry_after_s)), kept, "{status} {retry_after_s:?}");
    }
}

/// By the venue's clock it is over, or will be in a moment: it asked for silence all the same.
#[test]
fn an_end_that_is_past_is_no_end() {
    for (in_ms, silent_ms) in [(-5_000, 60_000), (0, 60_000), (1, 1_000), (1_500, 1_500)] {
        let mut desk = Desk::new();
        desk.place(entry(1));
        let request = desk.request();
        let mut refusal = refusal(request, 429, -1003);
        refusal["error"]["data"] = json!({"serverTime": T0_MS, "retryAfter": T0_MS + in_ms});
        desk.response(&refusal);
        desk.wait(silent_ms * 1_000_000 - 1);
        desk.place(stop(2));
        assert!(desk.written().is_empty(), "{in_ms}");
        desk.wait(1);
        desk.place(stop(3));
        assert_eq!(desk.written().len(), 1, "{in_ms}");
    }
}

#[test]
fn a_websocket_that_is_turned_away_says_the_same() {
    let mut desk = Desk::new();
    desk.on(Input::TurnedAway(503, None));
    assert_eq!((desk.said(), desk.out.banned_until), (vec![], None));
    desk.on(Input::TurnedAway(418, Some(300)));
    assert_eq!(desk.said(), ["Orders Down"]);
    assert_eq!(desk.out.banned_until, Some(T0 + 300 * NS_PER_SEC));
    desk.place(stop(1));
    assert_eq!(desk.said(), ["Rejected 1 1"]);
}

#[test]
fn no_user_stream_is_opened_in_silence() {
    let key = |desk: &mut Desk| {
        desk.on(Input::UserLink(Link::Down));
        desk.wait(NS_PER_SEC);
        desk.called()[0].0
    };
    let body = json!({"listenKey": "abc"});
    // The key comes when the venue has asked for silence already,
    let mut desk = Desk::new();
    let request = key(&mut desk);
    desk.on(Input::TurnedAway(429, None));
    desk.rest(request, 200, &body);
    assert_eq!(desk.out.open_user, None);
    desk.wait(60 * NS_PER_SEC);
    assert_eq!(desk.called()[0].1, "Post /fapi/v1/listenKey");
    // or just before.
    let mut desk = Desk::new();
    let request = key(&mut desk);
    desk.rest(request, 200, &body);
    assert!(desk.out.open_user.is_some());
    desk.on(Input::TurnedAway(429, None));
    assert_eq!(desk.out.open_user, None);
    desk.wait(60 * NS_PER_SEC);
    assert_eq!(desk.called()[0].1, "Post /fapi/v1/listenKey");
}
