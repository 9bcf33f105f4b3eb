//! What the server warns of when it starts: settings that let others read what it keeps.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::config::{self, ListenAddress, ServerConfig, StorageConfig};

/// The permissions of others than the owner.
const OTHERS: u32 = 0o077;

/// The permission of others than the owner to change it.
const OTHERS_WRITE: u32 = 0o022;

/// The permissions of those who are neither the owner nor in the group.
const EVERYBODY: u32 = 0o007;

/// Names may be removed from the directory by their owners alone.
const STICKY: u32 = 0o1000;

/// Logs what an operator should look at, once everything is open.
pub(super) fn warn(config: &ServerConfig, sources: &[PathBuf]) {
    for warning in warnings(config, sources) {
        tracing::warn!("{warning}");
    }
}

fn warnings(config: &ServerConfig, sources: &[PathBuf]) -> Vec<String> {
    let mut warnings = Vec::new();
    for listener in config.listeners.iter().filter(|listener| listener.tls.is_none()) {
        let ListenAddress::Tcp(address) = &listener.address else { continue };
        if !address.ip().is_loopback() {
            warnings.push(format!(
                "tokens and secrets are sent in the clear: the listener at {address} has no TLS and can be reached from other \
                 machines; set tls_cert_file and tls_key_file, or listen on 127.0.0.1 behind what ends TLS"
            ));
        }
    }
    if let StorageConfig::File(directory) = &config.storage {
        let file = directory.join(config::DATABASE_FILE);
        warnings.extend(loose(&file, OTHERS, "holds all that is stored", "600"));
        let names = |found: &Metadata| found.mode() & OTHERS_WRITE != 0 && found.mode() & STICKY == 0;
        if directory.metadata().is_ok_and(|found| names(&found)) {
            warnings.push(format!(
                "others than its owner can replace the storage in {}: take that away with `chmod 700 {0}`",
                directory.display()
            ));
        }
    }
    for key in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()).map(|tls| &tls.key_file) {
        warnings.extend(loose(key, EVERYBODY, "holds a listener's private key", "600"));
    }
    let holds_secrets = config.plugins.iter().flatten().any(|block| !block.registration.launch.env.is_empty());
    for file in sources.iter().flat_map(|path| files(path)) {
        if holds_secrets {
            warnings.extend(loose(&file, OTHERS, "sets variables of plugins, which may be secrets", "600"));
        } else {
            warnings.extend(loose(&file, OTHERS_WRITE, "decides what runs", "go-w"));
        }
    }
    warnings
}

/// Warns of a file that others may do more with than they should.
fn loose(file: &Path, forbidden: u32, what: &str, mode: &str) -> Option<String> {
    let found = file.metadata().ok()?.mode() & 0o777;
    let can = if found & forbidden & OTHERS_WRITE != 0 { "change" } else { "read" };
    (found & forbidden != 0).then(|| {
        format!(
            "others than its owner can {can} {}, which {what} (its mode is {found:04o}): take that away with `chmod {mode} {0}`",
            file.display()
        )
    })
}

/// Returns the configuration's files that a path stands for.
fn files(path: &Path) -> Vec<PathBuf> {
    match std::fs::read_dir(path) {
        Err(_) => vec![path.to_owned()],
        Ok(entries) => {
            let files = entries.flatten().map(|entry| entry.path());
            let mut files: Vec<_> = files
                .filter(|file| file.extension().is_some_and(|extension| extension == "hcl" || extension == "json"))
                .collect();
            files.sort();
            files
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::cli::server::config::Mode;

    #[track_caller]
    fn check(more: &str, modes: &[(&str, u32)], expected: &[&[&str]]) {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir(path("store")).unwrap();
        std::fs::write(path("store/cofferdam.redb"), "").unwrap();
        let hcl = format!("storage \"file\" {{\n  path = {:?}\n}}\n{more}", path("store"));
        std::fs::write(path("a.hcl"), hcl).unwrap();
        for (name, mode) in [("store", 0o700), ("store/cofferdam.redb", 0o600), ("a.hcl", 0o644)].iter().chain(modes) {
            std::fs::set_permissions(path(name), Permissions::from_mode(*mode)).unwrap();
        }
        let sources = [path("a.hcl")];
        let (config, _) = config::load(&sources, Mode::Dev).unwrap();
        let found = warnings(&config, &sources);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, parts) in found.iter().zip(expected) {
            for part in *parts {
                assert!(found.contains(part), "{found:?} should hold {part:?}");
            }
        }
    }

    #[test]
    fn what_is_as_it_should_be_is_not_warned_of() {
        check("", &[], &[]);
        check("listener \"tcp\" {\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n}", &[], &[]);
        check("listener \"tcp\" {\n  address = \"[::1]:0\"\n  tls_disable = true\n}", &[], &[]);
        check("", &[("store", 0o755), ("store", 0o1777)], &[]);
    }

    #[test]
    fn what_others_can_read_or_change_is_named() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8200"] {
            let listener = format!("listener \"tcp\" {{\n  address = {address:?}\n  tls_disable = true\n}}");
            check(&listener, &[], &[&["in the clear", address, "tls_cert_file"]]);
        }
        check("", &[("store/cofferdam.redb", 0o644)], &[&["can read", "cofferdam.redb", "0644", "chmod 600"]]);
        check("", &[("store/cofferdam.redb", 0o660)], &[&["can change", "0660"]]);
        check("", &[("store", 0o777)], &[&["can replace the storage", "chmod 700"]]);
        check("", &[("a.hcl", 0o666)], &[&["can change", "a.hcl", "chmod go-w"]]);
        let digest = "0".repeat(64);
        let plugin = format!(
            "plugin \"secret\" \"kv\" {{\n  command = \"kv\"\n  sha256sum = {digest:?}\n  env = [\"PASSWORD=sesame\"]\n}}"
        );
        check(&plugin, &[], &[&["can read", "a.hcl", "variables of plugins", "chmod 600"]]);
        check(&plugin, &[("a.hcl", 0o600)], &[]);
    }
}
