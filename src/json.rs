//! What is looked at in JSON of clients and plugins before anybody else parses it: that it is JSON, and that it holds
//! no more than it may.
//!
//! Nothing is kept of what it holds, and nothing here recurses.

use serde::Serialize;
use serde_json::value::RawValue;

/// Arrays and objects inside one another, in a request and in an answer: what plugins are promised, and parse.
const JSON_DEPTH_MAX: usize = cofferdam_contract::json::DEPTH_MAX;

/// Members of one object, and elements of one array: Vault's defaults for both.
const JSON_CHILDREN_MAX: usize = 10_000;

/// The longest text in a body, in bytes: Vault's 1 MiB, in base64. The largest value that is stored comes so.
const JSON_TEXT_BYTES_MAX: usize = (1_usize << 20).div_ceil(3) * 4;

/// Values and names in one body. Parsed, each may take some hundred bytes, however short it was.
const JSON_TOKENS_MAX: usize = 100_000;

/// What JSON in a request body may hold, whoever parses it: Vault's settings of a listener, and one that counts
/// everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonLimits {
    /// Arrays and objects inside one another: Vault's `max_json_depth`.
    pub depth_max: usize,
    /// Members of one object: Vault's `max_json_object_entry_count`.
    pub members_max: usize,
    /// Elements of one array: Vault's `max_json_array_element_count`.
    pub elements_max: usize,
    /// The longest text, in bytes: Vault's `max_json_string_value_length`.
    pub text_bytes_max: usize,
    /// Values and names together: `max_json_token_count`.
    pub tokens_max: usize,
}

impl JsonLimits {
    /// Returns the smallest of the limits, each of which counts things of a byte at least.
    fn smallest(&self) -> usize {
        let Self { depth_max, members_max, elements_max, text_bytes_max, tokens_max } = *self;
        [depth_max, members_max, elements_max, text_bytes_max, tokens_max].into_iter().min().unwrap_or_default()
    }

    /// What an answer of a plugin may hold: as much as it likes, but no deeper than a request.
    pub(crate) fn of_answers() -> Self {
        Self {
            depth_max: JSON_DEPTH_MAX,
            members_max: usize::MAX,
            elements_max: usize::MAX,
            text_bytes_max: usize::MAX,
            tokens_max: usize::MAX,
        }
    }
}

impl Default for JsonLimits {
    fn default() -> Self {
        Self {
            depth_max: JSON_DEPTH_MAX,
            members_max: JSON_CHILDREN_MAX,
            elements_max: JSON_CHILDREN_MAX,
            text_bytes_max: JSON_TEXT_BYTES_MAX,
            tokens_max: JSON_TOKENS_MAX,
        }
    }
}

/// Returns the JSON object in these bytes without white space around it, or why it is none.
pub(crate) fn object(bytes: &[u8]) -> Result<&str, String> {
    let value: &RawValue = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let object = value.get();
    if object.starts_with('{') { Ok(object) } else { Err("expected an object at line 1 column 1".to_owned()) }
}

/// Returns a value as JSON on a line of its own.
pub(crate) fn line(value: &impl Serialize) -> Vec<u8> {
    let mut json =
        serde_json::to_vec(value).expect("numbers, texts and maps with text keys always serialise into a vector");
    json.push(b'\n');
    json
}

/// What stands open at some place.
#[derive(Clone, Copy)]
struct Open {
    is_object: bool,
    commas: usize,
}

