//! The `cofferdam` program.

use std::process::ExitCode;

use cofferdam::cli::{self, Environment};

fn main() -> ExitCode {
    ExitCode::from(cli::run(std::env::args_os(), &Environment::read()))
}
