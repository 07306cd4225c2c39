//! Quiet connections are asked whether they live.

use super::session::{account, answer, lists, positions};
use super::*;

/// Time passes as the thread tells it.
fn pass(desk: &mut Desk, seconds: i64) {
    (0..seconds * 10).for_each(|_| desk.wait(NS_PER_SEC / 10));
}

/// A desk both of whose connections have answered a ping.
fn answering() -> Desk {
    let mut desk = Desk::new();
    pass(&mut desk, 2);
    assert_eq!(std::mem::take(&mut desk.out.pings), [Stream::Orders, Stream::User]);
    desk.on(Input::Pong(Stream::Orders));
    desk.on(Input::Pong(Stream::User));
    desk
}

#[test]
fn what_is_quiet_is_asked_and_what_answers_stays() {
    let mut desk = answering();
    for _ in 0..20 {
        pass(&mut desk, 2);
        assert_eq!(std::mem::take(&mut desk.out.pings), [Stream::Orders, Stream::User]);
        pass(&mut desk, 9);
        assert!(desk.out.pings.is_empty(), "one at a time");
        desk.on(Input::Pong(Stream::Orders));
        // Any word will do.
        desk.user(&json!({"e": "TRADE_LITE"}));
    }
    assert!(!desk.out.reopen_orders && !desk.out.close_user && desk.said().is_empty());
}

#[test]
fn an_order_websocket_that_answers_no_more_is_replaced_and_its_orders_are_unknown() {
    let mut desk = answering();
    pass(&mut desk, 3);
    desk.on(Input::Pong(Stream::User));
    desk.place(entry(1));
    desk.request();
    pass(&mut desk, 8);
    desk.on(Input::Pong(Stream::User));
    assert!(!desk.out.reopen_orders && desk.said().is_empty());
    pass(&mut desk, 1);
    // Before the order's own ten seconds are over.
    assert!(desk.out.reopen_orders && !desk.out.close_user);
    desk.on(Input::OrderLink(Link::Down));
    assert_eq!(desk.said(), ["Unknown 1"]);
    // Nobody is asked who is not there.
    desk.out.reopen_orders = false;
    desk.out.pings.clear();
    pass(&mut desk, 20);
    assert!(!desk.out.reopen_orders && !desk.out.pings.contains(&Stream::Orders));
    // A new one has its time.
    desk.on(Input::OrderLink(Link::Up));
    pass(&mut desk, 11);
    assert!(!desk.out.reopen_orders && desk.out.pings.contains(&Stream::Orders));
    pass(&mut desk, 2);
    assert!(desk.out.reopen_orders);
}

#[test]
fn a_user_stream_that_answers_no_more_is_given_up_and_what_it_missed_is_asked() {
    let mut desk = answering();
    desk.place(entry(1));
    let request = desk.request();
    desk.response(&success(request, &order_result(1, "NEW", "0")));
    desk.events();
    pass(&mut desk, 12);
    assert!(desk.out.close_user);
    assert_eq!(desk.said(), ["User Down"]);
    pass(&mut desk, 1);
    answer(&mut desk, "Post /fapi/v1/listenKey", &json!({"listenKey": "abc"}));
    desk.on(Input::UserLink(Link::Up));
    lists(&mut desk, &[], &[]);
    answer(&mut desk, "Get /fapi/v1/order", &order_result(1, "CANCELED", "0"));
    answer(&mut desk, "Get /fapi/v1/userTrades", &json!([]));
    answer(&mut desk, "Get /fapi/v3/account", &account("100", T0_MS));
    answer(&mut desk, "Get /fapi/v3/positionRisk", &positions("0", T0_MS));
    assert_eq!(desk.said(), ["Canceled 1", "Snapshot 100", "User Up"]);
}

#[test]
fn who_never_answered_a_ping_is_not_judged_by_it() {
    let mut desk = Desk::new();
    pass(&mut desk, 240);
    assert!(desk.out.pings.len() > 20, "asked again and again");
    assert!(!desk.out.reopen_orders && !desk.out.close_user && desk.said().is_empty());
}

#[test]
fn a_gateway_that_did_not_look_does_not_judge() {
    let mut desk = answering();
    pass(&mut desk, 2);
    // Its thread stood still: what came meanwhile is not read yet.
    desk.wait(30 * NS_PER_SEC);
    assert!(!desk.out.reopen_orders && !desk.out.close_user);
    desk.out.pings.clear();
    pass(&mut desk, 2);
    assert_eq!(desk.out.pings, [Stream::Orders, Stream::User]);
}

#[test]
fn in_silence_and_in_lockstep_nobody_is_asked() {
    let mut desk = answering();
    desk.on(Input::TurnedAway(418, Some(60)));
    desk.events();
    pass(&mut desk, 59);
    assert!(desk.out.pings.is_empty());
    pass(&mut desk, 4);
    assert_eq!(desk.out.pings, [Stream::Orders, Stream::User]);
    let mut desk = Desk::with(settings(), true);
    pass(&mut desk, 60);
    assert!(desk.out.pings.is_empty());
}
