//! A journal as tables: what is in the files is what is in the journal, in both formats, to the last place.

mod assumed;
mod command;
mod docs;
mod followed;
mod hand;
mod hostile;
#[path = "../journal_support/mod.rs"]
mod journal_support;
mod runs;
mod tables;
