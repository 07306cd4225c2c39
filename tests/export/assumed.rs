//! Fills that are not those of an ordinary entry or exit, as an engine books them, and everybody who follows
//! its journal.

use std::collections::BTreeMap;

use proptest::prelude::*;
use quantum_trader::event::*;
use quantum_trader::num::{Lots, OrderId};
use quantum_trader::risk::config::OnUnknownPosition;

use super::followed::Followed;

#[test]
fn a_position_taken_over_grown_reduced_and_turned() {
    let mut followed = Followed::new(OnUnknownPosition::Adopt);
    let said = followed.assumed(10, 520_000);
    followed.acknowledge(&said);
    followed.price(505_000);
    let said = followed.assumed(5, 505_000);
    followed.acknowledge(&said);
    followed.price(506_000);
    let said = followed.assumed(-6, 506_000);
    followed.acknowledge(&said);
    let said = followed.assumed(-13, 506_000);
    assert!(said.iter().any(|body| matches!(body, OutputBody::TradeClosed(_))));
    followed.acknowledge(&said);
    followed.price(504_000);
    followed.assumed(4, 504_000);
    assert!(followed.engine.trades().iter().all(|trade| trade.finished));
    let fills = followed.finish();
    assert_eq!(fills.column("cause"), ["Assumed"; 5]);
    assert_eq!(fills.column("applied"), ["true"; 5]);
    let trade = |number: u32| format!("qt-00000007-{number:08x}");
    let trades = fills.column("trade");
    assert!(trades[..4].iter().all(|of| *of == trade(1)), "also that which began the next one: {trades:?}");
    assert!(trades[4] > trades[3], "{trades:?}");
    // 51.5 a lot on the average: 6 and 9 out at 50.6; and 4 sold at 50.6 are bought at 50.4.
    assert_eq!(fills.column("realised"), ["", "", "-5.4", "-8.1", "0.8"]);
}

#[test]
fn what_is_closed_because_nothing_explains_it() {
    let mut followed = Followed::new(OnUnknownPosition::Close);
    let said = followed.assumed(-10, 480_000);
    let exit = said.iter().find_map(|body| match body {
        OutputBody::Order(order) if order.purpose == Purpose::Exit => Some(order.id),
        _ => None,
    });
    followed.acknowledge(&said);
    followed.fill(exit.unwrap(), 10, 501_000);
    let fills = followed.finish();
    assert_eq!(fills.column("applied"), ["true", "true"]);
    assert_eq!(fills.column("realised"), ["", "-21"]);
}

#[test]
fn what_is_left_alone_is_in_nobodys_books() {
    let mut followed = Followed::new(OnUnknownPosition::Halt);
    followed.assumed(10, 520_000);
    let fills = followed.finish();
    assert_eq!((fills.column("applied"), fills.column("trade")), (vec!["false"], vec![""]));
}

/// A stop that the venue does not know any more protects nothing: the engine's books give it up, and so does
/// what an operator is shown.
#[test]
fn an_order_given_up_covers_nothing_to_whoever_reads_the_journal() {
    let mut followed = Followed::new(OnUnknownPosition::Adopt);
    let said = followed.assumed(10, 500_000);
    followed.acknowledge(&said);
    let stop = said.iter().find_map(|body| match body {
        OutputBody::Order(order) => Some(order.id),
        _ => None,
    });
    while followed.steps.len() < 70 {
        followed.price(500_000);
    }
    followed.word(stop.unwrap(), OrderStatus::NotFound);
    let open = followed.stats.book.positions().next().unwrap();
    assert_eq!((open.stopped(), open.is_covered()), (Lots::ZERO, false));
}

const POLICIES: [OnUnknownPosition; 3] =
    [OnUnknownPosition::Halt, OnUnknownPosition::Adopt, OnUnknownPosition::Close];

