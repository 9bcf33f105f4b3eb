//! Finds configuration files and reads them: bounded, regular files, UTF-8.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::{Entry, Lines, Place};
use super::problem::Findings;
use super::{hcl, json};

/// Largest configuration file, in bytes. A server with a hundred listeners needs a few tens of kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Most configuration files in one directory.
const DIRECTORY_FILES_MAX: usize = 1_000;

/// Reads files, and the `*.hcl` and `*.json` of directories by name, into the entries of one document.
pub(super) fn read(paths: &[PathBuf], findings: &mut Findings) -> Vec<Entry> {
    let mut entries = Vec::new();
    for typed in paths {
        for file in expand(typed, findings) {
            entries.extend(read_file(&file, findings).unwrap_or_default());
        }
    }
    entries
}

/// Returns the bytes of a regular file that holds at most `bytes_max`, or a fragment that says why not.
///
/// Anything else is refused before it is opened: opening a FIFO would wait for a writer.
pub(super) fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    if !fs::metadata(path).map_err(cannot_read)?.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    // The limit is on what is read, not on the length just seen: a file may grow, and files of /proc have none.
    let file = fs::File::open(path).map_err(cannot_read)?;
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(cannot_read)?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!("is larger than {bytes_max} bytes"));
    }
    Ok(bytes)
}

fn cannot_read(error: io::Error) -> String {
    format!("cannot be read: {error}")
}

/// Returns the file itself, or the configuration files in the directory.
fn expand(typed: &Path, findings: &mut Findings) -> Vec<PathBuf> {
    if !typed.is_dir() {
        return vec![typed.to_owned()];
    }
    let place = whole_file(typed);
    let listed = fs::read_dir(typed)
        .and_then(|listing| listing.map(|item| item.map(|item| item.path())).collect::<Result<Vec<_>, io::Error>>());
    let mut files = match listed {
        Ok(files) => files,
        Err(error) => {
            findings.problem(&place, cannot_read(error));
            return Vec::new();
        }
    };
    files.retain(|file| file.extension().is_some_and(|extension| extension == "hcl" || extension == "json"));
    files.sort();
    if files.is_empty() {
        findings.problem(&place, "the directory holds no *.hcl and no *.json file");
    }
    if files.len() > DIRECTORY_FILES_MAX {
        findings.problem(&place, format!("the directory holds more than {DIRECTORY_FILES_MAX} configuration files"));
        files.clear();
    }
    files
}

fn read_file(path: &Path, findings: &mut Findings) -> Option<Vec<Entry>> {
    let place = whole_file(path);
    let bytes = match read_bounded(path, FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(why) => {
            findings.problem(&place, format!("the configuration file {why}"));
            return None;
        }
    };
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
            let line = Lines::new(&place.file, &good).place(good.len());
            findings.problem(&line, "the configuration file is not UTF-8");
            return None;
        }
    };
    let lines = Lines::new(&place.file, &text);
    // As in Vault, a file's name need not tell: no HCL starts with a brace.
    let is_json = path.extension().is_some_and(|extension| extension == "json") || text.trim_start().starts_with('{');
    if is_json { json::parse(&text, &lines, findings) } else { hcl::parse(&text, &lines, findings) }
}

fn whole_file(path: &Path) -> Place {
    Place { file: Arc::from(path.display().to_string()), line: None }
}
