//! What storage keys look like, for wherever no host checks them: a test's double, and hosts with rules of their own.

use crate::StorageError;

/// The longest storage key, in bytes: what the contract says.
const KEY_BYTES_MAX: usize = 1_024;

/// Refuses malformed storage keys.
pub(crate) fn check_key(key: &str) -> Result<(), StorageError> {
    check_segments(key, key)
}

/// Refuses malformed prefixes of a listing.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), StorageError> {
    match prefix.strip_suffix('/') {
        Some(folder) => check_segments(prefix, folder),
        None if prefix.is_empty() => Ok(()),
        None => Err(StorageError::InvalidKey(format!("the prefix {prefix:?} does not end in '/'"))),
    }
}

/// In the host's own words.
fn check_segments(shown: &str, key: &str) -> Result<(), StorageError> {
    let reason = if shown.len() > KEY_BYTES_MAX {
        format!("it is longer than {KEY_BYTES_MAX} bytes")
    } else if key.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        format!("{shown:?} holds an empty, '.' or '..' segment")
    } else if key.chars().any(char::is_control) {
        format!("{shown:?} holds a control character")
    } else {
        return Ok(());
    };
    Err(StorageError::InvalidKey(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_keys_are_refused() {
        assert_eq!(check_key("a/b"), Ok(()));
        for key in ["", "/a", "a/", "a//b", "./a", "a/..", "a\nb", &"x".repeat(1_025)] {
            assert!(check_key(key).is_err(), "{key:?} was taken");
        }
        assert_eq!(check_prefix(""), Ok(()));
        assert_eq!(check_prefix("a/b/"), Ok(()));
        assert!(check_prefix("a").is_err() && check_prefix("/").is_err());
    }
}
