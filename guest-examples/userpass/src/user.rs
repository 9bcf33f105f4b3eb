//! Users: what they are called, and what is stored of them.

use cofferdam_sdk::{Call, Error, Storage};
use serde::{Deserialize, Serialize};

use crate::token::TokenParameters;

/// Where users are.
pub(crate) const PREFIX: &str = "user/";

/// What is stored of a user. It has no `Debug`: a hash is not to be seen.
#[derive(Clone, Default, Deserialize, Serialize)]
pub(crate) struct User {
    pub(crate) password_hash: String,
    pub(crate) token: TokenParameters,
    pub(crate) given_as: Deprecated,
}

/// What was set under a name of before Vault 1.2. It is shown under that name too, until it is set under the newer one.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Deprecated {
    pub(crate) policies: Vec<String>,
    pub(crate) ttl: u64,
    pub(crate) max_ttl: u64,
    pub(crate) bound_cidrs: Vec<String>,
}

/// A user's name, in lower case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct UserName(String);

impl UserName {
    /// Returns the name in a request's path. Where it cannot be one there is no such path, as in Vault.
    pub(crate) fn of(call: &Call) -> Result<Self, Error> {
        let name: String = call.field("username")?;
        Self::parse(&name).ok_or(Error::UnsupportedPath)
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        let is_word = |c: &u8| c.is_ascii_alphanumeric() || *c == b'_';
        let bytes = name.as_bytes();
        let ends = bytes.first().is_some_and(is_word) && bytes.last().is_some_and(is_word);
        let fits = ends && bytes.iter().all(|c| is_word(c) || matches!(c, b'-' | b'.'));
        fits.then(|| Self(name.to_ascii_lowercase()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn key(&self) -> String {
        format!("{PREFIX}{}", self.0)
    }
}

impl User {
    pub(crate) fn get(storage: &impl Storage, name: &UserName) -> Result<Option<Self>, Error> {
        storage.get_json(&name.key())
    }

    pub(crate) fn put(&self, storage: &impl Storage, name: &UserName) -> Result<(), Error> {
        Ok(storage.put_seal_wrapped(&name.key(), &serde_json::to_vec(self)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_vault_takes_for_one() {
        for (name, expected) in [
            ("ada", Some("ada")),
            ("Ada.Lovelace-1815_", Some("ada.lovelace-1815_")),
            ("a", Some("a")),
            ("_", Some("_")),
            ("", None),
            ("-a", None),
            ("a-", None),
            (".a", None),
            ("a.", None),
            ("a b", None),
            ("a@b", None),
            ("é", None),
        ] {
            assert_eq!(UserName::parse(name).as_ref().map(UserName::as_str), expected, "{name:?}");
        }
    }
}
