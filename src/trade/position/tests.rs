//! What a trade has open, on its way and at risk, and its account, long and short.

use super::*;
use crate::event::{FillCause, InstrumentSpec, Order, OrderKind, SizeUnit, WorkingType, btcusdt};
use crate::risk::config::Settings;

const SIDES: [Side; 2] = [Side::Buy, Side::Sell];
const ENTRY: OrderId = OrderId(1);

/// So many ticks from 50,000.0 in the position's favour.
fn ahead(side: Side, ticks: i64) -> Ticks {
    Ticks(500_000 + ticks * side.sign())
}

/// Approved for 0.010 at 50,000 with a stop 2,250 away; nothing sent.
fn approved(side: Side) -> Trade {
    let plan = Plan {
        side,
        price: ahead(side, 0),
        quantity: Lots(10),
        stop: ahead(side, -22_500),
        target: ahead(side, 56_250),
        atr: Dec::int(1_500),
        notional: Dec::int(500),
        risk: Dec::new(225, 1),
    };
    Trade::approved(ENTRY, InstrumentId(0), plan, Consensus::Strong)
}

fn order(id: u64, purpose: Purpose, state: OrderState, lots: i64) -> LiveOrder {
    let order = Order {
        id: OrderId(id),
        trade: ENTRY,
        quantity: Lots(lots),
        trigger: Ticks(0),
        reference: Ticks(0),
        side: Side::Buy,
        kind: OrderKind::Market,
        purpose,
        working_type: WorkingType::ContractPrice,
        reduce_only: purpose != Purpose::Entry,
        pad: [0; 3],
    };
    LiveOrder { state, ..LiveOrder::sent(&order, false, TimeNs(0)) }
}

fn stop_at(id: u64, state: OrderState, trigger: Ticks) -> LiveOrder {
    LiveOrder { trigger, ..order(id, Purpose::Stop, state, 10) }
}

fn fill(price: Ticks, lots: i64, fee: Dec) -> Fill {
    Fill {
        order: ENTRY,
        trade_id: 1,
        fee,
        price,
        quantity: Lots(lots),
        event_ms: 0,
        side: Side::Buy,
        maker: false,
        cause: FillCause::Order,
        pad: [0; 5],
    }
}

fn enter(trade: &mut Trade, price: Ticks, lots: i64, now: i64) {
    trade.book_entry(&fill(price, lots, Dec::ZERO), &btcusdt(), TimeNs(now));
}

fn leave(trade: &mut Trade, price: Ticks, lots: i64) {
    trade.book_exit(&fill(price, lots, Dec::ZERO), Ticks::ZERO, &btcusdt());
}

/// Ten lots bought or sold at 50,000.
fn held(side: Side) -> Trade {
    let mut trade = approved(side);
    enter(&mut trade, ahead(side, 0), 10, 5);
    trade
}

#[test]
fn a_working_entry_commits_all_that_was_approved_and_then_what_is_open() {
    for side in SIDES {
        let mut trade = approved(side);
        assert_eq!((trade.open(), trade.committed()), (Lots(0), Lots(0)), "no order yet");
        trade.orders.push(order(1, Purpose::Entry, OrderState::Working, 10));
        assert!(trade.entry_working());
        assert_eq!((trade.open(), trade.committed()), (Lots(0), Lots(10)));
        enter(&mut trade, ahead(side, 0), 4, 5);
        leave(&mut trade, ahead(side, 0), 1);
        assert_eq!((trade.open(), trade.committed()), (Lots(3), Lots(9)));
        let entry = trade.order_mut(ENTRY).unwrap();
        (entry.state, entry.filled, entry.reported) = (OrderState::Canceled, Lots(4), Lots(4));
        assert!(!trade.entry_working());
        assert_eq!((trade.open(), trade.committed()), (Lots(3), Lots(3)));
    }
}

#[test]
fn only_exits_and_triggered_stops_are_on_their_way_out() {
    use OrderState::{Canceled, Filled, Sent, Triggered, Unknown, Working};
    for (purpose, state, reported, leaving) in [
        (Purpose::Entry, Working, 0, 0),
        (Purpose::Exit, Sent, 0, 10),
        (Purpose::Exit, Working, 0, 10),
        (Purpose::Exit, Canceled, 0, 0),
        (Purpose::Exit, Canceled, 3, 3),
        (Purpose::Stop, Sent, 0, 0),
        (Purpose::Stop, Working, 0, 0),
        (Purpose::Stop, Unknown, 0, 0),
        (Purpose::Stop, Triggered, 0, 10),
        (Purpose::Stop, Filled, 0, 10),
        (Purpose::Stop, Canceled, 4, 4),
    ] {
        let mut trade = held(Side::Buy);
        trade.orders.push(LiveOrder { reported: Lots(reported), ..order(2, purpose, state, 10) });
        assert_eq!(trade.exiting(), Lots(leaving), "{purpose:?} {state:?} {reported}");
    }
}

