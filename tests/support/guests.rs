//! Builds plugins from source for tests, examples and benches: real components, never committed.
//!
//! Needs nothing but the toolchain. Where the `wasm32-wasip2` target is missing it is added with rustup, or the error says with
//! which command to add it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The target that plugins are built for.
const TARGET: &str = "wasm32-wasip2";

/// Builds every plugin of a workspace in this repository, such as `guest-examples`, and returns the folder that holds the
/// components. Cargo makes it quick when nothing has changed, and lets several processes do it at once.
pub(crate) fn build(workspace: &str) -> Result<PathBuf, String> {
    ensure_target()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = root.join(workspace).join("Cargo.toml");
    let target_directory = root.join("target").join("guests").join(workspace.replace('/', "-"));
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--locked", "--quiet", "--target", TARGET, "--manifest-path"]).arg(&manifest);
    cargo.arg("--target-dir").arg(&target_directory);
    // What was asked of the build that this one is part of is meant for the host, not for its guests.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR"] {
        cargo.env_remove(variable);
    }
    let output = cargo.output().map_err(|cause| format!("cannot run cargo: {cause}"))?;
    if !output.status.success() {
        return Err(format!("the plugins in {workspace} do not build:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(target_directory.join(TARGET).join("release"))
}

fn ensure_target() -> Result<(), String> {
    if target_is_there() {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    if added.is_ok_and(|status| status.success()) && target_is_there() {
        return Ok(());
    }
    Err(format!("plugins are built for {TARGET}, and this toolchain does not have it. Run: rustup target add {TARGET}"))
}

fn target_is_there() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let printed = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    printed.is_ok_and(|output| {
        output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    })
}
