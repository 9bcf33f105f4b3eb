//! How mounts look to clients: Vault's keys, in Vault's order, and ours among them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::instances::InstancesView;
use crate::host::{DeprecationStatus, EffectiveTtls, MountInfo, MountState};
use crate::ident::PluginKind;
use crate::plugin::InstancePolicy;

/// A mount in a listing.
#[derive(Serialize)]
pub(super) struct MountView<'a> {
    accessor: String,
    config: ConfigView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecation_status: Option<&'static str>,
    description: &'a str,
    external_entropy_access: bool,
    /// Ours: how the instances that answer now are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    instances: Option<&'static str>,
    local: bool,
    options: Option<&'a BTreeMap<String, String>>,
    plugin_version: String,
    running_plugin_version: String,
    running_sha256: String,
    seal_wrap: bool,
    /// Ours: whether it answers.
    state: &'static str,
    /// Ours: why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason: Option<&'a str>,
    r#type: &'a str,
    uuid: String,
}

/// A mount with its path, as a client asks which one would answer.
#[derive(Serialize)]
pub(super) struct MatchedView<'a> {
    path: &'a str,
    #[serde(flatten)]
    mount: MountView<'a>,
}

/// A mount as somebody without a token may see it.
#[derive(Serialize)]
pub(super) struct PublicView<'a> {
    description: &'a str,
    options: Option<&'a BTreeMap<String, String>>,
    r#type: &'a str,
}

/// A mount's settings, with what holds where nothing is set.
#[derive(Serialize)]
pub(super) struct TuningView<'a> {
    #[serde(flatten)]
    config: ConfigView<'a>,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin_version: Option<String>,
}

#[derive(Serialize)]
struct ConfigView<'a> {
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    allowed_response_headers: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    audit_non_hmac_request_keys: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    audit_non_hmac_response_keys: &'a [String],
    default_lease_ttl: u64,
    force_no_cache: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    listing_visibility: &'a str,
    max_lease_ttl: u64,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    passthrough_request_headers: &'a [String],
    /// Shown of every auth method, and of nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(flatten)]
    instances: InstancesView,
}

impl<'a> MountView<'a> {
    pub(super) fn of(mount: &'a MountInfo) -> Self {
        let (state, state_reason) = match &mount.state {
            MountState::Starting => ("starting", None),
            MountState::Running => ("running", None),
            MountState::Disabled(reason) => ("disabled", Some(reason.as_str())),
        };
        Self {
            accessor: mount.accessor.to_string(),
            config: ConfigView::of(mount),
            deprecation_status: mount.deprecation_status.map(DeprecationStatus::as_str),
            description: &mount.settings.description,
            external_entropy_access: false,
            instances: mount.running_instances.map(InstancePolicy::as_str),
            local: mount.settings.local,
            options: options(mount),
            plugin_version: text(mount.settings.version.as_ref()),
            running_plugin_version: text(mount.running_version.as_ref()),
            running_sha256: text(mount.running_sha256.as_ref()),
            seal_wrap: mount.settings.seal_wrap,
            state,
            state_reason,
            r#type: mount.settings.plugin.as_str(),
            uuid: mount.uuid.to_string(),
        }
    }
}

impl<'a> MatchedView<'a> {
    pub(super) fn of(mount: &'a MountInfo) -> Self {
        Self { path: mount.path.name(), mount: MountView::of(mount) }
    }
}

impl<'a> PublicView<'a> {
    pub(super) fn of(mount: &'a MountInfo) -> Self {
        Self {
            description: &mount.settings.description,
            options: options(mount),
            r#type: mount.settings.plugin.as_str(),
        }
    }
}

impl<'a> TuningView<'a> {
    pub(super) fn of(mount: &'a MountInfo, ttls: EffectiveTtls) -> Self {
        let config = ConfigView {
            default_lease_ttl: ttls.default.as_secs(),
            max_lease_ttl: ttls.max.as_secs(),
            ..ConfigView::of(mount)
        };
        Self {
            config,
            description: &mount.settings.description,
            options: options(mount),
            plugin_version: mount.settings.version.as_ref().map(ToString::to_string),
        }
    }
}

