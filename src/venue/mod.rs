//! The venues' dialects: what their messages, streams and errors are called, and where instrument
//! tables come from. Names and numbers only; nothing here reads a socket or keeps state.

pub mod binance;
mod builtin;

pub use builtin::builtin_instruments;
