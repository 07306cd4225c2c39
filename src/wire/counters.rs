//! What a connection counts.

use super::error::ErrorKind;

/// Counts of one connection, or of all the connections of a feed after [`Counters::add`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Whole messages handed out.
    pub frames: u64,
    /// Their payload bytes.
    pub frame_bytes: u64,
    /// Bytes read from the stream: after TLS, headers included.
    pub received_bytes: u64,
    /// Messages taken for sending.
    pub sent: u64,
    pub pings: u64,
    /// Pongs written in answer.
    pub pongs: u64,
    /// Pings a newer one took the place of before they could be answered.
    pub pings_superseded: u64,
    /// Pings of ours.
    pub pings_sent: u64,
    /// Pongs, whether or not they were asked for.
    pub pongs_received: u64,
    /// Messages that came in fragments.
    pub fragmented: u64,
    /// Connections opened after the first.
    pub reconnects: u64,
    errors: [u64; ErrorKind::ALL.len()],
}

impl Counters {
    pub fn errors(&self, kind: ErrorKind) -> u64 {
        self.errors.get(kind as usize).copied().unwrap_or(0)
    }

    pub fn errors_total(&self) -> u64 {
        self.errors.iter().sum()
    }

    pub fn count_error(&mut self, kind: ErrorKind) {
        if let Some(count) = self.errors.get_mut(kind as usize) {
            *count += 1;
        }
    }

    /// Adds the counts of another connection.
    pub fn add(&mut self, other: &Counters) {
        self.frames += other.frames;
        self.frame_bytes += other.frame_bytes;
        self.received_bytes += other.received_bytes;
        self.sent += other.sent;
        self.pings += other.pings;
        self.pongs += other.pongs;
        self.pings_superseded += other.pings_superseded;
        self.pings_sent += other.pings_sent;
        self.pongs_received += other.pongs_received;
        self.fragmented += other.fragmented;
        self.reconnects += other.reconnects;
        for (sum, count) in self.errors.iter_mut().zip(other.errors) {
            *sum += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_place_of_its_own() {
        let mut counters = Counters::default();
        for (index, kind) in ErrorKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index, "{}", kind.name());
            counters.count_error(kind);
            assert_eq!((counters.errors(kind), counters.errors_total()), (1, index as u64 + 1));
        }
        let once = counters;
        counters.add(&once);
        assert!(ErrorKind::ALL.iter().all(|kind| counters.errors(*kind) == 2));
    }
}