impl<'a> ConfigView<'a> {
    /// TTLs that are not set show as 0.
    fn of(mount: &'a MountInfo) -> Self {
        let config = &mount.settings.config;
        let token_type = config.token_type.unwrap_or_default();
        Self {
            allowed_response_headers: &config.allowed_response_headers,
            audit_non_hmac_request_keys: &config.audit_non_hmac_request_keys,
            audit_non_hmac_response_keys: &config.audit_non_hmac_response_keys,
            default_lease_ttl: config.default_lease_ttl.unwrap_or_default().as_secs(),
            force_no_cache: config.force_no_cache,
            listing_visibility: &config.listing_visibility,
            max_lease_ttl: config.max_lease_ttl.unwrap_or_default().as_secs(),
            passthrough_request_headers: &config.passthrough_request_headers,
            token_type: (mount.settings.kind == PluginKind::Auth).then(|| token_type.as_str()),
            instances: InstancesView::of(config.instances, &config.instance_limits),
        }
    }
}

fn options(mount: &MountInfo) -> Option<&BTreeMap<String, String>> {
    let options = &mount.settings.options;
    (!options.is_empty()).then_some(options)
}

fn text(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::host::{MountConfig, MountSettings, TokenType};
    use crate::ident::{Accessor, MountUuid};

    fn mount() -> MountInfo {
        let settings = MountSettings {
            version: Some("1.0.0".parse().unwrap()),
            description: "for ada".to_owned(),
            config: MountConfig { default_lease_ttl: Some(Duration::from_secs(60)), ..MountConfig::default() },
            ..MountSettings::new(PluginKind::Secret, "kv".parse().unwrap())
        };
        MountInfo {
            path: "kv/".parse().unwrap(),
            accessor: Accessor::random(PluginKind::Secret, &"kv".parse().unwrap()),
            uuid: MountUuid::random(),
            settings,
            running_version: None,
            running_instances: None,
            running_sha256: None,
            deprecation_status: None,
            state: MountState::Disabled("no such file".to_owned()),
        }
    }

    #[test]
    fn listings_have_vaults_keys_and_ours() {
        let mount = mount();
        let expected = json!({
            "accessor": mount.accessor.to_string(),
            "config": {"default_lease_ttl": 60, "force_no_cache": false, "max_lease_ttl": 0},
            "description": "for ada",
            "external_entropy_access": false,
            "local": false,
            "options": null,
            "plugin_version": "v1.0.0",
            "running_plugin_version": "",
            "running_sha256": "",
            "seal_wrap": false,
            "state": "disabled",
            "state_reason": "no such file",
            "type": "kv",
            "uuid": mount.uuid.to_string(),
        });
        assert_eq!(serde_json::to_value(MountView::of(&mount)).unwrap(), expected);
        let matched = serde_json::to_value(MatchedView::of(&mount)).unwrap();
        assert_eq!((&matched["path"], &matched["type"]), (&json!("kv/"), &json!("kv")));
    }

    #[test]
    fn tuning_shows_what_holds() {
        let ttls = EffectiveTtls { default: Duration::from_secs(60), max: Duration::from_secs(2_764_800) };
        let expected = json!({
            "default_lease_ttl": 60,
            "description": "for ada",
            "force_no_cache": false,
            "max_lease_ttl": 2_764_800,
            "plugin_version": "v1.0.0",
        });
        assert_eq!(serde_json::to_value(TuningView::of(&mount(), ttls)).unwrap(), expected);
    }

    #[test]
    fn auth_methods_show_what_tokens_they_ask_for() {
        let mut mount = MountInfo { path: "auth/userpass".parse().unwrap(), ..mount() };
        mount.settings.kind = PluginKind::Auth;
        let shown =
            |mount: &MountInfo| serde_json::to_value(MountView::of(mount)).unwrap()["config"]["token_type"].take();
        assert_eq!(shown(&mount), json!("default-service"));
        mount.settings.config.token_type = Some(TokenType::Batch);
        assert_eq!(shown(&mount), json!("batch"));
        let ttls = EffectiveTtls { default: Duration::ZERO, max: Duration::ZERO };
        assert_eq!(serde_json::to_value(TuningView::of(&mount, ttls)).unwrap()["token_type"], json!("batch"));
    }

    #[test]
    fn strangers_see_little() {
        let expected = json!({"description": "for ada", "options": null, "type": "kv"});
        assert_eq!(serde_json::to_value(PublicView::of(&mount())).unwrap(), expected);
    }
}
