//! What a plugin says of itself, checked: here, whatever it runs on, since what is kept of it is kept for as long as
//! the host lives.

use std::sync::Arc;

use crate::ident::{PluginKind, PluginVersion};

/// Patterns in one list. Vault's own plugins have fewer than 20, and each costs a comparison with every request without
/// a token.
const PATTERNS_MAX: usize = 64;

/// The longest pattern, in bytes. The longest of Vault's own plugins has 60.
const PATTERN_BYTES_MAX: usize = 256;

/// A plugin's help, in bytes: a paragraph for a person.
#[cfg(any(feature = "wasm", feature = "builtin"))]
const HELP_BYTES_MAX: usize = 64 << 10;

/// A plugin's OpenAPI document, in bytes. That of Vault's largest plugin has a fifth of it.
#[cfg(any(feature = "wasm", feature = "builtin"))]
const OPENAPI_BYTES_MAX: usize = 4 << 20;

/// Bytes of a pattern that is too long which the error repeats.
const SHOWN_BYTES_MAX: usize = 32;

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
    /// Whether it tells a write that creates from one that changes, and so is asked before each.
    pub(crate) tells_create: bool,
    /// `None` when the plugin reports none.
    pub(crate) version: Option<PluginVersion>,
    /// Paths that need no token.
    pub(crate) unauthenticated: PathRules,
}

/// A list of path patterns as plugins declare them: exact, with `*` as the last character for any rest, and with `+`
/// for one segment. Mounts share their plugin's: a clone costs nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct PathRules {
    rules: Arc<[PathRule]>,
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

impl Description {
    /// Checks the length of what a plugin says for people and for generators of clients.
    #[cfg(any(feature = "wasm", feature = "builtin"))]
    pub(crate) fn check_words(help: &str, openapi: &[u8]) -> Result<(), String> {
        for (what, bytes, max) in
            [("help", help.len(), HELP_BYTES_MAX), ("OpenAPI document", openapi.len(), OPENAPI_BYTES_MAX)]
        {
            if bytes > max {
                return Err(format!("its {what} has {bytes} bytes, and may have {max}"));
            }
        }
        Ok(())
    }
}

impl PathRules {
    /// Reads a plugin's patterns. A `*` anywhere but at the end, a `+` that does not fill its segment, or `+*` is an
    /// error, as in Vault; and so is more than may be kept.
    pub(crate) fn parse(patterns: &[String]) -> Result<Self, String> {
        if patterns.len() > PATTERNS_MAX {
            let found = patterns.len();
            return Err(format!(
                "it has {found} paths that need no token, and may have {PATTERNS_MAX}: join them with '+' and '*'"
            ));
        }
        let rules = patterns.iter().map(|pattern| parse_rule(pattern)).collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// Tells whether a path below the mount matches one of the patterns.
    pub(crate) fn matches(&self, path: &str) -> bool {
        self.rules.iter().any(|rule| rule.matches(path))
    }
}

fn parse_rule(pattern: &str) -> Result<PathRule, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        let start = &pattern[..pattern.floor_char_boundary(SHOWN_BYTES_MAX)];
        return Err(format!("the path that begins with {start:?} is longer than {PATTERN_BYTES_MAX} bytes"));
    }
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
    if tail == Tail::Prefix && segments.last().is_some_and(|segment| segment == "+") {
        return Err(format!(
            "path {pattern:?} ends in \"+*\", which matches more than it seems to: end it in '+' or in '*'"
        ));
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
                return segment.starts_with(wanted.as_str());
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
        for pattern in ["a*b", "a/*/b", "a+/b", "+a", "+*", "a/+*"] {
            assert!(PathRules::parse(&[pattern.to_owned()]).is_err(), "{pattern}");
        }
    }

    #[test]
    fn patterns_are_few_and_short_and_an_error_repeats_no_more_than_a_little() {
        let many = |count: usize| vec!["login".to_owned(); count];
        PathRules::parse(&many(PATTERNS_MAX)).expect("so many may be");
        let error = PathRules::parse(&many(PATTERNS_MAX + 1)).expect_err("one more may not");
        assert!(error.contains("has 65 paths") && error.contains("may have 64"), "{error}");

        PathRules::parse(&["é".repeat(PATTERN_BYTES_MAX / 2)]).expect("so long may one be");
        for bomb in
            ["/".repeat(8_000_000), "é".repeat(PATTERN_BYTES_MAX), format!("x{}", "é".repeat(PATTERN_BYTES_MAX))]
        {
            let error = PathRules::parse(&[bomb]).expect_err("longer it may not be");
            assert!(error.contains("longer than 256 bytes") && error.len() < 200, "{error}");
        }
    }

    #[test]
    fn mounts_share_the_rules_of_their_plugin() {
        let rules = PathRules::parse(&["login".to_owned()]).expect("the pattern is well formed");
        assert!(Arc::ptr_eq(&rules.rules, &rules.clone().rules));
    }
}
