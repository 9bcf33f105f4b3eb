//! What storage keys look like, for wherever no host checks them: a test's double, and hosts with rules of their own.

use crate::StorageError;

/// The longest storage key, in bytes: what the contract says.
const KEY_BYTES_MAX: usize = 1_024;

/// Refuses malformed storage keys, in the host's own words.
pub(crate) fn check_key(key: &str) -> Result<(), StorageError> {
    let reason = if key.len() > KEY_BYTES_MAX {
        format!("it is longer than {KEY_BYTES_MAX} bytes")
    } else if key.split('/').any(|segment| segment == "..") {
        format!("{key:?} holds a '..' segment")
    } else if key.chars().any(char::is_control) {
        format!("{key:?} holds a control character")
    } else {
        return Ok(());
    };
    Err(StorageError::InvalidKey(reason))
}

/// Refuses malformed prefixes of a listing.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), StorageError> {
    if prefix.is_empty() || prefix.ends_with('/') {
        return check_key(prefix);
    }
    Err(StorageError::InvalidKey(format!("the prefix {prefix:?} does not end in '/'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_keys_are_refused() {
        for key in ["a/b", "", "/a", "a/", "a//b", "./a", "a..b", "..."] {
            assert_eq!(check_key(key), Ok(()), "{key:?}");
        }
        for key in ["..", "a/..", "../a", "/../a", "a\nb", "a\0", &"x".repeat(1_025)] {
            assert!(check_key(key).is_err(), "{key:?} was taken");
        }
        for prefix in ["", "/", "a/b/", "a//"] {
            assert_eq!(check_prefix(prefix), Ok(()), "{prefix:?}");
        }
        for prefix in ["a", "/a", "../"] {
            assert!(check_prefix(prefix).is_err(), "{prefix:?} was taken");
        }
    }
}
