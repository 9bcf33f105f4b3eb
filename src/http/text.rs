//! What travels in a URL or a form, decoded: paths and `name=value` lists.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Serialize, Serializer};

use super::refusal::Refusal;
use crate::json;

/// Pairs in one query or form: what Go and others take by default. A pair takes some hundred bytes, however short it
/// was.
const PAIRS_MAX: usize = 1_000;

/// `name=value` pairs of a query or a form; a name may come several times.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pairs(BTreeMap<String, Values>);

/// The values of one name, in order; there is always one. One shows as a text and several as a list, as Vault has it.
#[derive(Debug, PartialEq, Eq)]
struct Values(Vec<String>);

/// What `+` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plus {
    /// Itself, in paths.
    Literal,
    /// A space, in queries and forms.
    Space,
}

impl Pairs {
    /// Returns the pairs of a query or a form.
    pub(super) fn parse(encoded: &str) -> Result<Self, Refusal> {
        let mut pairs = Self::default();
        for (at, pair) in encoded.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            if at == PAIRS_MAX {
                let message = format!("a query or a form may hold {PAIRS_MAX} pairs of name and value at most");
                return Err(Refusal::invalid(message));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name, Plus::Space)?.into_owned();
            let value = decode(value, Plus::Space)?.into_owned();
            pairs.0.entry(name).or_insert_with(|| Values(Vec::new())).0.push(value);
        }
        Ok(pairs)
    }

    /// Takes a name out and returns its first value.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).and_then(|values| values.0.into_iter().next())
    }

    /// Returns the pairs as a JSON object; nothing when there are none.
    pub(super) fn into_data(self) -> Bytes {
        if self.0.is_empty() {
            return Bytes::new();
        }
        json::line(&self.0).into()
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [value] => value.serialize(serializer),
            values => values.serialize(serializer),
        }
    }
}

/// Returns a text with its percent escapes resolved, borrowed when it has none.
pub(super) fn decode(encoded: &str, plus: Plus) -> Result<Cow<'_, str>, Refusal> {
    let is_plain = |byte: u8| byte != b'%' && (byte != b'+' || plus == Plus::Literal);
    if encoded.bytes().all(is_plain) {
        return Ok(Cow::Borrowed(encoded));
    }
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'%' => {
                let escape = behind.first_chunk::<2>().and_then(hex_byte);
                decoded.push(escape.ok_or_else(|| Refusal::invalid(format!("invalid URL escape in {encoded:?}")))?);
                rest = &behind[2..];
            }
            b'+' if plus == Plus::Space => decoded.push(b' '),
            byte => decoded.push(byte),
        }
    }
    let text = String::from_utf8(decoded);
    text.map(Cow::Owned)
        .map_err(|_| Refusal::invalid(format!("{encoded:?} is not UTF-8 once its escapes are resolved")))
}

fn hex_byte(digits: &[u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? * 16 + low?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_resolved_once() {
        for (encoded, plus, decoded) in [
            ("a/b", Plus::Literal, "a/b"),
            ("a%2Fb", Plus::Literal, "a/b"),
            ("a%2fb", Plus::Literal, "a/b"),
            ("a+b", Plus::Literal, "a+b"),
            ("a+b%2B", Plus::Space, "a b+"),
            ("%252e", Plus::Literal, "%2e"),
            ("%C3%A9", Plus::Literal, "é"),
        ] {
            assert_eq!(decode(encoded, plus).unwrap(), decoded, "{encoded:?}");
        }
        for encoded in ["%", "%2", "a%zz", "%+1", "%ff", "%C3", "é%"] {
            assert!(decode(encoded, Plus::Literal).is_err(), "{encoded:?}");
        }
    }

    #[test]
    fn so_many_pairs_are_read_and_no_more() {
        let pairs = |count: usize| "a=1&".repeat(count);
        assert!(Pairs::parse(&pairs(PAIRS_MAX)).is_ok());
        assert!(Pairs::parse(&pairs(PAIRS_MAX + 1)).unwrap_err().message().contains("1000 pairs"));
    }

    #[test]
    fn one_value_is_a_text_and_several_are_a_list() {
        for (encoded, data) in [
            ("", ""),
            ("&&", ""),
            ("a=1", "{\"a\":\"1\"}\n"),
            ("b=2&a=x+y&b=3", "{\"a\":\"x y\",\"b\":[\"2\",\"3\"]}\n"),
            ("a", "{\"a\":\"\"}\n"),
            ("=v", "{\"\":\"v\"}\n"),
            ("a=b=c", "{\"a\":\"b=c\"}\n"),
            ("q=%22%0a", "{\"q\":\"\\\"\\n\"}\n"),
        ] {
            assert_eq!(Pairs::parse(encoded).unwrap().into_data(), data, "{encoded:?}");
        }
    }
}
