//! What is looked at in a body of JSON before anybody else parses it: that it is JSON, and that it holds no more than it may.
//!
//! Nothing is kept of what it holds, and nothing here recurses.

use serde_json::value::RawValue;

use super::limits::JsonLimits;

/// Returns the JSON object in these bytes without white space around it, or why it is none.
pub(super) fn object(bytes: &[u8]) -> Result<&str, String> {
    let value: &RawValue = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let object = value.get();
    if object.starts_with('{') { Ok(object) } else { Err("expected an object at line 1 column 1".to_owned()) }
}

/// What stands open at some place.
#[derive(Clone, Copy)]
struct Open {
    is_object: bool,
    commas: usize,
}

/// Checks well-formed JSON against the limits in one pass, and says what is too much.
pub(super) fn check(json: &str, limits: &JsonLimits) -> Result<(), String> {
    let JsonLimits { depth_max, members_max, elements_max, text_bytes_max, tokens_max } = *limits;
    let mut open: Vec<Open> = Vec::new();
    let mut tokens = 0_usize;
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                if open.len() == depth_max {
                    return Err(format!("it is nested more than {depth_max} deep"));
                }
                open.push(Open { is_object: byte == b'{', commas: 0 });
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
fn text_bytes(bytes: &mut std::str::Bytes<'_>) -> usize {
    /// Digits of an escaped code point, and the most bytes of UTF-8 that one stands for.
    const ESCAPED: (usize, usize) = (4, 3);
    let mut length = 0;
    while let Some(byte) = bytes.next() {
        length += 1;
        match byte {
            b'"' => return length - 1,
            b'\\' if bytes.next() == Some(b'u') => {
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
            let found = check(json, &limits()).err();
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
            assert_eq!(object(body.as_bytes()).and_then(|json| check(json, &limits)).is_ok(), is_good);
        }
        assert!(object("{\"a\":".repeat(1 << 20).as_bytes()).is_err());
    }
}
