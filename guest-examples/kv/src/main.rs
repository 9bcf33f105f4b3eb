//! The same plugin as a program of its own.

fn main() -> std::process::ExitCode {
    cofferdam_sdk::serve::<kv_plugin::Kv>()
}
