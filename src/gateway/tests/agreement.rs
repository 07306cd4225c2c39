//! Whatever happens at a venue, and whatever of it is heard: rounds end in agreement.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::audit::{FOREIGN, Venue};
use super::*;

/// What happens at the venue, and whether its messages come through.
#[derive(Clone, Debug)]
enum Happens {
    Placed {
        stop: bool,
        buys: bool,
        lots: i64,
    },
    /// Of the order with this index, so many lots.
    Fills(usize, i64),
    Ends(usize),
    Forgotten(usize),
    /// By nobody's order.
    Moves(i64),
    Listed(bool),
    Seconds(i64),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        3 => (any::<bool>(), any::<bool>(), 1i64..4)
            .prop_map(|(stop, buys, lots)| Happens::Placed { stop, buys, lots }),
        4 => (0usize..8, 1i64..4).prop_map(|(at, lots)| Happens::Fills(at, lots)),
        1 => (0usize..8).prop_map(Happens::Ends),
        1 => (0usize..8).prop_map(Happens::Forgotten),
        1 => (-4i64..5).prop_map(Happens::Moves),
        1 => any::<bool>().prop_map(Happens::Listed),
        2 => (0i64..40).prop_map(Happens::Seconds),
    ]
}

/// The engine as far as its books go: fills by id, open orders by the words on them.
#[derive(Default)]
struct Books {
    fills: BTreeSet<i64>,
    position: i64,
    open: BTreeMap<u32, bool>,
    said: usize,
}

impl Books {
    fn take(&mut self, desk: &mut Desk) {
        for (_, body) in desk.events() {
            self.said += 1;
            match body {
                EventBody::Fill(fill) if self.fills.insert(fill.trade_id) => {
                    self.position += fill.quantity.0 * fill.side.sign();
                }
                EventBody::Fill(fill) => panic!("{fill:?} twice"),
                EventBody::OrderUpdate(update) => {
                    let open = matches!(update.status, OrderStatus::Accepted | OrderStatus::Triggered);
                    self.open.insert(update.order.sequence(), open);
                }
                _ => {}
            }
        }
    }
}

/// The stream is opened again, and what it missed asked for.
fn another_stream(desk: &mut Desk, venue: &Venue) {
    desk.wait(NS_PER_SEC);
    let asked = desk.out.rest.iter().position(|call| format!("{:?}", call.call).contains("listenKey"));
    let key = desk.out.rest.remove(asked.unwrap()).unwrap();
    desk.answered_by(venue);
    desk.rest(key.request, 200, &json!({"listenKey": "abc"}));
    desk.on(Input::UserLink(Link::Up));
}

proptest! {
    /// Whatever happened and whatever of it was heard, a few rounds later the books are the venue's: fills add
    /// up to the position, every order that is open there was told open, every other one was not or was told
    /// over. Then the rounds say nothing more.
    #[test]
    fn rounds_end_in_agreement(
        story in proptest::collection::vec((happens(), any::<bool>()), 1..40),
        loses_stream in any::<bool>(),
    ) {
        let (mut desk, mut venue, mut books) = (Desk::auditing(), Venue::default(), Books::default());
        let (mut sequence, mut foreign) = (0, FOREIGN);
        for (happens, heard) in story {
            let before = venue.clone();
            match happens {
                Happens::Placed { stop: is_stop, buys, lots } => {
                    sequence += 1;
                    let side = if buys { Side::Buy } else { Side::Sell };
                    let order = if is_stop { stop(sequence) } else { entry(sequence) };
                    desk.placed_at(Order { side, quantity: Lots(lots), reduce_only: true, ..order }, &mut venue);
                }
                Happens::Fills(at, lots) => {
                    if let Some(sequence) = venue.orders.keys().nth(at).copied() {
                        venue.fill(sequence, lots);
                    }
                }
                Happens::Ends(at) => {
                    if let Some(order) = venue.orders.values_mut().nth(at) {
                        order.open = false;
                    }
                }
                Happens::Forgotten(at) => {
                    let key = venue.orders.iter().nth(at).filter(|(_, order)| !order.open).map(|(key, _)| *key);
                    if let Some(key) = key {
                        venue.orders.remove(&key);
                        venue.trades.retain(|(_, order, _)| *order != key);
                    }
                }
                Happens::Moves(lots) => venue.moves(lots),
                Happens::Listed(ours) => {
                    foreign += 1;
                    let name = if ours { client_id(foreign) } else { format!("web_{foreign}") };
                    venue.place(foreign, &name, &stop(foreign));
                }
                Happens::Seconds(seconds) => {
                    desk.wait(seconds * NS_PER_SEC);
                    desk.answered_by(&venue);
                }
            }
            if heard && before.position != venue.position {
                for (id, order, signed) in &venue.trades[before.trades.len().min(venue.trades.len())..] {
                    let state = &venue.orders[order];
                    let filled = Venue::quantity(state.filled);
                    let status = if state.open { "PARTIALLY_FILLED" } else { "FILLED" };
                    let trade = Venue::quantity(signed.abs());
                    let mut message = order_message(*order, "TRADE", status, &filled, Some((*id, &trade)));
                    message["o"]["c"] = json!(state.client_id);
                    message["o"]["S"] = json!(state.side.as_str());
                    desk.user(&message);
                }
                let stated = Venue::quantity(venue.position);
                let mut message = account_message("ORDER", "0", "0", Some(&stated));
                message["T"] = json!(T0_MS + venue.changed_ms);
                desk.user(&message);
            }
            books.take(&mut desk);
        }
        if loses_stream {
            desk.on(Input::UserLink(Link::Down));
            another_stream(&mut desk, &venue);
        }
        // Where nothing was done for long, nothing is looked for.
        desk.gateway.positions.used(desk.now, BTC);
        // What is on its way comes to an end.
        for order in venue.orders.values_mut() {
            order.open &= order.conditional && !order.triggered;
        }
        for _ in 0..10 {
            desk.wait(15 * NS_PER_SEC);
            desk.answered_by(&venue);
            // One that was silent about fills is given up.
            if std::mem::take(&mut desk.out.close_user) {
                another_stream(&mut desk, &venue);
            }
            books.take(&mut desk);
        }
        prop_assert_eq!(books.position, venue.position);
        for (sequence, order) in &venue.orders {
            if order.client_id.starts_with("qt-") {
                prop_assert_eq!(books.open.get(sequence).copied().unwrap_or(false), order.open, "{}", sequence);
            }
        }
        let unknown = venue.orders.iter().filter(|(sequence, order)| {
            order.open && **sequence >= FOREIGN && order.client_id.starts_with("qt-")
        });
        let (told, unknown) = (books.said, unknown.count());
        desk.wait(15 * NS_PER_SEC);
        desk.answered_by(&venue);
        books.take(&mut desk);
        prop_assert_eq!(books.said - told, unknown, "nothing but the orders that nobody knows");
    }
}
