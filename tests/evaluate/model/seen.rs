//! What a path met: which rules refused or changed something, and whose threshold was hit exactly.

use std::collections::BTreeSet;

use crate::exact::Q;

#[derive(Default)]
pub struct Seen {
    pub binds: BTreeSet<&'static str>,
    pub edges: BTreeSet<&'static str>,
}

impl Seen {
    /// Whether `value` is above `limit`; exactly at it is worth noting.
    pub fn above(&mut self, what: &'static str, value: &Q, limit: &Q) -> bool {
        if value == limit {
            self.edges.insert(what);
        }
        value > limit
    }

    pub fn at_least(&mut self, what: &'static str, value: &Q, limit: &Q) -> bool {
        !self.above(what, limit, value)
    }
}

/// The rules of one signal, in order; a failure is marked.
pub struct Checks<'a> {
    pub rules: Vec<String>,
    pub seen: &'a mut Seen,
}

impl Checks<'_> {
    /// `None` if it failed: the signal ends there.
    pub fn check(&mut self, rule: &'static str, passed: bool) -> Option<()> {
        self.rules.push(format!("{}{rule}", if passed { "" } else { "!" }));
        if !passed {
            self.seen.binds.insert(rule);
        }
        passed.then_some(())
    }

    pub fn at_most(&mut self, rule: &'static str, value: &Q, limit: &Q) -> Option<()> {
        let passed = !self.seen.above(rule, value, limit);
        self.check(rule, passed)
    }

    pub fn at_least(&mut self, rule: &'static str, value: &Q, limit: &Q) -> Option<()> {
        self.at_most(rule, limit, value)
    }
}
