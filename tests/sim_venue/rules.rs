//! Orders, stops, cancels and queries: one test a rule.

use super::*;
use quantum_trader::sim::venue::{RESTING_ORDERS_MAX, WORKING_NS_MAX, WORKING_ORDERS_MAX, codes};

/// A desk that is long 0.100 BTC from 50,000.1, with order 1; last price 50,000.
fn long() -> Desk {
    let mut desk = Desk::quoted();
    desk.order(market_order(1, Side::Buy, 100));
    desk.trade(500_000);
    assert_eq!(desk.held(), 100);
    desk
}

#[test]
fn a_market_order_is_accepted_filled_and_booked() {
    let said = Desk::quoted().order(market_order(1, Side::Buy, 10));
    // 0.010 × 50,000.1 × 0.0005 = 0.2500005
    assert_eq!(
        said,
        [
            "1 Accepted 0",
            "Order wallet 9999.7499995",
            "position 10 at 50000.1",
            "1 fill Buy 10@500001 fee 0.2500005",
            "1 Filled 10",
        ]
    );
}

#[test]
fn a_fee_is_rounded_half_even_at_eight_places() {
    let mut desk = Desk::silent("10000");
    desk.feed(ETH, quote_of(200_001, 9, 200_003, 9));
    // 0.009 × 2000.03 × 0.0005 = 0.009000135: the ninth place is a tie, and the eighth is odd.
    let said = desk.order_in(ETH, Order { ..market_order(1, Side::Buy, 9) });
    assert_eq!(said, ["1 Rejected -4164"], "18 is below the minimum notional of 20");
    desk.feed(ETH, quote_of(200_001, 11, 200_003, 11));
    // 0.011 × 2000.03 × 0.0005 = 0.011000165 → …16, the even neighbour.
    assert_eq!(desk.order_in(ETH, market_order(2, Side::Buy, 11))[3], "2 fill Buy 11@200003 fee 0.01100016");
}

#[test]
fn a_thin_touch_fills_in_parts_and_is_not_used_twice() {
    let mut desk = Desk::quoted();
    desk.quote(500_000, 7, 500_010, 7);
    assert_eq!(desk.order(market_order(1, Side::Buy, 20))[3], "1 fill Buy 7@500010 fee 0.1750035");
    let said = desk.order(market_order(2, Side::Buy, 5));
    assert_eq!(said, ["2 Accepted 0"], "the touch is used up");
    assert_eq!(desk.order(market_order(3, Side::Sell, 7)).len(), 5, "the other side is not");
    let said = desk.quote(500_000, 7, 500_020, 15);
    let order_lines: Vec<_> =
        said.iter().filter(|l| !l.contains("wallet") && !l.contains("position")).collect();
    assert_eq!(
        order_lines,
        ["1 fill Buy 13@500020 fee 0.325013", "1 Filled 20", "2 fill Buy 2@500020 fee 0.050002"],
        "oldest first"
    );
    assert_eq!(desk.quote(500_000, 7, 500_020, 0), [""; 0], "a side without size gives nothing");
    assert_eq!(desk.quote(500_000, 7, 500_030, 3).last().unwrap(), "2 Filled 5");
}

#[test]
fn an_unfilled_rest_expires_at_its_own_time() {
    let mut desk = Desk::quoted();
    desk.quote(500_000, 7, 500_010, 7);
    desk.order(market_order(1, Side::Buy, 20));
    let due = desk.now + WORKING_NS_MAX;
    assert_eq!(desk.venue.next_timer(), Some(due));
    assert_eq!(desk.wait(WORKING_NS_MAX / NS_PER_MS - 1), [""; 0]);
    // The quote comes later than the deadline: it is too late, and the report bears the deadline.
    desk.now = desk.now + 500 * NS_PER_MS;
    assert_eq!(desk.quote(500_000, 7, 500_010, 100), ["1 Expired 7"]);
    let ReportBody::Order(report) = desk.out.last().unwrap().body else { panic!("not an order") };
    assert_eq!(report.event_ms, due.ms());
    assert_eq!(desk.venue.next_timer(), None);
}

