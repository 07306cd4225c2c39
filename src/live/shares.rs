//! How full the bounded queues were.

use arrayvec::ArrayVec;

use super::OrderQueue;
use crate::event::{Queue, QueueShare};
use crate::num::{NS_PER_SEC, TimeNs};

/// The queues that are watched.
const QUEUES: [Queue; 3] = [Queue::Ring, Queue::Orders, Queue::Gateway];
/// Told at most this often.
const EVERY_NS: i64 = NS_PER_SEC;
/// A queue that never held more than this share in a second is not worth a record.
const TOLD_PPM_MIN: u32 = 10_000;

/// Largest share of each queue in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharesMax {
    /// Records of the journal's ring that the archive did not have yet.
    pub ring_ppm: u32,
    /// Instructions the gateway had not taken.
    pub orders_ppm: u32,
    /// Events of other threads that the loop had not taken.
    pub gateway_ppm: u32,
}

impl SharesMax {
    fn of(&mut self, queue: Queue) -> &mut u32 {
        match queue {
            Queue::Ring => &mut self.ring_ppm,
            Queue::Orders => &mut self.orders_ppm,
            Queue::Gateway => &mut self.gateway_ppm,
        }
    }
}

/// Keeps the largest shares of a second, and of the run.
#[derive(Debug)]
pub struct Shares {
    inbox_capacity: usize,
    second: SharesMax,
    run: SharesMax,
    due: TimeNs,
}

impl Shares {
    pub fn new(inbox_capacity: usize) -> Shares {
        Shares {
            inbox_capacity: inbox_capacity.max(1),
            second: SharesMax::default(),
            run: SharesMax::default(),
            due: TimeNs(i64::MIN),
        }
    }

    pub fn note_ring(&mut self, ppm: u32) {
        self.second.ring_ppm = self.second.ring_ppm.max(ppm);
    }

    /// `waiting`: events in the inbox.
    pub fn note_inbox(&mut self, waiting: usize) {
        let ppm = (waiting.saturating_mul(1_000_000) / self.inbox_capacity).min(1_000_000) as u32;
        self.second.gateway_ppm = self.second.gateway_ppm.max(ppm);
    }

    /// After a second: the shares worth telling.
    pub fn due(&mut self, now: TimeNs, orders: &mut OrderQueue) -> Option<ArrayVec<QueueShare, 3>> {
        if now < self.due {
            return None;
        }
        self.due = now + EVERY_NS;
        self.second.orders_ppm = self.second.orders_ppm.max(orders.take_share_ppm());
        let mut told = ArrayVec::new();
        for queue in QUEUES {
            let used_ppm = std::mem::take(self.second.of(queue));
            let most = self.run.of(queue);
            *most = (*most).max(used_ppm);
            if used_ppm >= TOLD_PPM_MIN {
                told.push(QueueShare { used_ppm, queue, pad: [0; 3] });
            }
        }
        Some(told)
    }

    /// Of the whole run, the second that is not over included.
    pub fn run(&self, orders: &mut OrderQueue) -> SharesMax {
        SharesMax {
            ring_ppm: self.run.ring_ppm.max(self.second.ring_ppm),
            orders_ppm: self.run.orders_ppm.max(self.second.orders_ppm).max(orders.take_share_ppm()),
            gateway_ppm: self.run.gateway_ppm.max(self.second.gateway_ppm),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::order_queue;
    use super::*;

    #[test]
    fn a_second_is_told_by_its_fullest_moment() {
        let (mut orders, _consumer) = order_queue(1);
        let mut shares = Shares::new(200);
        let start = TimeNs(NS_PER_SEC);
        assert_eq!(shares.due(start, &mut orders), Some(ArrayVec::new()), "nothing happened");
        for (waiting, ring_ppm) in [(1, 9_999), (50, 3), (2, 4)] {
            shares.note_inbox(waiting);
            shares.note_ring(ring_ppm);
        }
        assert_eq!(shares.due(start + (EVERY_NS - 1), &mut orders), None, "not yet");
        let told = shares.due(start + EVERY_NS, &mut orders).unwrap();
        let expected = QueueShare { used_ppm: 250_000, queue: Queue::Gateway, pad: [0; 3] };
        assert_eq!(told.as_slice(), [expected], "the ring was below a hundredth");
        assert_eq!(shares.due(start + 2 * EVERY_NS, &mut orders), Some(ArrayVec::new()), "a second later");
        shares.note_ring(10_001);
        let run = SharesMax { ring_ppm: 10_001, orders_ppm: 0, gateway_ppm: 250_000 };
        assert_eq!(shares.run(&mut orders), run, "the last second counts too");
    }
}
