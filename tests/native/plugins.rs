//! The plugins under test, as bytes: built once for this process.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::{go, guests};

/// A plugin's file.
pub(crate) type Bytes = Arc<Vec<u8>>;

/// Returns a plugin written in Go, a folder of `tests/guests/go`; `None` where there is no Go, having said what is left
/// out.
pub(crate) fn go(program: &str, case: &str) -> Option<Bytes> {
    static BUILT: OnceLock<Mutex<HashMap<String, Bytes>>> = OnceLock::new();
    let mut built = BUILT.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = built.get(program) {
        return Some(Arc::clone(bytes));
    }
    match go::build(program).unwrap_or_else(|why| panic!("{why}")) {
        go::Built::Yes(path) => {
            let bytes = Arc::new(fs::read(path).expect("the plugin was built"));
            built.insert(program.to_owned(), Arc::clone(&bytes));
            Some(bytes)
        }
        go::Built::NoGo => {
            println!("left out, for want of Go: {case}");
            None
        }
    }
}

/// Returns the probe of our own SDK as a program.
pub(crate) fn probe() -> Bytes {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| guests::build_native("tests/guests").unwrap_or_else(|why| panic!("{why}")));
    Arc::new(fs::read(folder.join("probe-native")).expect("the plugin was built"))
}
