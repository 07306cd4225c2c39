//! Rounds while the user stream is up: what they find, that they tell it once, and that they always end in
//! agreement.

use std::collections::BTreeMap;

use super::*;
use crate::event::{Fill, FillCause};
use crate::gateway::orders::{Stage, Tracked};
use crate::num::Millis;
use crate::venue::binance::request::Service;

/// Ids of orders that somebody else sent, in the numbering of [`order_result`].
pub(super) const FOREIGN: u32 = 700;

/// An order as the venue has it.
#[derive(Clone, Debug)]
pub(super) struct AtVenue {
    pub client_id: String,
    pub conditional: bool,
    pub open: bool,
    lots: i64,
    pub filled: i64,
    /// Of the algo service it is an ordinary one by now.
    pub triggered: bool,
    pub side: Side,
}

/// A venue that answers what is asked, and whose messages may be lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Venue {
    pub orders: BTreeMap<u32, AtVenue>,
    /// Trade id, order, signed lots.
    pub trades: Vec<(i64, u32, i64)>,
    pub position: i64,
    wallet: i64,
    pub changed_ms: Millis,
    /// How long after the beginning its trades were.
    traded_ms: Millis,
}

impl Venue {
    pub fn place(&mut self, sequence: u32, client_id: &str, order: &Order) {
        let conditional = order.kind == OrderKind::StopMarket;
        let (lots, side) = (order.quantity.0, order.side);
        let client_id = client_id.to_string();
        let placed = AtVenue { client_id, conditional, open: true, lots, filled: 0, triggered: false, side };
        self.orders.insert(sequence, placed);
    }

    pub fn fill(&mut self, sequence: u32, lots: i64) {
        let Some(order) = self.orders.get_mut(&sequence).filter(|order| order.open) else { return };
        let lots = lots.min(order.lots - order.filled);
        (order.triggered, order.filled) = (order.conditional, order.filled + lots);
        order.open = order.filled < order.lots;
        let signed = lots * order.side.sign();
        self.trades.push((100 + self.trades.len() as i64, sequence, signed));
        self.moves(signed);
    }

    /// By nothing that is listed anywhere.
    pub fn moves(&mut self, signed: i64) {
        self.position += signed;
        self.changed_ms += 1;
    }

    pub fn quantity(lots: i64) -> String {
        format!("{}0.{:03}", if lots < 0 { "-" } else { "" }, lots.abs())
    }

    fn ordinary(&self, sequence: u32) -> Option<Value> {
        let order = self.orders.get(&sequence).filter(|order| !order.conditional || order.triggered)?;
        let status = match (order.open, order.filled) {
            (true, 0) => "NEW",
            (true, _) => "PARTIALLY_FILLED",
            (false, filled) if filled == order.lots => "FILLED",
            (false, _) => "CANCELED",
        };
        let mut row = order_result(sequence, status, &Venue::quantity(order.filled));
        row["clientOrderId"] = json!(order.client_id);
        Some(row)
    }

    fn algo(&self, sequence: u32) -> Option<Value> {
        let order = self.orders.get(&sequence).filter(|order| order.conditional)?;
        let status = match (order.triggered, order.open) {
            (true, _) => "TRIGGERED",
            (false, true) => "NEW",
            (false, false) => "CANCELED",
        };
        Some(algo_result(sequence, status))
    }

    fn by_name(&self, query: &str, name: &str) -> Option<u32> {
        let wanted = query.split('&').find_map(|part| part.strip_prefix(&format!("{name}=")))?;
        self.orders.iter().find(|(_, order)| order.client_id == wanted).map(|(sequence, _)| *sequence)
    }

