//! Where a secret is.

use cofferdam_sdk::Error;

/// The longest path, in bytes: a storage key has 1,024, of which `2/versions/` and a version's number of up to 20
/// digits need 32. It holds for version 1 too, so that every secret can become a versioned one.
const PATH_BYTES_MAX: usize = 992;

/// Where the secrets of version 1 are.
pub(crate) const V1_PREFIX: &str = "1/";

/// A secret's path: neither empty nor a folder's, and short enough for every key that is made of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SecretPath(String);

impl SecretPath {
    /// Returns the path of what may be there, or `None` for a folder or nothing at all, where no secret ever is.
    pub(crate) fn find(path: &str) -> Result<Option<Self>, Error> {
        if path.is_empty() || path.ends_with('/') {
            return Ok(None);
        }
        if path.len() > PATH_BYTES_MAX {
            return Err(Error::InvalidRequest(format!("path is longer than {PATH_BYTES_MAX} bytes")));
        }
        Ok(Some(Self(path.to_owned())))
    }

    /// Returns the path to write to.
    pub(crate) fn require(path: &str) -> Result<Self, Error> {
        Self::find(path)?.ok_or_else(|| Error::InvalidRequest("missing path".into()))
    }

    /// Returns the storage key of version 1.
    pub(crate) fn v1_key(&self) -> String {
        format!("{V1_PREFIX}{}", self.0)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_a_path_of_its_own() {
        let found = |path: &str| SecretPath::find(path).map(|found| found.is_some());
        assert_eq!((found(""), found("a/"), found("a"), found("a/b c/é")), (Ok(false), Ok(false), Ok(true), Ok(true)));
        assert_eq!(found(&"x".repeat(992)), Ok(true));
        assert_eq!(found(&"x".repeat(993)), Err(Error::InvalidRequest("path is longer than 992 bytes".into())));
        assert_eq!(SecretPath::require(""), Err(Error::InvalidRequest("missing path".into())));
    }
}
