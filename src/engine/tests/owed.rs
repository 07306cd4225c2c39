//! What orders filled by the venue's word and no fill told: whose it is, and what may leave before it is told.

use super::assumed::POLICIES;
use super::*;
use crate::risk::config::OnUnknownPosition;

/// The stop filled after its trade was closed elsewhere; what it owed is told in every way there is.
#[test]
fn an_order_of_a_trade_that_is_over_owes_nothing_once_its_fills_came() {
    let owing = || {
        let mut desk = Desk::on_unknown(OnUnknownPosition::Halt);
        let (_, stop) = desk.long();
        desk.assumed(-10, 500_000);
        desk.update_filled(stop, OrderStatus::Filled, 10);
        assert!(desk.only_trade().finished, "it waits for the stop's fills");
        (desk, stop)
    };
    let (mut desk, stop) = owing();
    assert_eq!(alarms(&desk.fill(stop, Side::Sell, 477_500, 10)), [AlarmKind::UnexpectedFill]);
    assert!(desk.engine.trades().is_empty());
    let (mut desk, _) = owing();
    assert_eq!(alarms(&desk.assumed(-10, 500_000)), [AlarmKind::UnexpectedFill]);
    assert!(desk.engine.trades().is_empty());
    let (mut desk, stop) = owing();
    assert!(desk.update(stop, OrderStatus::Expired, OrderUpdate::NO_MORE_FILLS).is_empty());
    assert!(desk.engine.trades().is_empty());
}

/// The venue says that all of an entry filled, and has less: somebody else took the rest, unheard.
#[test]
fn fills_that_will_not_come_are_not_waited_for() {
    let mut desk = Desk::on_unknown(OnUnknownPosition::Halt);
    let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
    desk.update_filled(entry, OrderStatus::Filled, 10);
    let stop = order(&desk.assumed(6, 500_000)).id;
    desk.update(stop, OrderStatus::Accepted, 0);
    assert!(desk.only_trade().entry_working());
    desk.update(entry, OrderStatus::Expired, OrderUpdate::NO_MORE_FILLS);
    assert!(!desk.only_trade().entry_working());
    // The answer to a question that was under way.
    desk.update_filled(entry, OrderStatus::Filled, 10);
    assert!(!desk.only_trade().entry_working());
    assert!(Engine::restore(&desk.engine.snapshot(1)).is_ok());
    assert_eq!(closed(&desk.fill(stop, Side::Sell, 477_500, 6)).quantity, Lots(6));
    assert!(desk.engine.trades().is_empty());
    // None of it is left: there was no trade.
    let mut desk = Desk::on_unknown(OnUnknownPosition::Halt);
    let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
    desk.update_filled(entry, OrderStatus::Filled, 10);
    desk.update(entry, OrderStatus::Expired, OrderUpdate::NO_MORE_FILLS);
    assert!(desk.engine.trades().is_empty());
    // Of an order that may still fill it says nothing.
    let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
    desk.update(entry, OrderStatus::Expired, OrderUpdate::NO_MORE_FILLS);
    assert_eq!(desk.only_trade().id, entry);
}

/// Somebody closed a part, and then the venue says that the stop filled: it owes what its trade has not.
#[test]
fn what_an_order_owes_goes_no_further_than_its_trade() {
    for policy in POLICIES {
        let mut desk = Desk::on_unknown(policy);
        let (entry, stop) = desk.long();
        desk.assumed(-4, 501_000);
        desk.update_filled(stop, OrderStatus::Filled, 10);
        let said = desk.assumed(-12, 477_500);
        let account = closed(&said);
        assert_eq!((account.trade, account.state), (entry, TradeState::ClosedSl), "{policy}");
        assert_eq!(account.exit, Dec::int(48_690), "4 at 50,100 and 6 at 47,750");
        let halts = policy == OnUnknownPosition::Halt;
        assert_eq!(desk.position(), if halts { 0 } else { -6 }, "{policy}");
        assert_eq!(alarms(&said).contains(&AlarmKind::UnexpectedFill), halts);
        // It owes nothing any more.
        let said = desk.tick(6_000);
        assert!(!said.iter().any(|o| matches!(o, OutputBody::Query(query) if query.id == stop)), "{said:?}");
        assert!(Engine::restore(&desk.engine.snapshot(1)).is_ok());
    }
}

/// What only reduces moves no wallet once nothing is left to reduce.
#[test]
fn a_wallet_is_compared_though_a_stop_of_a_trade_that_is_over_is_not_gone_yet() {
    let wallet = |desk: &Desk| desk.engine.controller().wallet().unwrap();
    for fills in [false, true] {
        let mut desk = Desk::on_unknown(OnUnknownPosition::Halt);
        let (_, stop) = desk.long();
        desk.assumed(-10, 500_000);
        assert!(desk.only_trade().finished);
        if fills {
            desk.update_filled(stop, OrderStatus::Filled, 10);
        }
        let before = wallet(&desk);
        desk.wallet(9_000, AccountReason::Order);
        desk.tick(100);
        desk.tick(3_000);
        assert_eq!(wallet(&desk), if fills { before } else { Dec::int(9_000) });
    }
}

