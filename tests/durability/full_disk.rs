//! A disk without room: a clear error, everything stored still readable, and a store that works again once there is room.
//!
//! The limit on the size of files stands in for the disk: the database sees a write that the system refuses.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Command;

use cofferdam::storage::{Batch, DurableStorage, Storage as _};

use super::role;

#[tokio::test]
async fn a_full_disk_is_survived() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    // Only the soft limit, so that it can be lifted again. The signal would end the process instead of failing the write.
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
