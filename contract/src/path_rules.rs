//! Patterns of paths, as plugins declare those that need no token.

use std::sync::Arc;

/// Patterns in one list. Vault's own plugins have fewer than 20, and each costs a comparison with every request without
/// a token.
pub const PATTERNS_MAX: usize = 64;

/// The longest pattern, in bytes. The longest of Vault's own plugins has 60.
pub const PATTERN_BYTES_MAX: usize = 256;

/// Bytes of a pattern that is too long which the error repeats.
const SHOWN_BYTES_MAX: usize = 32;

/// A list of path patterns as plugins declare them: exact, with `*` as the last character for any rest, and with `+`
/// for one segment. Mounts share their plugin's: a clone costs nothing.
#[derive(Debug, Clone, Default)]
pub struct PathRules {
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

impl PathRules {
    /// Reads a plugin's patterns. A `*` anywhere but at the end, a `+` that does not fill its segment, or `+*` is an
    /// error, as in Vault; and so is more than may be kept.
    ///
    /// # Errors
    ///
    /// Which pattern is wrong, and why. What is long is not repeated.
    pub fn parse(patterns: &[String]) -> Result<Self, String> {
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
    pub fn matches(&self, path: &str) -> bool {
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

    /// What a pattern says, the slow way: every way to cut the path is tried.
    fn naive(pattern: &[char], path: &[char], at_start: bool) -> bool {
        match (pattern, path) {
            ([], []) => true,
            (['*'], _) => true,
            (['+', rest @ ..], _) if at_start => (1..=path.len())
                .filter(|length| !path[..*length].contains(&'/'))
                .any(|length| (rest.is_empty() || rest[0] == '/') && naive(rest, &path[length..], false)),
            ([wanted, rest @ ..], [found, after @ ..]) if wanted == found => naive(rest, after, *wanted == '/'),
            _ => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn a_pattern_matches_what_a_naive_matcher_matches(pattern in "[ab+/]{0,6}[*]?", path in "[ab/]{0,8}") {
            let Ok(rules) = PathRules::parse(std::slice::from_ref(&pattern)) else { return Ok(()) };
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = naive(&chars(&pattern), &chars(&path), true);
            proptest::prop_assert_eq!(rules.matches(&path), expected, "{} against {}", pattern, path);
        }
    }
}
