//! Builds plugins written in Go from source for tests: real binaries, never committed.
//!
//! Needs Go, and the network once, for Vault's SDK. A machine without Go is told so by [`Built::NoGo`], and its tests
//! name what they leave out.

#[path = "required.rs"]
pub(crate) mod required;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What came of building.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Built {
    /// The binary.
    Yes(PathBuf),
    /// There is no Go here.
    NoGo,
}

/// Builds one program and returns its binary: a folder's name in `tests/guests/go`, or `probe-old`, which is
/// `probe-single` on an SDK of 2023, or `passthrough`, which is the example in `guest-examples`. Go makes it quick when
/// nothing has changed; several processes may do it at once.
pub(crate) fn build(program: &str) -> Result<Built, String> {
    let go = std::env::var_os("GO").unwrap_or_else(|| "go".into());
    match Command::new(&go).arg("version").output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => return Err(format!("`go version` fails:\n{}", String::from_utf8_lossy(&output.stderr))),
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            println!("{}", required::left_out("go", format_args!("the plugin {program:?}")));
            return Ok(Built::NoGo);
        }
        Err(cause) => return Err(format!("cannot run go: {cause}")),
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (module, package, module_file) = match program {
        "passthrough" => ("guest-examples/passthrough-go", ".".to_owned(), "go.mod"),
        "probe-old" => ("tests/guests/go", "./probe-single".to_owned(), "old.mod"),
        _ => ("tests/guests/go", format!("./{program}"), "go.mod"),
    };
    let binary = root.join("target/guests/go").join(program);
    let _turn = turn(&binary.with_extension("lock"))?;
    let mut command = Command::new(&go);
    command.current_dir(root.join(module));
    // The same bytes wherever and whenever it is built, and no libc that another machine may lack.
    command.args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"]).env("CGO_ENABLED", "0");
    command.arg(format!("-modfile={module_file}")).arg("-o").arg(&binary).arg(package);
    let output = command.output().map_err(|cause| format!("cannot run go: {cause}"))?;
    if !output.status.success() {
        return Err(format!("{program} does not build:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(Built::Yes(binary))
}

/// Waits for this process's turn, which ends with the file: Go writes a binary where others may be reading it.
fn turn(path: &Path) -> Result<File, String> {
    let folder = path.parent().expect("a lock has a folder");
    let locked = fs::create_dir_all(folder).and_then(|()| File::create(path)).and_then(|file| {
        file.lock()?;
        Ok(file)
    });
    locked.map_err(|cause| format!("cannot lock {}: {cause}", path.display()))
}
