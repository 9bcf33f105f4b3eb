//! Files that cannot run, and surroundings in which nothing can: registration says which and what to do.

use std::fs;

use cofferdam::ErrorKind::{Internal, InvalidRequest};

use crate::stage::{Plugin, Stage, check_refused, healthy, limits};

/// Replaces some bytes everywhere.
fn patched(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "nothing else moves");
    let mut bytes = bytes.to_vec();
    let mut found = false;
    for at in 0..bytes.len().saturating_sub(from.len()) {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
            found = true;
        }
    }
    assert!(found, "{:?} is not in the program", String::from_utf8_lossy(from));
    bytes
}

/// Writes a number of the ELF header.
fn with_field(bytes: &[u8], at: usize, value: u16) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + 2].copy_from_slice(&value.to_ne_bytes());
    bytes
}

#[tokio::test]
async fn a_file_that_cannot_run_is_refused_with_the_reason() {
    /// Where the ELF header has the kind of file, and the kind of machine.
    const KIND: usize = 16;
    const MACHINE: usize = 18;
    let stage = Stage::set().await;
    let program = fs::read(healthy()).expect("the healthy plugin was built");
    let missing_library =
        "echo 'p: error while loading shared libraries: libpq.so.5: cannot open shared object file' >&2; exit 127";
    let rows: Vec<(&str, Plugin, &[&str])> = vec![
        (
            "no interpreter",
            Plugin::file("#!/opt/python9/bin/python\n"),
            &["needs the interpreter /opt/python9/bin/python, which this machine does not have"],
        ),
        ("no whole path", Plugin::file("#!python\n"), &["which is not a whole path"]),
        ("a line of Windows", Plugin::file("#!/bin/sh\r\nexit 0\r\n"), &["lines end as on Windows"]),
        ("a folder for an interpreter", Plugin::file("#!/usr\n"), &["/usr", "not executable"]),
        (
            "not executable",
            Plugin { mode: 0o644, ..Plugin::script("exit 0") },
            &["is not executable; if it is a plugin: chmod +x"],
        ),
        ("text", Plugin::file("hello\n"), &["neither a WebAssembly component nor a binary of this system"]),
        ("nothing", Plugin::file(""), &["is empty"]),
        ("a header cut off", Plugin::file(&program[..40]), &["its headers are cut off"]),
        ("segments cut off", Plugin::file(&program[..80]), &["its headers are cut off"]),
        ("no more than headers", Plugin::file(&program[..4096]), &["plugin"]),
        ("half of it", Plugin::file(&program[..program.len() / 2]), &["plugin"]),
        (
            "for another machine",
            Plugin::file(with_field(&program, MACHINE, 22)),
            &["build the plugin for this machine"],
        ),
        ("an object file", Plugin::file(with_field(&program, KIND, 1)), &["is an object file, not a program"]),
        ("a core dump", Plugin::file(with_field(&program, KIND, 4)), &["not a program"]),
        (
            "no loader",
            Plugin::file(patched(&program, b"/ld-linux", b"/ld-lunix")),
            &["needs the loader", "ld-lunix", "CGO_ENABLED=0"],
        ),
        (
            "no library",
            Plugin::file(patched(&program, b"libc.so.6", b"libc.so.7")),
            &["exited with status 127", "Install the library", "libc.so.7"],
        ),
        ("no library, in words", Plugin::script(missing_library), &["status 127", "Install the library", "libpq.so.5"]),
    ];
    for (name, plugin, phrases) in rows {
        let outcome = stage.register("bad", &plugin).await;
        check_refused(name, outcome, InvalidRequest, phrases);
    }
    stage.neighbour_answers().await;
    stage.no_other_is_left().await;
    stage.end().await;
}

#[tokio::test]
async fn a_place_for_sockets_that_is_none_is_named() {
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let file = scratch.path().join("file");
    fs::write(&file, "").expect("a file can be made");
    let long = scratch.path().join("x".repeat(100));
    fs::create_dir(&long).expect("a directory can be made");
    let program = Plugin::file(fs::read(healthy()).expect("the healthy plugin was built"));
    for (name, place, kind, phrase) in [
        // One that is gone is made again, but not what it lay in.
        ("missing", scratch.path().join("missing/missing"), Internal, "No such file or directory"),
        ("a file", file, Internal, "Not a directory"),
        (
            "not to be written to",
            "/proc/self".into(),
            Internal,
            "cannot make a directory for its sockets in /proc/self",
        ),
        ("too long", long, Internal, "longer than a socket's may be"),
    ] {
        let stage = Stage::bare(limits(), |native| native.socket_directory = place.clone()).await;
        let outcome = stage.register("good", &program).await;
        check_refused(name, outcome, kind, &[&place.display().to_string(), phrase]);
        stage.no_other_is_left().await;
        stage.end().await;
    }
}
