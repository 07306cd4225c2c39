//! Positions as two sources have them: the sum of the fills that were passed on, which is what the engine
//! has, and the venue's own statements. Where they go on differing, something filled that no message and
//! no list tells of.

use crate::event::VenuePosition;
use crate::num::{Dec, InstrumentId, Lots, Millis, NS_PER_SEC, TimeNs};

/// How long a difference may take to settle by itself, and between the two rounds that must find it.
pub(super) const SETTLE_NS: i64 = NS_PER_SEC;

/// One instrument's.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// Sum of the fills passed on; signed.
    told: Lots,
    stated: VenuePosition,
    /// When the user stream last stated it, by our clock: answers to older questions are old news.
    stated_ns: TimeNs,
    /// What the engine was last told that the venue states.
    said: Lots,
    /// By how much `stated` differed from `told` at the end of the last round, and when that was.
    finding: Option<(Lots, TimeNs)>,
    /// When something was last asked, filled or stated.
    used_ns: Option<TimeNs>,
    /// Mark price, as a list of positions last had it.
    mark: Option<Dec>,
}

/// What a round makes of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Agrees,
    /// It differs, and what is on its way may be why.
    Moves,
    /// Another round has to find it too.
    Found,
    /// So many lots, signed, are missing from the fills.
    Confirmed(Lots),
}

#[derive(Debug)]
pub(super) struct Positions {
    held: Vec<Held>,
    /// When a fill or a statement last left a difference.
    unsettled: Option<TimeNs>,
}

impl Positions {
    pub fn new(instruments: usize) -> Positions {
        let flat = VenuePosition { entry: Dec::ZERO, quantity: Lots::ZERO, event_ms: Millis::MIN };
        let none = Held {
            told: Lots::ZERO,
            stated: flat,
            stated_ns: TimeNs(i64::MIN),
            said: Lots::ZERO,
            finding: None,
            used_ns: None,
            mark: None,
        };
        Positions { held: vec![none; instruments], unsettled: None }
    }

    /// What the engine begins with.
    pub fn begin_at(&mut self, instrument: InstrumentId, told: Lots) {
        if let Some(held) = self.held.get_mut(instrument.index()) {
            held.told = told;
        }
    }

    /// A fill was passed on; `signed` is negative for a sale.
    pub fn filled(&mut self, now: TimeNs, instrument: InstrumentId, signed: i64) {
        if let Some(held) = self.held.get_mut(instrument.index()) {
            // A venue gone mad must not stop the gateway.
            held.told = Lots(held.told.0.saturating_add(signed));
            held.used_ns = Some(now);
        }
        self.note(now);
    }

    /// The venue's word, of its user stream. `false` if a newer one has overtaken it.
    pub fn stated(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        position: VenuePosition,
        said: bool,
    ) -> bool {
        let Some(held) = self.held.get_mut(instrument.index()) else { return false };
        held.used_ns = Some(now);
        if position.event_ms < held.stated.event_ms {
            return false;
        }
        (held.stated, held.stated_ns) = (position, now);
        if said {
            held.said = position.quantity;
        }
        self.note(now);
        true
    }

    /// An answer to a question asked at `asked`: what to take for the venue's word now, and whether the
    /// engine was told otherwise. `None` if the stream has said something newer. `listed` is `None` for
    /// a position that is not in the list, which it leaves out when it is flat.
    pub fn answered(
        &mut self,
        instrument: InstrumentId,
        asked: TimeNs,
        listed: Option<VenuePosition>,
    ) -> Option<(VenuePosition, bool)> {
        let held = self.held.get_mut(instrument.index())?;
        let overtaken = held.stated_ns > asked;
        if overtaken || listed.is_some_and(|listed| listed.event_ms < held.stated.event_ms) {
            return None;
        }
        // It is the venue's own time that makes a finding the same one when it is found again.
        let gone = VenuePosition { entry: Dec::ZERO, quantity: Lots::ZERO, ..held.stated };
        held.stated = listed.unwrap_or(gone);
        let new = held.said != held.stated.quantity;
        held.said = held.stated.quantity;
        Some((held.stated, new))
    }

    pub fn mark(&mut self, instrument: InstrumentId, mark: Option<Dec>) {
        if let Some(held) = self.held.get_mut(instrument.index()) {
            held.mark = mark;
        }
    }

    pub fn mark_of(&self, instrument: InstrumentId) -> Option<Dec> {
        self.held.get(instrument.index()).and_then(|held| held.mark)
    }

    pub fn used(&mut self, now: TimeNs, instrument: InstrumentId) {
        if let Some(held) = self.held.get_mut(instrument.index()) {
            held.used_ns = Some(now);
        }
    }

    /// Whether either source has something there, or something was done since `since`.
    pub fn concerns(&self, instrument: InstrumentId, since: TimeNs) -> bool {
        self.held.get(instrument.index()).is_some_and(|held| {
            let flat =
                held.told == Lots::ZERO && held.stated.quantity == Lots::ZERO && held.said == Lots::ZERO;
            !flat || held.used_ns.is_some_and(|at| at >= since)
        })
    }

    pub fn told(&self, instrument: InstrumentId) -> Lots {
        self.held.get(instrument.index()).map_or(Lots::ZERO, |held| held.told)
    }

    /// The venue's newest word.
    pub fn of_venue(&self, instrument: InstrumentId) -> Option<VenuePosition> {
        self.held.get(instrument.index()).map(|held| held.stated)
    }

    /// Whether a difference has had its time to settle, and did not.
    pub fn is_due(&self, now: TimeNs) -> bool {
        self.unsettled.is_some_and(|at| now.since(at) >= SETTLE_NS)
    }

    /// Something was found that has to be found again.
    pub fn look_again(&mut self, now: TimeNs) {
        self.unsettled = Some(now);
    }

    /// A round begins, which looks at every difference.
    pub fn begin_round(&mut self) {
        self.unsettled = None;
    }

    /// The end of a round that began at `begun`. `moving`: something of the instrument is on its way, so that
    /// a difference means nothing yet.
    pub fn judge(&mut self, now: TimeNs, instrument: InstrumentId, begun: TimeNs, moving: bool) -> Verdict {
        let Some(held) = self.held.get_mut(instrument.index()) else { return Verdict::Agrees };
        let difference = Lots(held.stated.quantity.0.saturating_sub(held.told.0));
        let before = held.finding.take();
        if difference == Lots::ZERO {
            return Verdict::Agrees;
        }
        if moving {
            return Verdict::Moves;
        }
        let same = before.filter(|(found, _)| *found == difference);
        if same.is_some_and(|(_, at)| begun.since(at) >= SETTLE_NS) {
            return Verdict::Confirmed(difference);
        }
        held.finding = Some(same.unwrap_or((difference, now)));
        self.unsettled = Some(now);
        Verdict::Found
    }

    fn note(&mut self, now: TimeNs) {
        let differs = self.held.iter().any(|held| held.told != held.stated.quantity);
        self.unsettled = differs.then_some(now);
    }
}

/// The trade id of the `nth` fill of so many lots (signed) that was concluded from a statement: the same
/// for the same conclusion, and none that a venue gives, for it is negative.
pub(super) fn assumed_id(instrument: InstrumentId, stated: &VenuePosition, lots: Lots, nth: i64) -> i64 {
    // FNV-1a (Fowler, Noll and Vo).
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let numbers = [i64::from(instrument.0), stated.quantity.0, stated.event_ms, lots.0, nth];
    let bytes = numbers.into_iter().flat_map(i64::to_le_bytes);
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    -1 - (hash >> 2) as i64
}
