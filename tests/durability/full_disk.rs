//! A disk without room: a clear error, everything stored still readable, and a store that works again once there is
//! room.
//!
//! The limit on the size of files stands in for the disk in the first test: the database sees a write that the system
//! refuses. In the second it is a small disk in memory, which the child mounts where only it sees it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Command;

use cofferdam::storage::{Batch, DurableStorage, Storage as _};

use super::role;

#[tokio::test]
async fn a_full_disk_is_survived() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    // Only the soft limit, so that it can be lifted again. The signal would end the process instead of failing the
    // write.
    let mut child = role::command_after("trap '' XFSZ; ulimit -S -f 16000", "fill", &store).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let full = lines.find(|line| line.starts_with("full after ")).expect("the child fills its disk");
    let stored: usize = full["full after ".len()..].parse().unwrap();

    let pid = child.id().to_string();
    let lifted = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited:unlimited"]).status();
    assert!(lifted.expect("prlimit, of util-linux, is there").success());
    child.stdin.take().unwrap().write_all(b"there is room\n").unwrap();
    let rest: Vec<_> = lines.collect();
    assert!(child.wait().unwrap().success(), "{rest:?}");

    let storage = DurableStorage::open(&store).unwrap();
    assert_eq!(storage.keys("fill/", usize::MAX).await.unwrap().len(), stored);
    assert_eq!(storage.get("after").await.unwrap().unwrap(), "room");
}

/// The size of the disk in memory.
const DISK_BYTES: usize = 24 << 20;

#[tokio::test]
async fn what_filled_a_disk_can_be_removed() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path();
    let mounted = format!(
        "exec unshare -Urm sh -c 'mount -t tmpfs -o size={DISK_BYTES} none \"$COFFERDAM_TEST_DISK\" && exec \"$@\"' sh \"$0\" \"$@\""
    );
    let mut command = role::command_after(&mounted, "make room", &disk.join("store"));
    let output = command.env("COFFERDAM_TEST_DISK", disk).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("there is room"), "{printed} {output:?}");
}

/// The child: fills its disk, goes on trying to, and makes room all the same.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn make_room(store: &Path) {
    let storage = DurableStorage::open(store).unwrap();
    storage.commit(Batch::default().put("core/mounts/1", "a record")).await.unwrap();
    let mut stored = 0;
    let ballast = store.with_file_name("store.ballast");
    for round in 0..3 {
        // One large after the other, then small ones into what they left.
        for bytes in [300_000, 60_000, 2_000] {
            while storage.commit(Batch::default().put(format!("fill/{stored:05}"), vec![1; bytes])).await.is_ok() {
                stored += 1;
                assert!(stored < DISK_BYTES / 2_000 * 4, "the disk is full at some time");
            }
        }
        // The mount that filled it is disabled: first the host's own records, then its values, some at a time.
        let disabled = Batch::default().delete("core/mounts/1").put("core/wipes/1", "");
        storage.commit(disabled).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert!(round > 0 || !ballast.exists(), "it took the reserve");
        for _ in 0..20 {
            storage
                .commit(Batch::default().put("fill/more", vec![1; 300_000]))
                .await
                .expect_err("the reserve is not its");
        }
        let keys = storage.keys("fill/", usize::MAX).await.unwrap();
        for some in keys.chunks(1_000) {
            let wiped = some.iter().cloned().fold(Batch::default(), Batch::delete);
            storage.commit(wiped).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        storage.commit(Batch::default().delete("core/wipes/1").put("core/mounts/1", "a record")).await.unwrap();
        storage.commit(Batch::default().put("after", vec![2; 1_000_000])).await.expect("there is room");
        storage.commit(Batch::default().delete("after")).await.unwrap();
    }
    println!("there is room");
}

/// The child: stores until it cannot, checks what it has, and stores again when it is told that there is room.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn fill(store: &Path) {
    let storage = DurableStorage::open(store).unwrap();
    let mut stored = 0;
    let error = loop {
        match storage.commit(Batch::default().put(format!("fill/{stored:05}"), value(stored))).await {
            Ok(()) => stored += 1,
            Err(error) => break error.to_string(),
        }
    };
    // The second is what a disk says that is really full.
    assert!(error.contains("File too large") || error.contains("No space left on device"), "{error}");
    check(&storage, stored).await;
    storage.commit(Batch::default().put("large", vec![0; 64 << 20])).await.expect_err("there is still no room");
    check(&storage, stored).await;

    println!("{error}");
    println!("full after {stored}");
    std::io::stdin().lock().read_line(&mut String::new()).unwrap();
    check(&storage, stored).await;
    storage.commit(Batch::default().put("after", "room")).await.unwrap();
    storage.commit(Batch::default().put("large", vec![0; 64 << 20])).await.unwrap();
    check(&storage, stored).await;
}

async fn check(storage: &DurableStorage, stored: usize) {
    assert_eq!(storage.keys("fill/", usize::MAX).await.unwrap().len(), stored);
    for number in 0..stored {
        assert!(storage.get(&format!("fill/{number:05}")).await.unwrap().unwrap() == value(number));
    }
}

fn value(number: usize) -> Vec<u8> {
    vec![number as u8; 60_000]
}