/// A long of 10 lots at 50,000.0 that a signal led to, its stop acknowledged; ids of entry and stop.
fn long(policy: OnUnknownPosition) -> (Followed, OrderId, OrderId) {
    let mut followed = Followed::new(policy);
    followed.warm();
    let entry = followed.enter().unwrap();
    let said = followed.fill(entry, 10, 500_000);
    followed.word_filled(entry, OrderStatus::Filled, 10);
    followed.acknowledge(&said);
    let stop = said.iter().find_map(|body| match body {
        OutputBody::Order(order) => Some(order.id),
        _ => None,
    });
    (followed, entry, stop.unwrap())
}

#[test]
fn what_was_left_alone_counts_when_it_is_told_again_under_another_policy() {
    for policy in [OnUnknownPosition::Adopt, OnUnknownPosition::Close] {
        let mut followed = Followed::new(OnUnknownPosition::Halt);
        followed.assumed(10, 520_000);
        assert!(followed.shown().is_empty());
        followed.policy(policy);
        let said = followed.refill(OrderId::NONE, 10, 520_000);
        followed.acknowledge(&said);
        assert_eq!(followed.shown(), [10], "{policy}");
        // Told once more, it is nothing new.
        followed.refill(OrderId::NONE, 10, 520_000);
        followed.assumed(-10, 521_000);
        assert!(followed.shown().is_empty());
        let fills = followed.finish();
        assert_eq!(fills.column("applied"), ["false", "true", "false", "true"], "{policy}");
        assert_eq!(fills.column("realised"), ["", "", "", "1"]);
    }
}

#[test]
fn a_fill_of_an_order_nobody_knows_goes_by_the_policy_and_its_fee_is_the_accounts() {
    for policy in POLICIES {
        let (mut followed, entry, _) = long(policy);
        let foreign = OrderId::new(3, 9);
        // It leaves a part, grows what is left, ends all of it and begins another.
        let mut shown = Vec::new();
        for lots in [-4, 2, -11] {
            let said = followed.fill(foreign, lots, 510_000);
            followed.acknowledge(&said);
            shown.push(followed.shown());
        }
        let halts = policy == OnUnknownPosition::Halt;
        let expected = if halts { [[10]; 3] } else { [[6], [8], [-3]] };
        assert_eq!(shown, expected, "{policy}");
        let fills = followed.finish();
        let [applied, trade] = if halts { ["false", ""] } else { ["true", &entry.to_string()] };
        assert_eq!(fills.column("applied")[1..], [applied; 3], "{policy}");
        assert_eq!(fills.column("trade")[1..], [trade; 3]);
        // 0.004 at 1,000; then 0.006 of 300 and 0.002 of 102 at 51,000: 408 less 402.
        let realised = if halts { ["", "", ""] } else { ["4", "", "6"] };
        assert_eq!(fills.column("realised")[1..], realised);
    }
}

/// The venue says that an order filled, and the fills do not come: what its position shows pays for them.
#[test]
fn what_an_order_owes_is_paid_by_what_the_position_shows() {
    for policy in POLICIES {
        let (mut followed, entry, stop) = long(policy);
        followed.word_filled(stop, OrderStatus::Filled, 10);
        assert_eq!(followed.shown(), [10], "{policy}");
        followed.assumed(-10, 477_000);
        assert!(followed.shown().is_empty());
        // They come after all, and are as unknown as any other.
        let said = followed.fill(stop, -10, 477_500);
        followed.acknowledge(&said);
        assert_eq!(followed.shown().len(), usize::from(policy != OnUnknownPosition::Halt));
        let tables = followed.tables();
        let paid = tables["fills"].row(1);
        assert_eq!((paid["trade"], paid["realised"]), (entry.to_string().as_str(), "-23"), "{policy}");
        let row = tables["orders"].row(1);
        assert_eq!((row["order"], row["filled"]), (stop.to_string().as_str(), "0.01"));
    }
}