#[test]
fn a_position_is_leaving_when_all_of_it_is_and_no_exit_is_in_doubt() {
    let with = |lots: i64, state| {
        let mut trade = held(Side::Buy);
        trade.orders.push(order(2, Purpose::Exit, OrderState::Sent, 4));
        trade.orders.push(order(3, Purpose::Exit, state, lots - 4));
        trade.is_leaving()
    };
    assert!(!with(9, OrderState::Sent) && with(10, OrderState::Sent) && with(11, OrderState::Working));
    assert!(!with(10, OrderState::Unknown), "one the venue did not answer is no way out");
}

#[test]
fn acknowledged_stops_cover_a_position_up_to_their_sum() {
    use OrderState::{Sent, Triggered, Unknown, Working};
    let with = |lots: i64, state| {
        let mut trade = held(Side::Buy);
        trade.orders.push(order(2, Purpose::Stop, Working, 4));
        trade.orders.push(order(3, Purpose::Stop, state, lots - 4));
        // What else there is covers nothing.
        trade.orders.push(order(4, Purpose::Exit, Working, 10));
        (trade.stopped(), trade.is_covered())
    };
    for state in [Working, Triggered] {
        assert_eq!(
            [with(9, state), with(10, state), with(11, state)],
            [(Lots(9), false), (Lots(10), true), (Lots(11), true)]
        );
    }
    for state in [Sent, Unknown] {
        assert_eq!(with(10, state), (Lots(4), false), "not acknowledged");
    }
}

#[test]
fn a_trade_is_gone_when_its_account_is_closed_and_no_order_is_left() {
    let mut trade = held(Side::Buy);
    trade.orders.push(order(2, Purpose::Stop, OrderState::Canceled, 10));
    assert!(!trade.is_gone(), "not accounted for");
    trade.finished = true;
    assert!(trade.is_gone());
    trade.orders.push(order(3, Purpose::Stop, OrderState::Working, 10));
    assert!(!trade.is_gone(), "a stop still rests");
}

#[test]
fn a_step_is_taken_once_and_says_what_was_left() {
    let mut trade = approved(Side::Buy);
    assert_eq!(trade.take(Step::EntrySent), Some(TradeState::Approved));
    assert_eq!((trade.take(Step::EntrySent), trade.state), (None, TradeState::EntryPending));
}

#[test]
fn room_is_made_by_forgetting_finished_orders_but_never_the_entry() {
    let full = |state| {
        let mut trade = approved(Side::Buy);
        trade.orders.push(order(1, Purpose::Entry, OrderState::Filled, 0));
        for id in 2..=ORDERS_MAX as u64 {
            trade.orders.push(order(
                id,
                Purpose::Stop,
                if id == 5 { OrderState::Working } else { state },
                10,
            ));
        }
        assert!(trade.orders.is_full());
        trade
    };
    let mut trade = full(OrderState::Canceled);
    assert!(trade.make_room());
    assert_eq!(trade.orders.iter().map(|order| order.id.0).collect::<Vec<_>>(), [1, 5]);
    let mut busy = full(OrderState::Working);
    assert!(!busy.make_room());
    assert_eq!(busy.orders.len(), ORDERS_MAX);
    // With room there is nothing to forget: who asks for a finished order still finds it.
    let mut some = approved(Side::Buy);
    some.orders.push(order(2, Purpose::Stop, OrderState::Canceled, 10));
    assert!(some.make_room());
    assert_eq!(some.orders.len(), 1);
}

#[test]
fn it_opens_with_the_first_fill_and_is_bare_from_the_moment_something_is_open() {
    let since = |trade: &Trade| (trade.protection.bare_since, trade.protection.uncovered_since);
    let mut trade = approved(Side::Buy);
    enter(&mut trade, Ticks(500_000), 4, 5);
    assert_eq!(since(&trade), (Some(TimeNs(5)), Some(TimeNs(5))));
    (trade.protection.bare_since, trade.protection.uncovered_since) = (None, None);
    enter(&mut trade, Ticks(500_003), 2, 6);
    assert_eq!(since(&trade), (None, None), "it was open already");
    assert_eq!((trade.entry.cost, trade.entry.quantity), (500_000 * 4 + 500_003 * 2, Lots(6)));
    // Closed altogether, then filled on: bare anew, open since the first fill all the same.
    leave(&mut trade, Ticks(500_000), 6);
    enter(&mut trade, Ticks(500_000), 1, 7);
    assert_eq!(since(&trade), (Some(TimeNs(7)), Some(TimeNs(7))));
    assert_eq!(trade.account(&btcusdt(), TimeNs(8)).opened_ns, TimeNs(5));
}

