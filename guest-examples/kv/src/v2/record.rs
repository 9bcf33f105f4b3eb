//! What is stored: settings, what is known of each secret, and its versions.

use std::collections::BTreeMap;

use cofferdam_sdk::{Error, Storage};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::path::SecretPath;
use crate::time::Time;

/// Where what is known of secrets is.
pub(crate) const METADATA: &str = "2/metadata/";

/// Where versions are.
const VERSIONS: &str = "2/versions/";

/// Where the settings are.
const CONFIG: &str = "2/config";

/// How many versions of a secret are kept when nothing is said.
const VERSIONS_KEPT: u32 = 10;

/// How many old versions one write removes at most: a transaction holds 1,000 keys. What is over goes with the next
/// writes.
const PRUNED_AT_ONCE_MAX: usize = 500;

/// What holds for every secret.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Config {
    /// 0 means the default.
    pub(crate) max_versions: u32,
    pub(crate) cas_required: bool,
    /// Seconds; 0 is never, and less means that secrets may not say so either.
    pub(crate) delete_version_after: i64,
}

impl Config {
    pub(crate) fn get(storage: &impl Storage) -> Result<Self, Error> {
        Ok(get(storage, CONFIG)?.unwrap_or_default())
    }

    pub(crate) fn put(&self, storage: &impl Storage) -> Result<(), Error> {
        storage.put_json(CONFIG, self)
    }
}

/// What is known of a secret.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct KeyMetadata {
    pub(crate) versions: BTreeMap<u64, VersionMetadata>,
    pub(crate) current_version: u64,
    /// 0 until the first version goes, as in Vault.
    pub(crate) oldest_version: u64,
    pub(crate) created_time: Option<Time>,
    pub(crate) updated_time: Option<Time>,
    /// 0 means what the settings say.
    pub(crate) max_versions: u32,
    pub(crate) cas_required: bool,
    /// Seconds; 0 means what the settings say.
    pub(crate) delete_version_after: u64,
    pub(crate) custom_metadata: BTreeMap<String, String>,
}

/// What is known of a version.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct VersionMetadata {
    pub(crate) created_time: Time,
    /// It may be yet to come.
    pub(crate) deletion_time: Option<Time>,
    pub(crate) destroyed: bool,
}

impl VersionMetadata {
    /// Tells whether there is nothing to read: deleted, for now or for good.
    pub(crate) fn is_gone(&self) -> bool {
        self.destroyed || self.is_deleted()
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deletion_time.is_some_and(Time::is_past)
    }
}

impl KeyMetadata {
    pub(crate) fn key(path: &SecretPath) -> String {
        format!("{METADATA}{}", path.as_str())
    }

    pub(crate) fn get(storage: &impl Storage, path: &SecretPath) -> Result<Option<Self>, Error> {
        get(storage, &Self::key(path))
    }

    pub(crate) fn put(&self, storage: &impl Storage, path: &SecretPath) -> Result<(), Error> {
        storage.put_json(&Self::key(path), self)
    }

    /// Returns the metadata of a secret that nothing was known of.
    pub(crate) fn new() -> Self {
        let now = Time::now();
        Self { created_time: Some(now), updated_time: Some(now), ..Self::default() }
    }

    /// Returns the version that is asked for, where 0 and less mean the current one, and its number.
    pub(crate) fn version(&self, asked: Option<i64>) -> Option<(u64, &VersionMetadata)> {
        let asked = asked.and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0);
        let number = asked.unwrap_or(self.current_version);
        self.versions.get(&number).map(|version| (number, version))
    }

    /// Returns when a version that is made, or brought back, at this moment goes by itself: after the shorter of the
    /// two times that are set.
    pub(crate) fn deletion_time(&self, now: Time, config: &Config) -> Option<Time> {
        let of_all = u64::try_from(config.delete_version_after).ok()?;
        let shorter = [of_all, self.delete_version_after].into_iter().filter(|seconds| *seconds > 0).min();
        shorter.map(|seconds| now.plus_seconds(seconds))
    }

    /// Adds a version, and returns the numbers of those that are too old now. Their data is to be deleted.
    ///
    /// The larger of the two limits counts, as in Vault.
    pub(crate) fn add_version(&mut self, now: Time, deletion_time: Option<Time>, max_versions: u32) -> Vec<u64> {
        self.current_version = self.current_version.saturating_add(1);
        let version = VersionMetadata { created_time: now, deletion_time, destroyed: false };
        self.versions.insert(self.current_version, version);
        self.updated_time = Some(now);
        self.created_time.get_or_insert(now);
        let kept = match self.max_versions.max(max_versions) {
            0 => VERSIONS_KEPT,
            kept => kept,
        };
        let kept = u64::from(kept);
        if self.current_version.saturating_sub(self.oldest_version) < kept {
            return Vec::new();
        }
        let oldest = self.current_version.saturating_sub(kept) + 1;
        let pruned: Vec<u64> =
            self.versions.range(..oldest).map(|(number, _)| *number).take(PRUNED_AT_ONCE_MAX).collect();
        self.versions.retain(|number, _| !pruned.contains(number));
        self.oldest_version = self.versions.keys().next().map_or(oldest, |first| oldest.min(*first));
        pruned
    }
}

