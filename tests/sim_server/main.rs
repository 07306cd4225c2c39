//! The simulated venue over real sockets on loopback, in simulated time that the test sets.
#![cfg(feature = "server")]

mod cli;
mod hostile;
mod lockstep;
mod orders;
mod payloads;
mod rates;
mod rest;
mod streams;
mod support;
mod time;
mod tls;
