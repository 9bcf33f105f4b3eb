//! `sys/plugins/pins`: the one version that all mounts of a plugin are started with.

use serde::Serialize;

use super::fields::Fields;
use super::refusal::Refusal;
use super::reply::Reply;
use crate::host::{Host, Pin};
use crate::ident::{PluginKind, PluginName};

/// A pin as clients see it.
#[derive(Serialize)]
struct Shown {
    name: String,
    r#type: &'static str,
    version: String,
}

impl Shown {
    fn of(pin: &Pin) -> Self {
        Self { name: pin.name.to_string(), r#type: pin.kind.as_str(), version: pin.version.to_string() }
    }
}

/// Lists all pins.
pub(super) fn list(host: &Host) -> Reply {
    #[derive(Serialize)]
    struct Pins {
        pinned_versions: Vec<Shown>,
    }
    Reply::data(&Pins { pinned_versions: host.pins().iter().map(Shown::of).collect() })
}

/// Shows what one plugin is pinned to.
pub(super) fn read(host: &Host, rest: &str) -> Result<Reply, Refusal> {
    let (kind, name) = plugin(rest)?;
    let version = host.pinned_version(kind, &name).ok_or_else(Refusal::nothing_there)?;
    Ok(Reply::data(&Shown::of(&Pin { kind, name, version })))
}

/// Pins one plugin.
pub(super) async fn pin(host: &Host, rest: &str, mut fields: Fields) -> Result<Reply, Refusal> {
    let (kind, name) = plugin(rest)?;
    let version = fields.filled_text("version")?.ok_or_else(|| Refusal::invalid("missing plugin version"))?;
    host.pin_plugin(Pin { kind, name, version: version.parse()? }).await?;
    Ok(Reply::Done)
}

/// Removes one plugin's pin. One that is not there is removed already.
pub(super) async fn unpin(host: &Host, rest: &str) -> Result<Reply, Refusal> {
    let (kind, name) = plugin(rest)?;
    host.unpin_plugin(kind, &name).await?;
    Ok(Reply::Done)
}

/// Reads a type and a name, `secret/kv`.
fn plugin(rest: &str) -> Result<(PluginKind, PluginName), Refusal> {
    let (kind, name) = rest.split_once('/').ok_or_else(|| Refusal::invalid("missing plugin name"))?;
    Ok((kind.parse()?, name.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ErrorKind;

    #[tokio::test]
    async fn refusals_use_vaults_words() {
        let host = Host::builder().build().await.unwrap();
        host.put_entry("kv".parse().unwrap(), Some("1.0.0".parse().unwrap())).await;
        for (rest, body, message) in [
            ("secret", "", "missing plugin name"),
            ("database/kv", "", "\"database\" is not a supported plugin type"),
            ("secret/kv", "", "missing plugin version"),
            ("secret/kv", r#"{"version":""}"#, "missing plugin version"),
            ("secret/kv", r#"{"version":"x"}"#, "version \"x\" is not a valid semantic version"),
            ("secret/kv", r#"{"version":"2.0.0"}"#, "secret plugin \"kv\" version v2.0.0 does not exist"),
            ("auth/kv", r#"{"version":"1.0.0"}"#, "auth plugin \"kv\" version v1.0.0 does not exist"),
        ] {
            let refusal = pin(&host, rest, Fields::parse(body.as_bytes()).unwrap()).await.map(drop).unwrap_err();
            assert_eq!(refusal.kind(), ErrorKind::InvalidRequest, "{rest} {body}");
            assert!(refusal.message().contains(message), "{rest} {body}: {}", refusal.message());
        }
        assert_eq!(read(&host, "secret/kv").map(drop).unwrap_err(), Refusal::nothing_there());
    }
}
