//! Files that are no stores, or no longer: a clear error that names the file, and never a panic.

use std::fs;
use std::path::Path;

use cofferdam::storage::{Batch, DurableStorage, Storage as _};

use super::role;

#[track_caller]
fn refused(path: &Path, because: &str) {
    let Err(error) = DurableStorage::open(path) else { panic!("{path:?} should be refused") };
    let error = error.to_string();
    assert!(error.contains(because) && error.contains(path.to_str().unwrap()), "{error:?} should say {because:?}");
}

async fn make(path: &Path) {
    let storage = DurableStorage::open(path).unwrap();
    for number in 0..200 {
        storage.commit(Batch::default().put(format!("key/{number}"), vec![7; 500])).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_no_store_is_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);

    refused(&path("missing/store"), "does not exist");
    refused(directory.path(), "is a directory");
    fs::write(path("text"), "hello ".repeat(1_000)).unwrap();
    refused(&path("text"), "not a storage file");
    fs::write(path("short"), "hello").unwrap();
    refused(&path("short"), "not a storage file");

    let theirs: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("theirs");
    let database = redb::Database::create(path("theirs")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(theirs).unwrap().insert("a", 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    refused(&path("theirs"), "of another program");
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    fs::write(&path, "").unwrap();
    make(&path).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_store_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    make(&path).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_truncated_store_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    make(&path).await;
    let whole = fs::read(&path).unwrap();
    for percent in [0.1, 1.0, 10.0, 50.0, 99.0] {
        fs::write(&path, &whole[..(whole.len() as f64 * percent / 100.0) as usize]).unwrap();
        refused(&path, "storage");
    }
}

/// A file damaged in one place opens or not, and gives its values or errors. What it must not do is end the process.
#[tokio::test]
async fn a_store_with_flipped_bytes_does_not_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    make(&path).await;
    let whole = fs::read(&path).unwrap();
    for round in 0..60 {
        let mut damaged = whole.clone();
        // A fixed spread over the header, where most of what matters lies, and the whole file.
        let at = if round < 30 { round * 11 } else { whole.len() / 60 * round };
        damaged[at..].iter_mut().take(4).for_each(|byte| *byte ^= 0xff);
        fs::write(&path, &damaged).unwrap();
        let Ok(storage) = DurableStorage::open(&path) else { continue };
        let _ = storage.keys("", 1_000).await;
        let _ = storage.list("key/", None, 1_000).await;
        for number in 0..200 {
            let _ = storage.get(&format!("key/{number}")).await;
        }
        let _ = storage.commit(Batch::default().put("key/0", "new")).await;
    }
}

/// Nothing but the check reads what nobody asks for.
#[tokio::test]
async fn damage_that_nobody_reads_is_found_by_a_check() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    make(&path).await;
    assert!(DurableStorage::check(&path).unwrap().whole);
    let mut damaged = fs::read(&path).unwrap();
    let at = damaged.windows(400).position(|bytes| bytes.iter().all(|byte| *byte == 7)).expect("a value is found");
    damaged[at] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let found = DurableStorage::check(&path);
    assert!(!matches!(found, Ok(checked) if checked.whole), "{found:?}");
    assert!(DurableStorage::check(directory.path().join("none")).is_err());
}

#[tokio::test]
async fn one_process_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let storage = DurableStorage::open(&path).unwrap();
    refused(&path, "has it open");

    let output = role::command("open", &path).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("another process") && told.contains(path.to_str().unwrap()), "{told}");

    drop(storage);
    let output = role::command("open", &path).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("opened."));
}

/// The child: says whether the store opens.
pub(super) fn open_and_tell(store: &Path) {
    match DurableStorage::open(store) {
        Ok(_) => println!("opened."),
        Err(error) => println!("{error}"),
    }
}
