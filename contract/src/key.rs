//! Keys of stored values, relative to a mount.

/// The longest key, in bytes: what plugins are promised.
pub const BYTES_MAX: usize = 1_024;

/// Refuses a malformed key, or one that is longer than this many bytes. Empty segments and `.` are names like any
/// other, as in Vault.
///
/// # Errors
///
/// Says what is wrong with it. What is too long is not repeated.
pub fn check(key: &str, bytes_max: usize) -> Result<(), String> {
    check_length(key, bytes_max)?;
    if key.split('/').any(|segment| segment == "..") {
        return Err(format!("{key:?} holds a '..' segment"));
    }
    if key.chars().any(char::is_control) {
        return Err(format!("{key:?} holds a control character"));
    }
    Ok(())
}

/// Refuses a malformed prefix of a listing, which is empty or ends in a slash.
///
/// # Errors
///
/// Says what is wrong with it.
pub fn check_prefix(prefix: &str, bytes_max: usize) -> Result<(), String> {
    check_length(prefix, bytes_max)?;
    if !(prefix.is_empty() || prefix.ends_with('/')) {
        return Err(format!("the prefix {prefix:?} does not end in '/'"));
    }
    check(prefix, bytes_max)
}

/// Refuses a text that is longer than a key may be, before anything looks at it or repeats it.
///
/// # Errors
///
/// Says how long it may be.
pub fn check_length(text: &str, bytes_max: usize) -> Result<(), String> {
    if text.len() > bytes_max { Err(format!("it is longer than {bytes_max} bytes")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_keys_are_refused() {
        for key in ["a/b", "", "/a", "a/", "a//b", "./a", "a..b", "..."] {
            assert_eq!(check(key, BYTES_MAX), Ok(()), "{key:?}");
        }
        for key in ["..", "a/..", "../a", "/../a", "a\nb", "a\0", &"x".repeat(BYTES_MAX + 1)] {
            assert!(check(key, BYTES_MAX).is_err(), "{key:?} was taken");
        }
        for prefix in ["", "/", "a/b/", "a//"] {
            assert_eq!(check_prefix(prefix, BYTES_MAX), Ok(()), "{prefix:?}");
        }
        for prefix in ["a", "/a", "../"] {
            assert!(check_prefix(prefix, BYTES_MAX).is_err(), "{prefix:?} was taken");
        }
        let long = check_prefix(&"x".repeat(1 << 20), BYTES_MAX).unwrap_err();
        assert!(long.len() < 100, "{long}");
    }
}
