//! The same plugin as a program of its own.

fn main() -> std::process::ExitCode {
    cofferdam_sdk::serve::<shelf_plugins::Tally>()
}
