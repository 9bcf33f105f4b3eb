//! The repository's own rules, as tests: which way modules may look, how long files and how wide comments may be, who
//! may print, what may be named where, and that the map and the settings say what the code says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The ranks of `src/`, lowest first. A module names only modules of lower ranks, and itself.
const RANKS: [&[&str]; 9] = [
    &["ident", "limits", "confinement", "json", "meter", "complaints"],
    &["plugin", "request", "storage", "artifact"],
    &["catalog", "runtime"],
    &["pool"],
    &["mount"],
    &["host"],
    &["system"],
    &["http"],
    &["cli"],
];

/// Lines a source file may have before its tests.
const FILE_LINES_MAX: usize = 600;

/// How wide a line may be. rustfmt keeps code to it (`max_width`), and leaves comments as they are.
const LINE_COLUMNS_MAX: usize = 120;

/// What may be named only in certain places, and why.
const NAMED_ONLY_IN: [(&str, &[&str], &str); 15] = [
    ("wasmtime", &["src/runtime/wasm/"], "the engine is one runtime's affair"),
    ("axum", &["src/http/"], "the HTTP library is one edge's affair"),
    ("redb::", &["src/storage/durable"], "the database is one storage's affair"),
    ("println!(", &["src/cli/console.rs"], "only the command line prints"),
    ("eprintln!(", &["src/cli/console.rs"], "only the command line prints"),
    ("prometheus_client", &["src/system/metrics/"], "the text format is one endpoint's affair"),
    ("crossterm", &["src/cli/plugin/top/screen.rs"], "the terminal is one view's affair"),
    ("tonic", &["src/runtime/process/"], "gRPC is one runtime's affair"),
    ("cofferdam_sdk", &["src/runtime/builtin/", "src/host/builtins.rs"], "built-in plugins are one runtime's affair"),
    ("kv_plugin", &["src/host/builtins.rs"], "what ships is handed in at one place"),
    ("userpass_plugin", &["src/host/builtins.rs"], "what ships is handed in at one place"),
    (
        "unsafe {",
        &["src/runtime/process/child/", "src/runtime/wasm/cache.rs"],
        "only setting up a process and loading authenticated code need it",
    ),
    ("std::env::var", &["src/cli/environment.rs"], "the environment is read once, at the edge"),
    ("std::env::args", &["src/main.rs"], "the arguments are read once, at the edge"),
    ("std::env::current_dir", &[], "paths are handed in"),
];

/// What no source may hold.
const NOWHERE: [&str; 5] = ["todo!(", "unimplemented!(", "dbg!(", "#[ignore", "FIXME"];

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The lines before the file's own tests, comments included.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = if self.path.ends_with("/tests.rs") { Some(0) } else { self.text.find("#[cfg(test)]\nmod tests {") };
        let code = &self.text[..end.unwrap_or(self.text.len())];
        code.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// The module of `src/` that the file belongs to; `None` for the crate's root.
    fn module(&self) -> Option<&str> {
        let below = self.path.strip_prefix("src/")?;
        let module = below.split('/').next().unwrap_or(below).trim_end_matches(".rs");
        (!matches!(module, "lib" | "main")).then_some(module)
    }
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in folders {
        collect(&root.join(folder), root, &mut found);
    }
    assert!(!found.is_empty(), "no sources in {folders:?}");
    found
}

fn collect(folder: &Path, root: &Path, found: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder is readable")
        .map(|entry| entry.expect("so is its entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, root, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            let path = path.strip_prefix(root).expect("below the root").display().to_string();
            found.push(Source { path, text });
        }
    }
}