#[test]
fn orders_that_fail_a_check_are_refused_with_its_code() {
    let buy = |lots| market_order(9, Side::Buy, lots);
    let stop = |trigger| stop_order(9, Side::Sell, 10, trigger);
    let by_mark = Order { working_type: WorkingType::MarkPrice, ..stop(490_000) };
    let table = [
        (BTC, buy(0), codes::QUANTITY_NOT_POSITIVE),
        (BTC, buy(i64::MIN), codes::QUANTITY_NOT_POSITIVE),
        (BTC, buy(1), codes::QUANTITY_BELOW_MIN),
        (BTC, buy(100_001), codes::QUANTITY_ABOVE_MAX),
        (BTC, market_order(0, Side::Buy, 10), codes::BAD_CLIENT_ORDER_ID),
        (BTC, market_order(1, Side::Sell, 10), codes::DUPLICATE_CLIENT_ORDER_ID),
        (InstrumentId(7), buy(10), codes::BAD_SYMBOL),
        (InstrumentId::NONE, buy(10), codes::BAD_SYMBOL),
        (ETH, buy(100), codes::NO_COUNTERPARTY_PRICE),
        (ETH, stop(1), codes::NO_COUNTERPARTY_PRICE),
        // 10,000 less a fee, at leverage 5, carries 0.999 BTC at 50,000.1 but not 1; 0.1 is held.
        (BTC, buy(900), codes::MARGIN_NOT_SUFFICIENT),
        (BTC, market_order(9, Side::Sell, 1_100), codes::MARGIN_NOT_SUFFICIENT),
        (BTC, exit_order(9, Side::Buy, 10), codes::REDUCE_ONLY_REJECTED),
        (BTC, Order { reduce_only: false, ..stop(490_000) }, codes::INVALID_ORDER_TYPE),
        (BTC, stop(0), codes::TRIGGER_NOT_POSITIVE),
        (BTC, stop_order(9, Side::Buy, 10, 510_000), codes::REDUCE_ONLY_REJECTED),
        (BTC, stop(500_000), codes::WOULD_IMMEDIATELY_TRIGGER),
        (BTC, stop(500_001), codes::WOULD_IMMEDIATELY_TRIGGER),
        (BTC, by_mark, codes::WOULD_IMMEDIATELY_TRIGGER),
    ];
    for (instrument, order, code) in table {
        let mut desk = long();
        if order.working_type == WorkingType::MarkPrice {
            desk.mark("49000");
        }
        let before = desk.venue.clone();
        let said = desk.order_in(instrument, order);
        assert_eq!(said, [format!("{} Rejected {code}", order.id.0)], "{order:?}");
        assert_eq!(desk.venue.position(BTC), before.position(BTC));
        assert_eq!(desk.venue.open_orders(), []);
    }
}

#[test]
fn the_smallest_and_largest_orders_are_taken() {
    for order in [market_order(9, Side::Buy, 2), market_order(9, Side::Buy, 898)] {
        assert_eq!(long().order(order)[0], "9 Accepted 0", "{order:?}");
    }
    let mut desk = long();
    desk.quote(100_000, 1_000, 100_000, 1_000);
    // 49.999 against a minimum of 50: 4 lots at 12,499.75 do not exist, 5 lots at 10,000 do.
    assert_eq!(desk.order(market_order(8, Side::Buy, 4)), ["8 Rejected -4164"]);
    assert_eq!(desk.order(exit_order(9, Side::Sell, 4))[0], "9 Accepted 0", "exits may be small");
    assert_eq!(desk.order(market_order(8, Side::Buy, 5))[0], "8 Accepted 0", "a refused id is free");
}

#[test]
fn an_id_is_used_once_whatever_became_of_it() {
    let mut desk = long();
    desk.order(stop_order(2, Side::Sell, 10, 490_000));
    desk.order(stop_order(3, Side::Sell, 10, 490_000));
    desk.cancel(3);
    for id in [1, 2, 3] {
        assert_eq!(desk.order(exit_order(id, Side::Sell, 10)), [format!("{id} Rejected -4116")]);
    }
}

#[test]
fn working_entries_count_against_the_margin() {
    let mut desk = Desk::quoted();
    desk.quote(500_000, 0, 500_001, 0);
    assert_eq!(desk.order(market_order(1, Side::Buy, 600)), ["1 Accepted 0"]);
    assert_eq!(desk.order(market_order(2, Side::Buy, 600)), ["2 Rejected -2019"]);
    assert_eq!(desk.order(market_order(3, Side::Sell, 600)), ["3 Accepted 0"], "either side alone fits");
    desk.feed(ETH, quote_of(200_000, 9_000, 200_001, 9_000));
    // 0.6 BTC is 30,000.06 of the 50,000 the account carries: 9.9 ETH are left, not 10.
    assert_eq!(desk.order_in(ETH, market_order(4, Side::Buy, 10_000)), ["4 Rejected -2019"]);
    assert_eq!(desk.order_in(ETH, market_order(5, Side::Buy, 9_900))[0], "5 Accepted 0");
}

