//! What clients send to enable and to tune a mount.

use std::time::Duration;

use super::fields::{Fields, TypedTtl};
use super::instances;
use super::refusal::Refusal;
use crate::host::{MountConfig, MountRequest, MountSettings, TokenType, TtlChange, Tune};
use crate::ident::{MountPath, PluginKind};
use crate::plugin::InstanceLimits;

/// Vault's names for the versions of its key-value engine, and what they stand for.
const KV_ALIASES: [(&str, &str); 2] = [("kv-v1", "1"), ("kv-v2", "2")];

/// Reads the body that mounts a plugin of a kind under a name.
pub(super) fn mount_request(kind: PluginKind, name: &MountPath, mut fields: Fields) -> Result<MountRequest, Refusal> {
    let mut config = fields.section("config", "config.")?;
    let plugin = plugin_name(&mut fields, &mut config)?;
    let version = config.filled_text("plugin_version")?.map(|version| version.parse()).transpose()?;
    let mut options = fields.map("options")?.unwrap_or_default();
    let plugin = match KV_ALIASES.iter().find(|(alias, _)| kind == PluginKind::Secret && plugin == *alias) {
        Some((_, version)) => {
            options.insert("version".to_owned(), (*version).to_owned());
            "kv".parse()?
        }
        None => plugin.parse()?,
    };
    let settings = MountSettings {
        kind,
        plugin,
        version,
        description: fields.text("description")?.unwrap_or_default(),
        options,
        local: fields.flag("local")?.unwrap_or_default(),
        seal_wrap: fields.flag("seal_wrap")?.unwrap_or_default(),
        config: mount_config(config)?,
    };
    Ok(MountRequest { path: kind.mount_path(name)?, settings })
}

/// Reads the body that tunes a mount. What is not in it stays as it is.
pub(super) fn tuning(mut fields: Fields) -> Result<Tune, Refusal> {
    refuse_lockout(&mut fields)?;
    let default_lease_ttl = ttl_change(fields.ttl("default_lease_ttl", "default TTL")?);
    let max_lease_ttl = ttl_change(fields.ttl("max_lease_ttl", "max TTL")?);
    // An empty one asks for what a mount gets that names none.
    let plugin_version = fields.text("plugin_version")?.map(|typed| typed.parse()).transpose()?;
    Ok(Tune {
        description: fields.text("description")?,
        default_lease_ttl,
        max_lease_ttl,
        options: fields.map("options")?,
        listing_visibility: listing_visibility(&mut fields)?,
        audit_non_hmac_request_keys: fields.comma_list("audit_non_hmac_request_keys")?,
        audit_non_hmac_response_keys: fields.comma_list("audit_non_hmac_response_keys")?,
        passthrough_request_headers: fields.comma_list("passthrough_request_headers")?,
        allowed_response_headers: fields.comma_list("allowed_response_headers")?,
        token_type: tuned_token_type(&mut fields)?,
        plugin_version,
        instances: instances::policy(&mut fields)?,
        instance_limits: instances::limits(&mut fields)?,
    })
}

/// Reads the plugin's name from `type`, or where clients from before Vault 1.0 put it.
fn plugin_name(fields: &mut Fields, config: &mut Fields) -> Result<String, Refusal> {
    let Some(typed) = fields.filled_text("type")? else {
        return Err(Refusal::invalid("backend type must be specified as a string"));
    };
    if typed != "plugin" {
        return Ok(typed);
    }
    let name = match fields.filled_text("plugin_name")? {
        Some(name) => Some(name),
        None => config.filled_text("plugin_name")?,
    };
    name.ok_or_else(|| Refusal::invalid("plugin_name must be provided for plugin backend"))
}

fn mount_config(mut config: Fields) -> Result<MountConfig, Refusal> {
    refuse_lockout(&mut config)?;
    Ok(MountConfig {
        default_lease_ttl: ttl(config.ttl("default_lease_ttl", "default TTL")?),
        max_lease_ttl: ttl(config.ttl("max_lease_ttl", "max TTL")?),
        force_no_cache: config.flag("force_no_cache")?.unwrap_or_default(),
        listing_visibility: listing_visibility(&mut config)?.unwrap_or_default(),
        audit_non_hmac_request_keys: config.comma_list("audit_non_hmac_request_keys")?.unwrap_or_default(),
        audit_non_hmac_response_keys: config.comma_list("audit_non_hmac_response_keys")?.unwrap_or_default(),
        passthrough_request_headers: config.comma_list("passthrough_request_headers")?.unwrap_or_default(),
        allowed_response_headers: config.comma_list("allowed_response_headers")?.unwrap_or_default(),
        token_type: token_type(&mut config)?,
        instances: instances::policy(&mut config)?,
        instance_limits: {
            let mut limits = InstanceLimits::default();
            limits.change(&instances::limits(&mut config)?);
            limits
        },
    })
}

