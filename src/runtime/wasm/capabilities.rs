//! What a component asks for: its imports, as capabilities that a person can judge, and the refusal of all that is not
//! offered.

use std::collections::BTreeSet;

use semver::Version;

use crate::runtime::text::clean;

/// What the host offers: interfaces, and what a person should read for them. `None` is plumbing.
const OFFERED: [(&[&str], Option<&str>); 8] = [
    (&["cofferdam:plugin/host", "cofferdam:plugin/host-async"], Some("storage, caller, log (its own mount's)")),
    (
        &[
            "cofferdam:plugin/types",
            "wasi:cli/terminal-input",
            "wasi:cli/terminal-output",
            "wasi:cli/terminal-stdin",
            "wasi:cli/terminal-stdout",
            "wasi:cli/terminal-stderr",
            "wasi:cli/exit",
            "wasi:io/error",
            "wasi:io/poll",
            "wasi:io/streams",
        ],
        None,
    ),
    (&["wasi:cli/environment"], Some("environment (the registration's args and env)")),
    (&["wasi:cli/stdin", "wasi:cli/stdout", "wasi:cli/stderr"], Some("output (to the log)")),
    (&["wasi:clocks/monotonic-clock", "wasi:clocks/wall-clock"], Some("clocks")),
    (&["wasi:random/random", "wasi:random/insecure", "wasi:random/insecure-seed"], Some("random")),
    (&["wasi:filesystem/types", "wasi:filesystem/preopens"], Some("filesystem (no directory granted)")),
    (
        &[
            "wasi:sockets/network",
            "wasi:sockets/instance-network",
            "wasi:sockets/ip-name-lookup",
            "wasi:sockets/tcp",
            "wasi:sockets/tcp-create-socket",
            "wasi:sockets/udp",
            "wasi:sockets/udp-create-socket",
        ],
        Some("sockets (no address granted)"),
    ),
];

/// The versions that are offered, by the beginning of a name.
const VERSIONS: [(&str, (u64, u64)); 2] = [("cofferdam:", (0, 1)), ("wasi:", (0, 2))];

/// Returns the capabilities behind these imports, each once, or the imports that are not on offer.
pub(super) fn of_imports(imports: &[String]) -> Result<Vec<String>, Vec<String>> {
    let mut capabilities = BTreeSet::new();
    let mut refused = Vec::new();
    for import in imports {
        match offered(import) {
            Some(capability) => capabilities.extend(capability.map(str::to_owned)),
            None => refused.push(import.clone()),
        }
    }
    if refused.is_empty() { Ok(capabilities.into_iter().collect()) } else { Err(refused) }
}

/// Returns what a person should read for an import, if it is on offer.
fn offered(import: &str) -> Option<Option<&'static str>> {
    let (interface, version) = import.split_once('@')?;
    let version = Version::parse(version).ok()?;
    let (_, (major, minor)) = VERSIONS.iter().find(|(prefix, _)| interface.starts_with(prefix))?;
    if (version.major, version.minor) != (*major, *minor) || !version.pre.is_empty() {
        return None;
    }
    OFFERED.iter().find(|(names, _)| names.contains(&interface)).map(|(_, capability)| *capability)
}

/// Returns the refusal of a component for these imports.
pub(super) fn refusal(refused: &[String]) -> String {
    let offer = "on offer are cofferdam:plugin/host@0.1.0 (or host-async@0.1.0) and the WASI 0.2 command world (cli, io, clocks, random, \
                 filesystem, sockets). Build it for wasm32-wasip2 without other imports";
    let shown = shown(refused);
    let why = refused.iter().find_map(|import| outdated(import)).map(|why| format!(" {why};")).unwrap_or_default();
    format!("the component imports {shown}, which this host does not offer;{why} {offer}")
}

/// Names that a refusal lists. Nobody reads more.
const SHOWN_MAX: usize = 10;