#[test]
fn an_entry_that_owes_is_paid_as_well() {
    for policy in POLICIES {
        let mut followed = Followed::new(policy);
        followed.warm();
        let entry = followed.enter().unwrap();
        followed.fill(entry, 3, 500_000);
        followed.word_filled(entry, OrderStatus::Expired, 8);
        // Five are owed; of the others nothing is known.
        let said = followed.assumed(7, 501_000);
        followed.acknowledge(&said);
        let all = if policy == OnUnknownPosition::Halt { 8 } else { 10 };
        assert_eq!(followed.shown(), [all], "{policy}");
        followed.assumed(-10, 502_000);
        let fills = followed.finish();
        assert_eq!(fills.column("applied"), ["true"; 3]);
        assert!(fills.column("trade").iter().all(|trade| *trade == entry.to_string()));
    }
}

/// Somebody closed a part, and the stop sold all of it.
#[test]
fn what_an_exit_fills_beyond_its_trade_is_none_of_its_result() {
    for policy in POLICIES {
        let (mut followed, entry, stop) = long(policy);
        followed.assumed(-4, 501_000);
        let said = followed.fill(stop, -10, 477_500);
        followed.acknowledge(&said);
        let halts = policy == OnUnknownPosition::Halt;
        assert_eq!(followed.shown(), if halts { vec![] } else { vec![-4] }, "{policy}");
        followed.assumed(4, 477_500);
        assert!(followed.shown().is_empty());
        let fills = followed.finish();
        let sold = fills.row(2);
        assert_eq!((sold["trade"], sold["realised"]), (entry.to_string().as_str(), "-13.5"), "6 of 10");
        assert_eq!((sold["quantity"], sold["fee"]), ("0.01", "0.25"), "as the venue told it");
    }
}

/// The same, and then the venue says that the stop filled, and shows two more.
#[test]
fn what_an_order_owes_beyond_its_trade_is_none_of_its_result() {
    for policy in POLICIES {
        let (mut followed, entry, stop) = long(policy);
        followed.assumed(-4, 501_000);
        followed.word_filled(stop, OrderStatus::Filled, 10);
        let said = followed.assumed(-12, 477_500);
        followed.acknowledge(&said);
        let halts = policy == OnUnknownPosition::Halt;
        assert_eq!(followed.shown(), if halts { vec![] } else { vec![-6] }, "{policy}");
        let tables = followed.tables();
        let paid = tables["fills"].row(2);
        assert_eq!((paid["trade"], paid["realised"]), (entry.to_string().as_str(), "-13.5"), "{policy}");
        let is_stop = |row: &BTreeMap<&str, &str>| row["order"] == stop.to_string();
        let row = tables["orders"].maps().find(is_stop).unwrap();
        assert_eq!((row["filled"], row["average_price"]), ("0.01", "47750"), "of the order all the same");
    }
}

/// What somebody opened beside our position he closes as well; what is ours of the same fill is ours.
#[test]
fn what_ends_a_position_that_was_left_alone_is_nobodys() {
    let (mut followed, entry, _) = long(OnUnknownPosition::Halt);
    followed.assumed(3, 500_000);
    followed.assumed(-1, 501_000);
    assert_eq!(followed.shown(), [10]);
    followed.assumed(-5, 502_000);
    assert_eq!(followed.shown(), [7]);
    let fills = followed.finish();
    assert_eq!(fills.column("applied"), ["true", "false", "false", "true"]);
    let last = fills.row(3);
    assert_eq!((last["trade"], last["realised"]), (entry.to_string().as_str(), "0.6"), "0.003 of 200");
}

/// A start that goes on is told again what was filled before it.
#[test]
fn a_start_that_goes_on_knows_the_fills_before_it() {
    let (mut followed, _, stop) = long(OnUnknownPosition::Halt);
    followed.fill(stop, -3, 477_500);
    followed.go_on();
    followed.refill(stop, -3, 477_500);
    assert_eq!(followed.shown(), [7]);
    followed.fill(stop, -7, 477_500);
    assert!(followed.shown().is_empty());
}

