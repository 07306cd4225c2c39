//! Whatever bytes come from outside: an answer, never a panic, and memory in proportion to their length.
//! One file a target, all of one shape ([`target`]); `docs/TESTING.md` says what each promises.

mod desk;
mod evaluate;
mod fast;
mod files;
#[path = "../journal_support/mod.rs"]
mod journal_support;
mod made_journal;
mod market;
mod recovery;
mod rest;
mod settings;
mod start;
mod target;
mod user_stream;
mod wire;
#[path = "../wire_support/mod.rs"]
mod wire_support;

#[global_allocator]
static ALLOCATOR: quantum_trader::host::alloc::Counting = quantum_trader::host::alloc::Counting;
