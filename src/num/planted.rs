//! Bugs planted on purpose, for checks of the checks: without the feature `planted-defect` there are none,
//! and the compiler removes every question. Never in a build that trades.

use std::sync::atomic::{AtomicU8, Ordering};

/// A bug. Other engines had each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// An order whose answer is lost is sent again without a question.
    RetryWithoutQuery = 1,
    /// A stop keeps its quantity when the position's changes.
    StopNotRequantified = 2,
    /// Old and late market data is good enough.
    StaleGateRemoved = 3,
    /// Requests go on while the venue wants silence.
    BanIgnored = 4,
    /// A start closes what it finds.
    ReconcileFlattens = 5,
}

impl Bug {
    pub const ALL: [(&str, Bug); 5] = [
        ("retry-without-query", Bug::RetryWithoutQuery),
        ("stop-not-requantified", Bug::StopNotRequantified),
        ("stale-gate-removed", Bug::StaleGateRemoved),
        ("ban-ignored", Bug::BanIgnored),
        ("reconcile-flattens", Bug::ReconcileFlattens),
    ];
}

static PLANTED: AtomicU8 = AtomicU8::new(0);

/// From here on the process has the bug of this name; false if there is none of it, or no bug can be
/// planted in this build.
pub fn plant(name: &str) -> bool {
    let bug = Bug::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, bug)| bug);
    if let Some(bug) = bug.filter(|_| cfg!(feature = "planted-defect")) {
        PLANTED.store(bug as u8, Ordering::Relaxed);
        return true;
    }
    false
}

#[inline]
pub fn is_planted(bug: Bug) -> bool {
    cfg!(feature = "planted-defect") && PLANTED.load(Ordering::Relaxed) == bug as u8
}