    pub fn answer(&self, path: &str, query: &str) -> Option<Value> {
        let btc = query.contains("symbol=BTCUSDT");
        let open = |(sequence, order): (&u32, &AtVenue)| (btc && order.open).then_some(*sequence);
        let listed = self.orders.iter().filter_map(open);
        Some(match path {
            "Get /fapi/v1/openOrders" => json!(listed.filter_map(|id| self.ordinary(id)).collect::<Vec<_>>()),
            "Get /fapi/v1/openAlgoOrders" => {
                let rests = listed.filter(|id| !self.orders[id].triggered);
                json!(rests.filter_map(|id| self.algo(id)).collect::<Vec<_>>())
            }
            "Get /fapi/v1/order" => match self.by_name(query, "origClientOrderId") {
                Some(sequence) => self.ordinary(sequence)?,
                None => {
                    let id = query.split('&').find_map(|part| part.strip_prefix("orderId="))?;
                    self.ordinary(id.parse::<u32>().unwrap() - 9_000)?
                }
            },
            "Get /fapi/v1/algoOrder" => self.algo(self.by_name(query, "clientAlgoId")?)?,
            "Get /fapi/v1/userTrades" => {
                let rows = self.trades.iter().filter(|_| btc).map(|(id, order, signed)| {
                    json!({"id": id, "orderId": 9_000 + order, "symbol": "BTCUSDT",
                           "side": if *signed > 0 { "BUY" } else { "SELL" }, "price": "60000.0",
                           "qty": Venue::quantity(signed.abs()), "commission": "0.03",
                           "commissionAsset": "USDT", "maker": false, "time": T0_MS + self.traded_ms})
                });
                json!(rows.collect::<Vec<_>>())
            }
            "Get /fapi/v3/account" => session::account(&self.wallet.to_string(), T0_MS + 1_000),
            // Flat ones are not listed.
            "Get /fapi/v3/positionRisk" if self.position == 0 => json!([]),
            "Get /fapi/v3/positionRisk" => json!([{
                "symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": Venue::quantity(self.position),
                "entryPrice": "59000", "markPrice": "60100.04", "updateTime": T0_MS + self.changed_ms}]),
            _ => panic!("{path}"),
        })
    }
}

impl Desk {
    pub(super) fn auditing() -> Desk {
        let mut desk = Desk::new();
        desk.gateway.config.reconcile_ns = 15 * NS_PER_SEC;
        desk.gateway.session.audit_at = T0 + 15 * NS_PER_SEC;
        desk
    }

    /// Answers whatever is asked, until nothing is.
    pub(super) fn answered_by(&mut self, venue: &Venue) {
        while let Some(asked) = self.out.rest.pop_front() {
            let path = format!("{:?}", asked.call);
            match venue.answer(&path, &asked.call.query) {
                Some(body) => self.rest(asked.request, 200, &body),
                None => self.rest(asked.request, 400, &json!({"code": -2013, "msg": "no such order"})),
            }
        }
    }

    /// So much time passes, and what is asked is answered.
    fn audited(&mut self, seconds: i64, venue: &Venue) -> Vec<String> {
        self.wait(seconds * NS_PER_SEC);
        self.answered_by(venue);
        self.said()
    }

    pub(super) fn placed_at(&mut self, order: Order, venue: &mut Venue) {
        let sequence = order.id.sequence();
        self.place(order);
        self.written();
        venue.place(sequence, &client_id(sequence), &order);
    }
}

/// One lot held, and its stop; all of it known.
fn held() -> (Desk, Venue) {
    let (mut desk, mut venue) = (Desk::auditing(), Venue { wallet: 100, ..Venue::default() });
    desk.placed_at(Order { quantity: Lots(1), ..entry(1) }, &mut venue);
    venue.fill(1, 1);
    desk.user(&order_message(1, "TRADE", "FILLED", "0.001", Some((100, "0.001"))));
    desk.placed_at(Order { quantity: Lots(1), ..stop(2) }, &mut venue);
    desk.user(&algo_message(2, "NEW"));
    desk.user(&account_message("ORDER", "100", "0", Some("0.001")));
    assert_eq!(desk.said(), ["Fill 1 1@600000", "Filled 1", "Accepted 2", "Order 100", "Position 1"]);
    (desk, venue)
}

#[test]
fn an_audit_that_finds_nothing_says_nothing() {
    let (mut desk, venue) = held();
    for round in 1..4 {
        desk.wait(15 * NS_PER_SEC);
        let asked: Vec<String> = desk.out.rest.iter().map(|asked| format!("{:?}", asked.call)).collect();
        assert_eq!(asked, ["Get /fapi/v1/openOrders", "Get /fapi/v1/openAlgoOrders"]);
        assert!(desk.out.rest.iter().all(|asked| asked.call.query.starts_with("symbol=BTCUSDT&")));
        desk.answered_by(&venue);
        assert_eq!(desk.said(), [""; 0]);
        assert_eq!(desk.gateway.counters().reconciliation_rounds, round);
    }
    assert_eq!(desk.gateway.counters().reconciliations, 0, "the stream was believed all along");
    // Nothing concerned: wallet and positions alone.
    let mut idle = Desk::auditing();
    idle.wait(15 * NS_PER_SEC);
    assert_eq!(idle.called()[0].1, "Get /fapi/v3/account");
}

