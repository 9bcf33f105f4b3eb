//! A guest's memory, as it is known outside its store: how much it has taken, and how much of the rest is reserved for
//! requests.
//!
//! Memory that a guest has taken never goes back, and the host cannot see which of it is free inside. So what a guest
//! took while it held requests is reckoned as theirs, as far as there was room reserved for them: the next ones can
//! have it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many bytes of a guest's memory each byte of a request takes: one as it arrives, and one for what the guest makes
/// of it. What a plugin builds beyond that is its own affair.
const BYTES_PER_BYTE: usize = 2;

/// One sandbox's memory.
pub(super) struct Memory {
    bytes_max: usize,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// What the guest took for itself.
    own: usize,
    /// What it took while it held requests: no more than was ever reserved for them at once.
    for_requests: usize,
    reserved: usize,
    reserved_max: usize,
}

/// Why there is no room for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// Others take it; they will end.
    Now,
    /// There are no more than this many bytes, whoever else is there.
    Ever(usize),
}

/// Room for a request, until it is dropped.
pub(super) struct Reserved {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Memory {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, book: Mutex::default() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how much the guest may take.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Returns how much the guest has taken.
    pub(super) fn bytes(&self) -> usize {
        let book = self.book();
        book.own + book.for_requests
    }

    /// Lets the guest take more, if it may.
    pub(super) fn grow(&self, bytes: usize) -> bool {
        let mut book = self.book();
        let total = (book.own + book.for_requests).saturating_add(bytes);
        if total > self.bytes_max {
            return false;
        }
        let theirs = if book.reserved > 0 { bytes.min(book.reserved_max - book.for_requests) } else { 0 };
        book.for_requests += theirs;
        book.own += bytes - theirs;
        true
    }

    /// Reserves room for a request of so many bytes.
    pub(super) fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Reserved, NoRoom> {
        let bytes = bytes.saturating_mul(BYTES_PER_BYTE);
        let mut book = self.book();
        let free = self.bytes_max - book.own;
        if bytes > free {
            return Err(NoRoom::Ever(free / BYTES_PER_BYTE));
        }
        let reserved = book.reserved + bytes;
        if reserved > free {
            return Err(NoRoom::Now);
        }
        book.reserved = reserved;
        book.reserved_max = book.reserved_max.max(reserved);
        Ok(Reserved { memory: Arc::clone(self), bytes })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.memory.book().reserved -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_requests_took_is_there_for_the_next() {
        let memory = Arc::new(Memory::new(100));
        assert!(memory.grow(20));
        for _ in 0..3 {
            let one = memory.reserve(15).unwrap();
            let two = memory.reserve(20).unwrap();
            assert_eq!(memory.reserve(10).err(), Some(NoRoom::Now));
            // It grows for them once, and keeps that.
            let kept = memory.book().for_requests;
            assert!(memory.grow(70 - kept));
            drop(one);
            let three = memory.reserve(10).unwrap();
            drop((two, three));
        }
        assert_eq!(memory.bytes(), 90);
        assert_eq!(memory.reserve(41).err(), Some(NoRoom::Ever(40)));
        assert!(!memory.grow(11), "the limit is the limit");
        // What it takes while it has no requests is its own.
        assert!(memory.grow(10));
        assert_eq!(memory.reserve(40).err(), Some(NoRoom::Ever(35)));
        assert!(memory.reserve(35).is_ok());
    }

    #[test]
    fn what_a_guest_takes_beyond_its_requests_is_its_own() {
        let memory = Arc::new(Memory::new(100));
        let small = memory.reserve(5).unwrap();
        assert!(memory.grow(60));
        drop(small);
        assert_eq!(memory.reserve(30).err(), Some(NoRoom::Ever(25)));
        assert_eq!(memory.reserve(usize::MAX).err(), Some(NoRoom::Ever(25)));
    }
}