/// Reads one file of the repository.
fn text_of(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[track_caller]
fn nothing_wrong(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// Returns the modules of this crate that a line names.
fn named_modules(line: &str) -> Vec<&str> {
    let line = line.split("//").next().unwrap_or(line);
    let mut named = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let name = rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or(rest);
        named.push(name);
    }
    named
}

#[test]
fn modules_name_only_lower_ranks() {
    let ranks: BTreeMap<&str, usize> = RANKS
        .iter()
        .enumerate()
        .flat_map(|(rank, modules)| modules.iter().map(move |module| (*module, rank)))
        .collect();
    let mut problems = Vec::new();
    for source in sources(&["src"]) {
        let Some(module) = source.module() else { continue };
        let Some(own) = ranks.get(module) else {
            problems.push(format!("{}: the module {module} has no rank; give it one in tests/tidy.rs", source.path));
            continue;
        };
        for (line, text) in source.code() {
            for named in named_modules(text) {
                match ranks.get(named) {
                    Some(other) if named != module && other >= own => problems
                        .push(format!("{}:{line}: {module} (rank {own}) names {named} (rank {other})", source.path)),
                    Some(_) => {}
                    None => problems.push(format!("{}:{line}: names crate::{named}, which has no rank", source.path)),
                }
            }
        }
    }
    nothing_wrong(problems);
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut problems = Vec::new();
    for source in sources(&["src", "contract/src", "sdk/src", "tests", "benches", "examples", "guest-examples"]) {
        let lines = source.code().count();
        if lines > FILE_LINES_MAX {
            problems.push(format!("{}: {lines} lines before its tests, at most {FILE_LINES_MAX}", source.path));
        }
        // The crate's page is src/README.md.
        if !source.text.starts_with("//!") && source.path != "src/lib.rs" {
            problems.push(format!("{}: does not open with `//!` and what it is", source.path));
        }
    }
    nothing_wrong(problems);
}

/// Whether a line holds this name at the start of a word: `tonic` is not in `monotonic`.
fn names(line: &str, name: &str) -> bool {
    let ends_in_a_word = |before: &str| before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    line.match_indices(name).any(|(at, _)| !ends_in_a_word(&line[..at]))
}

#[test]
fn things_are_named_only_where_they_belong() {
    let mut problems = Vec::new();
    for source in sources(&["src"]) {
        for (line, text) in source.code() {
            let text = text.split("//").next().unwrap_or(text);
            for (name, places, why) in NAMED_ONLY_IN {
                if names(text, name) && !places.iter().any(|place| source.path.starts_with(place)) {
                    problems.push(format!("{}:{line}: names {name:?}: {why}", source.path));
                }
            }
        }
    }
    nothing_wrong(problems);
}

#[test]
fn nothing_is_left_for_later() {
    let mut problems = Vec::new();
    for source in sources(&["src", "contract/src", "sdk/src", "tests", "benches", "examples", "guest-examples"]) {
        if source.path == "tests/tidy.rs" {
            continue;
        }
        for (at, text) in source.text.lines().enumerate() {
            for word in NOWHERE {
                if text.contains(word) {
                    problems.push(format!("{}:{}: {word}", source.path, at + 1));
                }
            }
        }
    }
    nothing_wrong(problems);
}

#[test]
fn tests_do_not_wait_for_the_clock() {
    let mut problems = Vec::new();
    for source in sources(&["tests"]) {
        // A guest that sleeps is what some tests are about; and this file names the word.
        if source.path.starts_with("tests/guests/") || source.path == "tests/tidy.rs" {
            continue;
        }
        for (at, text) in source.text.lines().enumerate() {
            if text.contains("thread::sleep") || text.contains("time::sleep(") {
                problems.push(format!("{}:{}: sleeps", source.path, at + 1));
            }
        }
    }
    nothing_wrong(problems);
}

#[test]
fn the_contract_depends_on_nothing_but_serde() {
    let manifest = text_of("contract/Cargo.toml");
    let (_, section) = manifest.split_once("\n[dependencies]\n").expect("it has dependencies");
    let section = section.split("\n[").next().unwrap_or(section);
    let named = section.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    let named: Vec<_> = named.map(|(name, _)| name).collect();
    assert_eq!(named, ["serde", "serde_json"], "every sandbox carries what this crate needs");
}

#[test]
fn comments_are_as_wide_as_code() {
    let folders = ["src", "contract", "sdk", "proto/src", "tests", "benches", "examples", "guest-examples"];
    let mut problems = Vec::new();
    for source in sources(&folders).into_iter().filter(|source| !source.path.contains("/generated/")) {
        for (at, line) in source.text.lines().enumerate() {
            let columns = line.chars().count();
            if line.trim_start().starts_with("//") && columns > LINE_COLUMNS_MAX {
                problems.push(format!("{}:{}: a comment of {columns} columns", source.path, at + 1));
            }
        }
    }
    nothing_wrong(problems);
}

#[test]
fn the_map_has_the_ranks_that_are_checked() {
    let map = text_of("src/README.md");
    let mut shown: Vec<Vec<String>> = Vec::new();
    for line in map.lines() {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let Some(rank) = cells.next().and_then(|cell| cell.parse::<usize>().ok()) else { continue };
        shown.resize(shown.len().max(rank + 1), Vec::new());
        let named = cells.next().unwrap_or_default().split_whitespace();
        shown[rank].extend(named.map(|module| module.trim_matches('`').to_owned()));
    }
    let ranks: Vec<Vec<String>> = RANKS.iter().map(|rank| rank.iter().map(|&module| module.into()).collect()).collect();
    assert_eq!(shown, ranks, "src/README.md (left) and tests/tidy.rs (right) rank the modules differently");
}

/// Settings whose name is not their field's without its unit and bound, and the field that they set.
const NAMED_OTHERWISE: [(&str, &str); 1] = [("log_per_second", "log_bytes_per_second_max")];

#[test]
fn settings_are_named_as_the_limits_that_they_set() {
    let text = text_of("src/cli/server/config/limits.rs");
    let mut problems = Vec::new();
    let mut seen = 0;
    for call in text.split("stanza.set(").skip(1) {
        let call = call.split(';').next().unwrap_or(call);
        let mut arguments = call.rsplit(',').map(str::trim);
        let field = arguments.find(|argument| !argument.starts_with("findings") && !argument.is_empty()).unwrap_or("");
        let setting = call.split('"').nth(1).unwrap_or_default();
        let fits = ["", "_max", "_bytes_max"].iter().any(|end| field.strip_prefix(setting) == Some(*end));
        if !fits && !NAMED_OTHERWISE.contains(&(setting, field)) {
            problems.push(format!("the setting {setting:?} sets the limit {field}"));
        }
        seen += 1;
    }
    assert!(seen > 0, "no setting was found");
    nothing_wrong(problems);
}

#[test]
fn no_binaries_are_kept() {
    let listed =
        std::process::Command::new("git").args(["ls-files", "-z"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let listed = listed.expect("git lists the files of the checkout");
    assert!(listed.status.success(), "git lists no files: {}", String::from_utf8_lossy(&listed.stderr));
    let files = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(files.contains("Cargo.toml"), "git lists the files of something else");
    let is_binary = |file: &&str| [".wasm", ".cwasm", ".so", ".bin"].iter().any(|ending| file.ends_with(ending));
    // What protoc would have made is kept, so that nobody needs it; a test compares it with its source.
    let is_generated = |file: &&str| file.starts_with("proto/src/generated/");
    let built = files.split('\0').filter(is_binary).filter(|file| !is_generated(file));
    nothing_wrong(built.map(|file| format!("{file}: is built, not kept")).collect());
}
