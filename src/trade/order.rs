//! One order at the venue and what we know of it.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::event::{FillCause, Order, OrderKind, OrderStatus, OrderUpdate, Purpose};
use crate::num::{Lots, NS_PER_SEC, OrderId, OutOfRange, Side, Ticks, TimeNs, all_hold};

/// A fresh order can be unqueryable for a while: only after this does "not found" mean absent.
const ABSENT_AFTER_NS: i64 = 60 * NS_PER_SEC;
/// What was sent so long before a silence is known to have ended as it was told.
const DOUBTFUL_NS: i64 = 600 * NS_PER_SEC;

/// What we know of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum OrderState {
    /// Handed over; no answer yet.
    Sent,
    /// Accepted: working, or resting until its trigger.
    Working,
    /// A conditional order that is now a market order.
    Triggered,
    /// No answer in time. Neither accepted nor rejected: it is queried, never sent again.
    Unknown,
    Filled,
    Canceled,
    Expired,
    Rejected,
}

impl OrderState {
    pub const ALL: [OrderState; 8] = [
        OrderState::Sent,
        OrderState::Working,
        OrderState::Triggered,
        OrderState::Unknown,
        OrderState::Filled,
        OrderState::Canceled,
        OrderState::Expired,
        OrderState::Rejected,
    ];

    /// No further fills follow.
    pub const fn is_final(self) -> bool {
        matches!(self, OrderState::Filled | OrderState::Canceled | OrderState::Expired | OrderState::Rejected)
    }

    /// The state after the venue's word; `None` when that word changes nothing. A final state never
    /// changes: duplicates and late answers are harmless. `NotFound` is not absence (a fresh order
    /// can be unqueryable for a while), so it leaves the order unknown.
    pub const fn after(self, status: OrderStatus) -> Option<OrderState> {
        use OrderState::{Canceled, Expired, Filled, Rejected, Sent, Triggered, Unknown, Working};
        if self.is_final() {
            return None;
        }
        match (status, self) {
            (OrderStatus::Filled, _) => Some(Filled),
            (OrderStatus::Canceled, _) => Some(Canceled),
            (OrderStatus::Expired, _) => Some(Expired),
            // Accepted once, it can't be rejected any more: the refusal is of something else.
            (OrderStatus::Rejected, Sent | Unknown) => Some(Rejected),
            (OrderStatus::Rejected, _) => None,
            (OrderStatus::Triggered, Triggered) => None,
            (OrderStatus::Triggered, _) => Some(Triggered),
            (OrderStatus::Accepted, Sent | Unknown) => Some(Working),
            (OrderStatus::Accepted, _) => None,
            (OrderStatus::Unknown | OrderStatus::NotFound, Unknown) => None,
            (OrderStatus::Unknown | OrderStatus::NotFound, _) => Some(Unknown),
            (OrderStatus::CancelRejected, _) => None,
        }
    }
}

/// An order and its progress.
#[derive(Clone, Copy, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct LiveOrder {
    pub id: OrderId,
    pub purpose: Purpose,
    pub kind: OrderKind,
    pub side: Side,
    pub state: OrderState,
    /// The venue had it once: when it no longer knows it, it is gone, not refused.
    pub acknowledged: bool,
    /// When its cancel was last sent.
    pub cancel_sent: Option<TimeNs>,
    /// Of an exit: it closes a part by rule, and the rest stays open.
    pub partial: bool,
    pub quantity: Lots,
    /// Fills seen.
    pub filled: Lots,
    /// Fills the venue's updates speak of; those not seen yet are on their way.
    pub reported: Lots,
    /// Whatever those say, no more fills come.
    pub settled: bool,
    pub trigger: Ticks,
    pub reference: Ticks,
    pub sent_ns: TimeNs,
    /// When its state was last asked for.
    pub queried_ns: TimeNs,
}

impl LiveOrder {
    pub fn sent(order: &Order, partial: bool, now: TimeNs) -> LiveOrder {
        LiveOrder {
            id: order.id,
            purpose: order.purpose,
            kind: order.kind,
            side: order.side,
            state: OrderState::Sent,
            acknowledged: false,
            cancel_sent: None,
            partial,
            quantity: order.quantity,
            filled: Lots::ZERO,
            reported: Lots::ZERO,
            settled: false,
            trigger: order.trigger,
            reference: order.reference,
            sent_ns: now,
            queried_ns: now,
        }
    }

    /// One that is filled, and never was ours to send.
    pub fn done(order: &Order, now: TimeNs) -> LiveOrder {
        let Order { quantity, .. } = *order;
        let sent = LiveOrder::sent(order, false, now);
        LiveOrder {
            state: OrderState::Filled,
            acknowledged: true,
            filled: quantity,
            reported: quantity,
            ..sent
        }
    }

    pub(super) fn check(&self) -> Result<(), OutOfRange> {
        let parts = 0..=self.quantity.0;
        all_hold(&[
            ("order.quantity", self.quantity.is_quantity()),
            ("order.filled", parts.contains(&self.filled.0)),
            ("order.reported", parts.contains(&self.reported.0)),
            ("order.trigger and reference", self.trigger.is_level() && self.reference.is_level()),
        ])
    }