/// Checks JSON against the limits in one pass, and says what is too much. Whether it is well formed is for others to
/// say.
pub(crate) fn check(json: &[u8], limits: &JsonLimits) -> Result<(), String> {
    // Each limit takes a byte for each thing that it counts, and a text at least its own length.
    if json.len() <= limits.smallest() {
        return Ok(());
    }
    let JsonLimits { depth_max, members_max, elements_max, text_bytes_max, tokens_max } = *limits;
    let mut open: Vec<Open> = Vec::new();
    let mut tokens = 0_usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match *byte {
            b'{' | b'[' => {
                if open.len() == depth_max {
                    return Err(format!("it is nested more than {depth_max} deep"));
                }
                open.push(Open { is_object: *byte == b'{', commas: 0 });
            }
            b'}' | b']' => drop(open.pop()),
            b',' => {
                let Some(innermost) = open.last_mut() else { continue };
                innermost.commas += 1;
                let (what, max) = if innermost.is_object {
                    ("an object has more than MAX members", members_max)
                } else {
                    ("an array has more than MAX elements", elements_max)
                };
                if innermost.commas >= max {
                    return Err(what.replace("MAX", &max.to_string()));
                }
            }
            b'"' if text_bytes(&mut bytes) > text_bytes_max => {
                return Err(format!("a text has more than {text_bytes_max} bytes"));
            }
            _ => {}
        }
        // In front of each value and behind each name stands one of these.
        if matches!(byte, b'{' | b'[' | b',' | b':') {
            tokens += 1;
            if tokens > tokens_max {
                return Err(format!("it holds more than {tokens_max} values and names"));
            }
        }
    }
    Ok(())
}

/// Skips the rest of a text, its closing quotation mark included, and returns how many bytes it stands for.
fn text_bytes(bytes: &mut std::slice::Iter<'_, u8>) -> usize {
    /// Digits of an escaped code point, and the most bytes of UTF-8 that one stands for.
    const ESCAPED: (usize, usize) = (4, 3);
    let mut length = 0;
    while let Some(byte) = bytes.next() {
        length += 1;
        match *byte {
            b'"' => return length - 1,
            b'\\' if bytes.next() == Some(&b'u') => {
                let _ = bytes.nth(ESCAPED.0 - 1);
                length += ESCAPED.1 - 1;
            }
            _ => {}
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> JsonLimits {
        JsonLimits { depth_max: 4, members_max: 3, elements_max: 2, text_bytes_max: 5, tokens_max: 12 }
    }

    #[test]
    fn every_limit_holds_and_nothing_below_it_is_refused() {
        for (json, because) in [
            (r#"{"a":1,"b":2,"c":3}"#, None),
            (r#"{"a":1,"b":2,"c":3,"d":4}"#, Some("an object has more than 3 members")),
            (r#"{"a":[1,2]}"#, None),
            (r#"{"a":[1,2,3]}"#, Some("an array has more than 2 elements")),
            (r#"{"a":[[[]]]}"#, None),
            (r#"{"a":[[[[]]]]}"#, Some("nested more than 4 deep")),
            (r#"{"a":"12345"}"#, None),
            (r#"{"a":"123456"}"#, Some("a text has more than 5 bytes")),
            (r#"{"123456":1}"#, Some("a text has more than 5 bytes")),
            (r#"{"a":"\n\n\n\"\\"}"#, None),
            (r#"{"a":"\u00e9ab"}"#, None),
            (r#"{"a":",[{,]","b":"{{{{{"}"#, None),
            (r#"{"a":[[],[]],"b":[[],[]]}"#, None),
            (r#"{"a":[[],[]],"b":[[],[]],"c":1}"#, Some("more than 12 values and names")),
        ] {
            let found = check(json.as_bytes(), &limits()).err();
            assert!(
                match (&found, because) {
                    (None, None) => true,
                    (Some(found), Some(because)) => found.contains(because),
                    _ => false,
                },
                "{json}: {found:?}, expected {because:?}"
            );
        }
    }

    #[test]
    fn deep_bodies_are_refused_and_none_overflows_the_stack() {
        let limits = JsonLimits::default();
        let nested = |deep: usize| format!("{{\"a\":{}{}}}", "[".repeat(deep), "]".repeat(deep));
        for (body, is_good) in [
            (nested(limits.depth_max - 1), true),
            (nested(limits.depth_max), false),
            (nested(1 << 20), false),
            (format!("{{\"a\":\"{}\\\"[\"}}", "[{".repeat(1 << 10)), true),
        ] {
            assert_eq!(object(body.as_bytes()).and_then(|json| check(json.as_bytes(), &limits)).is_ok(), is_good);
        }
        assert!(object("{\"a\":".repeat(1 << 20).as_bytes()).is_err());
    }
}