/// Reads a type of tokens to change to; an empty one is the default again.
fn tuned_token_type(fields: &mut Fields) -> Result<Option<TokenType>, Refusal> {
    match fields.text("token_type")?.as_deref() {
        None => Ok(None),
        Some("") => Ok(Some(TokenType::default())),
        Some(typed) => known_token_type(typed).map(Some),
    }
}

/// Reads Vault's word for a type of tokens. Whether the mount has any is for the host to know.
fn token_type(fields: &mut Fields) -> Result<Option<TokenType>, Refusal> {
    let Some(typed) = fields.filled_text("token_type")? else { return Ok(None) };
    known_token_type(&typed).map(Some)
}

fn known_token_type(typed: &str) -> Result<TokenType, Refusal> {
    let known = TokenType::ALL.into_iter().find(|known| known.as_str() == typed);
    known.ok_or_else(|| Refusal::invalid(format!("invalid value for 'token_type': {typed:?}")))
}

fn refuse_lockout(fields: &mut Fields) -> Result<(), Refusal> {
    fields.refuse("user_lockout_config", "logins are not counted")
}

fn listing_visibility(fields: &mut Fields) -> Result<Option<String>, Refusal> {
    match fields.text("listing_visibility")? {
        Some(typed) if !matches!(typed.as_str(), "" | "hidden" | "unauth") => {
            Err(Refusal::invalid(format!("invalid listing_visibility {typed}")))
        }
        typed => Ok(typed),
    }
}

fn ttl(typed: TypedTtl) -> Option<Duration> {
    match typed {
        TypedTtl::Unset | TypedTtl::System => None,
        TypedTtl::Of(ttl) => Some(ttl),
    }
}