    /// Whether the venue's word, heard at `now`, means that it does not have the order.
    pub fn is_absent(&self, update: &OrderUpdate, now: TimeNs) -> bool {
        update.status == OrderStatus::NotFound && now.since(self.sent_ns) >= ABSENT_AFTER_NS
    }

    /// Takes the venue's word, which means that it does not have the order if it is `absent`; the state
    /// left, if it changed.
    pub fn hear(&mut self, update: &OrderUpdate, absent: bool) -> Option<OrderState> {
        if !self.settled {
            self.reported = self.reported.max(update.filled.min(self.quantity));
        }
        let status = match (absent, self.acknowledged) {
            (false, _) => update.status,
            (true, true) => OrderStatus::Canceled,
            (true, false) => OrderStatus::Rejected,
        };
        let before = self.state;
        self.state = before.after(status)?;
        self.acknowledged |= self.rests();
        Some(before)
    }

    /// It ended, and the fills that it owes will not come, however often the venue speaks of them.
    pub fn settle(&mut self) {
        if self.state == OrderState::Filled && self.filled < self.quantity {
            self.state = OrderState::Expired;
        }
        (self.reported, self.settled) = (self.filled, true);
    }

    /// Lots that can still come. A fill may be reported before or after the word that its order
    /// ended; only the fills count, and an order that ended owes those its last word spoke of.
    pub fn outstanding(&self) -> Lots {
        let total = match self.state {
            OrderState::Canceled | OrderState::Expired | OrderState::Rejected => self.reported,
            _ => self.quantity,
        };
        Lots((total.0 - self.filled.0).max(0))
    }

    /// Nothing more can come of it.
    pub fn is_done(&self) -> bool {
        self.outstanding() == Lots::ZERO && (self.state.is_final() || self.filled >= self.quantity)
    }

    /// It ought to come to something by itself soon: everything but a stop that rests.
    pub fn is_in_flight(&self) -> bool {
        let rests = self.purpose == Purpose::Stop && self.state == OrderState::Working;
        !self.is_done() && (!rests || self.cancel_sent.is_some())
    }

    /// Sent shortly before nobody was heard any more, and ended without filling: one that counted as absent may
    /// have filled all the same, and said so to nobody.
    pub fn is_doubtful(&self, unheard_since: TimeNs) -> bool {
        let recent = unheard_since.since(self.sent_ns) < DOUBTFUL_NS;
        recent && self.is_done() && self.unfilled() > Lots::ZERO
    }

    /// Acknowledged and able to protect.
    pub fn rests(&self) -> bool {
        matches!(self.state, OrderState::Working | OrderState::Triggered)
    }

    pub fn unfilled(&self) -> Lots {
        self.quantity - self.filled
    }
}

/// What a fill of this cause can leave of a trade on a side with so much open: with what is owed of its entry,
/// where the fill was told and not concluded from the position, which has that in it.
pub(super) fn held(open: Lots, orders: &[LiveOrder], side: Side, cause: FillCause) -> Lots {
    if cause == FillCause::Assumed {
        return open;
    }
    open + Lots(owed(orders, side, Lots(i64::MAX)).map(|(_, lots)| lots.0).sum())
}