/// The stop came before the reports of what it stopped: the venue holds what the entry has still to report.
#[test]
fn what_leaves_before_its_entry_is_told_is_no_position_to_the_other_side() {
    let settlement = |lots: i64, trade_id: i64| {
        EventBody::Fill(Fill {
            order: OrderId::NONE,
            trade_id,
            fee: Dec::ZERO,
            price: Ticks(470_000),
            quantity: Lots(lots),
            event_ms: 0,
            side: Side::Sell,
            maker: false,
            cause: FillCause::Settlement,
            pad: [0; 5],
        })
    };
    for policy in POLICIES {
        let mut desk = Desk::on_unknown(policy);
        let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
        let stop = order(&desk.fill(entry, Side::Buy, 500_000, 4)).id;
        desk.update_filled(entry, OrderStatus::Expired, 10);
        desk.fill(stop, Side::Sell, 477_500, 4);
        assert_eq!(desk.position(), 0);
        // Of the six lots that are left at the venue three are settled.
        assert_eq!(alarms(&desk.send(settlement(3, 77))), [AlarmKind::ForcedExit], "{policy}");
        assert_eq!((desk.only_trade().id, desk.position()), (entry, -3), "{policy}");
        assert!(Engine::restore(&desk.engine.snapshot(1)).is_ok());
        let exit = order(&desk.fill(entry, Side::Buy, 500_000, 6));
        assert_eq!((exit.purpose, exit.quantity), (Purpose::Exit, Lots(3)));
        let account = closed(&desk.fill(exit.id, Side::Sell, 470_000, 3));
        assert_eq!((account.trade, account.quantity), (entry, Lots(10)));
        // One more than it held is a position of nobody's; what the trade never heard of cost what it knows.
        let mut desk = Desk::on_unknown(policy);
        let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
        let stop = order(&desk.fill(entry, Side::Buy, 500_000, 4)).id;
        desk.update_filled(entry, OrderStatus::Expired, 6);
        desk.fill(stop, Side::Sell, 477_500, 4);
        let said = desk.send(settlement(3, 78));
        if policy == OnUnknownPosition::Halt {
            assert_eq!(
                (desk.position(), desk.trading()),
                (0, TradingState::Halted),
                "all of it is left alone"
            );
            continue;
        }
        let account = closed(&said);
        // 4 lots of 0.001 lost 2,250 each, and 2 lost 3,000 each; two fees of 0.25.
        assert_eq!(account.pnl, -Dec::new(155, 1), "{policy}");
        assert_eq!(desk.position(), -1);
    }
}

/// What the gateway concludes is what all fills together lack, those that are owed among them.
#[test]
fn what_was_concluded_from_the_position_leaves_nothing_that_was_not_told() {
    for policy in [OnUnknownPosition::Adopt, OnUnknownPosition::Close] {
        let mut desk = Desk::on_unknown(policy);
        let entry = order(&desk.signal(Action::Long, Consensus::Strong)).id;
        desk.update_filled(entry, OrderStatus::Filled, 9);
        desk.assumed(-10, 500_000);
        assert_eq!(desk.position(), -10, "{policy}");
    }
}

/// What the venue rounds is a hundred millionth a part, and there are not as many parts as lots.
#[test]
fn of_many_lots_rounding_hides_no_difference() {
    let mut desk = Desk::on_unknown(OnUnknownPosition::Adopt);
    for lots in [5_000, -3_000] {
        let stop = order(&desk.assumed(lots, 500_000)).id;
        for before in cancels(&desk.update(stop, OrderStatus::Accepted, 0)) {
            desk.update(before, OrderStatus::Canceled, 0);
        }
    }
    let trade = desk.only_trade();
    assert_eq!((trade.exited, trade.realised), (Lots(3_000), Dec::ZERO));
    let wallet = |desk: &Desk| desk.engine.controller().wallet().unwrap();
    for (difference, taken) in [(Dec::new(1, 5), false), (Dec::new(2, 5), true)] {
        let before = wallet(&desk);
        let (wallet_then, reason) = (before + difference, AccountReason::Order);
        let update =
            AccountUpdate { wallet: wallet_then, change: Dec::ZERO, event_ms: 0, reason, pad: [0; 7] };
        desk.send(EventBody::AccountUpdate(update));
        desk.tick(100);
        desk.tick(3_000);
        assert_eq!(wallet(&desk), if taken { wallet_then } else { before });
    }
}
