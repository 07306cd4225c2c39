//! Orders as the venue has them, so that each of its words is passed on once.

use std::collections::{BTreeMap, VecDeque};

use super::positions::SETTLE_NS;
use crate::event::{Order, OrderKind, OrderStatus};
use crate::num::{InstrumentId, Lots, NS_PER_SEC, OrderId, Side, TimeNs};
use crate::venue::binance::request::Service;

/// Live orders kept. The venue takes at most 200 open ones of a symbol and kind.
pub const LIVE_MAX: usize = 4_096;
/// Of these, orders that add risk get three quarters: a stop must find room.
const LIVE_ENTRIES_MAX: usize = LIVE_MAX / 4 * 3;
/// Ended orders remembered, so that a late duplicate says nothing again; the oldest is forgotten first.
pub const ENDED_MAX: usize = 4_096;
/// A fresh order can be unknown to queries for a minute. The engine gives it up at 60 seconds, and
/// asks no more: a little earlier here, so that its last question is not taken for an early one.
const ABSENT_AFTER_NS: i64 = 55 * NS_PER_SEC;

/// How far an order has come. Later stages are larger; the venue's word counts if it goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Written, or about to be; no word yet.
    Sent,
    /// Its acknowledgement is lost: it may exist. Whatever the venue says next counts.
    Unknown,
    /// The venue has never heard of it, long after it was sent. It may still turn out to.
    Absent,
    Accepted,
    Triggered,
    Ended,
}

/// One order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tracked {
    pub instrument: InstrumentId,
    pub stage: Stage,
    /// With which of the venue's services it is now.
    pub service: Service,
    /// The venue's id as an ordinary order, which its trades carry; 0 while unknown.
    pub venue_id: i64,
    /// As we sent it; `None` for one of an earlier start, found at the venue.
    pub order: Option<Order>,
    /// Filled: the largest figure the venue gave.
    pub filled: Lots,
    /// Filled: the sum of the fills passed on.
    pub summed: Lots,
    /// Of these, so many were concluded from a position. Fills that come for them after all are not new.
    pub assumed: Lots,
    pub sent_ns: TimeNs,
    /// It ended, and so many fills have not come: seen at the end of a round, and when first.
    pub owing: Option<(Lots, TimeNs)>,
    /// The engine has asked for its cancel: if it stands all the same, nobody may want it any more.
    pub leaving: bool,
}

impl Tracked {
    pub fn of(instrument: InstrumentId, order: &Order, now: TimeNs) -> Tracked {
        Tracked { order: Some(*order), ..Tracked::found(instrument, order.kind.into(), Stage::Sent, now) }
    }

    /// An order of ours that the venue speaks of and we know nothing about.
    pub fn found(instrument: InstrumentId, service: Service, stage: Stage, now: TimeNs) -> Tracked {
        Tracked {
            instrument,
            stage,
            service,
            venue_id: 0,
            order: None,
            filled: Lots::ZERO,
            summed: Lots::ZERO,
            assumed: Lots::ZERO,
            sent_ns: now,
            owing: None,
            leaving: false,
        }
    }

    /// Takes a status in. `Some` is what to tell the engine; `None` if it says nothing new.
    pub fn advance(&mut self, status: OrderStatus) -> Option<OrderStatus> {
        let (stage, told) = match status {
            OrderStatus::Accepted => (Stage::Accepted, status),
            OrderStatus::Triggered => (Stage::Triggered, status),
            // Refused by the matching engine after it had triggered: it existed.
            OrderStatus::Rejected if self.stage == Stage::Triggered => (Stage::Ended, OrderStatus::Expired),
            OrderStatus::Filled | OrderStatus::Canceled | OrderStatus::Expired | OrderStatus::Rejected => {
                (Stage::Ended, status)
            }
            OrderStatus::Unknown => (Stage::Unknown, status),
            OrderStatus::NotFound | OrderStatus::CancelRejected => return None,
        };
        if stage <= self.stage {
            return None;
        }
        self.stage = stage;
        if stage == Stage::Triggered {
            self.service = Service::Ordinary;
        }
        Some(told)
    }

