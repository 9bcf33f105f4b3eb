//! Builds plugins from source for tests, examples and benches: real components and real programs, never committed.
//!
//! Needs nothing but the toolchain, and for programs the C compiler that aws-lc is built with. Where the
//! `wasm32-wasip2` target is missing it is added with rustup, or the error says with which command to add it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The target that plugins are built for.
const TARGET: &str = "wasm32-wasip2";

/// The target that cargo-component builds for, before it makes a component of what comes out.
const COMPONENT_TARGET: &str = "wasm32-wasip1";

/// Builds every plugin of a workspace in this repository, such as `guest-examples`, and returns the folder that holds
/// the components. Cargo makes it quick when nothing has changed, and lets several processes do it at once.
#[allow(dead_code, reason = "some tests need only the other build")]
pub(crate) fn build(workspace: &str) -> Result<PathBuf, String> {
    ensure_target(TARGET)?;
    let (mut cargo, target_directory) = cargo(workspace, &workspace.replace('/', "-"));
    cargo.args(["--target", TARGET]);
    run(cargo, workspace)?;
    Ok(target_directory.join(TARGET).join("release"))
}

/// Builds one plugin of a workspace with cargo-component and returns the folder that holds the component, or nothing
/// where this tool is not installed.
#[allow(dead_code, reason = "only tests of tools need it")]
pub(crate) fn build_with_cargo_component(workspace: &str, plugin: &str) -> Result<Option<PathBuf>, String> {
    let (mut cargo, target_directory) = command(workspace, "cargo-component", &["component", "build"]);
    // Asked without cargo's messages between: what it does not have it calls "no such command".
    let version = Command::new(cargo.get_program()).args(["component", "--version"]).output();
    if !version.is_ok_and(|output| output.status.success()) {
        return Ok(None);
    }
    ensure_target(COMPONENT_TARGET)?;
    cargo.args(["--package", plugin]);
    run(cargo, workspace)?;
    Ok(Some(target_directory.join(COMPONENT_TARGET).join("release")))
}

/// Builds the same plugins for the machine itself, as programs that a host runs as subprocesses, and returns the folder
/// that holds them: `hello-native` and the like.
#[allow(dead_code, reason = "some tests need only the other build")]
pub(crate) fn build_native(workspace: &str) -> Result<PathBuf, String> {
    // All workspaces share what they depend on, which takes minutes to build.
    let (mut cargo, target_directory) = cargo(workspace, "native");
    cargo.args(["--features", "native", "--bin", "*-native"]);
    // What is tested is not how fast they are, and optimising a gRPC server as a whole takes minutes.
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    run(cargo, workspace)?;
    Ok(target_directory.join("release"))
}

/// Builds some of these programs as they are released, for those who measure them. The first time takes minutes.
#[allow(dead_code, reason = "only benches need it")]
pub(crate) fn build_native_released(workspace: &str, programs: &[&str]) -> Result<PathBuf, String> {
    let (mut cargo, target_directory) = cargo(workspace, "native-release");
    cargo.args(["--features", "native"]).args(programs.iter().flat_map(|program| ["--bin", program]));
    run(cargo, workspace)?;
    Ok(target_directory.join("release"))
}

/// Returns a build of a workspace, and the target directory of this name.
fn cargo(workspace: &str, target: &str) -> (Command, PathBuf) {
    command(workspace, target, &["build"])
}

/// Returns a build by one of cargo's commands.
fn command(workspace: &str, target: &str, build: &[&str]) -> (Command, PathBuf) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = root.join(workspace).join("Cargo.toml");
    let target_directory = root.join("target").join("guests").join(target);
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(build).args(["--release", "--locked", "--quiet", "--manifest-path"]).arg(&manifest);
    cargo.arg("--target-dir").arg(&target_directory);
    // What was asked of the build that this one is part of is meant for the host, not for its guests.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR"] {
        cargo.env_remove(variable);
    }
    (cargo, target_directory)
}

fn run(mut cargo: Command, workspace: &str) -> Result<(), String> {
    let output = cargo.output().map_err(|cause| format!("cannot run cargo: {cause}"))?;
    if !output.status.success() {
        return Err(format!("the plugins in {workspace} do not build:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(())
}

fn ensure_target(target: &str) -> Result<(), String> {
    if target_is_there(target) {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", target]).status();
    if added.is_ok_and(|status| status.success()) && target_is_there(target) {
        return Ok(());
    }
    Err(format!("plugins are built for {target}, and this toolchain does not have it. Run: rustup target add {target}"))
}

fn target_is_there(target: &str) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let printed = Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output();
    printed.is_ok_and(|output| {
        output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    })
}
