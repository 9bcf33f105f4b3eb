//! What is refused when it is registered: each with what was found, what was expected, and what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cofferdam::ident::{Digest, PluginKind};
use cofferdam::{ErrorKind, Limits, Registration, Source};

use crate::bench::{Bench, check_refused, component, limits};
use crate::journal::Journal;

/// A change to an otherwise good registration.
type Change = fn(&mut Registration);

/// A file's name and bytes, what is changed, and how it is refused.
type Row<'a> = (&'a str, &'a [u8], Change, ErrorKind, &'a [&'a str]);

const AS_IT_IS: Change = |_| ();
const AS_SECRET: Change = |registration| registration.kind = Some(PluginKind::Secret);
const AS_VERSION_ONE: Change = |registration| registration.version = Some("1.0.0".parse().expect("a version"));
const WITH_ANOTHER_DIGEST: Change = |registration| {
    let command = registration.launch.source.command().expect("it is a file").clone();
    registration.launch.source = Source::File { command, sha256: Digest::of(b"something else") };
};
const WITH_BROKEN_ENV: Change = |registration| registration.launch.env = vec!["hunter2-5d9c".to_owned()];

#[tokio::test]
async fn a_misfit_is_refused_and_leaves_nothing_behind() {
    let journal = Journal::begin();
    let bench = Bench::start(Limits { lifecycle_deadline: Duration::from_millis(500), ..limits() }).await;
    let hostile = component("hostile_plugin");
    let found = Digest::of(&hostile).to_string();
    let truncated = &hostile[..hostile.len() / 2];
    use ErrorKind::{DeadlineExceeded, InvalidRequest};
    let rows: &[Row<'_>] = &[
        ("auth", &component("auth"), AS_SECRET, InvalidRequest, &["plugin type mismatch", "type secret", "type auth"]),
        (
            "version-nine",
            &component("version-nine"),
            AS_VERSION_ONE,
            InvalidRequest,
            &["plugin version mismatch", "reported version (v9.9.9)", "requested version (v1.0.0)"],
        ),
        (
            "version-broken",
            &component("version-broken"),
            AS_IT_IS,
            InvalidRequest,
            &["description of itself is wrong", "is not a valid semantic version"],
        ),
        (
            "path-broken",
            &component("path-broken"),
            AS_IT_IS,
            InvalidRequest,
            &["description of itself is wrong", "'*' that is not its last character"],
        ),
        (
            "path-bomb",
            &component("path-bomb"),
            AS_IT_IS,
            InvalidRequest,
            &["description of itself is wrong", "longer than 256 bytes"],
        ),
        (
            "path-many",
            &component("path-many"),
            AS_IT_IS,
            InvalidRequest,
            &["description of itself is wrong", "has 65 paths"],
        ),
        (
            "version-bomb",
            &component("version-bomb"),
            AS_IT_IS,
            InvalidRequest,
            &["description of itself is wrong", "longer than 128 bytes"],
        ),
        (
            "describe-panics",
            &component("describe-panics"),
            AS_IT_IS,
            InvalidRequest,
            &["failed when it was asked to describe itself", "unreachable"],
        ),
        ("describe-spins", &component("describe-spins"), AS_IT_IS, DeadlineExceeded, &["did not", "within 500ms"]),
        (
            "foreign-import",
            &component("foreign-import"),
            AS_IT_IS,
            InvalidRequest,
            &["imports evil:guest/root", "does not offer", "on offer are cofferdam:plugin/host@0.1.0", "wasm32-wasip2"],
        ),
        (
            "both-worlds",
            &component("both-worlds"),
            AS_IT_IS,
            InvalidRequest,
            &["exports both", "cofferdam:plugin/backend@0.1.0", "cofferdam:plugin/backend-async@0.1.0", "of one world"],
        ),
        (
            "not-a-plugin",
            &component("not-a-plugin"),
            AS_IT_IS,
            InvalidRequest,
            &["is not a plugin", "exports wasi:cli/run", "cofferdam:plugin/backend@0.1.0", "cofferdam-sdk"],
        ),
        (
            "digest",
            &hostile,
            WITH_ANOTHER_DIGEST,
            InvalidRequest,
            &[&found, &Digest::of(b"something else").to_string()],
        ),
        ("truncated", truncated, AS_IT_IS, InvalidRequest, &["not a valid WebAssembly component"]),
        ("module", b"\0asm\x01\0\0\0", AS_IT_IS, InvalidRequest, &["core WebAssembly module", "wasm32-wasip2"]),
        ("noise", b"neither one nor the other", AS_IT_IS, InvalidRequest, &["neither a WebAssembly component nor"]),
        ("empty", b"", AS_IT_IS, InvalidRequest, &["empty"]),
        ("environment", &hostile, WITH_BROKEN_ENV, InvalidRequest, &["environment entry number 1", "KEY=value"]),
    ];
    for misfit in misfits() {
        assert!(
            rows.iter().any(|(name, ..)| *name == misfit),
            "the table lacks tests/guests/misfits/src/bin/{misfit}.rs"
        );
    }
    for (name, bytes, change, kind, phrases) in rows {
        check_refused(name, bench.register(name, bytes, change).await, *kind, phrases);
    }
    assert_eq!(bench.host.plugins(), [], "nothing was registered");
    assert!(journal.lines().iter().all(|line| !line.whole.contains("hunter2")), "the environment is not logged");

    // The same files, honestly registered.
    let auth = bench.register("auth", &component("auth"), |_| ()).await.expect("an auth method can be registered");
    assert_eq!(auth.key.kind, PluginKind::Auth);
    let nine = bench.register("nine", &component("version-nine"), |_| ()).await.expect("it has a version of its own");
    assert_eq!(nine.key.version.map(|version| version.to_string()).as_deref(), Some("v9.9.9"));
}

#[tokio::test]
async fn a_registration_shows_what_the_component_asks_for() {
    let bench = Bench::start(limits()).await;
    let info = bench.register("hostile", &component("hostile_plugin"), |_| ()).await.expect("it can be registered");
    for capability in ["environment", "filesystem (no directory granted)", "sockets (no address granted)", "storage"] {
        assert!(info.found.capabilities.iter().any(|shown| shown.starts_with(capability)), "{capability}: {info:?}");
    }
    for import in ["cofferdam:plugin/host@0.1.0", "wasi:sockets/tcp@0.2"] {
        assert!(info.found.imports.iter().any(|shown| shown.starts_with(import)), "{import}: {info:?}");
    }
}

/// Returns the names of the components that exist to be refused.
fn misfits() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/misfits/src/bin");
    let files = fs::read_dir(folder).expect("the folder is readable");
    let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    files.filter_map(|file| stem(file.expect("so is its entry").path())).collect()
}
