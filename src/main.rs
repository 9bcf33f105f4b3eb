//! The `cofferdam` program.

use std::process::ExitCode;

use cofferdam::cli::{self, Environment};

/// Gives memory back to the system when a burst of requests is over. The C library's allocator keeps it: RSS stayed at
/// 3 GB for good after a few large bodies.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(cli::run(std::env::args_os(), &Environment::read()))
}
