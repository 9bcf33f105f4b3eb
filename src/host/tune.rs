//! Changing a mount's settings: all of a change, or nothing of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::answer::not_started;
use super::mounts::{asked_version, check_instances, check_token_type, pinned_elsewhere};
use super::programs::VersionAtLaunch;
use super::types::{TtlChange, Tune, VersionChange};
use super::{Error, ErrorKind, Host, Inner, places};
use crate::catalog::PluginRecord;
use crate::ident::{MountPath, PluginKind};
use crate::mount::{Attempt, Mount, MountConfig, MountRecord, MountSettings};

/// The plugin whose option `version` says how its data is laid out.
const KEY_VALUE: &str = "kv";

/// The option by which a plugin lays out its data. Vault lets nobody turn it back.
const VERSION: &str = "version";

impl Host {
    /// Changes a mount's settings, all of them or none. They hold for the next request; a new plugin version holds from
    /// the next start on. With other options or other instances the plugin is started again, beside what answers,
    /// before anything is stored.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], or [`ErrorKind::InvalidRequest`] for settings that contradict each other, for a version
    /// that is not in the catalog, for a layout of data that is older than the mount's, and for what the plugin does
    /// not start with; then the mount goes on as it was.
    pub async fn tune(&self, path: &MountPath, tune: Tune) -> Result<(), Error> {
        let path = path.clone();
        self.conduct(|inner| async move { inner.tune(&path, tune).await }).await
    }
}

impl Inner {
    async fn tune(&self, path: &MountPath, tune: Tune) -> Result<(), Error> {
        places::check_existing(path, "tune")?;
        let _reserved = self.reserve(path)?;
        let mount = self.existing(path)?;
        let before = mount.record();
        let mut record = MountRecord::clone(&before);
        check_token_type(record.settings.kind, tune.token_type)?;
        check_layout(&record.settings, tune.options.as_ref())?;
        let mut relied_on = None;
        let mut version = None;
        if let Some(change) = &tune.plugin_version {
            relied_on = Some(self.rely_on(record.settings.kind, &record.settings.plugin)?);
            version = Some(self.tuned_version(&record, change)?);
        }
        apply(tune, &mut record.settings);
        if let Some(entry) = version {
            record.settings.version = asked_version(&entry);
        }
        self.check_tuned_ttls(&record.settings.config)?;
        let ([after, before], [config, config_before]) =
            ([&record.settings, &before.settings], [&record.settings.config, &before.settings.config]);
        let starts_anew = after.options != before.options
            || config.instances != config_before.instances
            || config.instance_limits != config_before.instance_limits;
        if starts_anew {
            self.tune_anew(&mount, record).await?;
        } else {
            self.mounts.store_changed(&record).await?;
            let scope = self.changed_scope(&mount.now().scope, &record);
            let version = VersionAtLaunch::Asked(record.settings.version.clone());
            let generation = self.generation_of(&record, Attempt::Anew, version);
            mount.update(record, scope);
            mount.try_anew(&generation);
        }
        drop(relied_on);
        Ok(())
    }

    /// Starts a mount with what its record is to be, beside what answers; then stores the record and lets the new
    /// answer.
    async fn tune_anew(&self, mount: &Arc<Mount>, record: MountRecord) -> Result<(), Error> {
        // Whether it runs decides which version the change is tried with.
        drop(mount.start().await);
        let now = mount.now();
        let version = match now.running() {
            Some(running) => running.version.clone(),
            None => self.version_at_start(&record),
        };
        let plugin = self.catalog.get(&record.settings.key_of(version.clone()));
        plugin.map_or(Ok(()), |plugin| check_instances(&plugin, &record.settings.config))?;
        let path = record.path.clone();
        let beside = self
            .start_beside(mount, &record, version)
            .await
            .map_err(|error| not_started(&error, &format!("cannot tune {path}, which goes on as it was")))?;
        if let Err(error) = self.mounts.store_changed(&record).await {
            beside.let_go(&self.limits).await;
            return Err(error.into());
        }
        beside.switch(mount, record, &self.limits);
        Ok(())
    }

    /// Returns the catalog entry that a mount is tuned to.
    fn tuned_version(&self, record: &MountRecord, change: &VersionChange) -> Result<Arc<PluginRecord>, Error> {
        let (kind, plugin) = (record.settings.kind, &record.settings.plugin);
        match (change, self.catalog.pinned(kind, plugin)) {
            (VersionChange::Unversioned, Some(pinned)) => Err(pinned_elsewhere(plugin, None, &pinned)),
            (VersionChange::Unversioned, None) => self.catalog.get(&record.settings.key_of(None)).ok_or_else(|| {
                let text = format!("plugin not found in the catalog: {plugin}, without a version");
                Error::new(ErrorKind::InvalidRequest, text)
            }),
            (VersionChange::Selected, _) => self.select(kind, plugin, None),
            (VersionChange::To(version), _) => self.select(kind, plugin, Some(version)),
        }
    }

