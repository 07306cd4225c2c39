//! Votes to one signal: consensus and confidence (`docs/RULES.md` §1), and the four rule voters that
//! sit in the models' seats until models are given (`docs/RULES.md` §9).

mod consensus;
mod voters;

pub use consensus::{Confidence, Resolved, resolve};
pub use voters::RuleVoters;
