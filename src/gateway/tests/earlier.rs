//! Going on with what an earlier start left: everything is asked for, and told once, in the order the books can
//! follow.

use super::session::{account, answer, lists, positions, trade};
use super::*;
use crate::gateway::orders::{Stage, Tracked};
use crate::venue::binance::request::Service;

fn earlier(orders: Vec<(InstrumentId, Order, Lots)>) -> Earlier {
    Earlier {
        orders,
        positions: vec![(BTC, Lots(1))],
        fills: vec![(BTC, 41)],
        unheard_since: T0 - 3_600 * NS_PER_SEC,
    }
}

#[test]
fn fills_that_were_missed_come_before_what_became_of_their_order_and_known_ones_not_again() {
    let mut desk = Desk::new();
    desk.gateway.resume(earlier(vec![(BTC, entry(1), Lots(1))]), Vec::new(), T0);
    assert!(desk.called().is_empty(), "the thread has not looked yet");
    desk.on(Input::Time);
    lists(&mut desk, &[], &[]);
    answer(&mut desk, "Get /fapi/v1/order", &order_result(1, "FILLED", "0.002"));
    let asked = desk.out.rest.pop_front().unwrap();
    // An hour ago, and a minute for what was on its way.
    let since = T0_MS - 3_660_000;
    assert!(asked.call.query.contains(&format!("startTime={since}")), "{}", asked.call.query);
    desk.rest(asked.request, 200, &json!([trade(41, 1, "0.001"), trade(42, 1, "0.001")]));
    answer(&mut desk, "Get /fapi/v3/account", &account("99", T0_MS));
    answer(&mut desk, "Get /fapi/v3/positionRisk", &positions("0.002", T0_MS));
    assert_eq!(
        desk.said(),
        ["Fill 1 1@600000", "Filled 1", "Snapshot 99", "Position 2", "User Resynced"],
        "the fill with id 41 was applied by the start before"
    );
    // From here on the stream is heard as ever.
    desk.user(&order_message(1, "TRADE", "FILLED", "0.002", Some((42, "0.001"))));
    assert_eq!(desk.said(), [""; 0]);
}

#[test]
fn an_order_the_venue_lists_is_told_by_the_answer_about_it_and_not_before() {
    let mut desk = Desk::new();
    let listed = Tracked::found(BTC, Service::Algo, Stage::Accepted, T0);
    let orphan = Tracked::found(BTC, Service::Algo, Stage::Accepted, T0);
    let found = vec![(id(2), listed), (id(9), orphan)];
    desk.gateway.resume(earlier(vec![(BTC, stop(2), Lots::ZERO)]), found, T0);
    desk.on(Input::Time);
    lists(&mut desk, &[], &[algo_result(2, "NEW"), algo_result(9, "NEW")]);
    let calls = desk.called();
    assert_eq!(calls.iter().filter(|(_, what)| what == "Get /fapi/v1/algoOrder").count(), 2);
    desk.rest(calls[0].0, 200, &algo_result(2, "NEW"));
    desk.rest(calls[1].0, 200, &algo_result(9, "NEW"));
    answer(&mut desk, "Get /fapi/v1/userTrades", &json!([]));
    answer(&mut desk, "Get /fapi/v3/account", &account("99", T0_MS));
    answer(&mut desk, "Get /fapi/v3/positionRisk", &positions("0.001", T0_MS));
    assert_eq!(desk.said(), ["Accepted 2", "Accepted 9", "Snapshot 99", "Position 1", "User Resynced"]);
}

#[test]
fn an_order_the_venue_does_not_know_is_said_to_be_not_found() {
    let mut desk = Desk::new();
    desk.gateway.resume(earlier(vec![(BTC, stop(2), Lots::ZERO)]), Vec::new(), T0);
    desk.on(Input::Time);
    lists(&mut desk, &[], &[]);
    // The algo service forgets orders that have triggered.
    for call in ["Get /fapi/v1/algoOrder", "Get /fapi/v1/order"] {
        let calls = desk.called();
        assert_eq!(calls[0].1, call);
        desk.rest(calls[0].0, 400, &json!({"code": -2013, "msg": "Order does not exist."}));
    }
    answer(&mut desk, "Get /fapi/v1/userTrades", &json!([]));
    answer(&mut desk, "Get /fapi/v3/account", &account("99", T0_MS));
    answer(&mut desk, "Get /fapi/v3/positionRisk", &positions("0.001", T0_MS));
    assert_eq!(desk.said(), ["NotFound 2 -2013", "Snapshot 99", "Position 1", "User Resynced"]);
}

#[test]
fn a_question_that_fails_is_asked_again_and_the_engine_waits() {
    let mut desk = Desk::new();
    desk.gateway.resume(earlier(Vec::new()), Vec::new(), T0);
    desk.on(Input::Time);
    let (request, what) = desk.called()[0].clone();
    assert_eq!(what, "Get /fapi/v1/openOrders", "trades are open there, whatever became of their orders");
    desk.on(Input::Rest(request, RestOutcome::Lost));
    desk.wait(NS_PER_SEC / 2);
    assert!(desk.called().is_empty() && desk.said().is_empty());
    desk.wait(NS_PER_SEC / 2);
    lists(&mut desk, &[], &[]);
    answer(&mut desk, "Get /fapi/v1/userTrades", &json!([]));
    answer(&mut desk, "Get /fapi/v3/account", &account("99", T0_MS));
    answer(&mut desk, "Get /fapi/v3/positionRisk", &positions("0.001", T0_MS));
    assert_eq!(desk.said().last().map(String::as_str), Some("User Resynced"));
}
