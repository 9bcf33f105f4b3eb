//! Keeps what is in memory from getting onto a disk.
//!
//! * **Core dumps** are off, for the server and what it starts; nor may other programs of its user look into it.
//! * **Memory is not locked.** A sandbox gives its memory back page by page when its call ends (`madvise`), which the
//!   kernel refuses for memory that is locked: the next one would find what the last one left. So whether memory gets
//!   onto a disk is the system's choice, and an operator is told when it may.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Where the second version of control groups is mounted.
const GROUPS: &str = "/sys/fs/cgroup";

/// Forbids core dumps.
pub(super) fn forbid_core_dumps() {
    if let Err(error) = rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::warn!(%error, "core dumps could not be forbidden (RLIMIT_CORE): one would hold secrets");
    }
}

/// Keeps other programs of this user from looking into this process, and the kernel from handing a dump to a program.
/// For when everything is open: from here on `/proc/self` belongs to root, in which engines look for pages to reset.
pub(super) fn close() {
    if let Err(error) = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "other programs of this user may look into the server's memory (PR_SET_DUMPABLE)");
    }
}

/// Warns where memory may be written to a disk. `disable_mlock` is Vault's setting: true says that the operator has
/// seen to that.
pub(super) fn warn_of_swap(disable_mlock: Option<bool>) {
    const WAY_OUT: &str = "turn swap off, encrypt it, or forbid it to the service (MemorySwapMax=0 in a systemd unit); then set \
                           disable_mlock = true, which says that it was seen to";
    match disable_mlock {
        Some(true) => {}
        Some(false) => tracing::warn!(
            "disable_mlock = false asks for memory that is locked, and this server does not lock memory: sandboxes give theirs back in \
             a way that locked memory does not have; {WAY_OUT}"
        ),
        None if may_swap() => {
            tracing::warn!("memory is not locked and this system has swap: secrets may get onto its disk; {WAY_OUT}");
        }
        None => {}
    }
}

fn may_swap() -> bool {
    let read = |path: &Path| fs::read_to_string(path).ok();
    read(Path::new("/proc/swaps")).is_some_and(|swaps| has_disk(&swaps))
        && !read(Path::new("/proc/self/cgroup")).is_some_and(|groups| is_forbidden(&groups, read))
}

/// Tells whether one of the places to swap to is on a disk, from `/proc/swaps`.
fn has_disk(swaps: &str) -> bool {
    let mut places = swaps.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().next());
    places.any(|place| !place.starts_with("/dev/zram"))
}

/// Tells whether the process's control group, or one that it lies in, may not swap.
fn is_forbidden(groups: &str, read: impl Fn(&Path) -> Option<String>) -> bool {
    let Some(group) = groups.lines().find_map(|line| line.strip_prefix("0::/")) else { return false };
    let group: PathBuf = Path::new(GROUPS).join(group);
    let mut above = group.ancestors().take_while(|group| group.starts_with(GROUPS));
    above.any(|group| read(&group.join("memory.swap.max")).is_some_and(|max| max.trim() == "0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_counts_that_lies_on_a_disk() {
        let with = |place: &str| has_disk(&format!("Filename\tType\tSize\tUsed\tPriority\n{place}"));
        assert!(with("/swapfile file 1048572 0 -2\n"));
        assert!(with("/dev/zram0 partition 1 0 100\n/dev/sda2 partition 1 0 -2\n"));
        assert!(!with("/dev/zram0 partition 1 0 100\n"));
        assert!(!with(""));
        assert!(!has_disk(""));
    }

    #[test]
    fn a_group_that_may_not_swap_is_enough_and_so_is_one_around_it() {
        let limits = |group: &str, limited: &'static str| {
            is_forbidden(group, |path| (path == Path::new(limited)).then(|| "0\n".to_owned()))
        };
        let own = "/sys/fs/cgroup/system.slice/vault.service/memory.swap.max";
        assert!(limits("0::/system.slice/vault.service\n", own));
        assert!(limits(
            "1:name=systemd:/\n0::/system.slice/vault.service\n",
            "/sys/fs/cgroup/system.slice/memory.swap.max"
        ));
        assert!(!limits("0::/other.slice\n", own));
        assert!(!limits("4:memory:/x\n", own));
        assert!(!is_forbidden("0::/x\n", |_| Some("max\n".to_owned())));
    }
}