#[test]
fn a_lost_fill_is_found_by_the_difference_it_leaves() {
    let (mut desk, mut venue) = held();
    desk.placed_at(entry(3), &mut venue);
    venue.fill(3, 2);
    // Of all messages about it, the account's alone comes through.
    desk.user(&account_message("ORDER", "99", "0", Some("0.003")));
    venue.wallet = 99;
    assert_eq!(desk.said(), ["Order 99", "Position 3"]);
    desk.wait(NS_PER_SEC - 1);
    assert!(desk.out.rest.is_empty(), "it may settle");
    desk.wait(1);
    desk.answered_by(&venue);
    assert_eq!(desk.said(), ["Fill 3 2@600000", "Filled 3"]);
    assert_eq!(desk.audited(15, &venue), [""; 0], "once");
    assert_eq!(desk.gateway.counters().assumed_fills, 0);
}

/// A round at 15 s finds a fill that the stream, which last spoke at 0 s, has not told: it may still be about
/// to, or have told it just before it fell silent.
#[test]
fn a_stream_that_keeps_a_fill_to_itself_is_given_up() {
    for (traded_ms, deaf) in [(5_000, false), (5_001, true), (10_000, true), (10_001, false)] {
        let (mut desk, mut venue) = held();
        desk.placed_at(entry(3), &mut venue);
        venue.fill(3, 2);
        venue.traded_ms = traded_ms;
        desk.audited(15, &venue);
        assert_eq!(desk.gateway.positions.told(BTC), Lots(3));
        assert_eq!(desk.out.close_user, deaf, "{traded_ms}");
    }
    // One that has not had its five seconds is looked at again when it has, and is given up unless it spoke.
    for speaks in [false, true] {
        let (mut desk, mut venue) = held();
        desk.placed_at(entry(3), &mut venue);
        venue.fill(3, 2);
        venue.traded_ms = 14_000;
        desk.audited(15, &venue);
        assert!(!desk.out.close_user);
        if speaks {
            desk.user(&order_message(3, "TRADE", "FILLED", "0.002", Some((101, "0.002"))));
        }
        desk.audited(3, &venue);
        assert!(!desk.out.close_user);
        desk.audited(1, &venue);
        assert_eq!(desk.out.close_user, !speaks);
    }
}

/// The engine asked for an exit without an answer: it has filled, and the stream is silent about it.
#[test]
fn fills_that_an_answer_speaks_of_are_asked_for() {
    let (mut desk, mut venue) = held();
    desk.placed_at(Order { side: Side::Sell, reduce_only: true, quantity: Lots(1), ..entry(3) }, &mut venue);
    venue.fill(3, 1);
    desk.query(3, OrderKind::Market);
    let (request, _) = desk.written().pop().unwrap();
    desk.response(&success(request, &order_result(3, "FILLED", "0.001")));
    assert_eq!(desk.said(), ["Filled 3"]);
    assert_eq!(desk.audited(1, &venue)[0], "Fill 3 1@600000");
}

#[test]
fn a_stop_that_triggered_unheard_is_followed_to_its_fills() {
    let (mut desk, mut venue) = held();
    venue.fill(2, 1);
    venue.wallet = 98;
    assert_eq!(desk.audited(15, &venue), ["Fill 2 1@600000", "Filled 2", "Adjustment 98", "Position 0"]);
    assert_eq!(desk.audited(15, &venue), [""; 0]);
}

#[test]
fn a_stop_that_is_gone_unheard_is_told_gone() {
    let (mut desk, mut venue) = held();
    venue.orders.get_mut(&2).unwrap().open = false;
    assert_eq!(desk.audited(15, &venue), ["Canceled 2"]);
    assert_eq!(desk.audited(15, &venue), [""; 0]);
    // Forgotten altogether: not before it could be found.
    let (mut desk, mut venue) = held();
    venue.orders.remove(&2);
    for _ in 0..3 {
        assert_eq!(desk.audited(15, &venue), [""; 0]);
    }
    assert_eq!(desk.audited(15, &venue), ["NotFound 2 -2013"]);
    assert_eq!(desk.audited(15, &venue), [""; 0], "once");
}