/// Reads a version's data, as it was written.
pub(crate) fn get_version(storage: &impl Storage, path: &SecretPath, number: u64) -> Result<Vec<u8>, Error> {
    let stored = storage.get(&version_key(path, number))?;
    stored.ok_or_else(|| Error::Internal("could not find version data".into()))
}

pub(crate) fn put_version(storage: &impl Storage, path: &SecretPath, number: u64, data: &[u8]) -> Result<(), Error> {
    Ok(storage.put_seal_wrapped(&version_key(path, number), data)?)
}

pub(crate) fn delete_versions(storage: &impl Storage, path: &SecretPath, numbers: &[u64]) -> Result<(), Error> {
    for number in numbers {
        storage.delete(&version_key(path, *number))?;
    }
    Ok(())
}

/// The number is the last segment, so no two paths and versions have one key.
fn version_key(path: &SecretPath, number: u64) -> String {
    format!("{VERSIONS}{}/{number}", path.as_str())
}

/// Reads what was stored as JSON. It is read directly, since keys of a map that are numbers only serde_json knows.
fn get<T: DeserializeOwned>(storage: &impl Storage, key: &str) -> Result<Option<T>, Error> {
    let Some(stored) = storage.get(key)? else { return Ok(None) };
    let value = serde_json::from_slice(&stored);
    value.map(Some).map_err(|_| Error::Internal(format!("stored value {key:?} is not what was expected")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(metadata: &KeyMetadata) -> Vec<u64> {
        metadata.versions.keys().copied().collect()
    }

    #[test]
    fn the_window_of_versions_slides() {
        let mut metadata = KeyMetadata { max_versions: 2, ..KeyMetadata::new() };
        let mut add = |max_versions| {
            let pruned = metadata.add_version(Time::now(), None, max_versions);
            (pruned, numbers(&metadata), metadata.oldest_version)
        };
        assert_eq!(add(0), (vec![], vec![1], 0));
        assert_eq!(add(0), (vec![], vec![1, 2], 1));
        assert_eq!(add(0), (vec![1], vec![2, 3], 2));
        assert_eq!(add(4), (vec![], vec![2, 3, 4], 2), "the larger limit counts");
        assert_eq!(add(0), (vec![2, 3], vec![4, 5], 4));
    }

    #[test]
    fn ten_versions_are_kept_when_nothing_is_said() {
        let mut metadata = KeyMetadata::new();
        let pruned: Vec<u64> = (0..12).flat_map(|_| metadata.add_version(Time::now(), None, 0)).collect();
        assert_eq!((pruned, numbers(&metadata), metadata.oldest_version), (vec![1, 2], (3..=12).collect(), 3));
    }

    #[test]
    fn too_many_old_versions_go_with_several_writes() {
        let mut metadata = KeyMetadata { max_versions: 2_000, ..KeyMetadata::new() };
        for _ in 0..1_200 {
            metadata.add_version(Time::now(), None, 0);
        }
        metadata.max_versions = 1;
        let mut pruned = || metadata.add_version(Time::now(), None, 0).len();
        assert_eq!([pruned(), pruned(), pruned(), pruned()], [500, 500, 202, 1]);
        assert_eq!((numbers(&metadata), metadata.oldest_version), (vec![1_204], 1_204));
    }

    #[test]
    fn the_shorter_time_to_live_counts() {
        let now = Time::now();
        for (all, one, expected) in
            [(0, 0, None), (5, 0, Some(5)), (0, 7, Some(7)), (5, 7, Some(5)), (9, 7, Some(7)), (-1, 7, None)]
        {
            let config = Config { delete_version_after: all, ..Config::default() };
            let metadata = KeyMetadata { delete_version_after: one, ..KeyMetadata::default() };
            let expected = expected.map(|seconds| now.plus_seconds(seconds));
            assert_eq!(metadata.deletion_time(now, &config), expected, "{all} {one}");
        }
    }
}
