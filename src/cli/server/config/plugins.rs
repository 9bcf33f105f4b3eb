//! The blocks `plugin "TYPE" "NAME" { … }`: plugins that the server registers by itself. OpenBao's, but for what it
//! downloads.

use std::collections::BTreeMap;

use super::document::{Place, Value};
use super::problem::Findings;
use super::stanza::Stanza;
use super::value::{Read, expected, switch, text};
use super::vault;
use crate::host::Registration;
use crate::ident::{Command, Digest, IdentError, PluginKind, PluginName, PluginVersion};
use crate::plugin::PluginKey;

/// A plugin that the configuration declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PluginBlock {
    /// Where the block was written, as messages show it.
    pub(crate) place: String,
    /// What it says.
    pub(crate) registration: Registration,
}

/// Reads the blocks; `None` when the catalog is to be left alone.
pub(super) fn read(root: &mut Stanza<'_>, findings: &mut Findings) -> Option<Vec<PluginBlock>> {
    let applied = root.get("plugin_auto_register", switch, findings).unwrap_or(true);
    let mut blocks = Vec::new();
    let mut places: BTreeMap<PluginKey, &Place> = BTreeMap::new();
    for (kind, named) in root.labelled("plugin", findings) {
        let place = named.place();
        let Ok(kind) = kind.parse::<PluginKind>() else {
            let message = format!("plugin {kind:?} is not supported: the types are \"auth\" and \"secret\"");
            findings.problem(place, message);
            continue;
        };
        for (name, stanza) in named.labels("plugin", findings) {
            let place = stanza.place();
            let Some(registration) = registration(kind, name, stanza, findings) else { continue };
            let key = PluginKey::new(kind, registration.name.clone(), registration.version.clone());
            if let Some(first) = places.insert(key, place) {
                let message = format!("plugin \"{kind}\" {name:?} is declared twice in one version, first at {first}");
                findings.problem(place, message);
            }
            blocks.push(PluginBlock { place: place.to_string(), registration });
        }
    }
    if !applied && !blocks.is_empty() {
        let message = "the plugin blocks have no effect: \"plugin_auto_register\" is false";
        findings.warning(root.place_of("plugin_auto_register"), message);
    }
    applied.then_some(blocks)
}

fn registration(kind: PluginKind, name: &str, mut stanza: Stanza<'_>, findings: &mut Findings) -> Option<Registration> {
    let parsed = name.parse::<PluginName>();
    if let Err(why) = &parsed {
        findings.problem(stanza.place(), why.to_string());
    }
    // A plugin's file has its name unless something else is said, as with the command that registers.
    let command = match stanza.has("command") {
        true => stanza.get("command", parse::<Command>, findings),
        false => stanza.get("command", parse, findings).or_else(|| name.parse().ok()),
    };
    let sha256 = stanza.require("sha256sum", parse::<Digest>, findings);
    let version = stanza.get("version", parse::<PluginVersion>, findings);
    let args = stanza.get("args", texts, findings).unwrap_or_default();
    let env = stanza.get("env", texts, findings).unwrap_or_default();
    stanza.finish(vault::PLUGIN, findings);
    let mut registration = Registration::new(parsed.ok()?, command?, sha256?);
    (registration.kind, registration.version) = (Some(kind), version);
    (registration.launch.args, registration.launch.env) = (args, env);
    Some(registration)
}

fn parse<T: std::str::FromStr<Err = IdentError>>(value: &Value) -> Read<T> {
    text(value)?.parse().map_err(|why| format!("is no good: {why}"))
}

/// A list of texts, any of which may be empty.
fn texts(value: &Value) -> Read<Vec<String>> {
    const EXPECTED: &str = "a list of texts";
    let Value::List(nodes) = value else {
        return Err(expected(value, EXPECTED));
    };
    let text = |value: &Value| match value {
        Value::Text(text) => Ok(text.clone()),
        other => Err(format!("has {} in it, expected {EXPECTED}", other.describe())),
    };
    nodes.iter().map(|node| text(&node.value)).collect()
}
