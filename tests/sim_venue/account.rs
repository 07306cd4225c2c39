//! Money: wallet, equity, funding, liquidation, the snapshot.

use super::*;

#[test]
fn profit_is_realised_at_average_cost_and_equity_follows_the_mark() {
    let mut desk = Desk::quoted();
    desk.order(market_order(1, Side::Buy, 100));
    desk.quote(520_000, 1_000, 520_001, 1_000);
    desk.order(market_order(2, Side::Buy, 50));
    desk.mark("51000.005");
    let position = desk.venue.position(BTC);
    // 0.1 × 50,000.1 + 0.05 × 52,000.1
    assert_eq!(position.cost, dec("7600.015"));
    let fees = dec("3.8000075");
    assert_eq!(desk.venue.wallet(), dec("10000") - fees);
    // 0.15 × 51,000.005 − 7,600.015
    assert_eq!(desk.venue.unrealised(), Some(dec("49.98575")));
    assert_eq!(desk.venue.equity(), Some(dec("10046.1857425")));
    let said = desk.order(exit_order(3, Side::Sell, 50));
    // A third of the cost is 2,533.33833333 at 8 places: 2,600 − that − fee 1.3.
    assert_eq!(said[1], format!("Order wallet {}", desk.venue.wallet()));
    assert_eq!(desk.venue.wallet(), dec("10000") - fees - dec("1.3") + dec("66.66166667"));
    assert_eq!(desk.venue.position(BTC).cost, dec("5066.67666667"));
}

#[test]
fn funding_is_paid_once_when_its_time_passes() {
    let mut desk = Desk::quoted();
    desk.order(market_order(1, Side::Buy, 100));
    let due = desk.now.ms() + 5_000;
    desk.feed(BTC, mark_of(dec("50000"), dec("0.0001"), due));
    assert_eq!(desk.venue.next_timer(), Some(ms(due)));
    assert_eq!(desk.wait(4_000), [""; 0]);
    let wallet = desk.venue.wallet();
    // The mark after the hour comes with another price and rate; the hour is paid at what held before.
    desk.now = ms(due + 10);
    let said = desk.feed(BTC, mark_of(dec("60000"), dec("0.9"), due));
    assert_eq!(said, ["funding -0.5"], "0.1 × 50,000 × 0.0001");
    assert_eq!(desk.venue.wallet(), wallet - dec("0.5"));
    let report = desk.out.last().unwrap();
    let ReportBody::Account { update, position: None } = report.body else { panic!("not funding") };
    assert_eq!((report.instrument, update.event_ms, update.wallet), (BTC, due, wallet - dec("0.5")));
    assert_eq!(desk.wait(100_000), [""; 0], "an hour past is not announced again");
}

#[test]
fn shorts_receive_what_longs_pay_and_flat_accounts_neither() {
    let mut desk = Desk::quoted();
    let due = desk.now.ms() + 5_000;
    desk.feed(BTC, mark_of(dec("50000"), dec("0.0001"), due));
    desk.order(market_order(1, Side::Sell, 100));
    desk.feed(ETH, mark_of(dec("2000"), dec("0.0001"), due));
    assert_eq!(desk.wait(10_000), ["funding 0.5"]);
}

#[test]
fn a_mark_price_nobody_keeps_up_gives_way_to_trades() {
    let mut desk = Desk::quoted();
    desk.order(market_order(1, Side::Buy, 100));
    desk.mark("51000.1");
    desk.wait(9_999);
    // Ten seconds to the millisecond: it holds.
    desk.trade(480_000);
    assert_eq!(desk.venue.unrealised(), Some(dec("100")));
    desk.trade(480_000);
    assert_eq!(desk.venue.unrealised(), Some(dec("-200.01")), "0.1 × (48,000 − 50,000.1)");
    desk.mark("51000.1");
    assert_eq!(desk.venue.unrealised(), Some(dec("100")));
}

#[test]
fn funding_can_be_turned_off() {
    let config = VenueConfig { wallet: dec("10000"), leverage: 5, funding: false };
    let mut desk = Desk { venue: Venue::new(instruments(), config), ..Desk::quoted() };
    desk.quote(500_000, 1_000, 500_001, 1_000);
    desk.order(market_order(1, Side::Buy, 100));
    desk.feed(BTC, mark_of(dec("50000"), dec("0.0001"), desk.now.ms() + 5_000));
    assert_eq!(desk.wait(10_000), [""; 0]);
}

