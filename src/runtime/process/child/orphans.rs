//! What plugins leave behind: processes whose parents have ended before them.
//!
//! As a subreaper, or as process 1 of a container, this process becomes the parent of every such process below it, and
//! has to reap it: it would stay a zombie. Its own children are left to whoever started them. Those of plugins are
//! known here; of others, such as a compiler in a process of its own, it is known that somebody waits for them at once,
//! so that only what has stayed a zombie for a while is nobody's.
//!
//! What left its plugin's group lives on after the plugin. It is found here when the host ends, and killed then.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::own;

/// How long a child stays a zombie before it is nobody's. Whoever waits for one of theirs needs a moment of processor
/// time; a second is that on a machine that is overloaded, too.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often what is left is looked for when the host ends: who is killed may have made another meanwhile, and its
/// children arrive.
const ROUNDS_MAX: usize = 100;

/// How long to wait for those who were killed, each time.
const ROUND: Duration = Duration::from_millis(10);

/// A child of this process. A zombie keeps its number, and a later process with that number has started at another
/// time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Orphan {
    pid: i32,
    started: u64,
    is_zombie: bool,
}

/// Makes this process the parent of what plugins leave behind, and reaps that. Never ends by itself.
///
/// For a process of our own: an embedder's may have children that it waits for later.
pub(crate) async fn adopt_orphans() {
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        tracing::warn!(%error, "what plugins leave behind is not adopted (PR_SET_CHILD_SUBREAPER)");
    }
    let mut ended = match signal(SignalKind::child()) {
        Ok(ended) => ended,
        Err(error) => {
            return tracing::warn!(%error, "what plugins leave behind is not reaped: SIGCHLD cannot be caught");
        }
    };
    let mut seen = BTreeSet::new();
    loop {
        if seen.is_empty() && ended.recv().await.is_none() {
            return;
        }
        sleep(PATIENCE).await;
        let Ok(orphans) = tokio::task::spawn_blocking(orphans).await else { return };
        let zombies: BTreeSet<Orphan> = orphans.into_iter().filter(|orphan| orphan.is_zombie).collect();
        let (nobodys, new): (BTreeSet<Orphan>, BTreeSet<Orphan>) =
            zombies.into_iter().partition(|zombie| seen.contains(zombie));
        nobodys.iter().for_each(Orphan::reap);
        if !nobodys.is_empty() {
            tracing::debug!(count = nobodys.len(), "reaped what plugins left behind");
        }
        seen = new;
    }
}

/// Kills what plugins have left behind. For a process of our own that is about to end, when no plugin runs any more.
pub(crate) async fn kill_orphans() {
    let mut killed = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        let Ok(left) = tokio::task::spawn_blocking(orphans).await else { return };
        if left.is_empty() {
            break;
        }
        for orphan in left {
            if !orphan.is_zombie && orphan.kill() {
                killed.insert(orphan.pid);
            }
            orphan.reap();
        }
        sleep(ROUND).await;
    }
    if !killed.is_empty() {
        tracing::info!(count = killed.len(), "killed what plugins left behind");
    }
}

impl Orphan {
    /// Kills it. It is a child and not reaped, so that its number is its own.
    fn kill(&self) -> bool {
        Pid::from_raw(self.pid).is_some_and(|pid| rustix::process::kill_process(pid, Signal::KILL).is_ok())
    }

    /// Reaps it if it has ended. Fails where it was somebody's after all, who has just done so.
    fn reap(&self) {
        let _ = rustix::process::waitpid(Pid::from_raw(self.pid), WaitOptions::NOHANG);
    }
}

/// Returns the children of this process that are not plugins. Reads the whole of `/proc`: not every kernel lists a
/// process's children.
fn orphans() -> Vec<Orphan> {
    let own = own::pids();
    let this = rustix::process::getpid().as_raw_nonzero().get();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let others = pids.filter(|pid| !own.contains(pid));
    others
        .filter_map(|pid| {
            let (parent, orphan) = parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
            (parent == this).then_some(orphan)
        })
        .collect()
}

/// Reads what `/proc/PID/stat` says: the parent, and the process. Its name may hold anything, and ends with the last
/// parenthesis.
fn parse(stat: &str) -> Option<(i32, Orphan)> {
    /// Counted from behind the name.
    const START_TIME: usize = 19;
    let pid = stat.split(' ').next()?.parse().ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let started = fields.get(START_TIME)?.parse().ok()?;
    Some((parent, Orphan { pid, started, is_zombie: fields.first()? == &"Z" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let fields = "Z 7 42 42 0 -1 4227084 0 0 0 0 0 0 0 0 20 0 1 0 12345 0 0";
        for name in ["sh", "a) Z 9 (b", ""] {
            let (parent, orphan) = parse(&format!("42 ({name}) {fields}")).unwrap();
            assert_eq!((parent, orphan), (7, Orphan { pid: 42, started: 12_345, is_zombie: true }), "{name}");
        }
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn a_child_is_an_orphan_unless_it_is_owned() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let raw = pid.as_raw_nonzero().get();
        let is_found = || orphans().iter().any(|orphan| orphan.pid == raw && !orphan.is_zombie);
        assert!(is_found());
        let owned = own::Owned::new(pid);
        assert!(!is_found());
        drop(owned);
        assert!(is_found());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_found());
    }
}