fn ttl_change(typed: TypedTtl) -> Option<TtlChange> {
    match typed {
        TypedTtl::Unset => None,
        TypedTtl::System => Some(TtlChange::System),
        TypedTtl::Of(ttl) => Some(TtlChange::To(ttl)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ErrorKind;
    use crate::host::VersionChange;

    const HOUR: Duration = Duration::from_secs(3600);

    fn enable(path: &str, body: &str) -> Result<MountRequest, Refusal> {
        mount_request(PluginKind::Secret, &path.parse()?, Fields::parse(body.as_bytes())?)
    }

    fn tune(body: &str) -> Result<Tune, Refusal> {
        tuning(Fields::parse(body.as_bytes())?)
    }

    #[test]
    fn vaults_own_client_is_understood() {
        // As `vault secrets enable -path=team/kv kv` sends it.
        let body = r#"{"type":"kv","description":"","config":{"options":null,"default_lease_ttl":"0s","max_lease_ttl":"0s",
            "force_no_cache":false},"local":false,"seal_wrap":false,"external_entropy_access":false,"options":null}"#;
        let request = enable("team/kv", body).unwrap();
        assert_eq!((request.path.as_str(), request.settings.plugin.as_str()), ("team/kv/", "kv"));
        assert_eq!((request.settings.kind, request.settings.version), (PluginKind::Secret, None));
        assert_eq!(request.settings.config, MountConfig::default());
        assert!(request.settings.options.is_empty());
    }

    #[test]
    fn the_versions_of_the_key_value_engine_have_names() {
        for (body, plugin, version) in [
            (r#"{"type":"kv-v1"}"#, "kv", Some("1")),
            (r#"{"type":"kv-v2","options":{"version":"1"}}"#, "kv", Some("2")),
            (r#"{"type":"kv-v3"}"#, "kv-v3", None),
        ] {
            let request = enable("kv", body).unwrap();
            assert_eq!(request.settings.plugin.as_str(), plugin, "{body}");
            assert_eq!(request.settings.options.get("version").map(String::as_str), version, "{body}");
        }
        let auth =
            mount_request(PluginKind::Auth, &"kv".parse().unwrap(), Fields::parse(br#"{"type":"kv-v2"}"#).unwrap());
        assert_eq!(auth.unwrap().settings.plugin.as_str(), "kv-v2");
    }

    #[test]
    fn all_that_can_be_said_is_read() {
        let body = r#"{"type":"plugin","plugin_name":"kv","options":{"v":2},"local":"true","config":{"default_lease_ttl":"1h",
            "max_lease_ttl":7200,"plugin_version":"1.0.0","listing_visibility":"unauth","passthrough_request_headers":"a,b",
            "allowed_response_headers":["c"]}}"#;
        let request = enable("kv/", body).unwrap();
        assert_eq!(request.settings.plugin.as_str(), "kv");
        assert_eq!(request.settings.version.unwrap().to_string(), "v1.0.0");
        assert_eq!(request.settings.options["v"], "2");
        assert!(request.settings.local);
        let config = request.settings.config;
        assert_eq!((config.default_lease_ttl, config.max_lease_ttl), (Some(HOUR), Some(2 * HOUR)));
        assert_eq!(config.listing_visibility, "unauth");
        assert_eq!((config.passthrough_request_headers.len(), config.allowed_response_headers.len()), (2, 1));
        assert_eq!(
            enable("kv", r#"{"type":"plugin","config":{"plugin_name":"kv"}}"#).unwrap().settings.plugin.as_str(),
            "kv"
        );
    }

    #[test]
    fn refusals_use_vaults_words() {
        for (path, body, message) in [
            ("kv", "", "backend type must be specified as a string"),
            ("kv", r#"{"type":{}}"#, "\"type\" must be a string"),
            ("kv", r#"{"type":"plugin"}"#, "plugin_name must be provided for plugin backend"),
            ("kv", r#"{"type":"kv","config":{"default_lease_ttl":"x"}}"#, "unable to parse default TTL of x: "),
            ("kv", r#"{"type":"kv","config":{"max_lease_ttl":"x"}}"#, "unable to parse max TTL of x: "),
            ("kv", r#"{"type":"kv","config":{"max_lease_ttl":[]}}"#, "\"config.max_lease_ttl\" must be"),
            ("kv", r#"{"type":"kv","config":{"listing_visibility":"x"}}"#, "invalid listing_visibility x"),
            ("kv", r#"{"type":"kv","config":7}"#, "\"config\" must be an object"),
            ("kv", r#"{"type":"kv","local":"maybe"}"#, "\"local\" must be true or false"),
            ("a//b", r#"{"type":"kv"}"#, "does not match its cleaned form"),
        ] {
            let refusal = enable(path, body).unwrap_err();
            assert_eq!(refusal.kind(), ErrorKind::InvalidRequest, "{body}");
            assert!(refusal.message().contains(message), "{body}: {}", refusal.message());
        }
    }

    #[test]
    fn tuning_changes_only_what_it_names() {
        for (body, default, max) in [
            ("", None, None),
            (r#"{"default_lease_ttl":"","max_lease_ttl":null}"#, None, None),
            (
                r#"{"default_lease_ttl":"1h","max_lease_ttl":"system"}"#,
                Some(TtlChange::To(HOUR)),
                Some(TtlChange::System),
            ),
            (r#"{"default_lease_ttl":-1,"max_lease_ttl":0}"#, Some(TtlChange::System), Some(TtlChange::System)),
        ] {
            let tune = tune(body).unwrap();
            assert_eq!((tune.default_lease_ttl, tune.max_lease_ttl), (default, max), "{body}");
            assert_eq!((tune.description, tune.options, tune.plugin_version), (None, None, None), "{body}");
        }
        let all = tune(r#"{"description":"","options":{},"listing_visibility":"","plugin_version":"v2.0.0"}"#).unwrap();
        assert_eq!(all.description.as_deref(), Some(""));
        assert_eq!(all.listing_visibility.as_deref(), Some(""));
        assert_eq!(all.options, Some(Default::default()));
        assert_eq!(all.token_type, None);
        assert_eq!(tune(r#"{"token_type":"batch"}"#).unwrap().token_type, Some(TokenType::Batch));
        assert_eq!(tune(r#"{"token_type":""}"#).unwrap().token_type, Some(TokenType::DefaultService));
        let cleared =
            tune(r#"{"plugin_version":"","user_lockout_config":{},"passthrough_request_headers":[""]}"#).unwrap();
        assert_eq!(cleared.plugin_version, Some(VersionChange::Selected));
        assert_eq!(cleared.passthrough_request_headers, Some(Vec::new()));
        tune(r#"{"user_lockout_config":{"lockout_threshold":"","lockout_duration":null}}"#).unwrap();
        assert_eq!(all.plugin_version, Some(VersionChange::To("2.0.0".parse().unwrap())));
        let unversioned = tune(r#"{"plugin_version":"unversioned"}"#).unwrap();
        assert_eq!(unversioned.plugin_version, Some(VersionChange::Unversioned));
    }

    #[test]
    fn bad_tunings_are_refused() {
        for (body, message) in [
            (r#"{"plugin_version":"newest"}"#, "version \"newest\" is not a valid semantic version"),
            (r#"{"default_lease_ttl":"-x"}"#, "unable to parse default TTL of -x"),
            (r#"{"token_type":"root"}"#, "invalid value for 'token_type': \"root\""),
            (r#"{"user_lockout_config":{"lockout_disable":true}}"#, "\"user_lockout_config\" is not supported"),
            (r#"{"listing_visibility":"x"}"#, "invalid listing_visibility x"),
            (r#"{"default_lease_ttl":"soon"}"#, "unable to parse default TTL of soon"),
            (r#"{"options":[]}"#, "\"options\" must be an object"),
        ] {
            let refusal = tune(body).unwrap_err();
            assert!(refusal.message().contains(message), "{body}: {}", refusal.message());
        }
    }
}
