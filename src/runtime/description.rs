//! What a plugin says of itself, checked.

use crate::ident::{PluginKind, PluginVersion};

/// Whether one mount's requests may be spread over several instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// One instance at a time answers for a mount.
    One,
    /// Several may.
    Many,
}

/// A plugin's description of itself.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    pub(crate) kind: PluginKind,
    pub(crate) spread: Spread,
    /// `None` when the plugin reports none.
    pub(crate) version: Option<PluginVersion>,
    /// Paths that need no token.
    pub(crate) unauthenticated: PathRules,
}

/// A list of path patterns as plugins declare them: exact, with `*` as the last character for any rest, and with `+` for one
/// segment.
#[derive(Debug, Clone, Default)]
pub(crate) struct PathRules {
    rules: Vec<PathRule>,
}

#[derive(Debug, Clone)]
struct PathRule {
    segments: Vec<String>,
    tail: Tail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// The last segment must be equal.
    Exact,
    /// The last segment must begin so, and anything may follow.
    Prefix,
}

impl PathRules {
    /// Reads a plugin's patterns. A `*` anywhere but at the end, or a `+` that does not fill its segment, is an error, as in
    /// Vault.
    pub(crate) fn parse(patterns: &[String]) -> Result<Self, String> {
        let rules = patterns.iter().map(|pattern| parse_rule(pattern)).collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// Tells whether a path below the mount matches one of the patterns.
    pub(crate) fn matches(&self, path: &str) -> bool {
        self.rules.iter().any(|rule| rule.matches(path))
    }
}

fn parse_rule(pattern: &str) -> Result<PathRule, String> {
    let (body, tail) = match pattern.strip_suffix('*') {
        Some(body) => (body, Tail::Prefix),
        None => (pattern, Tail::Exact),
    };
    if body.contains('*') {
        return Err(format!("path {pattern:?} has a '*' that is not its last character"));
    }
    let segments: Vec<String> = body.split('/').map(str::to_owned).collect();
    if segments.iter().any(|segment| segment.contains('+') && segment != "+") {
        return Err(format!("path {pattern:?} has a '+' that does not fill its segment"));
    }
    Ok(PathRule { segments, tail })
}

impl PathRule {
    fn matches(&self, path: &str) -> bool {
        let mut rest = Some(path);
        for (at, wanted) in self.segments.iter().enumerate() {
            let Some(remaining) = rest else { return false };
            let (segment, next) = match remaining.split_once('/') {
                Some((segment, next)) => (segment, Some(next)),
                None => (remaining, None),
            };
            let last = at + 1 == self.segments.len();
            if last && self.tail == Tail::Prefix {
                return wanted == "+" || segment.starts_with(wanted.as_str());
            }
            if wanted == "+" && segment.is_empty() || wanted != "+" && wanted != segment {
                return false;
            }
            rest = next;
        }
        rest.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_vault_matches_them() {
        let cases = [
            ("login", "login", true),
            ("login", "login/ada", false),
            ("login/*", "login/ada", true),
            ("login/*", "login/ada/b", true),
            ("login/*", "login", false),
            ("log*", "login", true),
            ("log*", "login/ada", true),
            ("log*", "xlogin", false),
            ("role/+/login", "role/a/login", true),
            ("role/+/login", "role/a/b/login", false),
            ("role/+/login", "role//login", false),
            ("*", "", true),
            ("*", "a/b", true),
            ("a/b", "a", false),
        ];
        for (pattern, path, expected) in cases {
            let rules = PathRules::parse(&[pattern.to_owned()]).expect("the pattern is well formed");
            assert_eq!(rules.matches(path), expected, "{pattern} against {path}");
        }
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for pattern in ["a*b", "a/*/b", "a+/b", "+a"] {
            assert!(PathRules::parse(&[pattern.to_owned()]).is_err(), "{pattern}");
        }
    }
}
