//! Floods of output: the host's memory stays what it was, the neighbour answers, and what is told of it is short.

use std::fs;
use std::time::Duration;

use cofferdam::{ErrorKind, Limits};

use crate::journal::Journal;
use crate::stage::{Plugin, Stage, check_refused, limits};

/// More than the other tests of this program take meanwhile.
const GROWTH_MAX: u64 = 400 << 20;

/// Returns the bytes of memory that this program has taken at most so far.
fn memory_peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("there is /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel says it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("it is a number") << 10
}

#[tokio::test]
async fn a_gigabyte_on_stderr_is_read_and_forgotten() {
    let journal = Journal::begin();
    let stage = Stage::set().await;
    let before = memory_peak();
    for (name, script) in [
        ("one line", "head -c 1000000000 /dev/zero >&2; exit 3"),
        ("lines", "yes \"$(head -c 4000 /dev/zero | tr '\\0' x)\" | head -c 50000000 >&2; echo 'the end' >&2; exit 3"),
    ] {
        let plugin = Plugin::script(script);
        let flood = stage.register("flood", &plugin);
        let (outcome, ()) = tokio::join!(flood, async {
            for _ in 0..10 {
                stage.neighbour_answers().await;
            }
        });
        check_refused(name, outcome, ErrorKind::InvalidRequest, &["its process exited with status 3"]);
    }
    let grown = memory_peak() - before;
    assert!(grown < GROWTH_MAX, "the host took {grown} bytes");
    let logged: usize = journal.of_plugins().iter().map(|line| line.message.len()).sum();
    assert!(logged < 5 << 20, "{logged} bytes were logged");
    stage.no_other_is_left().await;
    stage.end().await;
}

/// Whatever it prints to its standard output after its handshake is dropped.
#[tokio::test]
async fn a_flood_on_stdout_after_the_handshake_is_dropped() {
    let stage = Stage::set().await;
    let path = crate::stage::healthy();
    let flood = "read -r line; echo \"$line\"; head -c 200000000 /dev/zero";
    stage.mount("flood", &Plugin::script(&format!("{} | {{ {flood}; }}", path.display()))).await;
    assert_eq!(stage.ask("flood/memory").await.expect("it answers")["reads"], 1);
    stage.end().await;
}

/// Go's own output goes to the host over gRPC, and a plugin may print secrets of one mount's requests: only its own
/// lines show.
#[tokio::test]
async fn lines_cannot_forge_others() {
    let journal = Journal::begin();
    let stage = Stage::bare(Limits { process_start_deadline: Duration::from_secs(10), ..limits() }, |_| ()).await;
    let script = "printf '[INFO] one\\r[ERROR] two\\033[31m\\n{\"@level\":\"info\",\"@message\":\"a\\\\nb\",\"plugin\":\"other\"}\\n' >&2; exit 1";
    let outcome = stage.register("forger", &Plugin::script(script)).await;
    check_refused("forger", outcome, ErrorKind::InvalidRequest, &["exited with status 1"]);
    let lines = journal.of_plugins();
    // Two for each time that it is tried.
    assert!(!lines.is_empty() && lines.len().is_multiple_of(2), "{lines:?}");
    for line in lines {
        assert_eq!(line.plugin, "forger", "{line:?}");
        assert!(!line.whole.chars().any(char::is_control), "{line:?}");
    }
    stage.end().await;
}
