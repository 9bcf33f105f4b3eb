//! HTTP headers as a field of a request.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{Mismatch, json};

const HEADERS: Mismatch = Mismatch("expected an object of headers, its text, or a list like \"name:value\"");

/// Reads headers: an object whose values are texts, numbers or lists of them; the text of such an object, which may be
/// in base64; or a list of texts like `name:value`. Names are as HTTP libraries of Go write them, `Content-Type`.
pub fn headers(value: &Value) -> Result<BTreeMap<String, Vec<String>>, Mismatch> {
    let mut headers = BTreeMap::<String, Vec<String>>::new();
    let mut add = |name: &str, value: &str| headers.entry(canonical(name)).or_default().push(value.to_owned());
    let from_text;
    let objects: Vec<&Map<String, Value>> = match value {
        Value::Null => Vec::new(),
        Value::Object(members) => vec![members],
        Value::Array(items) if items.iter().all(Value::is_object) => {
            items.iter().filter_map(Value::as_object).collect()
        }
        Value::Array(items) => {
            for item in items {
                let pair = item.as_str().and_then(|item| item.split_once(':')).filter(|(name, _)| !name.is_empty());
                let (name, value) = pair.ok_or(HEADERS)?;
                add(name, value);
            }
            Vec::new()
        }
        Value::String(text) => {
            let decoded = base64(text).unwrap_or_else(|| text.clone().into_bytes());
            from_text = json::parse(&decoded).map_err(|_| HEADERS)?;
            vec![&from_text]
        }
        Value::Bool(_) | Value::Number(_) => return Err(HEADERS),
    };
    for (name, value) in objects.into_iter().flatten() {
        let values = match value {
            Value::Array(items) => items.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            match value {
                Value::String(text) => add(name, text),
                Value::Number(number) => add(name, number.as_str()),
                _ => return Err(HEADERS),
            }
        }
    }
    Ok(headers)
}

/// Writes a header's name with capitals. A name that no header may have is left as it is.
fn canonical(name: &str) -> String {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.bytes().all(is_token) {
        return name.to_owned();
    }
    let mut begins = true;
    let capitalised = name.chars().map(|c| {
        let written = if begins { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        begins = c == '-';
        written
    });
    capitalised.collect()
}

/// Decodes base64 with its padding; line breaks are passed over.
fn base64(text: &str) -> Option<Vec<u8>> {
    /// Characters that stand for three bytes together.
    const GROUP: usize = 4;
    let written: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    if !written.len().is_multiple_of(GROUP) {
        return None;
    }
    let unpadded = written.strip_suffix(b"==").or_else(|| written.strip_suffix(b"=")).unwrap_or(&written);
    let (mut decoded, mut bits, mut held) = (Vec::with_capacity(unpadded.len()), 0_u32, 0_u32);
    for byte in unpadded {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, held) = (bits << 6 | u32::from(six), held + 6);
        if held >= 8 {
            held -= 8;
            decoded.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded_or_it_is_none() {
        for (text, expected) in [
            ("", Some("")),
            ("YQ==", Some("a")),
            ("YWI=", Some("ab")),
            ("YWJj", Some("abc")),
            ("YW\r\nJj", Some("abc")),
            ("YWJj=", None),
            ("YQ", None),
            ("Y*==", None),
            ("=", None),
            ("====", None),
            ("é", None),
        ] {
            assert_eq!(base64(text).as_deref(), expected.map(str::as_bytes), "{text:?}");
        }
    }
}
