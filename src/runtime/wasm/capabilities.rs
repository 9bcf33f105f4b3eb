//! What a component asks for: its imports, as capabilities that a person can judge, and the refusal of all that is not offered.

use std::collections::BTreeSet;

/// What the host offers, by package and interface prefix, and what a person should read for it. `None` is plumbing.
const OFFERED: [(&str, Option<&str>); 12] = [
    ("cofferdam:plugin/host@0.1", Some("storage, caller, log (its own mount's)")),
    ("cofferdam:plugin/host-async@0.1", Some("storage, caller, log (its own mount's)")),
    ("cofferdam:plugin/types@0.1", None),
    ("wasi:cli/environment@0.2", Some("environment (the registration's args and env)")),
    ("wasi:cli/std", Some("output (to the log)")),
    ("wasi:cli/terminal-", None),
    ("wasi:cli/exit@0.2", None),
    ("wasi:io/", None),
    ("wasi:clocks/", Some("clocks")),
    ("wasi:random/", Some("random")),
    ("wasi:filesystem/", Some("filesystem (no directory granted)")),
    ("wasi:sockets/", Some("sockets (no address granted)")),
];

/// The minor version of WASI that is offered.
const WASI_VERSION: &str = "@0.2.";

/// Returns the capabilities behind these imports, each once, or the imports that are not on offer.
pub(super) fn of_imports(imports: &[String]) -> Result<Vec<String>, Vec<String>> {
    let mut capabilities = BTreeSet::new();
    let mut refused = Vec::new();
    for import in imports {
        match OFFERED.iter().find(|(prefix, _)| import.starts_with(prefix)) {
            Some((_, capability)) if !import.starts_with("wasi:") || import.contains(WASI_VERSION) => {
                capabilities.extend(capability.map(str::to_owned));
            }
            _ => refused.push(import.clone()),
        }
    }
    if refused.is_empty() { Ok(capabilities.into_iter().collect()) } else { Err(refused) }
}

/// Returns the refusal of a component for these imports.
pub(super) fn refusal(refused: &[String]) -> String {
    format!(
        "the component imports {}, which this host does not offer; on offer are cofferdam:plugin/host@0.1.0 (or \
         host-async@0.1.0) and the WASI 0.2 command world (cli, io, clocks, random, filesystem, sockets). Build it for wasm32-wasip2 without other imports",
        refused.join(", ")
    )
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
}