/// 0.003 for 150.0001 in all. A third of it has no end: venues round at eight places, half to even,
/// and the last part takes what is left.
#[test]
fn exits_release_the_average_cost_at_the_venues_last_place() {
    for side in SIDES {
        let mut trade = approved(side);
        enter(&mut trade, Ticks(500_000), 2, 5);
        enter(&mut trade, Ticks(500_001), 1, 6);
        let sign = i128::from(side.sign());
        let after = |trade: &mut Trade| {
            leave(trade, Ticks(510_000), 1);
            Dec(trade.realised.0 * sign)
        };
        // 51 less 50.00003333; 51 less 50.00003334 (half of 100.00006667); 51 less 50.00003333.
        assert_eq!(after(&mut trade), Dec::new(99_996_667, 8), "{side:?}");
        assert_eq!(after(&mut trade), Dec::new(199_993_333, 8), "{side:?}");
        assert_eq!(after(&mut trade), Dec::new(29_999, 4), "{side:?}: in the end it is exact");
        assert_eq!(trade.gross_tick_lots(Ticks(1)) * sign, 510_000 * 3 - 1_500_001, "nothing is open");
    }
}

/// A tick-lot of 1e-9 is below the venue's last place.
#[test]
fn the_last_part_releases_all_that_is_left_however_small() {
    let fine = Instrument::from_spec(&InstrumentSpec {
        symbol: "FINEUSDT",
        tick: "0.00001",
        step: "0.0001",
        min_quantity: "0.0001",
        max_quantity: "",
        min_notional: "0",
        taker_fee: "0",
        maintenance_margin: "0",
        size_unit: SizeUnit::Base,
    })
    .unwrap();
    for side in SIDES {
        let mut trade = approved(side);
        let at = fill(Ticks(1_234_567), 1, Dec::ZERO);
        trade.book_entry(&at, &fine, TimeNs(5));
        trade.book_exit(&at, Ticks::ZERO, &fine);
        assert_eq!(trade.realised, Dec::ZERO, "{side:?}");
    }
}

#[test]
fn the_open_rest_is_valued_at_the_price() {
    for side in SIDES {
        let mut trade = held(side);
        assert_eq!(trade.gross_tick_lots(ahead(side, 7)), 70, "{side:?}");
        leave(&mut trade, ahead(side, 100), 4);
        // 400 made, 6 lots 3 ticks behind.
        assert_eq!(trade.gross_tick_lots(ahead(side, -3)), 400 - 18, "{side:?}");
    }
}

#[test]
fn at_risk_is_the_way_to_the_worse_of_the_own_and_the_resting_stop() {
    use OrderState::{Canceled, Sent, Triggered, Unknown, Working};
    let s = Settings::DEFAULT;
    for side in SIDES {
        let at_risk = |stop: Option<LiveOrder>, price| {
            let mut trade = held(side);
            trade.exit = ExitState::open(side, trade.entry, Dec::int(1_500), Dec::new(1, 1), TimeNs(5), &s);
            trade.exit.as_mut().unwrap().stop = ahead(side, -100);
            trade.orders.extend(stop);
            trade.stop_loss_tick_lots(ahead(side, price))
        };
        assert_eq!(at_risk(None, 20), 1_200, "{side:?}");
        assert_eq!((at_risk(None, -99), at_risk(None, -100), at_risk(None, -101)), (10, 0, 0), "{side:?}");
        for (state, trigger, expected) in [
            (Working, -101, 1_210),
            (Triggered, -101, 1_210),
            (Working, -100, 1_200),
            (Working, -99, 1_200),
            (Sent, -101, 1_200),
            (Unknown, -101, 1_200),
            (Canceled, -101, 1_200),
        ] {
            let stop = stop_at(2, state, ahead(side, trigger));
            assert_eq!(at_risk(Some(stop), 20), expected, "{side:?} {state:?} {trigger}");
        }
    }
}

#[test]
fn a_pending_entry_is_at_risk_with_the_decisions_stop_and_all_that_was_approved() {
    for side in SIDES {
        let mut trade = approved(side);
        trade.orders.push(order(1, Purpose::Entry, OrderState::Sent, 10));
        assert_eq!(trade.stop_loss_tick_lots(ahead(side, 1)), 225_010, "{side:?}");
    }
}

