//! Rosters that all mounts of one program share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::budget::InstanceBudget;
use super::roster::Roster;
use super::settings::PoolSettings;
use super::turns::Turns;
use crate::runtime::Program;

/// The rosters that mounts share, by the address of their program. One program has a roster for each way in which its
/// instances are kept.
#[derive(Default)]
pub(super) struct SharedRosters(Mutex<BTreeMap<usize, Vec<Weak<Roster>>>>);

impl SharedRosters {
    /// Returns the roster of this program with these settings, and makes it if there is none.
    pub(super) fn get(
        &self,
        program: &Arc<dyn Program>,
        settings: &PoolSettings,
        budget: &Arc<InstanceBudget>,
        queue_max: usize,
    ) -> Arc<Roster> {
        // A roster keeps its program, so no other program can have its address while the roster lives.
        let address = Arc::as_ptr(program).addr();
        let mut rosters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rosters.retain(|_, alike| {
            alike.retain(|roster| roster.strong_count() > 0);
            !alike.is_empty()
        });
        let alike = rosters.entry(address).or_default();
        let found = alike.iter().filter_map(Weak::upgrade).find(|roster| roster.settings == *settings);
        found.unwrap_or_else(|| {
            let turns = Turns::new(settings.capacity(), queue_max);
            let roster = Roster::new(Arc::clone(program), settings.clone(), Arc::clone(budget), Some(turns));
            alike.push(Arc::downgrade(&roster));
            roster
        })
    }
}