    /// Refuses the same as [`Self::check_ttls`], with the words that Vault has where the two may not come from one
    /// request.
    fn check_tuned_ttls(&self, config: &MountConfig) -> Result<(), Error> {
        match (config.default_lease_ttl, config.max_lease_ttl) {
            (Some(default), Some(max)) if default > max => {
                let (default, max) = (default.as_secs(), max.as_secs());
                let text =
                    format!("backend max lease TTL of {max} would be less than backend default lease TTL of {default}");
                Err(Error::new(ErrorKind::InvalidRequest, text))
            }
            _ => self.check_ttls(config),
        }
    }
}

/// Refuses to lay out data as an older version of an engine did: what is stored would be lost to whoever reads it so.
/// As in Vault, this goes for every plugin that counts its versions, and the key-value engine has two of them.
fn check_layout(settings: &MountSettings, options: Option<&BTreeMap<String, String>>) -> Result<(), Error> {
    let Some(asked) = options.and_then(|options| options.get(VERSION)) else { return Ok(()) };
    let refuse = |text: String| Err(Error::new(ErrorKind::InvalidRequest, text));
    let is_key_value = settings.kind == PluginKind::Secret && settings.plugin.as_str() == KEY_VALUE;
    let before = settings.options.get(VERSION).and_then(|version| version.parse::<u32>().ok());
    let asked_number = if asked.is_empty() { Some(0) } else { asked.parse::<u32>().ok() };
    match (before.unwrap_or_default(), asked_number) {
        (before, Some(asked)) if asked < before => refuse(format!("cannot downgrade mount from version {before}")),
        (1.., None) => refuse(format!("unable to parse options: version {asked:?} is not a number")),
        (_, number) if is_key_value && !asked.is_empty() && !matches!(number, Some(1 | 2)) => {
            refuse(format!("invalid version provided: {asked}; the key-value engine has 1 and 2"))
        }
        _ => Ok(()),
    }
}

/// Takes options over as Vault does: those that are named change, one that is empty goes, the others stay.
fn upsert(options: &mut BTreeMap<String, String>, changes: BTreeMap<String, String>) {
    for (name, value) in changes {
        if value.is_empty() {
            options.remove(&name);
        } else {
            options.insert(name, value);
        }
    }
}

