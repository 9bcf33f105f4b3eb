//! Why a host's storage did not do what a plugin asked: the `err` of its replies.
//!
//! The protocol has a text there and no kinds. This host writes texts that can be read back; those of Vault and OpenBao
//! are known by their words.

use std::fmt;

/// What the storage said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageError {
    /// Nothing may be written here.
    ReadOnly,
    /// Somebody else changed what the transaction read or wrote.
    Conflict,
    /// The value, or what the transaction holds with it, is larger than this many bytes.
    TooLarge(u64),
    /// The mount holds as much as it may: this many bytes.
    Full(u64),
    /// The key is malformed; says why.
    InvalidKey(String),
    /// Anything else.
    Unavailable(String),
}

/// What comes before the detail, in texts that have one.
const TOO_LARGE: &str = "too large: ";
const FULL: &str = "full: ";
const INVALID_KEY: &str = "invalid key: ";
const UNAVAILABLE: &str = "unavailable: ";

/// Words of Vault's and OpenBao's own errors. They come wrapped in others, so they are looked for anywhere.
const READ_ONLY_WORDS: [&str; 3] =
    ["cannot write to storage during setup", "cannot write to readonly storage", "transaction is read-only"];
const CONFLICT_WORDS: &str = "transaction commit failed";
const TOO_LARGE_WORDS: &str = "value being too large";
const TOO_LARGE_LIMIT: &str = "max: ";
const INVALID_KEY_WORDS: [&str; 2] = ["relative paths not supported", "key cannot be empty"];

/// The text, as a host writes it.
impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadOnly => f.write_str("read-only"),
            Self::Conflict => f.write_str("conflict"),
            Self::TooLarge(limit) => write!(f, "{TOO_LARGE}{limit}"),
            Self::Full(limit) => write!(f, "{FULL}{limit}"),
            Self::InvalidKey(why) => write!(f, "{INVALID_KEY}{why}"),
            Self::Unavailable(why) => write!(f, "{UNAVAILABLE}{why}"),
        }
    }
}

impl StorageError {
    /// Reads the `err` of a reply, which is empty where nothing is wrong.
    pub fn check(text: &str) -> Result<(), Self> {
        if text.is_empty() { Ok(()) } else { Err(Self::parse(text)) }
    }

    /// Reads a text. One that nobody knows is [`Unavailable`](Self::Unavailable) in its own words.
    pub fn parse(text: &str) -> Self {
        match text {
            "read-only" => return Self::ReadOnly,
            "conflict" => return Self::Conflict,
            _ => {}
        }
        if let Some(limit) = text.strip_prefix(TOO_LARGE).and_then(|limit| limit.parse().ok()) {
            return Self::TooLarge(limit);
        }
        if let Some(limit) = text.strip_prefix(FULL).and_then(|limit| limit.parse().ok()) {
            return Self::Full(limit);
        }
        if let Some(why) = text.strip_prefix(INVALID_KEY) {
            return Self::InvalidKey(why.to_owned());
        }
        if let Some(why) = text.strip_prefix(UNAVAILABLE) {
            return Self::Unavailable(why.to_owned());
        }
        Self::parse_others(text)
    }

    fn parse_others(text: &str) -> Self {
        let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
        if says(&READ_ONLY_WORDS) {
            Self::ReadOnly
        } else if says(&[CONFLICT_WORDS]) {
            Self::Conflict
        } else if says(&[TOO_LARGE_WORDS]) {
            // Raft says how large a value may be, others do not.
            let limit = text.split_once(TOO_LARGE_LIMIT).map(|(_, rest)| rest);
            let digits = limit.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
            Self::TooLarge(digits.and_then(|digits| digits.parse().ok()).unwrap_or(0))
        } else if says(&INVALID_KEY_WORDS) {
            Self::InvalidKey(text.to_owned())
        } else {
            Self::Unavailable(text.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::StorageError::{Conflict, Full, InvalidKey, ReadOnly, TooLarge, Unavailable};
    use super::*;

    #[test]
    fn each_error_is_read_back() {
        let errors = [
            ReadOnly,
            Conflict,
            TooLarge(7),
            Full(8),
            InvalidKey("\"a//b\" holds an empty segment".into()),
            Unavailable("the disk is gone".into()),
        ];
        for error in errors {
            assert_eq!(StorageError::parse(&error.to_string()), error);
            assert_eq!(StorageError::check(&error.to_string()), Err(error));
        }
        assert_eq!(StorageError::check(""), Ok(()));
    }

    #[test]
    fn other_servers_are_understood() {
        let rows = [
            ("cannot write to storage during setup", ReadOnly),
            ("cannot write to readonly storage", ReadOnly),
            ("put failed: transaction is read-only", ReadOnly),
            ("[3] gets had different structure: transaction commit failed", Conflict),
            ("put failed due to value being too large; got 2 bytes, max: 1048576 bytes", TooLarge(1_048_576)),
            ("put failed due to value being too large", TooLarge(0)),
            ("relative paths not supported", InvalidKey("relative paths not supported".into())),
            ("too large: very", Unavailable("too large: very".into())),
            ("Vault is sealed", Unavailable("Vault is sealed".into())),
        ];
        for (text, expected) in rows {
            assert_eq!(StorageError::parse(text), expected, "{text}");
        }
    }
}