#[test]
fn an_order_the_engine_does_not_know_is_told_until_it_is_gone() {
    let (mut desk, mut venue) = held();
    venue.place(9, &client_id(9), &stop(9));
    for _ in 0..2 {
        assert_eq!(desk.audited(15, &venue), ["Accepted 9"]);
    }
    venue.orders.get_mut(&9).unwrap().open = false;
    assert_eq!(desk.audited(15, &venue), ["Canceled 9"]);
    assert_eq!(desk.audited(15, &venue), [""; 0]);
    // One that the engine wants gone, and that could not be cancelled: it may have forgotten it by then.
    desk.on(Input::TurnedAway(429, Some(1)));
    desk.cancel(2, OrderKind::StopMarket);
    assert_eq!(desk.said(), ["Orders Down", "CancelRejected 2 1"]);
    desk.audited(1, &venue);
    for _ in 0..2 {
        assert_eq!(desk.audited(15, &venue), ["Accepted 2"]);
    }
    venue.orders.get_mut(&2).unwrap().open = false;
    assert_eq!(desk.audited(15, &venue), ["Canceled 2"]);
    // Somebody else's are nobody's here.
    venue.place(FOREIGN, "web_1", &stop(FOREIGN));
    assert_eq!(desk.audited(15, &venue), [""; 0]);
}

#[test]
fn an_order_that_counted_as_over_and_rests_is_taken_up_again() {
    let (mut desk, venue) = held();
    desk.user(&algo_message(2, "CANCELED"));
    assert_eq!(desk.said(), ["Canceled 2"]);
    assert_eq!(desk.audited(15, &venue), ["Accepted 2"]);
    assert_eq!(desk.audited(15, &venue), [""; 0], "it is known again");
}

#[test]
fn trades_of_an_order_nobody_knows() {
    let (mut desk, mut venue) = held();
    // The venue's own: no order was told.
    venue.place(FOREIGN, "autoclose-1", &Order { side: Side::Sell, quantity: Lots(1), ..entry(FOREIGN) });
    venue.fill(FOREIGN, 1);
    desk.wait(15 * NS_PER_SEC);
    desk.answered_by(&venue);
    let events = desk.events();
    let EventBody::Fill(fill) = events[0].1 else { panic!("{events:?}") };
    assert_eq!(
        (fill.cause, fill.order, fill.side, fill.quantity),
        (FillCause::Liquidation, OrderId::NONE, Side::Sell, Lots(1))
    );
    assert_eq!(words(&events[1].1), "Position 0");
    assert_eq!(desk.audited(15, &venue), [""; 0]);
    // Of an earlier start: the engine could not book it, its position is what tells.
    let (mut desk, mut venue) = held();
    venue.place(9, &client_id(9), &entry(9));
    venue.fill(9, 2);
    assert_eq!(desk.audited(15, &venue), ["Filled 9", "Position 3"]);
    assert_eq!(desk.audited(1, &venue), ["Fill 0 2@601000"]);
    // Somebody else's.
    let (mut desk, mut venue) = held();
    venue.place(FOREIGN, "web_1", &entry(FOREIGN));
    venue.fill(FOREIGN, 2);
    assert_eq!(desk.audited(15, &venue), ["Position 3"]);
    assert_eq!(desk.audited(1, &venue), ["Fill 0 2@601000"]);
    assert_eq!(desk.gateway.counters().foreign, 1, "asked about once");
    assert_eq!(desk.audited(15, &venue), [""; 0]);
}

fn assumed(desk: &mut Desk) -> Fill {
    let fills: Vec<Fill> = desk
        .events()
        .into_iter()
        .filter_map(|(_, body)| if let EventBody::Fill(fill) = body { Some(fill) } else { None })
        .collect();
    assert_eq!(fills.len(), 1, "{fills:?}");
    fills[0]
}

#[test]
fn what_stays_unexplained_is_assumed_after_two_rounds_a_second_apart() {
    let (mut desk, mut venue) = held();
    venue.moves(-1);
    assert_eq!(desk.audited(15, &venue), ["Position 0"]);
    desk.wait(NS_PER_SEC - 1);
    assert!(desk.out.rest.is_empty());
    desk.wait(1);
    desk.answered_by(&venue);
    let fill = assumed(&mut desk);
    assert_eq!(
        (fill.cause, fill.order, fill.side, fill.quantity),
        (FillCause::Assumed, OrderId::NONE, Side::Sell, Lots(1))
    );
    assert_eq!((fill.price, fill.fee), (Ticks(600_000), Dec::ZERO), "no row has a mark: the market's price");
    assert!(fill.trade_id < 0);
    assert_eq!(desk.audited(15, &venue), [""; 0], "its own books follow");
    // What opens a position has the venue's entry price, what adds to one the mark.
    let (mut desk, mut venue) = (Desk::auditing(), Venue::default());
    venue.moves(5);
    desk.audited(15, &venue);
    assert_eq!(desk.audited(1, &venue), ["Fill 0 5@590000"]);
    venue.moves(-7);
    desk.audited(15, &venue);
    // One that turned round was closed at the mark, and opened at the new entry.
    assert_eq!(desk.audited(1, &venue), ["Fill 0 5@601000", "Fill 0 2@590000"]);
    assert_eq!(desk.audited(15, &venue), [""; 0]);
}

