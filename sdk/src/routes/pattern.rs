//! Patterns of paths: literal segments, one-segment captures, and a capture of the rest.

/// Field names and what a path holds in their place.
pub(super) type Captures = Vec<(String, String)>;

/// A parsed pattern.
pub(super) struct Pattern {
    text: String,
    segments: Vec<Segment>,
}

enum Segment {
    Literal(String),
    /// `{name}`: one segment, not empty.
    One(String),
    /// `{name..}`: all that is left, slashes and all. Only as the last.
    Rest(String),
}

impl Pattern {
    /// Parses a pattern; see [`Route::new`](super::Route::new) for the syntax and the panics.
    pub(super) fn new(text: &str) -> Self {
        let segments: Vec<Segment> =
            if text.is_empty() { Vec::new() } else { text.split('/').map(|part| Segment::new(part, text)).collect() };
        let pattern = Self { text: text.into(), segments };
        let (_, but_last) = pattern.segments.split_last().unzip();
        let but_last: &[Segment] = but_last.unwrap_or_default();
        let misplaced = but_last.iter().any(|segment| matches!(segment, Segment::Rest(_)));
        assert!(!misplaced, "route pattern {text:?} goes on after its rest");
        let twice = pattern.captures().any(|name| pattern.captures().filter(|other| *other == name).count() > 1);
        assert!(!twice, "route pattern {text:?} names a field twice");
        pattern
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the names of the captured fields.
    pub(super) fn captures(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::One(name) | Segment::Rest(name) => Some(name.as_str()),
        })
    }

    /// Returns what a path captures, if it fits.
    pub(super) fn matches(&self, path: &str) -> Option<Captures> {
        let mut captures = Vec::new();
        let mut left = Some(path);
        for segment in &self.segments {
            let here = left?;
            if let Segment::Rest(name) = segment {
                captures.push((name.clone(), here.into()));
                return Some(captures);
            }
            let (part, behind) = match here.split_once('/') {
                Some((part, behind)) => (part, Some(behind)),
                None => (here, None),
            };
            match segment {
                Segment::Literal(literal) if literal == part => {}
                Segment::One(name) if !part.is_empty() => captures.push((name.clone(), part.into())),
                _ => return None,
            }
            left = behind;
        }
        // Empty is what a trailing slash leaves, and what a path is that no segment looked at.
        matches!(left, None | Some("")).then_some(captures)
    }

    /// Writes the pattern as OpenAPI does, which has no word for "the rest".
    pub(super) fn openapi_path(&self) -> String {
        self.text.replace("..}", "}")
    }
}

impl Segment {
    fn new(part: &str, pattern: &str) -> Self {
        let Some(inner) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            let literal = !part.is_empty() && !part.contains(['{', '}']);
            assert!(literal, "route pattern {pattern:?} has the malformed segment {part:?}");
            return Self::Literal(part.into());
        };
        let (name, make): (&str, fn(String) -> Self) = match inner.strip_suffix("..") {
            Some(name) => (name, Self::Rest),
            None => (inner, Self::One),
        };
        let word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        assert!(word, "route pattern {pattern:?} has the malformed field name {name:?}");
        make(name.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_what_it_says() {
        type Row = (&'static str, &'static str, Option<&'static [(&'static str, &'static str)]>);
        let rows: &[Row] = &[
            ("config", "config", Some(&[])),
            ("config", "config/", Some(&[])),
            ("config", "config/a", None),
            ("config", "configs", None),
            ("config", "", None),
            ("", "", Some(&[])),
            ("", "a", None),
            ("creds/{name}", "creds/db", Some(&[("name", "db")])),
            ("creds/{name}", "creds/db/", Some(&[("name", "db")])),
            ("creds/{name}", "creds/", None),
            ("creds/{name}", "creds", None),
            ("creds/{name}", "creds/db/x", None),
            ("roles/{role}/id/{id}", "roles/r/id/i", Some(&[("role", "r"), ("id", "i")])),
            ("{path..}", "", Some(&[("path", "")])),
            ("{path..}", "a/b/", Some(&[("path", "a/b/")])),
            ("data/{path..}", "data/a/b", Some(&[("path", "a/b")])),
            ("data/{path..}", "data/", Some(&[("path", "")])),
            ("data/{path..}", "data", None),
        ];
        for (pattern, path, expected) in rows {
            let expected = expected.map(|pairs| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect());
            assert_eq!(Pattern::new(pattern).matches(path), expected, "{pattern} on {path:?}");
        }
    }

    #[test]
    fn a_malformed_pattern_is_refused_when_it_is_built() {
        for pattern in ["/a", "a//b", "a/", "{}", "{a b}", "x{a}", "{a..}/b", "{a}/{a}", "{..}"] {
            assert!(std::panic::catch_unwind(|| Pattern::new(pattern)).is_err(), "{pattern:?} was taken");
        }
    }
}