#[test]
fn a_position_can_always_be_closed_and_be_turned_within_the_margin() {
    let mut desk = long();
    desk.quote(500_000, 2_000, 500_001, 2_000);
    let said = desk.order(market_order(2, Side::Sell, 300));
    assert_eq!(said[2], "position -200 at 50000");
    // After a loss that leaves no free margin the way out is still open.
    desk.quote(900_000, 2_000, 900_001, 2_000);
    desk.trade(900_000);
    assert_eq!(desk.order(market_order(3, Side::Sell, 10)), ["3 Rejected -2019"]);
    assert_eq!(desk.order(market_order(4, Side::Buy, 200)).last().unwrap(), "4 Filled 200");
}

#[test]
fn reduce_only_takes_the_position_and_no_more() {
    let mut desk = long();
    let said = desk.order(exit_order(2, Side::Sell, 250));
    assert_eq!(said[0], "2 Accepted 0");
    assert_eq!(said[2], "position 0 at 0");
    assert_eq!(said[4], "2 Expired 100", "150 of it could not reduce anything");
    assert_eq!(desk.order(exit_order(3, Side::Sell, 10)), ["3 Rejected -2022"]);
}

#[test]
fn a_position_covered_by_working_exits_takes_no_other() {
    let mut desk = long();
    desk.quote(500_000, 0, 500_001, 0);
    assert_eq!(desk.order(exit_order(2, Side::Sell, 60)), ["2 Accepted 0"]);
    assert_eq!(desk.order(exit_order(3, Side::Sell, 60)), ["3 Accepted 0"], "40 are not covered");
    assert_eq!(desk.order(exit_order(4, Side::Sell, 10)), ["4 Rejected -4118"]);
    let said = desk.quote(500_000, 1_000, 500_001, 1_000);
    assert!(
        said.contains(&"2 Filled 60".to_string()) && said.contains(&"3 Expired 40".to_string()),
        "{said:?}"
    );
    assert_eq!(desk.held(), 0);
}

#[test]
fn open_orders_have_a_limit() {
    let mut desk = long();
    for id in 0..RESTING_ORDERS_MAX as u64 {
        assert_eq!(desk.order(stop_order(1_000 + id, Side::Sell, 10, 490_000)).len(), 1);
    }
    assert_eq!(desk.order(stop_order(9, Side::Sell, 10, 490_000)), ["9 Rejected -4045"]);
    desk.quote(500_000, 0, 500_001, 0);
    for id in 0..WORKING_ORDERS_MAX as u64 {
        assert_eq!(desk.order(market_order(2_000 + id, Side::Sell, 2)).len(), 1);
    }
    assert_eq!(desk.order(market_order(9, Side::Sell, 2)), ["9 Rejected -2025"]);
}

#[test]
fn stops_trigger_at_their_price_and_fill_at_the_touch_gaps_included() {
    let mut desk = long();
    assert_eq!(desk.order(stop_order(2, Side::Sell, 100, 490_000)), ["2 Accepted 0"]);
    assert_eq!(desk.trade(490_001), [""; 0]);
    desk.quote(485_000, 1_000, 485_001, 1_000);
    assert_eq!(desk.feed(BTC, trade_of(480_000, false)), [""; 0], "a trade outside the book");
    assert_eq!(desk.mark("48000"), [""; 0], "the other price");
    let said = desk.trade(490_000);
    assert_eq!(said[0], "2 Triggered 0");
    assert_eq!(said[3], "2 fill Sell 100@485000 fee 2.425");
    assert_eq!(said[4], "2 Filled 100");
}

