//! What the server tells a person when it starts: Vault's blocks.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use super::config::LogFormat;
use super::dev::{Registered, Settings, TokenFile};
use super::{Opened, log};
use crate::cli::console::Console;
use crate::cli::environment::{Environment, TOKEN_FILES};
use crate::http::{Listener, ListenerSocket};

/// Columns of the names in the configuration block, as in Vault's.
const NAME_WIDTH: usize = 24;

/// Returns a listener's URL.
pub(super) fn url(listener: &Listener) -> String {
    match &listener.socket {
        ListenerSocket::Tcp(_) if listener.tls.is_some() => format!("https://{}", listener.socket),
        ListenerSocket::Tcp(_) => format!("http://{}", listener.socket),
        ListenerSocket::Unix(_) => format!("unix://{}", listener.socket),
    }
}

/// Prints what the server will do.
pub(super) fn before_start(opened: &Opened, log: &log::Settings, console: &mut Console) {
    let mut rows = vec![("Api Address".to_owned(), opened.info.api_addr.clone())];
    for (at, listener) in opened.listeners.iter().enumerate() {
        let address = listener.socket.to_string();
        let tls = if listener.tls.is_some() { "enabled" } else { "disabled" };
        let kind = match &listener.socket {
            ListenerSocket::Tcp(_) => "tcp",
            ListenerSocket::Unix(_) => "unix",
        };
        rows.push((format!("Listener {}", at + 1), format!("{kind} (addr: {address:?}, tls: {tls:?})")));
    }
    let format = match log.format {
        LogFormat::Standard => "standard",
        LogFormat::Json => "json",
    };
    rows.push(("Log Level".to_owned(), log.level.to_string().to_lowercase()));
    rows.push(("Log Format".to_owned(), format.to_owned()));
    let directory = opened.config.plugin_directory.as_ref().map(|directory| directory.display().to_string());
    rows.push(("Plugin Directory".to_owned(), directory.unwrap_or_else(|| "none".to_owned())));
    rows.push(("Storage".to_owned(), opened.info.storage_type.clone()));
    rows.push(("Version".to_owned(), format!("Cofferdam v{}", opened.info.version)));
    console.line("==> Cofferdam server configuration:\n");
    for (name, value) in rows {
        console.line(format_args!("{name:>NAME_WIDTH$}: {value}"));
    }
    console.line("\n==> Cofferdam server started! Log data will stream in below:\n");
}

/// Prints the root token of a new store, and says whether it was. It can be seen this once.
pub(super) fn first_token(token: &str, console: &mut Console) -> std::io::Result<()> {
    console.line_now(format_args!(
        "This store is new. Its root token, which is shown this once and kept nowhere:\n\nInitial Root Token: {token}\n"
    ))
}

/// Prints how to use the development server.
pub(super) fn dev(
    dev: &Settings,
    api_addr: &str,
    plugins: &Registered,
    environment: &Environment,
    console: &mut Console,
) {
    console.line(
        "WARNING! dev mode is enabled! In this mode, Cofferdam runs entirely in-memory\n\
         and starts unsealed with a known root token. Everything is lost when it stops.\n\n\
         You may need to set the following environment variables:\n",
    );
    console.line(format_args!("    $ export VAULT_ADDR='{api_addr}'\n"));
    console.line(format_args!("Root Token: {}\n", dev.root_token));
    if dev.stores_token == TokenFile::Written {
        store_token(&dev.root_token, environment, console);
    }
    if !plugins.names.is_empty() {
        console.line("The following dev plugins are registered in the catalog:");
        for name in &plugins.names {
            console.line(format_args!("    - {name}"));
        }
        console.line("");
    }
    if !plugins.failures.is_empty() {
        console.line("The following dev plugins FAILED to be registered in the catalog:");
        for (file, why) in &plugins.failures {
            console.line(format_args!("    - {file}: {why}"));
        }
        console.line("");
    }
    console.line("Development mode should NOT be used in production installations!\n");
}

/// Writes the token where client commands look for one.
fn store_token(token: &str, environment: &Environment, console: &mut Console) {
    let Some(home) = &environment.home else { return };
    let path = home.join(TOKEN_FILES[0]);
    // A new file: the mode of one that is there, or where a link leads, is somebody else's choice.
    let removed = match std::fs::remove_file(&path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    };
    let written = removed
        .and_then(|()| std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path))
        .and_then(|mut file| file.write_all(token.as_bytes()));
    if let Err(cause) = written {
        console.note(format_args!("The root token could not be stored in {}: {cause}", path.display()));
    }
}
