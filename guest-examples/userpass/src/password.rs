//! Passwords: what is stored of them, and whether one is right.

use std::str::FromStr;

use bcrypt::HashParts;
use cofferdam_sdk::Error;

/// How much work a hash is: Vault's.
const COST: u32 = 10;

/// Costs that a hash made elsewhere may have: from bcrypt's own minimum to what a login may take, some seconds.
const COSTS_TAKEN: std::ops::RangeInclusive<u32> = 4..=15;

/// bcrypt looks at no more than this.
const BYTES_MAX: usize = 72;

/// The hash of a password that nobody has, at the cost that others have, for users that are not there.
const NOBODYS_HASH: &str = "$2b$10$5TiPdYgszvDjqCKg.VTeHu9E1MMqGG6cjApUnRwOa7h2rlcvFrkOK";

/// Hashes a password.
pub(crate) fn hash(password: &str) -> Result<String, Error> {
    if password.is_empty() {
        return Err(missing());
    }
    if password.len() > BYTES_MAX {
        return Err(Error::InvalidRequest(format!("password is longer than {BYTES_MAX} bytes")));
    }
    bcrypt::hash(password, COST).map_err(|_| Error::Internal("the password cannot be hashed".into()))
}

/// Takes a hash that was made elsewhere.
pub(crate) fn check_hash(hash: String) -> Result<String, Error> {
    let invalid = |text: String| Error::InvalidRequest(text);
    // `$2x$` marks hashes of an old mistake, which would be taken for right ones and never match.
    let parts = HashParts::from_str(&hash).ok().filter(|_| !hash.starts_with("$2x$"));
    let parts = parts.ok_or_else(|| invalid("password_hash is not a bcrypt hash".into()))?;
    if !COSTS_TAKEN.contains(&parts.get_cost()) {
        let (least, most) = (COSTS_TAKEN.start(), COSTS_TAKEN.end());
        return Err(invalid(format!("password_hash has a cost outside {least} to {most}")));
    }
    Ok(hash)
}

/// Tells whether a password is the one of this hash. Without a hash it is not, and that takes as long to say.
pub(crate) fn is_right(password: &str, hash: Option<&str>) -> bool {
    let matches = bcrypt::verify(password, hash.unwrap_or(NOBODYS_HASH)).unwrap_or(false);
    matches && hash.is_some()
}

pub(crate) fn missing() -> Error {
    Error::InvalidRequest("missing password".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_right_for_its_own_hash() {
        let hashed = hash("hush").unwrap();
        assert!(hashed.starts_with("$2b$10$"), "the cost is Vault's");
        assert!(is_right("hush", Some(&hashed)));
        for (password, hash) in [
            ("hush!", Some(hashed.as_str())),
            ("", Some(&hashed)),
            ("hush", None),
            ("hush", Some("")),
            ("hush", Some("$2b$")),
        ] {
            assert!(!is_right(password, hash), "{password}");
        }
    }

    #[test]
    fn nobodys_hash_takes_as_much_work() {
        let parts = HashParts::from_str(NOBODYS_HASH).unwrap();
        assert_eq!(parts.get_cost(), COST);
        assert!(!is_right("hush", None));
    }

    #[test]
    fn what_bcrypt_would_cut_off_is_refused() {
        assert!(hash(&"x".repeat(72)).is_ok());
        let too_long = Err(Error::InvalidRequest("password is longer than 72 bytes".into()));
        assert_eq!(hash(&"x".repeat(73)), too_long);
        assert_eq!(hash(&"é".repeat(37)), too_long);
        assert_eq!(hash(""), Err(missing()));
    }

    #[test]
    fn only_hashes_of_bcrypt_are_taken() {
        for (version, taken) in [
            ("$2a$04", true),
            ("$2y$15", true),
            ("$2x$10", false),
            ("$2b$16", false),
            ("$2b$03", false),
            ("$1$", false),
        ] {
            let hash = format!("{version}{}", &NOBODYS_HASH[6..]);
            assert_eq!(check_hash(hash.clone()).is_ok(), taken, "{hash}");
        }
        let refused = check_hash("hunter2".into()).unwrap_err();
        assert_eq!(refused, Error::InvalidRequest("password_hash is not a bcrypt hash".into()));
    }
}
