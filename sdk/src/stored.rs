//! The words in which storage is asked, and in which it refuses.

use std::fmt;

#[cfg(not(target_family = "wasm"))]
use cofferdam_contract::key;

/// Why storage did not do what was asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StorageError {
    /// Writes are refused during `setup` and in a read-only transaction.
    ReadOnly,
    /// The value is larger than this many bytes.
    TooLarge(u64),
    /// The mount holds as much as it may: this many bytes.
    Full(u64),
    /// The key is malformed; says why.
    InvalidKey(String),
    /// Somebody else changed what this transaction read or wrote. Start again, or let
    /// [`Context::transact`](crate::Context::transact) do so.
    Conflict,
    /// The storage does not answer.
    Unavailable(String),
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::ReadOnly => f.write_str("storage is read-only here"),
            Self::TooLarge(limit) => write!(f, "value is larger than {limit} bytes"),
            Self::Full(limit) => write!(f, "storage of this mount is full at {limit} bytes"),
            Self::InvalidKey(reason) => write!(f, "invalid storage key: {reason}"),
            Self::Conflict => f.write_str("storage was changed by another request"),
            Self::Unavailable(reason) => write!(f, "storage is unavailable: {reason}"),
        }
    }
}

impl std::error::Error for StorageError {}

/// Whether a value gets the seal's layer of encryption too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wrap {
    /// The host's own encryption and no more.
    Plain,
    /// The seal's as well.
    Seal,
}

/// Which part of a listing is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Empty, or ends in `/`.
    pub prefix: &'a str,
    /// The child to start behind.
    pub after: Option<&'a str>,
    /// 0 means as many as the host allows.
    pub limit: u32,
}

/// Refuses malformed keys, in the host's own words: where no host checks them, or one with rules of its own.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn check_key(key: &str) -> Result<(), StorageError> {
    key::check(key, key::BYTES_MAX).map_err(StorageError::InvalidKey)
}

/// Refuses malformed prefixes of a listing.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn check_prefix(prefix: &str) -> Result<(), StorageError> {
    key::check_prefix(prefix, key::BYTES_MAX).map_err(StorageError::InvalidKey)
}
