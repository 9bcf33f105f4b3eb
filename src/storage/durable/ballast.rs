//! Room that is kept free for those who make room.
//!
//! On a full disk even removing needs some: a commit writes new pages before old ones are free. So a file beside the
//! database takes up a little of the disk, and goes when a commit that *serves the store* meets a full disk: one that
//! only removes, or that changes only the host's own records, as disabling the mount that filled the disk does. What
//! else is stored may not use that room up: until the ballast is back, as much is stored as was removed, and no more.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::super::{Batch, Change};

/// How large the ballast is. A commit of some records takes a few dozen pages of 4 KiB; this is enough for hundreds of
/// them, and no disk that holds a store misses it.
pub(super) const BALLAST_BYTES: u64 = 4 << 20;

/// What a batch costs beside its values, as it is counted while there is no ballast: the pages that lead to them.
const OVERHEAD_BYTES: u64 = 64 << 10;

/// What follows the database file's name.
const ENDING: &str = "ballast";

/// Where the records of the host lie.
const RECORDS: &str = "core/";

/// The ballast of one store.
pub(super) struct Ballast {
    path: PathBuf,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It lies there.
    Held,
    /// There was no room for it when the store was opened.
    Absent,
    /// It was given away. So many bytes may be stored, because they were removed since.
    Spent(u64),
}

impl Ballast {
    /// Lays the ballast beside a store that is open, unless it is there.
    pub(super) fn beside(database: &Path) -> Self {
        let mut name = database.as_os_str().to_owned();
        name.push(".");
        name.push(ENDING);
        let mut ballast = Self { path: name.into(), state: State::Absent };
        if let Err(error) = ballast.lay() {
            tracing::warn!(
                path = %ballast.path.display(), %error,
                "there is no room to keep in reserve: on a full disk, what fills it cannot be removed"
            );
        }
        ballast
    }

    /// Gives the room away. Returns whether there was any.
    pub(super) fn give(&mut self) -> bool {
        let held = self.state == State::Held;
        if held && std::fs::remove_file(&self.path).is_ok() {
            tracing::warn!(path = %self.path.display(), "the disk is full: its reserve is used to make room");
            self.state = State::Spent(0);
            return true;
        }
        if self.state == State::Absent {
            self.state = State::Spent(0);
        }
        false
    }

    /// Says whether a batch may be tried now.
    pub(super) fn admits(&mut self, batch: &Batch) -> bool {
        let State::Spent(left) = self.state else { return true };
        if serves_the_store(batch) || batch.changes.is_empty() {
            return true;
        }
        if self.lay().is_ok() {
            tracing::info!(path = %self.path.display(), "the disk has room again, and its reserve is back");
            return true;
        }
        let needed = 2 * put_bytes(batch) + OVERHEAD_BYTES;
        let admitted = needed <= left;
        if admitted {
            self.state = State::Spent(left - needed);
        }
        admitted
    }

    /// Takes note of values that were removed.
    pub(super) fn freed(&mut self, bytes: u64) {
        if let State::Spent(left) = &mut self.state {
            *left = left.saturating_add(bytes);
        }
    }

    fn lay(&mut self) -> io::Result<()> {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|found| found.is_file() && found.len() == BALLAST_BYTES) {
            self.state = State::Held;
            return Ok(());
        }
        // What lies there is an unfinished one, or a link that somebody else made.
        let _ = std::fs::remove_file(&self.path);
        let written = new_file(&self.path).and_then(|file| fill(&file));
        match written {
            Ok(()) => {
                self.state = State::Held;
                Ok(())
            }
            Err(error) => {
                let _ = std::fs::remove_file(&self.path);
                Err(error)
            }
        }
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Writes what no file system makes smaller.
fn fill(mut file: &File) -> io::Result<()> {
    const PIECE_BYTES: usize = 64 << 10;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    for _ in 0..BALLAST_BYTES / PIECE_BYTES as u64 {
        piece.clear();
        while piece.len() < PIECE_BYTES {
            // Marsaglia's xorshift: it need not be unforeseeable.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            piece.extend_from_slice(&state.to_le_bytes());
        }
        file.write_all(&piece)?;
    }
    file.sync_all()
}

/// Says whether a batch makes room, or changes only what the host itself remembers.
pub(super) fn serves_the_store(batch: &Batch) -> bool {
    let serves = |change: &Change| matches!(change, Change::Delete(_)) || change.key().starts_with(RECORDS);
    !batch.changes.is_empty() && batch.changes.iter().all(serves)
}

fn put_bytes(batch: &Batch) -> u64 {
    let bytes = batch.changes.iter().map(|change| match change {
        Change::Put(key, value) => key.len() + value.len(),
        Change::Delete(key) => key.len(),
    });
    bytes.sum::<usize>() as u64
}

/// Says whether an error means that the disk is full.
pub(super) fn is_full(error: &redb::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error, redb::Error::Io(error) if matches!(error.kind(), FileTooLarge | QuotaExceeded | StorageFull))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(bytes: usize) -> Batch {
        Batch::default().put("logical/1/a", vec![0; bytes])
    }

    #[test]
    fn a_batch_serves_the_store_if_it_removes_or_is_the_hosts() {
        assert!(serves_the_store(&Batch::default().delete("logical/1/a")));
        assert!(serves_the_store(&Batch::default().delete("core/mounts/1").put("core/wipes/1", "")));
        assert!(!serves_the_store(&put(1)));
        assert!(!serves_the_store(&Batch::default().delete("logical/1/a").put("logical/1/b", "")));
        assert!(!serves_the_store(&Batch::default()));
    }

    #[test]
    fn what_was_given_away_is_not_filled_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut ballast = Ballast::beside(&directory.path().join("store"));
        let path = directory.path().join("store.ballast");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), BALLAST_BYTES);
        assert!(ballast.admits(&put(10 << 20)) && ballast.give());
        assert!(!path.exists() && !ballast.give());
        // A directory stands in the way of the new one.
        std::fs::create_dir(&path).unwrap();
        assert!(!ballast.admits(&put(1)) && ballast.admits(&Batch::default().delete("logical/1/a")));
        ballast.freed(1 << 20);
        assert!(ballast.admits(&put(100_000)) && !ballast.admits(&put(500_000)));
        std::fs::remove_dir(&path).unwrap();
        assert!(ballast.admits(&put(10 << 20)) && path.exists());
    }
}