fn apply(tune: Tune, settings: &mut MountSettings) {
    fn set<T>(field: &mut T, change: Option<T>) {
        if let Some(value) = change {
            *field = value;
        }
    }
    let ttl = |change: TtlChange| match change {
        TtlChange::System => None,
        TtlChange::To(ttl) => Some(ttl),
    };
    let config = &mut settings.config;
    set(&mut settings.description, tune.description);
    upsert(&mut settings.options, tune.options.unwrap_or_default());
    set(&mut config.default_lease_ttl, tune.default_lease_ttl.map(ttl));
    set(&mut config.max_lease_ttl, tune.max_lease_ttl.map(ttl));
    set(&mut config.listing_visibility, tune.listing_visibility);
    set(&mut config.audit_non_hmac_request_keys, tune.audit_non_hmac_request_keys);
    set(&mut config.audit_non_hmac_response_keys, tune.audit_non_hmac_response_keys);
    set(&mut config.passthrough_request_headers, tune.passthrough_request_headers);
    set(&mut config.allowed_response_headers, tune.allowed_response_headers);
    set(&mut config.token_type, tune.token_type.map(Some));
    set(&mut config.instances, tune.instances.map(Some));
    config.instance_limits.change(&tune.instance_limits);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::host::mounts::tests::{config, host_with_mount, kv};
    use crate::plugin::{PluginKey, RuntimeKind};

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn options_are_upserted() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        for (before, changes, after) in [
            (&[("a", "1"), ("b", "2")][..], &[("b", "3")][..], &[("a", "1"), ("b", "3")][..]),
            (&[("a", "1"), ("b", "2")], &[("a", "")], &[("b", "2")]),
            (&[("a", "1"), ("b", "")], &[("c", "3")], &[("a", "1"), ("b", ""), ("c", "3")]),
            (&[("a", "1")], &[], &[("a", "1")]),
            (&[], &[("a", "")], &[]),
        ] {
            let mut options = map(before);
            upsert(&mut options, map(changes));
            assert_eq!(options, map(after), "{before:?} {changes:?}");
        }
    }

    #[tokio::test]
    async fn a_layout_of_data_does_not_go_back() {
        let host = host_with_mount(MountConfig::default()).await;
        let mut settings = kv(&host).settings;
        for (plugin, before, asked, refused) in [
            ("kv", Some("2"), Some("1"), Some("cannot downgrade mount from version 2")),
            ("kv", Some("2"), Some(""), Some("cannot downgrade mount from version 2")),
            ("kv", Some("2"), Some("two"), Some("unable to parse options")),
            ("kv", Some("2"), Some("3"), Some("invalid version provided: 3")),
            ("kv", None, Some("0"), Some("invalid version provided: 0")),
            ("kv", Some("2"), Some("2"), None),
            ("kv", Some("1"), Some("2"), None),
            ("kv", None, Some("2"), None),
            ("kv", None, Some(""), None),
            ("kv", Some("2"), None, None),
            ("other", Some("2"), Some("1"), Some("cannot downgrade mount from version 2")),
            ("other", Some("2"), Some("7"), None),
            ("other", None, Some("blue"), None),
            ("other", Some("blue"), Some(""), None),
        ] {
            settings.plugin = plugin.parse().unwrap();
            settings.options = before.map(|version| (VERSION.to_owned(), version.to_owned())).into_iter().collect();
            let options = asked.map(|version| BTreeMap::from([(VERSION.to_owned(), version.to_owned())]));
            let found = check_layout(&settings, options.as_ref()).err();
            let row = format!("{plugin} {before:?} {asked:?}: {found:?}");
            assert_eq!(found.is_some(), refused.is_some(), "{row}");
            assert!(found.is_none_or(|found| found.message().contains(refused.unwrap_or_default())), "{row}");
        }
    }

    #[tokio::test]
    async fn tuned_ttls_are_checked_against_those_that_stay() {
        let to = |hours: u32| Some(TtlChange::To(HOUR * hours));
        let system = Some(TtlChange::System);
        let less = |max: u32, default: u32| {
            let (max, default) = (max * 3600, default * 3600);
            format!("backend max lease TTL of {max} would be less than backend default lease TTL of {default}")
        };
        let beyond = || "given default lease TTL greater than system max lease TTL of 2764800".to_owned();
        for (before, default_lease_ttl, max_lease_ttl, refused) in [
            (config(Some(2), None), None, to(1), Some(less(1, 2))),
            (config(None, Some(1)), to(2), None, Some(less(1, 2))),
            (config(Some(1), Some(2)), to(4), to(3), Some(less(3, 4))),
            (config(Some(1), Some(2)), to(3), to(4), None),
            (config(Some(2), Some(3)), None, system, None),
            (config(Some(2), Some(3)), system, to(1), None),
            (config(None, None), to(769), None, Some(beyond())),
            (config(Some(769), Some(1_000)), None, system, Some(beyond())),
            (config(None, None), None, None, None),
        ] {
            let host = host_with_mount(before.clone()).await;
            let description = Some("after".to_owned());
            let tune = Tune { description, default_lease_ttl, max_lease_ttl, ..Tune::default() };
            let tuned = host.tune(&"kv".parse().unwrap(), tune).await;
            let row = format!("{before:?} {default_lease_ttl:?} {max_lease_ttl:?}");
            assert_eq!(tuned.err().map(|error| error.message().to_owned()), refused, "{row}");
            let settings = kv(&host).settings;
            match refused {
                Some(_) => assert_eq!((settings.description.as_str(), settings.config), ("before", before), "{row}"),
                None => assert_eq!(settings.description, "after", "{row}"),
            }
        }
    }

    #[tokio::test]
    async fn a_tuned_version_is_in_the_catalog_and_waits_for_the_next_start() {
        let host = host_with_mount(MountConfig::default()).await;
        let tune = || Tune { plugin_version: Some(VersionChange::To("1.0.0".parse().unwrap())), ..Tune::default() };
        let path: MountPath = "kv".parse().unwrap();
        let refused = host.tune(&path, tune()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidRequest);
        assert_eq!(refused.message(), "plugin not found in the catalog: kv, version=v1.0.0");
        assert_eq!(kv(&host).settings.version, None);

        let key = PluginKey::new(PluginKind::Secret, "kv".parse().unwrap(), "1.0.0".parse().ok());
        let record = PluginRecord::of_file(key, RuntimeKind::Native);
        host.inner.catalog.put(record).await.unwrap();
        host.tune(&path, tune()).await.unwrap();
        let mount = kv(&host);
        assert_eq!(
            (mount.settings.version.map(|version| version.to_string()), mount.running_version),
            (Some("v1.0.0".to_owned()), None)
        );
    }
}
