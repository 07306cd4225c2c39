//! `qtx`: the command line of Quantum Trader.

use std::process::ExitCode;

use quantum_trader::host::alloc::Counting;

/// Counts what the hot path allocates, so that "nothing" is a measurement.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    quantum_trader::cli::main()
}
