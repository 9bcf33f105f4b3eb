//! The moves that were made, so that a client can ask how one ended.
//!
//! Vault moves mounts in the background and answers with an id to ask for. Here a move has ended when it is answered;
//! the record is kept for Vault's clients, which ask all the same.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ident::MountPath;

/// Moves that are remembered. Clients ask within seconds; nobody makes so many moves in that time.
const MIGRATIONS_KEPT_MAX: usize = 256;

/// The latest moves, oldest first.
#[derive(Default)]
pub(super) struct Migrations(Mutex<VecDeque<Migration>>);

/// A move that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Migration {
    pub(super) id: String,
    pub(super) from: MountPath,
    pub(super) to: MountPath,
    pub(super) end: MigrationEnd,
}

/// How a move ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MigrationEnd {
    Success,
    Failure,
}

impl MigrationEnd {
    /// Returns Vault's word for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            MigrationEnd::Success => "success",
            MigrationEnd::Failure => "failure",
        }
    }
}

impl Migrations {
    /// Remembers a move under a new id and returns the id. The oldest one is forgotten when there are too many.
    pub(super) fn record(&self, from: MountPath, to: MountPath, end: MigrationEnd) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let mut kept = self.kept();
        if kept.len() == MIGRATIONS_KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(Migration { id: id.clone(), from, to, end });
        id
    }

    /// Returns the move with this id, if it is remembered.
    pub(super) fn find(&self, id: &str) -> Option<Migration> {
        self.kept().iter().find(|migration| migration.id == id).cloned()
    }

    /// Nothing panics while it holds the lock, and a record is whole at any moment: poison says nothing here.
    fn kept(&self) -> MutexGuard<'_, VecDeque<Migration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered() {
        let migrations = Migrations::default();
        let record = |end| migrations.record("a".parse().unwrap(), "b".parse().unwrap(), end);
        let first = record(MigrationEnd::Failure);
        assert_eq!(migrations.find(&first).map(|migration| migration.end.as_str()), Some("failure"));
        let latest: Vec<_> = (0..MIGRATIONS_KEPT_MAX).map(|_| record(MigrationEnd::Success)).collect();
        assert_eq!(migrations.find(&first), None);
        assert!(latest.iter().all(|id| migrations.find(id).is_some()));
        assert_eq!(migrations.find(""), None);
    }
}