/// Bytes of a name that a refusal shows. An interface's has 50; one that is a URL can hold anything, and 100,000 bytes.
const SHOWN_BYTES_MAX: usize = 256;

/// Returns names of a component's imports or exports as a refusal lists them.
pub(super) fn shown(names: &[String]) -> String {
    let beginning = |name: &String| clean(&name[..name.floor_char_boundary(SHOWN_BYTES_MAX)]);
    let shown = names.iter().take(SHOWN_MAX).map(beginning).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Returns what is known of the toolchain that makes such an import.
fn outdated(import: &str) -> Option<&'static str> {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    if interface.starts_with("wasi_") || interface.starts_with("wasi-") {
        return Some(
            "that is WASI of the time before components: rebuild it for wasm32-wasip2, or adapt it with the adapter of WASI 0.2 \
             (wasm-tools component new --adapt)",
        );
    }
    if !interface.starts_with("wasi:") {
        return None;
    }
    match Version::parse(version) {
        Ok(version) if (version.major, version.minor) == (0, 2) && !version.pre.is_empty() => Some(
            "that is a release candidate of WASI 0.2, from before January 2024: rebuild it with a toolchain of WASI 0.2.0 or newer \
             (Rust from 1.82 on, componentize-py from 0.13, TinyGo from 0.34)",
        ),
        Ok(version) if (version.major, version.minor) == (0, 2) => None,
        Ok(version) if (version.major, version.minor) > (0, 2) => {
            Some("that is newer than WASI 0.2: rebuild it for WASI 0.2 (wasm32-wasip2 in place of wasm32-wasip3)")
        }
        _ => Some("that is no released version of WASI: rebuild it with a toolchain of WASI 0.2.0 or newer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(imports: &[&str]) -> Result<Vec<String>, Vec<String>> {
        of_imports(&imports.iter().map(|import| (*import).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn imports_become_capabilities() {
        let imports = [
            "cofferdam:plugin/host@0.1.0",
            "wasi:io/streams@0.2.6",
            "wasi:clocks/wall-clock@0.2.9",
            "wasi:clocks/monotonic-clock@0.2.6",
        ];
        assert_eq!(of(&imports).unwrap(), ["clocks", "storage, caller, log (its own mount's)"]);
        assert_eq!(of(&["cofferdam:plugin/host-async@0.1.0"]).unwrap(), ["storage, caller, log (its own mount's)"]);
    }

    #[test]
    fn what_is_not_offered_is_named() {
        let imports =
            ["wasi:io/streams@0.2.6", "wasi:http/outgoing-handler@0.2.6", "evil:host/root", "wasi:clocks/types@0.3.0"];
        assert_eq!(
            of(&imports).unwrap_err(),
            ["wasi:http/outgoing-handler@0.2.6", "evil:host/root", "wasi:clocks/types@0.3.0"]
        );
    }

    #[test]
    fn an_old_or_new_wasi_says_what_to_rebuild_with() {
        for (import, phrase) in [
            ("wasi:cli/environment@0.2.0-rc-2023-11-10", "release candidate of WASI 0.2"),
            ("wasi:io/streams@0.2.0-rc-2023-12-05", "release candidate of WASI 0.2"),
            ("wasi:clocks/monotonic-clock@0.3.0", "newer than WASI 0.2"),
            ("wasi:clocks/monotonic-clock@0.3.0-rc-2026-02-09", "newer than WASI 0.2"),
            ("wasi:io/streams", "no released version"),
            ("wasi:io/streams@0.1.0", "no released version"),
            ("wasi_unstable", "before components"),
            ("wasi:cli/stdfoo@0.2.0", "does not offer"),
            ("cofferdam:plugin/host@0.10.0", "does not offer"),
        ] {
            let refused = of(&[import]).unwrap_err();
            let text = refusal(&refused);
            assert!(
                text.contains(phrase) && text.contains(import) && text.contains("wasm32-wasip2"),
                "{import}: {text}"
            );
        }
    }
}