/// Which orders on a side have filled more, by the venue's word, than their fills tell, and what of so many
/// lots that is: the first of them first.
pub(super) fn owed(orders: &[LiveOrder], side: Side, lots: Lots) -> impl Iterator<Item = (OrderId, Lots)> {
    let mut left = lots;
    let owing = orders.iter().filter(move |order| order.side == side && order.reported > order.filled);
    let parts = owing.map(move |order| {
        let lots = (order.reported - order.filled).min(left);
        left -= lots;
        (order.id, lots)
    });
    parts.filter(|(_, lots)| lots.0 > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every (state, status) pair: `.` is no change.
    #[test]
    fn every_pair_is_decided() {
        use OrderState::*;
        //                      Acc  Rej  Fil  Can  Exp  Tri  Unk  NFo  CRe
        let table = [
            (Sent, "WRFCETUU."),
            (Working, "..FCETUU."),
            (Triggered, "..FCE.UU."),
            (Unknown, "WRFCET..."),
            (Filled, "........."),
            (Canceled, "........."),
            (Expired, "........."),
            (Rejected, "........."),
        ];
        assert_eq!(table.map(|row| row.0), OrderState::ALL);
        for (state, row) in table {
            for (status, expected) in OrderStatus::ALL.iter().zip(row.chars()) {
                let next = match state.after(*status) {
                    None => '.',
                    Some(Working) => 'W',
                    Some(Rejected) => 'R',
                    Some(Filled) => 'F',
                    Some(Canceled) => 'C',
                    Some(Expired) => 'E',
                    Some(Triggered) => 'T',
                    Some(Unknown) => 'U',
                    Some(Sent) => 'S',
                };
                assert_eq!(next, expected, "{state:?} {status:?}");
            }
        }
    }

    fn order(purpose: Purpose, state: OrderState, filled: i64, reported: i64) -> LiveOrder {
        let order = Order {
            id: OrderId(7),
            trade: OrderId(1),
            quantity: Lots(10),
            trigger: Ticks(477_500),
            reference: Ticks(500_000),
            side: Side::Sell,
            kind: OrderKind::StopMarket,
            purpose,
            working_type: crate::event::WorkingType::ContractPrice,
            reduce_only: true,
            pad: [0; 3],
        };
        let sent = LiveOrder::sent(&order, false, TimeNs(5));
        assert_eq!((sent.sent_ns, sent.queried_ns, sent.state), (TimeNs(5), TimeNs(5), OrderState::Sent));
        LiveOrder { state, filled: Lots(filled), reported: Lots(reported), ..sent }
    }

    #[test]
    fn an_order_owes_its_rest_and_one_that_ended_what_its_last_word_spoke_of() {
        use OrderState::*;
        for state in OrderState::ALL {
            let ended = matches!(state, Canceled | Expired | Rejected);
            let owed = |filled, reported| order(Purpose::Exit, state, filled, reported).outstanding();
            let (rest, reported) = if ended { (0, 1) } else { (6, 6) };
            assert_eq!((owed(4, 4), owed(4, 5)), (Lots(rest), Lots(reported)), "{state:?}");
            assert_eq!(owed(11, 10), Lots(0), "{state:?}: never less than nothing");
            assert_eq!(order(Purpose::Exit, state, 4, 4).unfilled(), Lots(6));
        }
    }

    #[test]
    fn what_is_not_found_after_a_while_is_absent() {
        let word = |status, filled| OrderUpdate {
            order: OrderId(7),
            venue_id: 0,
            filled: Lots(filled),
            event_ms: 0,
            code: 0,
            status,
            pad: [0; 3],
        };
        let hear = |order: &mut LiveOrder, update: &OrderUpdate, now| {
            let absent = order.is_absent(update, now);
            order.hear(update, absent)
        };
        let lost = word(OrderStatus::NotFound, 0);
        let sent_ns = 5;
        for (known, end) in [(false, OrderState::Rejected), (true, OrderState::Canceled)] {
            let mut order = order(Purpose::Stop, OrderState::Sent, 0, 0);
            let before = TimeNs(sent_ns + ABSENT_AFTER_NS - 1);
            if known {
                assert_eq!(hear(&mut order, &word(OrderStatus::Accepted, 0), before), Some(OrderState::Sent));
                assert!(order.acknowledged);
            }
            assert!(hear(&mut order, &lost, before).is_some() && order.state == OrderState::Unknown);
            assert_eq!(hear(&mut order, &lost, before), None, "it was unknown before");
            assert_eq!(hear(&mut order, &lost, before + 1), Some(OrderState::Unknown));
            assert_eq!((order.state, order.acknowledged), (end, known));
        }
        let mut order = order(Purpose::Entry, OrderState::Working, 0, 0);
        for (filled, reported) in [(4, 4), (3, 4), (11, 10), (i64::MIN, 10)] {
            assert_eq!(hear(&mut order, &word(OrderStatus::CancelRejected, filled), TimeNs(6)), None);
            assert_eq!(order.reported, Lots(reported), "never less, nor more than there is");
        }
    }

    #[test]
    fn what_ended_unfilled_shortly_before_silence_is_doubtful() {
        use OrderState::*;
        for state in OrderState::ALL {
            let doubtful = |filled, at| order(Purpose::Stop, state, filled, filled).is_doubtful(TimeNs(at));
            let ended = matches!(state, Canceled | Expired | Rejected);
            assert_eq!(doubtful(4, 5 + DOUBTFUL_NS - 1), ended, "{state:?}");
            assert!(!doubtful(4, 5 + DOUBTFUL_NS) && !doubtful(10, 6), "{state:?}");
        }
    }

    #[test]
    fn an_order_is_done_when_filled_or_ended_with_all_it_reported() {
        use OrderState::*;
        for state in OrderState::ALL {
            let done = |filled, reported| order(Purpose::Exit, state, filled, reported).is_done();
            assert!(!done(9, 10) && done(10, 10), "{state:?}: fills count, whatever the state");
            assert_eq!(done(4, 4), matches!(state, Canceled | Expired | Rejected), "{state:?}");
        }
    }

    #[test]
    fn everything_but_a_resting_stop_is_in_flight_until_it_is_done() {
        use OrderState::*;
        for state in OrderState::ALL {
            let done = matches!(state, Canceled | Expired | Rejected);
            for purpose in [Purpose::Entry, Purpose::Stop, Purpose::Exit] {
                let order = order(purpose, state, 0, 0);
                let rests = purpose == Purpose::Stop && state == Working;
                assert_eq!(order.is_in_flight(), !done && !rests, "{purpose:?} {state:?}");
                let cancelled = LiveOrder { cancel_sent: Some(TimeNs(6)), ..order };
                assert_eq!(cancelled.is_in_flight(), !done, "{purpose:?} {state:?}, its cancel sent");
                assert_eq!(order.rests(), matches!(state, Working | Triggered), "{state:?}");
            }
        }
    }
}
