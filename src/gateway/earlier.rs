//! What an earlier start left under way, for the gateway that goes on with it: as after a long loss of
//! the user stream, everything it may have missed is asked for before it is believed.

use super::machine::Gateway;
use super::orders::{Stage, Tracked};
use crate::event::Order;
use crate::num::{InstrumentId, Lots, OrderId, TimeNs};

/// As the engine has it.
#[derive(Clone, Debug, Default)]
pub struct Earlier {
    /// Orders that may still come to something, with what is known to be filled of them.
    pub orders: Vec<(InstrumentId, Order, Lots)>,
    /// Where trades are open, whether orders are or not, and what their fills add up to (signed).
    pub positions: Vec<(InstrumentId, Lots)>,
    /// Fills applied, by the venue's trade id.
    pub fills: Vec<(InstrumentId, i64)>,
    /// Since when the venue was not heard; zero where no start was before this one.
    pub unheard_since: TimeNs,
}

impl Gateway {
    /// Begins with a reconciliation. `found` are the orders of ours that the venue lists as open.
    pub fn resume(&mut self, earlier: Earlier, found: Vec<(OrderId, Tracked)>, now: TimeNs) {
        let Earlier { orders, positions, fills, unheard_since } = earlier;
        for (id, tracked) in found {
            // What it is now is told by the answer to the question about it, after its fills.
            self.adopt(id, Tracked { stage: Stage::Unknown, filled: Lots::ZERO, ..tracked });
        }
        for (instrument, order, filled) in orders {
            let of_it = Tracked::of(instrument, &order, now);
            let known = self.orders.get(order.id).copied().unwrap_or(of_it);
            let tracked =
                Tracked { order: Some(order), stage: Stage::Unknown, filled, summed: filled, ..known };
            self.adopt(order.id, tracked);
        }
        for fill in fills {
            self.trades_seen.insert(fill);
        }
        for (instrument, lots) in positions {
            self.positions.begin_at(instrument, lots);
            self.session.reconcile_also.insert(instrument);
        }
        if unheard_since > TimeNs(0) {
            (self.session.known_ns, self.session.floor_ns) = (unheard_since, TimeNs(i64::MIN));
        }
        self.reconcile(now);
    }
}
