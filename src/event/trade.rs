//! Words of the trading rules that cross rooms: votes, rules, exits, trade and trading states.
//! Their meaning is in `docs/RULES.md`.

use bytemuck::{CheckedBitPattern, NoUninit};

use crate::num::{Dec, Side, Ticks};

/// A code that is printed, parsed and stored: one list for all three.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:tt $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, NoUninit, CheckedBitPattern, borsh::BorshSerialize, borsh::BorshDeserialize)]
        #[borsh(use_discriminant = true)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$doc])* $variant = $code,)*
        }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant,)*];
            pub const WORDS: &[&'static str] = &[$($text,)*];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }

            pub fn parse(text: &str) -> Option<$name> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

pub(crate) use words;

words! {
    /// What a voter wants done.
    Action {
        Hold = 1 "HOLD",
        Long = 2 "LONG",
        Short = 3 "SHORT",
        /// Not enough history: does not count.
        Abstain = 4 "ABSTAIN",
    }
}

impl Action {
    /// The side of the entry order.
    pub const fn side(self) -> Option<Side> {
        match self {
            Action::Long => Some(Side::Buy),
            Action::Short => Some(Side::Sell),
            Action::Hold | Action::Abstain => None,
        }
    }

    pub const fn of(side: Side) -> Action {
        match side {
            Side::Buy => Action::Long,
            Side::Sell => Action::Short,
        }
    }
}

words! {
    /// How far the voters agree.
    Consensus {
        Weak = 1 "WEAK",
        Split = 2 "SPLIT",
        Strong = 3 "STRONG",
        Unanimous = 4 "UNANIMOUS",
    }
}

words! {
    /// The four seats at the table, in order.
    Seat {
        Xgboost = 0 "xgboost",
        Lightgbm = 1 "lightgbm",
        Nhits = 2 "nhits",
        Patchtst = 3 "patchtst",
    }
}

/// Seats at the table.
pub const SEATS: usize = Seat::ALL.len();

words! {
    /// Where a signal came from.
    SignalSource {
        /// The engine's own rule voters, at bar close.
        Rules = 1 "rules",
        /// Outside the engine: models, a socket, a scenario.
        External = 2 "external",
    }
}

/// A vote from each seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Ballot {
    pub xgboost: Action,
    pub lightgbm: Action,
    pub nhits: Action,
    pub patchtst: Action,
}

impl Ballot {
    pub const fn of(votes: [Action; SEATS]) -> Ballot {
        let [xgboost, lightgbm, nhits, patchtst] = votes;
        Ballot { xgboost, lightgbm, nhits, patchtst }
    }

    /// In the order of [`Seat::ALL`].
    pub const fn votes(&self) -> [Action; SEATS] {
        [self.xgboost, self.lightgbm, self.nhits, self.patchtst]
    }
}

/// Votes of the four seats, or a consensus and confidence reached elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Signal {
    /// Confidence of each seat in [0, 1]; with `given`, the first is the signal's.
    pub confidence: [Dec; SEATS],
    pub ballot: Ballot,
    /// Consensus and action came with the signal instead of votes.
    pub given: bool,
    pub action: Action,
    pub consensus: Consensus,
    pub source: SignalSource,
    pub pad: [u8; 8],
}

/// What a given spread is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, NoUninit, CheckedBitPattern)]
#[repr(u8)]
pub enum SpreadGiven {
    No = 0,
    /// `bid` and `ask`.
    Quotes = 1,
    /// `spread_bps`.
    Bps = 2,
}

/// A signal and the market it is judged by, used exactly as given; the price is the instrument's
/// newest. What is not given is missing, whatever the engine knows of the market.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct SignalWithConditions {
    pub signal: Signal,
    pub atr: Dec,
    pub ema: Dec,
    pub volume_24h: Dec,
    pub spread_bps: Dec,
    pub bid: Ticks,
    pub ask: Ticks,
    pub spread: SpreadGiven,
    pub atr_given: bool,
    pub ema_given: bool,
    pub volume_given: bool,
    pub pad: [u8; 12],
}