#[derive(Clone, Debug)]
enum Happens {
    Price(i64),
    Enters,
    Assumed {
        lots: i64,
        price: i64,
    },
    /// The fill before, told again or with its id given to another.
    Again {
        lots: i64,
        price: i64,
    },
    /// Of one of the newest orders, mostly on its side; or of one nobody knows.
    Fills {
        which: usize,
        turned: bool,
        lots: i64,
        price: i64,
    },
    Foreign {
        lots: i64,
        price: i64,
    },
    Word {
        which: usize,
        status: OrderStatus,
        lots: i64,
    },
    Policy(OnUnknownPosition),
    Resumes,
}

fn happens() -> impl Strategy<Value = Happens> {
    let price = || 470_000..530_000i64;
    let signed = || prop_oneof![-12..0i64, 1..12i64];
    let status = proptest::sample::select(vec![
        OrderStatus::Accepted,
        OrderStatus::Filled,
        OrderStatus::Filled,
        OrderStatus::Canceled,
        OrderStatus::Expired,
        OrderStatus::Rejected,
        OrderStatus::NotFound,
    ]);
    prop_oneof![
        2 => price().prop_map(Happens::Price),
        2 => Just(Happens::Enters),
        3 => (signed(), price()).prop_map(|(lots, price)| Happens::Assumed { lots, price }),
        1 => (signed(), price()).prop_map(|(lots, price)| Happens::Again { lots, price }),
        5 => (0..4usize, proptest::bool::weighted(0.1), 1..12i64, price())
            .prop_map(|(which, turned, lots, price)| Happens::Fills { which, turned, lots, price }),
        1 => (signed(), price()).prop_map(|(lots, price)| Happens::Foreign { lots, price }),
        4 => (0..4usize, status, 0..12i64).prop_map(|(which, status, lots)| Happens::Word { which, status, lots }),
        1 => proptest::sample::select(POLICIES.to_vec()).prop_map(Happens::Policy),
        1 => Just(Happens::Resumes),
    ]
}

fn newest(followed: &Followed, which: usize) -> Option<Order> {
    let outputs = followed.steps.iter().rev().flat_map(|step| step.outputs.iter().rev());
    let mut orders = outputs.filter_map(|output| match &output.body {
        OutputBody::Order(order) => Some(*order),
        _ => None,
    });
    orders.nth(which)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is told, in whatever order: those who follow have what the engine has, after every event. Timers
    /// are left out, for they take over the venue's wallet, which is stated once.
    #[test]
    fn whoever_follows_has_what_the_engine_has(
        policy in proptest::sample::select(POLICIES.to_vec()),
        story in proptest::collection::vec(happens(), 1..60),
    ) {
        let (mut followed, ..) = long(policy);
        for happens in story {
            match happens {
                Happens::Price(price) => followed.price(price),
                Happens::Enters => {
                    followed.enter();
                }
                Happens::Assumed { lots, price } => {
                    followed.assumed(lots, price);
                }
                Happens::Again { lots, price } => {
                    followed.refill(OrderId::NONE, lots, price);
                }
                Happens::Fills { which, turned, lots, price } => {
                    if let Some(order) = newest(&followed, which) {
                        let side = if turned { order.side.opposite() } else { order.side };
                        followed.fill(order.id, lots * side.sign(), price);
                    }
                }
                Happens::Foreign { lots, price } => {
                    followed.fill(OrderId::new(3, 9), lots, price);
                }
                Happens::Word { which, status, lots } => {
                    if let Some(order) = newest(&followed, which) {
                        followed.word_filled(order.id, status, lots);
                    }
                }
                Happens::Policy(policy) => followed.policy(policy),
                Happens::Resumes => {
                    let command = CommandKind::Resume;
                    followed.take(EventBody::Command(Command { command, pad: [0; 7] }));
                }
            }
        }
        followed.finish();
    }
}
