//! What threads behind the hot one have to say to the engine: on the operator's road, which every loop
//! looks at first.

use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::Sender;

use crate::event::{ArchiveStatus, Divergence, Event, EventBody};
use crate::num::TimeNs;

/// Notices kept while the road is full or not there yet; of more of them the oldest say enough.
const KEPT_MAX: usize = 8;

/// A road that is opened later than those who use it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Notices(Arc<Mutex<Road>>);

#[derive(Debug, Default)]
struct Road {
    sender: Option<Sender<Event>>,
    kept: Vec<Event>,
}

impl Notices {
    /// From here on there is a loop that listens.
    pub fn open(&self, sender: Sender<Event>) {
        self.with(|road| road.sender = Some(sender));
    }

    /// The outputs of an event were computed again and differ.
    pub fn divergence(&self, sequence: u64) {
        self.say(EventBody::Divergence(Divergence { sequence }));
    }

    /// The archive can't be written, or can be again. `error`: the system's number, 0 for none.
    pub fn archive(&self, failing: bool, error: i32) {
        self.say(EventBody::ArchiveStatus(ArchiveStatus { error, failing, pad: [0; 3] }));
    }

    /// Tries again what was kept.
    pub fn flush(&self) {
        self.with(|_| ());
    }

    fn say(&self, body: EventBody) {
        // The loop that takes it up stamps it.
        self.with(|road| {
            if road.kept.len() < KEPT_MAX {
                road.kept.push(Event::global(TimeNs(0), body));
            }
        });
    }

    fn with(&self, work: impl FnOnce(&mut Road)) {
        let mut road = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut road);
        let Road { sender: Some(sender), kept } = &mut *road else { return };
        while let Some(event) = kept.first()
            && sender.try_send(*event).is_ok()
        {
            kept.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;

    fn sequences(events: impl Iterator<Item = Event>) -> Vec<u64> {
        let sequence = |event: Event| match event.body {
            EventBody::Divergence(divergence) => Some(divergence.sequence),
            _ => None,
        };
        events.filter_map(sequence).collect()
    }

    #[test]
    fn what_is_said_before_the_road_is_open_or_while_it_is_full_is_kept_in_order() {
        let (sender, receiver) = bounded(2);
        let notices = Notices::default();
        notices.divergence(1);
        notices.open(sender);
        (2..=4).for_each(|sequence| notices.divergence(sequence));
        assert_eq!(sequences(receiver.try_iter()), [1, 2]);
        notices.flush();
        assert_eq!(sequences(receiver.try_iter()), [3, 4]);
        notices.flush();
        assert!(receiver.is_empty());
    }
}