    /// The venue does not know it: after a while nothing of it is pending any more.
    pub fn give_up_absent(&mut self, now: TimeNs) {
        if self.stage < Stage::Accepted && self.is_old(now) {
            self.stage = Stage::Absent;
        }
    }

    /// So old that the venue would find it, if it had it.
    pub fn is_old(&self, now: TimeNs) -> bool {
        now.since(self.sent_ns) >= ABSENT_AFTER_NS
    }

    /// A figure of how much is filled. Returns by how much that is more than was known.
    pub fn fill_to(&mut self, filled: Lots) -> Lots {
        let more = Lots(filled.0.saturating_sub(self.filled.0).max(0));
        self.filled += more;
        more
    }

    fn is_live(&self) -> bool {
        !matches!(self.stage, Stage::Ended | Stage::Absent)
    }

    /// What it may still add to a position on this side.
    fn pending(&self, side: Side) -> Lots {
        match &self.order {
            Some(order) if !order.reduce_only && order.side == side => {
                Lots(order.quantity.0.saturating_sub(self.filled.0).max(0))
            }
            _ => Lots::ZERO,
        }
    }
}

/// All orders.
#[derive(Debug, Default)]
pub struct OrderTable {
    /// Both in the order of their ids: whoever goes through them does so in the same order every time.
    live: BTreeMap<OrderId, Tracked>,
    ended: BTreeMap<OrderId, Tracked>,
    ended_order: VecDeque<OrderId>,
    /// The highest id an instruction had. Ids only grow: none is sent twice, remembered or not.
    last_sent: OrderId,
}

/// Why an order is not taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    IdUsed,
    Full,
}

impl OrderTable {
    /// Whether a new order could be taken up.
    pub fn may_begin(&self, order: &Order) -> Result<(), NotTaken> {
        if order.id <= self.last_sent || self.contains(order.id) {
            return Err(NotTaken::IdUsed);
        }
        let room = if order.reduce_only { LIVE_MAX } else { LIVE_ENTRIES_MAX };
        if self.live.len() >= room { Err(NotTaken::Full) } else { Ok(()) }
    }

    /// Takes up a new order, which [`OrderTable::may_begin`]; from here on its id is used.
    pub fn begin(&mut self, now: TimeNs, instrument: InstrumentId, order: &Order) {
        self.last_sent = self.last_sent.max(order.id);
        self.live.insert(order.id, Tracked::of(instrument, order, now));
    }

    fn contains(&self, id: OrderId) -> bool {
        self.live.contains_key(&id) || self.ended.contains_key(&id)
    }

    pub fn get(&self, id: OrderId) -> Option<&Tracked> {
        self.live.get(&id).or_else(|| self.ended.get(&id))
    }

    /// Works on an order, which is made by `found` if there is none yet, and files it by what became of
    /// it. `None` if there is none and no room for it.
    pub fn with<R>(
        &mut self,
        id: OrderId,
        found: impl FnOnce() -> Tracked,
        work: impl FnOnce(&mut Tracked) -> R,
    ) -> Option<R> {
        let ended = self.ended.remove(&id);
        let was_ended = ended.is_some();
        let known = ended.or_else(|| self.live.remove(&id));
        if known.is_none() && self.live.len() >= LIVE_MAX {
            return None;
        }
        let mut tracked = known.unwrap_or_else(found);
        let result = work(&mut tracked);
        if tracked.is_live() {
            self.live.insert(id, tracked);
            return Some(result);
        }
        self.ended.insert(id, tracked);
        if !was_ended {
            self.ended_order.push_back(id);
        }
        if self.ended_order.len() > ENDED_MAX
            && let Some(oldest) = self.ended_order.pop_front()
        {
            self.ended.remove(&oldest);
        }
        Some(result)
    }

    /// Works on an order that is known.
    pub fn change<R>(&mut self, id: OrderId, work: impl FnOnce(&mut Tracked) -> R) -> Option<R> {
        let known = *self.get(id)?;
        self.with(id, || known, work)
    }

