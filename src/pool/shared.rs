//! Instances that all mounts of one program share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::budget::InstanceBudget;
use super::set::Set;
use super::settings::PoolSettings;
use super::turns::Turns;
use crate::runtime::Program;

/// The sets that mounts share, by what they share.
#[derive(Default)]
pub(crate) struct SharedSets(Mutex<BTreeMap<usize, Vec<Weak<Set>>>>);

impl SharedSets {
    /// Returns the set of this program with these settings, and makes it where there is none.
    pub(super) fn get(
        &self,
        program: &Arc<dyn Program>,
        settings: &PoolSettings,
        budget: &Arc<InstanceBudget>,
        queue_max: usize,
    ) -> Arc<Set> {
        // A set keeps its program, so no other can have its address while the set lives.
        let address = Arc::as_ptr(program).addr();
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sets.retain(|_, alike| {
            alike.retain(|set| set.strong_count() > 0);
            !alike.is_empty()
        });
        let alike = sets.entry(address).or_default();
        let found = alike.iter().filter_map(Weak::upgrade).find(|set| set.settings == *settings);
        found.unwrap_or_else(|| {
            let turns = Turns::new(settings.capacity(), queue_max);
            let set = Set::new(Arc::clone(program), settings.clone(), Arc::clone(budget), Some(turns));
            alike.push(Arc::downgrade(&set));
            set
        })
    }
}
