//! The same plugin as a program of its own.

fn main() -> std::process::ExitCode {
    cofferdam_sdk::serve::<login_plugin::UserLogins>()
}