words! {
    /// The rules a signal must pass, in order. The first that fails is the reason.
    Rule {
        /// Of an approval: every rule passed.
        None = 0 "approved",
        Ready = 1 "not_ready",
        Stale = 2 "stale",
        FeedLag = 3 "feed_lag",
        Consensus = 4 "consensus",
        Confidence = 5 "confidence",
        Trend = 6 "trend",
        Regime = 7 "regime",
        Volume = 8 "volume",
        Spread = 9 "spread",
        Cost = 10 "cost",
        CircuitBreaker = 11 "circuit_breaker",
        DailyDrawdown = 12 "daily_drawdown",
        WeeklyDrawdown = 13 "weekly_drawdown",
        Concurrent = 14 "concurrent",
        Position = 15 "position",
        Correlation = 16 "correlation",
        TradingState = 17 "trading_state",
        Levels = 18 "levels",
        Liquidation = 19 "liquidation",
        MinQuantity = 20 "min_quantity",
        MinNotional = 21 "min_notional",
        MinPosition = 22 "min_position",
        Exposure = 23 "exposure",
        OpenRisk = 24 "open_risk",
    }
}

words! {
    /// Which exit fired.
    ExitSignal {
        StopLoss = 1 "STOP_LOSS",
        TakeProfit = 2 "TAKE_PROFIT",
        PartialTp = 3 "PARTIAL_TP",
        TimeExit = 4 "TIME_EXIT",
        /// Everything is closed, by the breaker or the operator.
        Flatten = 5 "FLATTEN",
        /// The operator closed this one.
        Manual = 6 "MANUAL",
        /// No acknowledged stops for all of it within the deadline, or the venue refused the only one.
        Unprotected = 7 "UNPROTECTED",
        /// The venue closed it: liquidation, auto-deleveraging, settlement.
        Forced = 8 "FORCED",
    }
}

words! {
    /// Why a stop moved.
    StopMove {
        Breakeven = 1 "BREAKEVEN",
        Trailing = 2 "TRAILING",
    }
}

words! {
    /// A trade's life.
    TradeState {
        New = 1 "NEW",
        Rejected = 2 "REJECTED",
        Approved = 3 "APPROVED",
        EntryPending = 4 "ENTRY_PENDING",
        Open = 5 "OPEN",
        Breakeven = 6 "BREAKEVEN",
        PartialTp = 7 "PARTIAL_TP",
        Trailing = 8 "TRAILING",
        ClosedSl = 9 "CLOSED_SL",
        ClosedTp = 10 "CLOSED_TP",
        ClosedPartial = 11 "CLOSED_PARTIAL",
        ClosedTime = 12 "CLOSED_TIME",
        ClosedManual = 13 "CLOSED_MANUAL",
        ClosedLiquidated = 14 "CLOSED_LIQUIDATED",
        /// The entry ended without a fill.
        Canceled = 15 "CANCELED",
        /// The venue's answer to the entry is missing, and nothing has filled.
        Unknown = 16 "UNKNOWN",
    }
}

words! {
    /// How much the engine may do.
    TradingState {
        Active = 1 "ACTIVE",
        /// Exits only.
        Reducing = 2 "REDUCING",
        /// Nothing but cancels, protective orders and closing what is unprotected.
        Halted = 3 "HALTED",
    }
}

words! {
    /// A portfolio limit that changes state.
    Limit {
        CircuitBreaker = 1 "circuit_breaker",
        Daily = 2 "daily_drawdown",
        Weekly = 3 "weekly_drawdown",
        Recovery = 4 "recovery_mode",
        Streak = 5 "losing_streak",
    }
}

words! {
    /// What the operator must know, and why the trading state went down.
    AlarmKind {
        Operator = 1 "operator",
        StopRefused = 2 "stop_refused",
        UnprotectedDeadline = 3 "unprotected_deadline",
        UnknownOrder = 4 "unknown_order",
        UnexpectedFill = 5 "unexpected_fill",
        FeedDown = 6 "feed_down",
        QueueFull = 7 "queue_full",
        Divergence = 8 "divergence",
        WalletDiffers = 9 "wallet_differs",
        ForcedExit = 10 "forced_exit",
        Arithmetic = 11 "arithmetic",
        EntryRefused = 12 "entry_refused",
        ExitRefused = 13 "exit_refused",
        StopNotTriggered = 14 "stop_not_triggered",
        VenueSetup = 15 "venue_setup",
        DustRemainder = 16 "dust_remainder",
        /// More of the ring than allowed waits for the archive.
        JournalBehind = 17 "journal_behind",
        /// The archive can't be written.
        ArchiveFailing = 18 "archive_failing",
        /// The venue's position is not what fills explain: the difference was taken into the books.
        UnknownPosition = 19 "unknown_position",
    }
}
