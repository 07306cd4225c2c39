//! What goes wrong, and when: drawn from the seed before anything runs.

use super::Dice;
use crate::num::{NS_PER_MS, NS_PER_SEC, TimeNs};

/// A disturbance that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Messages to and from the venue take up to three seconds.
    Slow,
    /// Texts to the order websocket vanish.
    LoseRequests,
    /// Its answers vanish: acknowledgements are lost.
    LoseAnswers,
    /// Messages of the user stream vanish, and the connection stands.
    LoseReports,
    /// They come twice.
    RepeatReports,
    /// They overtake one another.
    ShuffleReports,
    /// Half a text arrives, or one that says nothing.
    Garble,
    /// The venue does not know what became of a request; it has acted on it, or not.
    StatusUnknown,
    /// Orders are refused, for one reason or another.
    Refuse,
    /// The venue can't find fresh orders, and those that triggered.
    Forget,
    /// REST calls do not get through.
    RestDown,
    /// They get through, and their answers do not.
    RestLost,
    /// Nothing works: no socket opens, every call is turned away, no market.
    Maintenance,
    /// Too many requests: told to be silent for seconds, now and then banned for minutes.
    Throttle,
    /// No market data, and nobody says so.
    DeadFeed,
    /// Market data is late.
    LateFeed,
    /// Frames are missing, twice there, in another order.
    BadFeed,
    /// The engine hears words on orders again that it heard before.
    Echo,
}

impl Kind {
    pub const ALL: [Kind; 18] = [
        Kind::Slow,
        Kind::LoseRequests,
        Kind::LoseAnswers,
        Kind::LoseReports,
        Kind::RepeatReports,
        Kind::ShuffleReports,
        Kind::Garble,
        Kind::StatusUnknown,
        Kind::Refuse,
        Kind::Forget,
        Kind::RestDown,
        Kind::RestLost,
        Kind::Maintenance,
        Kind::Throttle,
        Kind::DeadFeed,
        Kind::LateFeed,
        Kind::BadFeed,
        Kind::Echo,
    ];
}

/// Something that happens at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    CutOrders,
    CutUser,
    /// A connection that stands for us, and is gone for the venue.
    HalfOpenOrders,
    HalfOpenUser,
    /// The venue ends every connection, as after its 24 hours.
    CloseAll,
    /// The listen key ends, and the stream says so; or does not.
    ExpireKey,
    ExpireKeySilently,
    /// The venue's clock goes forward by seconds.
    VenueClock,
    /// The process dies, between two events or in the middle of what one causes.
    Kill,
    /// And with it the newest part of its journal, or all of it.
    LosePower,
    LoseJournal,
    /// It is told to end, and does.
    Restart,
    /// Money goes in or out.
    Transfer,
    /// The venue closes positions by itself.
    Deleverage,
    Settle,
    /// The owner trades by hand.
    TradeByHand,
    /// Others at this address ask for so much that the venue has enough of all of them.
    OthersAsk,
}

impl Blow {
    pub const ALL: [Blow; 17] = [
        Blow::CutOrders,
        Blow::CutUser,
        Blow::HalfOpenOrders,
        Blow::HalfOpenUser,
        Blow::CloseAll,
        Blow::ExpireKey,
        Blow::ExpireKeySilently,
        Blow::VenueClock,
        Blow::Kill,
        Blow::Restart,
        Blow::LosePower,
        Blow::LoseJournal,
        Blow::Transfer,
        Blow::Deleverage,
        Blow::Settle,
        Blow::TradeByHand,
        Blow::OthersAsk,
    ];
}

/// What is drawn.
#[derive(Clone, Debug)]
pub struct Weather {
    spells: Vec<(Kind, TimeNs, TimeNs)>,
    pub blows: Vec<(TimeNs, Blow)>,
    /// From here on nothing goes wrong any more.
    pub clears: TimeNs,
}

/// Before the first disturbance: something must be there to be disturbed.
const CALM_NS: i64 = 3 * NS_PER_SEC;

impl Weather {
    /// Half a dozen spells and as many blows within `storm_ns` of `start`.
    pub fn draw(start: TimeNs, storm_ns: i64, dice: &mut Dice) -> Weather {
        let clears = start + storm_ns;
        let at = |dice: &mut Dice| start + dice.between(CALM_NS, storm_ns - NS_PER_SEC);
        let spells = (0..dice.between(1, 8)).map(|_| {
            let kind = dice.pick(&Kind::ALL);
            let from = at(dice);
            let longest_ns = if kind == Kind::Maintenance { 15 } else { 25 } * NS_PER_SEC;
            let until = from + dice.between(200 * NS_PER_MS, longest_ns);
            (kind, from, until.min(clears))
        });
        let spells = spells.collect();
        let mut blows: Vec<(TimeNs, Blow)> =
            (0..dice.between(0, 6)).map(|_| (at(dice), dice.pick(&Blow::ALL))).collect();
        blows.sort_unstable();
        Weather { spells, blows, clears }
    }

    /// No disturbance at all.
    pub fn fair(start: TimeNs) -> Weather {
        Weather { spells: Vec::new(), blows: Vec::new(), clears: start }
    }

    /// One disturbance from `from` until `until`.
    pub fn with(mut self, kind: Kind, from: TimeNs, until: TimeNs) -> Weather {
        self.spells.push((kind, from, until));
        self.clears = self.clears.max(until);
        self
    }

    /// One blow at `at`.
    pub fn struck(mut self, blow: Blow, at: TimeNs) -> Weather {
        self.blows.push((at, blow));
        self.blows.sort_unstable();
        self.clears = self.clears.max(at);
        self
    }

    pub fn is(&self, kind: Kind, now: TimeNs) -> bool {
        self.spells.iter().any(|(spell, from, until)| *spell == kind && (*from..*until).contains(&now))
    }

    /// A line each, in seconds from the start of the market.
    pub fn describe(&self) -> String {
        let at = |time: TimeNs| time.since(super::START) as f64 / NS_PER_SEC as f64;
        let mut text = String::new();
        for (kind, from, until) in &self.spells {
            text += &format!("{kind:?} from {:.3} to {:.3} s\n", at(*from), at(*until));
        }
        for (time, blow) in &self.blows {
            text += &format!("{blow:?} at {:.3} s\n", at(*time));
        }
        text + &format!("clears at {:.3} s\n", at(self.clears))
    }

    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.spells.iter().map(|(kind, ..)| *kind)
    }
}