#[test]
fn liquidation_comes_when_the_maintenance_margin_exceeds_equity() {
    let mut desk = Desk::silent("1000");
    desk.quote(500_000, 1_000, 500_000, 1_000);
    desk.order(market_order(1, Side::Buy, 99));
    desk.order(stop_order(2, Side::Sell, 99, 300_000));
    // Wallet 997.525; at mark m equity is 997.525 + 0.099 (m − 50,000), needed is 0.004 × 0.099 m:
    // equal at 40,084.327…
    assert_eq!(desk.mark("40084.33"), [""; 0]);
    assert!(desk.venue.margin_ratio().unwrap() < Dec::ONE);
    desk.quote(400_500, 60, 400_600, 60);
    let said = desk.mark("40084.32");
    assert_eq!(said[2], "0 liquidation Sell 60@400500 fee 1.2015", "as far as the touch goes");
    // The rest follows with the next quote, unless the account has recovered by then.
    assert!(desk.venue.maintenance().unwrap() < desk.venue.equity().unwrap());
    assert_eq!(desk.quote(400_500, 60, 400_600, 60), [""; 0]);
    assert_eq!(desk.mark("30000")[2], "0 liquidation Sell 39@400500 fee 0.780975");
    assert_eq!(desk.held(), 0);
    assert_eq!(desk.venue.open_orders().len(), 1, "the stop rests on");
}

#[test]
fn the_largest_loss_goes_first_and_entries_end() {
    let mut desk = Desk::silent("1000");
    desk.quote(500_000, 1_000, 500_000, 1_000);
    desk.feed(ETH, quote_of(200_000, 1_000, 200_000, 1_000));
    desk.feed(ETH, mark_of(dec("2000"), Dec::ZERO, 0));
    desk.order(market_order(1, Side::Buy, 40));
    desk.order_in(ETH, market_order(2, Side::Sell, 1_000));
    assert_eq!(desk.order_in(ETH, market_order(3, Side::Sell, 100)), ["3 Accepted 0"]);
    desk.quote(490_000, 1_000, 490_000, 1_000);
    desk.feed(ETH, quote_of(294_000, 0, 294_000, 600));
    // Equity 1,000 − 2 − 40 − 940 = 18; needed 7.84 + 14.7.
    let said = desk.feed(ETH, mark_of(dec("2940"), Dec::ZERO, 0));
    assert_eq!(said[0], "3 Expired 0");
    assert_eq!(said[3], "0 liquidation Buy 600@294000 fee 0.882");
    assert_eq!(desk.venue.position(ETH).quantity, Lots(-400));
    assert_eq!(desk.held(), 40, "17.118 left, 13.72 needed: enough was closed");
}

#[test]
fn the_snapshot_tells_settings_wallet_and_open_positions() {
    let mut desk = Desk::quoted();
    desk.order(market_order(1, Side::Sell, 100));
    let out = desk.venue.snapshot();
    let said: Vec<_> = out.iter().map(|(_, body)| line(body)).collect();
    assert_eq!(said, ["leverage 5", "Snapshot wallet 9997.5", "position -100 at 50000"]);
    assert_eq!(out[2].0, BTC);
    let EventBody::VenueSetup(setup) = out[0].1 else { panic!("no setup") };
    assert!(setup.one_way && setup.single_asset && !setup.isolated);
}

#[test]
fn amounts_beyond_the_range_end_the_order_and_leave_the_books() {
    let mut desk = Desk::silent("100000000000000000000");
    desk.feed(ETH, quote_of(200_000, 1_000, 200_001, 1_000));
    let order = market_order(1, Side::Buy, 100_000_000);
    assert_eq!(desk.order_in(ETH, order).len(), 4, "a part fills");
    let (wallet, position) = (desk.venue.wallet(), desk.venue.position(ETH));
    // 100,000 at 92 quadrillion: more money than 128 bits hold at 18 places.
    let absurd = Size(i64::MAX);
    let quote = Quote {
        bid: Ticks(1),
        bid_size: absurd,
        ask: Ticks(i64::MAX),
        ask_size: absurd,
        update_id: 0,
        transaction_ms: 0,
        event_ms: 0,
    };
    assert_eq!(desk.feed(ETH, EventBody::Quote(quote)), ["1 Expired 1000"]);
    assert_eq!((desk.venue.wallet(), desk.venue.position(ETH)), (wallet, position));
}
