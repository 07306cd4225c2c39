//! The simulated venue over real sockets on loopback, in simulated time that the test sets.
#![cfg(feature = "server")]

mod hostile;
mod orders;
mod payloads;
mod rest;
mod streams;
mod support;
mod time;