#[test]
fn stops_of_shorts_and_stops_on_the_mark_price_mirror_it() {
    let mut desk = Desk::quoted();
    desk.order(market_order(1, Side::Sell, 100));
    desk.trade(500_000);
    desk.order(stop_order(2, Side::Buy, 40, 510_000));
    desk.order(Order { working_type: WorkingType::MarkPrice, ..stop_order(3, Side::Buy, 40, 510_000) });
    assert_eq!(desk.trade(509_999), [""; 0]);
    assert_eq!(desk.mark("50999.99"), [""; 0]);
    assert_eq!(desk.mark("51000.001")[0], "3 Triggered 0");
    assert_eq!(desk.trade(510_000)[0], "2 Triggered 0");
    assert_eq!(desk.held(), -20);
}

#[test]
fn stops_trigger_in_the_order_of_acceptance_for_what_is_left() {
    let mut desk = long();
    desk.order(stop_order(2, Side::Sell, 70, 480_000));
    desk.order(stop_order(3, Side::Sell, 70, 490_000));
    desk.order(stop_order(4, Side::Sell, 70, 485_000));
    let said = desk.trade(479_000);
    let orders: Vec<_> = said.iter().filter(|l| !l.contains("wallet") && !l.contains("position")).collect();
    assert_eq!(
        orders,
        [
            "2 Triggered 0",
            "2 fill Sell 70@500000 fee 1.75",
            "2 Filled 70",
            "3 Triggered 0",
            "3 fill Sell 30@500000 fee 0.75",
            "3 Expired 30",
            "4 Triggered 0",
            "4 Expired 0",
        ]
    );
}

#[test]
fn a_triggered_stop_works_on_a_thin_touch_and_then_expires() {
    let mut desk = long();
    desk.order(stop_order(2, Side::Sell, 100, 490_000));
    desk.quote(489_000, 30, 489_001, 30);
    assert_eq!(desk.trade(489_000)[3], "2 fill Sell 30@489000 fee 0.7335");
    assert_eq!(desk.query(2), ["2 Triggered 30"]);
    assert_eq!(desk.wait(3_000), ["2 Expired 30"]);
    assert_eq!(desk.held(), 70);
}

#[test]
fn stops_outlive_their_position() {
    let mut desk = long();
    desk.order(stop_order(2, Side::Sell, 100, 490_000));
    desk.order(stop_order(3, Side::Sell, 100, 490_000));
    desk.order(exit_order(4, Side::Sell, 100));
    assert_eq!(desk.venue.open_orders().len(), 2);
    assert_eq!(desk.cancel(2), ["2 Canceled 0"]);
    assert_eq!(desk.trade(490_000), ["3 Triggered 0", "3 Expired 0"]);
}

#[test]
fn cancels_and_queries_know_open_closed_and_unknown() {
    let mut desk = long();
    desk.order(stop_order(2, Side::Sell, 10, 490_000));
    desk.quote(500_000, 4, 500_001, 4);
    desk.order(exit_order(3, Side::Sell, 10));
    desk.order(exit_order(4, Side::Buy, 10));
    let table = [
        (1, "1 Filled 100"),
        (2, "2 Accepted 0"),
        (3, "3 Accepted 4"),
        (4, "4 NotFound -2013"),
        (5, "5 NotFound -2013"),
    ];
    for (id, answer) in table {
        assert_eq!(desk.query(id), [answer]);
    }
    let table = [
        (1, "1 CancelRejected -2011"),
        (2, "2 Canceled 0"),
        (3, "3 Canceled 4"),
        (3, "3 CancelRejected -2011"),
        (5, "5 CancelRejected -2011"),
    ];
    for (id, answer) in table {
        assert_eq!(desk.cancel(id), [answer]);
    }
    assert_eq!(desk.query(3), ["3 Canceled 4"]);
    assert_eq!(desk.quote(500_000, 100, 500_001, 100), [""; 0], "a cancelled order fills no more");
}

#[test]
fn hostile_quotes_offer_nothing() {
    let mut desk = Desk::quoted();
    for (bid, ask) in [(0, 0), (-5, -4), (i64::MIN, i64::MIN)] {
        desk.quote(bid, 9, ask, 9);
        assert_eq!(desk.order(market_order(1, Side::Buy, 10)), ["1 Rejected -4131"]);
    }
    desk.quote(i64::MAX, 9, i64::MAX, 9);
    assert_eq!(desk.order(market_order(1, Side::Buy, 10)), ["1 Rejected -2019"]);
    assert_eq!(desk.trade(-1), [""; 0]);
    assert_eq!(desk.mark("-1"), [""; 0]);
    assert_eq!(desk.venue.equity(), Some(dec("10000")));
}