    pub fn has_ended(&self, id: OrderId) -> bool {
        self.ended.get(&id).is_some_and(|tracked| tracked.stage == Stage::Ended)
    }

    /// One that counted as over is open at the venue after all.
    pub fn revive(&mut self, id: OrderId) {
        if self.live.len() < LIVE_MAX
            && let Some(tracked) = self.ended.remove(&id)
        {
            self.ended_order.retain(|ended| *ended != id);
            self.live.insert(id, Tracked { stage: Stage::Unknown, ..tracked });
        }
    }

    /// Fills of this side were concluded from a position: they are what orders of ours still owe, as far as
    /// the venue has said that those filled.
    pub fn assume(&mut self, instrument: InstrumentId, side: Side, lots: Lots) {
        let mut left = lots;
        // The oldest first, whether it is over or not.
        let mut orders: Vec<_> = self.live.iter_mut().chain(&mut self.ended).collect();
        orders.sort_unstable_by_key(|(id, _)| **id);
        for (_, tracked) in orders {
            let of_it = tracked.instrument == instrument;
            if of_it && tracked.order.is_some_and(|order| order.side == side) {
                let owed = Lots((tracked.filled.0 - tracked.summed.0).clamp(0, left.0));
                tracked.summed += owed;
                tracked.assumed += owed;
                left -= owed;
            }
        }
    }

    /// Of an instrument whose position is what its fills add up to, at the end of a round that began at
    /// `begun`: orders that ended and owe fills all the same. Those that did a second ago already owe nothing
    /// any more, and are given; `true` if there are others.
    pub fn settle(&mut self, now: TimeNs, begun: TimeNs, instrument: InstrumentId) -> (Vec<OrderId>, bool) {
        let (mut settled, mut others) = (Vec::new(), false);
        for (id, tracked) in &mut self.ended {
            if tracked.instrument != instrument || tracked.order.is_none() {
                continue;
            }
            let owed = Lots(tracked.filled.0.saturating_sub(tracked.summed.0).max(0));
            let before = tracked.owing.take().filter(|(lots, _)| *lots == owed);
            if owed == Lots::ZERO {
                continue;
            }
            if before.is_some_and(|(_, since)| begun.since(since) >= SETTLE_NS) {
                // Should they come after all, the position has them already.
                (tracked.summed, tracked.assumed) = (tracked.summed + owed, tracked.assumed + owed);
                settled.push(*id);
            } else {
                tracked.owing = Some(before.unwrap_or((owed, now)));
                others = true;
            }
        }
        (settled, others)
    }

    /// Live orders, by id.
    pub fn live(&self) -> impl Iterator<Item = (OrderId, &Tracked)> {
        self.live.iter().map(|(id, tracked)| (*id, tracked))
    }

    /// The order with this id of the venue's.
    pub fn by_venue_id(&self, instrument: InstrumentId, venue_id: i64) -> Option<OrderId> {
        let is_it = |tracked: &Tracked| tracked.instrument == instrument && tracked.venue_id == venue_id;
        let live = self.live.iter().find(|(_, tracked)| is_it(tracked)).map(|(id, _)| *id);
        live.or_else(|| self.ended.iter().find(|(_, tracked)| is_it(tracked)).map(|(id, _)| *id))
    }

    /// What live orders of this side may still add to a position.
    pub fn pending(&self, instrument: InstrumentId, side: Side) -> Lots {
        let of_it = self.live.values().filter(|tracked| tracked.instrument == instrument);
        Lots(of_it.fold(0, |sum: i64, tracked| sum.saturating_add(tracked.pending(side).0)))
    }

    pub fn unknown(&self) -> usize {
        self.live.values().filter(|tracked| tracked.stage == Stage::Unknown).count()
    }

    /// The service a request about an order goes to: what we know of it outweighs what was asked.
    pub fn service(&self, id: OrderId, kind: OrderKind) -> Service {
        self.get(id).map_or(kind.into(), |tracked| tracked.service)
    }
}
