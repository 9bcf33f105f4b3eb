//! Which path a mount may have: some belong to the host itself, and those below `auth/` to auth methods alone.

use super::{Error, ErrorKind};
use crate::ident::{MountPath, PluginKind};

/// Paths that belong to the host itself: nothing can be mounted at or below them, moved there or away, or disabled.
/// Tokens are the host's own affair, though there are none yet that `auth/token/` could be asked for.
const PROTECTED: [&str; 5] = ["audit/", "auth/token/", "cubbyhole/", "identity/", "sys/"];

/// What auth methods are mounted below: itself it is no place for a mount.
pub(super) const AUTH: &str = "auth/";

/// Refuses a place that a new mount of this kind may not have.
pub(super) fn check_new(path: &MountPath, kind: PluginKind) -> Result<(), Error> {
    if is_protected(path) || (kind, path.kind()) == (PluginKind::Secret, PluginKind::Auth) {
        return Err(refusal(ErrorKind::Denied, "mount", path));
    }
    if kind != path.kind() {
        let text = format!("cannot mount an auth method at {:?}: its path begins with {AUTH:?}", path.as_str());
        return Err(Error::new(ErrorKind::InvalidRequest, text));
    }
    Ok(())
}

/// Refuses to do something with a mount of the host's own.
pub(super) fn check_existing(path: &MountPath, verb: &str) -> Result<(), Error> {
    if is_protected(path) { Err(refusal(ErrorKind::InvalidRequest, verb, path)) } else { Ok(()) }
}

/// Refuses a move that would take a mount out of the host's own places, into them, or to those of another kind.
pub(super) fn check_move(from: &MountPath, to: &MountPath) -> Result<(), Error> {
    check_existing(from, "remount")?;
    check_existing(to, "remount to")?;
    match (from.kind(), to.kind()) {
        (PluginKind::Auth, PluginKind::Secret) => {
            let text = format!("cannot remount auth mount to non-auth mount {:?}", to.as_str());
            Err(Error::new(ErrorKind::InvalidRequest, text))
        }
        (PluginKind::Secret, PluginKind::Auth) => Err(refusal(ErrorKind::InvalidRequest, "remount to", to)),
        (PluginKind::Auth, PluginKind::Auth) | (PluginKind::Secret, PluginKind::Secret) => Ok(()),
    }
}

fn is_protected(path: &MountPath) -> bool {
    path.as_str() == AUTH || PROTECTED.iter().any(|protected| path.as_str().starts_with(protected))
}

fn refusal(kind: ErrorKind, verb: &str, path: &MountPath) -> Error {
    Error::new(kind, format!("cannot {verb} {:?}", path.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(typed: &str) -> MountPath {
        typed.parse().expect("the path is well formed")
    }

    #[track_caller]
    fn check(outcome: Result<(), Error>, refused: Option<(ErrorKind, &str)>) {
        let outcome = outcome.err().map(|error| (error.kind(), error.message().to_owned()));
        assert_eq!(outcome, refused.map(|(kind, text)| (kind, text.to_owned())));
    }

    #[test]
    fn each_kind_has_its_places() {
        use ErrorKind::{Denied, InvalidRequest};
        use PluginKind::{Auth, Secret};
        for (kind, typed, refused) in [
            (Secret, "kv", None),
            (Secret, "authors", None),
            (Secret, "auth", Some((Denied, "cannot mount \"auth/\""))),
            (Secret, "auth/kv", Some((Denied, "cannot mount \"auth/kv/\""))),
            (Secret, "sys/kv", Some((Denied, "cannot mount \"sys/kv/\""))),
            (Auth, "auth/userpass", None),
            (Auth, "auth/team/userpass", None),
            (Auth, "auth/tokens", None),
            (Auth, "auth/auth", None),
            (Auth, "auth", Some((Denied, "cannot mount \"auth/\""))),
            (Auth, "auth/token", Some((Denied, "cannot mount \"auth/token/\""))),
            (Auth, "auth/token/a", Some((Denied, "cannot mount \"auth/token/a/\""))),
            (Auth, "sys", Some((Denied, "cannot mount \"sys/\""))),
            (
                Auth,
                "userpass",
                Some((InvalidRequest, "cannot mount an auth method at \"userpass/\": its path begins with \"auth/\"")),
            ),
        ] {
            check(check_new(&path(typed), kind), refused);
        }
    }

    #[test]
    fn moves_stay_within_a_kind() {
        for (from, to, refused) in [
            ("a", "b", None),
            ("auth/a", "auth/b/c", None),
            ("auth/a", "b", Some("cannot remount auth mount to non-auth mount \"b/\"")),
            ("a", "auth/b", Some("cannot remount to \"auth/b/\"")),
            ("auth/token", "auth/b", Some("cannot remount \"auth/token/\"")),
            ("auth/a", "auth/token/b", Some("cannot remount to \"auth/token/b/\"")),
            ("auth", "b", Some("cannot remount \"auth/\"")),
            ("a", "sys/b", Some("cannot remount to \"sys/b/\"")),
        ] {
            check(check_move(&path(from), &path(to)), refused.map(|text| (ErrorKind::InvalidRequest, text)));
        }
    }
}