#[test]
fn a_difference_that_changes_or_has_something_on_its_way_is_not_concluded_from() {
    let (mut desk, mut venue) = held();
    venue.moves(1);
    desk.audited(15, &venue);
    venue.moves(1);
    assert_eq!(desk.audited(1, &venue), ["Position 3"], "another one");
    desk.placed_at(Order { side: Side::Sell, reduce_only: true, ..entry(3) }, &mut venue);
    for _ in 0..3 {
        let said = desk.audited(15, &venue);
        assert!(said.iter().all(|word| ["Unknown 3", "Accepted 3"].contains(&word.as_str())), "{said:?}");
    }
    venue.orders.get_mut(&3).unwrap().open = false;
    assert_eq!(desk.audited(15, &venue), ["Canceled 3"]);
    assert_eq!(desk.audited(1, &venue), ["Fill 0 2@601000"]);
}

/// The same finding has the same id, whoever makes it: an engine that has booked it does not book it again.
#[test]
fn the_id_of_an_assumed_fill_is_made_of_what_the_venue_stated() {
    let found = |entry_moves: i64| {
        let (mut desk, mut venue) = (Desk::auditing(), Venue::default());
        venue.moves(entry_moves);
        desk.audited(15, &venue);
        desk.wait(NS_PER_SEC);
        desk.answered_by(&venue);
        (assumed(&mut desk), venue)
    };
    let ((first, venue), (second, _)) = (found(5), found(5));
    assert_eq!(first, second);
    assert_ne!(first.trade_id, found(6).0.trade_id);
    // A start goes on with what its journal says of the position, and has nothing to conclude.
    let mut desk = Desk::auditing();
    let fills = vec![(BTC, first.trade_id)];
    let earlier = Earlier { fills: fills.clone(), positions: vec![(BTC, Lots(5))], ..Earlier::default() };
    desk.gateway.resume(earlier, Vec::new(), T0);
    let said = [desk.audited(0, &venue), desk.audited(1, &venue), desk.audited(15, &venue)].concat();
    assert_eq!(said, ["Snapshot 0", "Position 5", "User Resynced"]);
    // One whose position lacks it although its fills have it lacks another, which must not be taken for that.
    let mut desk = Desk::auditing();
    desk.gateway.resume(Earlier { fills, ..Earlier::default() }, Vec::new(), T0);
    desk.audited(0, &venue);
    desk.audited(1, &venue);
    let again = desk.gateway.positions.told(BTC);
    assert_eq!(again, Lots(5));
    // A position that went elsewhere and is flat again as before states nothing new: flat ones have no time.
    let (mut desk, mut venue) = held();
    for moves in [-2, 1, 0, 4, -3] {
        venue.moves(moves);
        desk.audited(15, &venue);
        desk.audited(1, &venue);
        assert_eq!(desk.gateway.positions.told(BTC).0, venue.position, "{moves}");
    }
}

/// Before the stream is believed the position is looked at twice; what is concluded follows the word that
/// ends the recovery.
#[test]
fn a_start_that_nothing_explains_ends_its_reconciliation_with_the_assumed_fill() {
    let (mut desk, mut venue) = (Desk::auditing(), Venue { wallet: 50, ..Venue::default() });
    venue.place(9, &client_id(9), &stop(9));
    venue.moves(5);
    let found = Tracked::found(BTC, Service::Algo, Stage::Accepted, T0);
    desk.gateway.begin_at(BTC, Lots(5));
    desk.gateway.resume(Earlier::default(), vec![(id(9), found)], T0);
    assert_eq!(desk.audited(0, &venue), ["Accepted 9", "Snapshot 50", "Position 5"]);
    assert_eq!(desk.audited(1, &venue), ["Accepted 9", "User Resynced", "Fill 0 5@590000"]);
    assert_eq!(desk.audited(15, &venue), ["Accepted 9"], "until it is gone");
}

