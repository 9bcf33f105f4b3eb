//! The test program as its own child process: a process that can be killed, or has a resource limit.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Names the role that a child plays; its absence makes a process the parent.
const ROLE: &str = "COFFERDAM_TEST_ROLE";
const STORE: &str = "COFFERDAM_TEST_STORE";

/// Returns the arguments with which this program plays a role.
fn arguments() -> [&'static str; 4] {
    ["role::play", "--exact", "--nocapture", "--test-threads=1"]
}

/// Returns a command that runs this program in a role, on a store.
pub(super) fn command(role: &str, store: &Path) -> Command {
    with_role(Command::new(program()), role, store)
}

/// Returns a command that does so in a shell, after some preparation there.
pub(super) fn command_after(preparation: &str, role: &str, store: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{preparation}; exec \"$0\" \"$@\"")).arg(program());
    with_role(shell, role, store)
}

fn program() -> PathBuf {
    std::env::current_exe().expect("a running test knows its own program")
}

fn with_role(mut command: Command, role: &str, store: &Path) -> Command {
    command.args(arguments()).env(ROLE, role).env(STORE, store).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Plays the role that the parent asked for. In the parent itself there is nothing to do.
#[test]
fn play() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let store = PathBuf::from(std::env::var_os(STORE).expect("the parent names the store"));
    // The test harness has begun a line, and the parent reads lines.
    println!();
    match role.as_str() {
        "commit" => super::crash::commit_until_killed(&store),
        "open" => super::damage::open_and_tell(&store),
        #[cfg(target_os = "linux")]
        "fill" => super::full_disk::fill(&store),
        #[cfg(target_os = "linux")]
        "make room" => super::full_disk::make_room(&store),
        #[cfg(all(feature = "wasm", unix))]
        "operate" => super::steps::play(&store),
        unknown => panic!("there is no role {unknown:?}"),
    }
}