/// Four bought at 50,000.2 and six at 50,000.0; five sold at 51,000, five at 50,500, a tick worse
/// than decided. Fees of 1.5, funding of 0.25 paid.
#[test]
fn the_account_is_net_of_fees_and_funding_and_in_r() {
    let btc = btcusdt();
    for side in SIDES {
        let mut trade = approved(side);
        let fee = Dec::new(375, 3);
        let at = |ticks| ahead(side, ticks);
        trade.book_entry(&fill(at(2), 4, fee), &btc, TimeNs(5));
        trade.book_entry(&fill(at(0), 6, fee), &btc, TimeNs(6));
        trade.exit =
            ExitState::open(side, trade.entry, Dec::int(1_500), btc.tick, TimeNs(5), &Settings::DEFAULT);
        trade.exit.as_mut().unwrap().track(at(10_000));
        trade.exit.as_mut().unwrap().track(at(-2_000));
        trade.book_exit(&fill(at(10_000), 5, fee), at(10_000), &btc);
        trade.book_exit(&fill(at(5_000), 5, fee), at(5_001), &btc);
        (trade.funding, trade.state) = (Dec::new(-25, 2), TradeState::ClosedTp);
        trade.ended_by = Some(ExitSignal::TakeProfit);
        let account = trade.account(&btc, TimeNs(9));
        // 5 × 1,000 + 5 × 500 − 4 × 0.2 in tick-lots: 74,992, at 0.0001 each.
        assert_eq!(account.pnl, Dec::new(74_992, 4) - Dec::new(175, 2), "{side:?}");
        assert_eq!((account.fees, account.funding), (Dec::new(15, 1), Dec::new(-25, 2)));
        // 4 lots 2 ticks and 5 lots 1 tick worse.
        assert_eq!(account.slippage, Dec::new(13, 4), "{side:?}");
        // The average is 50,000.08 and the stop rounds to 2,250.08 away: 22.508 are R.
        assert_eq!(trade.exit.as_ref().map(ExitState::risk_tick_lots), Some(225_008));
        assert_eq!(account.r_multiple, account.pnl.div(Dec::new(225_008, 4), Rounding::TowardZero).unwrap());
        assert_eq!((account.mfe > Dec::ZERO, account.mae > Dec::ZERO), (true, true));
        assert_eq!((account.best, account.worst), (at(10_000), at(-2_000)));
        let average = |ticks: i64, tenths: i64| {
            Dec::int(50_000) + Dec(Dec::new(ticks * 10 + tenths, 2).0 * i128::from(side.sign()))
        };
        assert_eq!((account.entry, account.exit), (average(0, 8), average(7_500, 0)), "{side:?}");
        assert_eq!((account.trade, account.quantity), (ENTRY, Lots(10)));
        assert_eq!((account.opened_ns, account.closed_ns), (TimeNs(5), TimeNs(9)));
        assert_eq!((account.state, account.signal), (TradeState::ClosedTp, ExitSignal::TakeProfit));
        assert_eq!((account.side, account.consensus), (side, Consensus::Strong));
    }
}

#[test]
fn an_exit_without_a_reference_has_no_slippage() {
    let mut trade = held(Side::Buy);
    leave(&mut trade, Ticks(490_000), 10);
    let account = trade.account(&btcusdt(), TimeNs(9));
    assert_eq!((account.slippage, account.r_multiple), (Dec::ZERO, Dec::ZERO), "nor an R without levels");
    assert_eq!((account.pnl, account.signal), (Dec::int(-10), ExitSignal::Manual));
}

#[test]
fn each_thing_that_waits_for_time_is_a_deadline_by_itself() {
    let waits = |change: fn(&mut Trade)| {
        let mut trade = held(Side::Buy);
        trade.protection = Protection::default();
        trade.orders.push(order(2, Purpose::Stop, OrderState::Working, 10));
        change(&mut trade);
        trade.has_deadline()
    };
    assert!(!waits(|_| ()), "a resting stop waits for a price");
    assert!(waits(|trade| trade.protection.uncovered_since = Some(TimeNs(1))));
    assert!(waits(|trade| trade.protection.beyond_since = Some(TimeNs(1))));
    assert!(waits(|trade| trade.closing = Some(Closing::by(ExitSignal::Manual))));
    assert!(
        !waits(|trade| trade.protection.bare_since = Some(TimeNs(1))),
        "the deadline counts what is uncovered"
    );
    assert!(waits(|trade| trade.orders.push(order(3, Purpose::Exit, OrderState::Sent, 10))));
    assert!(waits(|trade| trade.orders.push(order(3, Purpose::Exit, OrderState::Unknown, 10))));
    assert!(!waits(|trade| trade.orders.push(order(3, Purpose::Exit, OrderState::Working, 10))));
    assert!(!waits(|trade| {
        let filled = LiveOrder { filled: Lots(10), ..order(3, Purpose::Exit, OrderState::Unknown, 10) };
        trade.orders.push(filled);
    }));
}
