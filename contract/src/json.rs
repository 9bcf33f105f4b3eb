//! JSON that is parsed to the digit, and as deep as a request may be.

use std::fmt;

use serde::Deserialize;

/// Arrays and objects inside one another, in a request, in an answer, and in what a plugin stores: Vault's default for
/// a listener's `max_json_depth`. Whoever parses it may recurse, and a sandbox's stack holds so many with room to
/// spare.
pub const DEPTH_MAX: usize = 500;

/// Why JSON was not parsed. It says where, and never what was there: serde_json's own errors quote it, and it may be a
/// secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseError {
    /// It is nested more than [`DEPTH_MAX`] deep.
    TooDeep,
    /// It is not JSON, or not of the type that was asked for.
    Malformed {
        /// The line, from 1 on.
        line: usize,
        /// The bytes of that line that had been read.
        column: usize,
    },
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep => write!(f, "JSON is nested more than {DEPTH_MAX} deep"),
            Self::Malformed { line, column } => write!(f, "malformed JSON at line {line}, column {column}"),
        }
    }
}

impl std::error::Error for ParseError {}

/// Parses JSON that is nested at most [`DEPTH_MAX`] deep. serde_json by itself stops at 127.
///
/// # Errors
///
/// [`ParseError::TooDeep`], before anything recurses, and [`ParseError::Malformed`] for what is not JSON or does not
/// fit the type.
pub fn parse<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, ParseError> {
    if is_deeper(json, DEPTH_MAX) {
        return Err(ParseError::TooDeep);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    deserializer.disable_recursion_limit();
    let parsed = T::deserialize(&mut deserializer).and_then(|parsed| deserializer.end().map(|()| parsed));
    parsed.map_err(|error| ParseError::Malformed { line: error.line(), column: error.column() })
}

/// Tells whether arrays and objects stand more than so deep inside one another. It recurses nowhere, and whether what
/// it sees is JSON is for others to say: brackets that close nothing are passed over.
pub fn is_deeper(json: &[u8], depth_max: usize) -> bool {
    let mut depth = 0_usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            // A text, whose brackets are none.
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn nested(deep: usize) -> String {
        format!("{}1{}", "[".repeat(deep), "]".repeat(deep))
    }

    #[test]
    fn as_deep_as_may_be_is_parsed_and_no_deeper() {
        assert!(parse::<Value>(nested(DEPTH_MAX).as_bytes()).is_ok());
        for deep in [DEPTH_MAX + 1, 1 << 20] {
            assert!(matches!(parse::<Value>(nested(deep).as_bytes()), Err(ParseError::TooDeep)));
            assert!(matches!(parse::<Value>("{\"a\":".repeat(deep).as_bytes()), Err(ParseError::TooDeep)));
        }
    }

    #[test]
    fn brackets_in_texts_and_brackets_too_many_are_not_counted() {
        for (json, deeper) in [
            (r#"{"a":"[[[[","b":"\"[[["}"#, false),
            (r#"["\\",[[1]]]"#, true),
            ("]]]][[1]]", false),
            ("[[[", true),
            ("\"[[[", false),
            ("\"\\", false),
            ("", false),
        ] {
            assert_eq!(is_deeper(json.as_bytes(), 2), deeper, "{json}");
        }
    }

    #[test]
    fn digits_stay_as_they_were_written() {
        let json = r#"{"a":18446744073709551616,"b":100000000000000.01,"c":1.10,"d":[-0.0,1e+400]}"#;
        assert_eq!(parse::<Value>(json.as_bytes()).unwrap().to_string(), json);
    }

    #[test]
    fn what_follows_a_document_is_refused() {
        assert_eq!(parse::<Value>(b"{} x"), Err(ParseError::Malformed { line: 1, column: 4 }));
        assert_eq!(parse::<Value>(b"{\n"), Err(ParseError::Malformed { line: 2, column: 0 }));
    }

    #[test]
    fn an_error_does_not_repeat_what_it_read() {
        let error = parse::<u8>(b"\"hunter2\"").unwrap_err();
        assert_eq!(error.to_string(), "malformed JSON at line 1, column 9");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