/// The fill that was concluded comes after all.
#[test]
fn a_fill_that_comes_for_what_was_assumed_is_not_new() {
    let (mut desk, mut venue) = held();
    venue.fill(2, 1);
    let late = std::mem::take(&mut venue.trades);
    desk.user(&order_message(2, "FILLED", "FILLED", "0.001", None));
    assert_eq!(desk.said(), ["Filled 2"]);
    desk.audited(15, &venue);
    assert_eq!(desk.audited(1, &venue), ["Fill 0 1@600000"]);
    venue.trades = late;
    assert_eq!(desk.audited(15, &venue), [""; 0]);
}

/// The stop filled, and somebody bought back as much: of both nobody told.
#[test]
fn fills_that_come_to_nothing_are_not_waited_for() {
    let (mut desk, mut venue) = held();
    venue.fill(2, 1);
    let late = std::mem::take(&mut venue.trades);
    venue.moves(1);
    desk.user(&order_message(2, "FILLED", "FILLED", "0.001", None));
    assert_eq!(desk.said(), ["Filled 2"]);
    assert_eq!(desk.audited(15, &venue), [""; 0], "they may be on their way");
    assert_eq!(desk.audited(1, &venue), ["Expired 2 101"]);
    assert_eq!(desk.audited(15, &venue), [""; 0], "once");
    // The position has them already.
    venue.trades = late;
    assert_eq!(desk.audited(15, &venue), [""; 0]);
    assert_eq!(desk.gateway.positions.told(BTC), Lots(1));
    // What comes in time is not given up.
    let (mut desk, mut venue) = held();
    venue.fill(2, 1);
    let late = std::mem::take(&mut venue.trades);
    venue.moves(1);
    desk.user(&order_message(2, "FILLED", "FILLED", "0.001", None));
    desk.audited(15, &venue);
    venue.trades = late;
    assert_eq!(desk.audited(1, &venue), ["Fill 2 1@600000"]);
}

#[test]
fn an_audit_that_fails_is_left_to_the_next() {
    let (mut desk, venue) = held();
    desk.wait(15 * NS_PER_SEC);
    let asked = desk.out.rest.pop_front().unwrap();
    desk.on(Input::Rest(asked.request, RestOutcome::Lost));
    desk.answered_by(&venue);
    assert_eq!(desk.audited(4, &venue), [""; 0]);
    assert_eq!(desk.gateway.counters().reconciliation_rounds, 1);
    desk.audited(1, &venue);
    assert_eq!(desk.gateway.counters().reconciliation_rounds, 2);
    // A loss of the stream ends it, and its answers are nobody's.
    desk.wait(15 * NS_PER_SEC);
    desk.on(Input::UserLink(Link::Down));
    desk.answered_by(&venue);
    assert_eq!(desk.said(), ["User Down"]);
}

/// What is taken in of an order is told, though the round that found it does not get to its fills.
#[test]
fn what_a_round_that_fails_found_is_told_by_the_next() {
    let (mut desk, mut venue) = held();
    venue.orders.get_mut(&2).unwrap().open = false;
    desk.wait(15 * NS_PER_SEC);
    for expected in ["openOrders", "openAlgoOrders", "algoOrder"] {
        let asked = desk.out.rest.pop_front().unwrap();
        let path = format!("{:?}", asked.call);
        assert!(path.ends_with(expected), "{path}");
        let body = venue.answer(&path, &asked.call.query).unwrap();
        desk.rest(asked.request, 200, &body);
    }
    let asked = desk.out.rest.pop_front().unwrap();
    desk.on(Input::Rest(asked.request, RestOutcome::Lost));
    assert_eq!(desk.said(), [""; 0]);
    assert_eq!(desk.audited(1, &venue), ["Canceled 2"]);
}

#[test]
fn while_silent_or_in_lockstep_nothing_is_audited() {
    let mut desk = Desk::with(settings(), true);
    desk.gateway.session.audit_at = T0;
    desk.user(&account_message("ORDER", "1", "0", Some("0.001")));
    desk.wait(60 * NS_PER_SEC);
    assert!(desk.called().is_empty());
    let (mut desk, _) = held();
    desk.place(entry(3));
    let request = desk.request();
    desk.response(&refusal(request, 429, -1003));
    desk.wait(59 * NS_PER_SEC);
    assert!(desk.called().is_empty());
}
