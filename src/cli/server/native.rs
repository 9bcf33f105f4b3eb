//! What native plugins are given: from the configuration, the environment and the listeners.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::config::{PluginEnvironment, ServerConfig};
use crate::cli::environment::Environment;
use crate::http::{Listener, ListenerSocket};
use crate::ident::PluginName;
use crate::runtime::process::{NativePlugins, confinement_support};

/// Returns the settings. Nothing that is not of use to plugins gets into them.
pub(super) fn settings(
    config: &ServerConfig,
    environment: &Environment,
    listeners: &[Listener],
) -> Result<NativePlugins, String> {
    let defaults = NativePlugins::default();
    let configured = config.native.socket_directory.as_ref();
    if let Some(directory) = configured.filter(|directory| !directory.is_dir()) {
        let message = format!("native_plugins.socket_directory {} is not a directory", directory.display());
        return Err(message);
    }
    let socket_directory = configured.or(environment.temporary_directory.as_ref());
    Ok(NativePlugins {
        environment: match config.native.environment {
            PluginEnvironment::Inherited => environment.inheritable.clone(),
            PluginEnvironment::Clean => Vec::new(),
        },
        legacy_layering: legacy_layering(environment)?,
        multiplexing_opt_out: multiplexing_opt_out(environment)?,
        api_address: config.api_addr.clone().or_else(|| listeners.iter().find_map(address_from_here)),
        socket_directory: socket_directory.cloned().unwrap_or(defaults.socket_directory),
    })
}

/// Logs what native plugins are given, and what this kernel can confine them with.
pub(super) fn announce(settings: &NativePlugins) {
    let support = confinement_support();
    tracing::info!(
        environment = if settings.environment.is_empty() { "clean" } else { "inherited" },
        legacy_layering = settings.legacy_layering,
        socket_directory = %settings.socket_directory.display(),
        api_address = settings.api_address.as_deref().unwrap_or("none"),
        confinement = %support,
        "native plugins run as processes"
    );
    if let Some(lacks) = support.lacks() {
        tracing::warn!("native plugins that are registered with a confinement get less than they ask for: {lacks}");
    }
}

/// Returns a listener's URL as a process on this machine reaches it: one that listens everywhere is asked at home.
fn address_from_here(listener: &Listener) -> Option<String> {
    // A plugin's own client library may know no address but a URL.
    let ListenerSocket::Tcp(socket) = &listener.socket else { return None };
    let mut address = socket.local_addr().ok()?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let scheme = if listener.tls.is_some() { "https" } else { "http" };
    Some(format!("{scheme}://{address}"))
}

fn legacy_layering(environment: &Environment) -> Result<bool, String> {
    let Some(typed) = environment.plugin_legacy_env_layering.as_deref() else { return Ok(false) };
    cofferdam_contract::boolean(typed)
        .ok_or_else(|| format!("VAULT_PLUGIN_USE_LEGACY_ENV_LAYERING is {typed:?}, expected true or false"))
}

fn multiplexing_opt_out(environment: &Environment) -> Result<Vec<PluginName>, String> {
    let typed = environment.plugin_multiplexing_opt_out.as_deref().unwrap_or_default();
    let names = typed.split(',').map(str::trim).filter(|name| !name.is_empty());
    let parsed = names.map(|name| name.parse().map_err(|error| format!("VAULT_PLUGIN_MULTIPLEXING_OPT_OUT: {error}")));
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::net::TcpListener;

    use super::*;
    use crate::cli::server::config::{self, Mode};
    use crate::http::ListenerLimits;

    fn config(hcl: &str) -> ServerConfig {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.hcl");
        std::fs::write(&file, hcl).unwrap();
        config::load(&[file], Mode::Dev).unwrap().0
    }

    fn environment() -> Environment {
        let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        Environment { inheritable: vec![pair("PATH", "/bin")], ..Environment::default() }
    }

    #[track_caller]
    fn refused(hcl: &str, environment: &Environment, because: &str) {
        assert_eq!(settings(&config(hcl), environment, &[]).unwrap_err(), because);
    }

    #[test]
    fn a_plugin_inherits_the_environment_unless_told_otherwise() {
        assert_eq!(settings(&config(""), &environment(), &[]).unwrap().environment, environment().inheritable);
        let clean = config("native_plugins {\n  environment = \"clean\"\n}");
        assert_eq!(settings(&clean, &environment(), &[]).unwrap().environment, []);
    }

    #[test]
    fn sockets_lie_where_it_is_configured_or_with_temporary_files() {
        let temporary = Environment { temporary_directory: Some("/elsewhere".into()), ..environment() };
        let directory = |hcl: &str| settings(&config(hcl), &temporary, &[]).unwrap().socket_directory;
        assert_eq!(directory(""), std::path::Path::new("/elsewhere"));
        assert_eq!(directory("native_plugins {\n  socket_directory = \"/\"\n}"), std::path::Path::new("/"));
        refused(
            "native_plugins {\n  socket_directory = \"/nowhere\"\n}",
            &temporary,
            "native_plugins.socket_directory /nowhere is not a directory",
        );
    }

    #[test]
    fn variables_of_vault_are_understood() {
        let with = |opt_out: &str, layering: &str| Environment {
            plugin_multiplexing_opt_out: Some(opt_out.to_owned()),
            plugin_legacy_env_layering: Some(layering.to_owned()),
            ..environment()
        };
        let read = settings(&config(""), &with("kv, team/pki,", "true"), &[]).unwrap();
        let names: Vec<_> = read.multiplexing_opt_out.iter().map(PluginName::as_str).collect();
        assert_eq!((names, read.legacy_layering), (vec!["kv", "team/pki"], true));
        assert!(!settings(&config(""), &with("", "0"), &[]).unwrap().legacy_layering);
        refused(
            "",
            &with("", "perhaps"),
            "VAULT_PLUGIN_USE_LEGACY_ENV_LAYERING is \"perhaps\", expected true or false",
        );
        refused(
            "",
            &with("a b", "0"),
            "VAULT_PLUGIN_MULTIPLEXING_OPT_OUT: plugin name \"a b\" may hold letters, digits, '.', '_' and '-', in segments \
             joined by '/'",
        );
    }

    #[test]
    fn the_address_is_the_configured_one_or_the_first_listeners() {
        let listener = |at: &str| {
            let tcp = TcpListener::bind(at).unwrap();
            let port = tcp.local_addr().unwrap().port();
            (Listener { socket: tcp.into(), tls: None, limits: ListenerLimits::default() }, port)
        };
        let address =
            |hcl: &str, listeners: &[Listener]| settings(&config(hcl), &environment(), listeners).unwrap().api_address;
        assert_eq!(address("", &[]), None);
        for at in ["127.0.0.1:0", "0.0.0.0:0"] {
            let (listener, port) = listener(at);
            assert_eq!(address("", &[listener]), Some(format!("http://127.0.0.1:{port}")));
        }
        let (listener, _) = listener("127.0.0.1:0");
        let configured = address("api_addr = \"https://vault.example.com\"", &[listener]);
        assert_eq!(configured.as_deref(), Some("https://vault.example.com"));
    }
}
