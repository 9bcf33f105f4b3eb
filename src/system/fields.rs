//! The fields of a request body, read one by one, as tolerant of types as Vault is: its own client sends texts for
//! numbers and flags. `null` is the same as an absent field everywhere.

use std::collections::BTreeMap;
use std::time::Duration;

use cofferdam_contract::{GoDuration, boolean};
use serde_json::{Map, Value};

use super::refusal::Refusal;

/// The fields of a JSON object that have not been read yet. Those that nobody asks for are ignored.
pub(super) struct Fields {
    /// Where the object stands in the body, such as `config.`; for messages.
    place: &'static str,
    values: Map<String, Value>,
}

/// A TTL as somebody typed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TypedTtl {
    /// Nothing was said.
    Unset,
    /// `system`, zero or a negative one: what the system has.
    System,
    /// This one.
    Of(Duration),
}

impl Fields {
    /// Returns the fields of a body that is a JSON object, or empty.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let values = if body.is_empty() {
            Map::new()
        } else {
            serde_json::from_slice(body).map_err(|error| Refusal::invalid(format!("error parsing JSON: {error}")))?
        };
        Ok(Self { place: "", values })
    }

    /// Takes an object out. `place` says where its fields are, with a dot at the end.
    pub(super) fn section(&mut self, name: &str, place: &'static str) -> Result<Fields, Refusal> {
        match self.take(name) {
            None => Ok(Fields { place, values: Map::new() }),
            Some(Value::Object(values)) => Ok(Fields { place, values }),
            Some(_) => Err(self.wrong(name, "an object")),
        }
    }

    /// Takes a text out. A number is taken as its digits.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        self.take(name).map(|value| as_text(value).ok_or_else(|| self.wrong(name, "a string"))).transpose()
    }

    /// Takes a text out that counts as absent when it is empty.
    pub(super) fn filled_text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    /// Takes a flag out.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        let flag = |value| match value {
            Value::Bool(flag) => Some(flag),
            Value::String(text) => boolean(&text),
            Value::Number(number) => boolean(&number.to_string()),
            _ => None,
        };
        self.take(name).map(|value| flag(value).ok_or_else(|| self.wrong(name, "true or false"))).transpose()
    }

    /// Takes a number out that is not negative and fits its type. A text is taken as its digits.
    pub(super) fn number<N: std::str::FromStr>(&mut self, name: &str) -> Result<Option<N>, Refusal> {
        let number = |value| as_text(value)?.trim().parse().ok();
        let wrong = || self.wrong(name, "a number from 0 on that is not too large");
        match self.values.get(name).filter(|value| !value.is_null()).cloned() {
            None => Ok(None),
            Some(value) => number(value).map(Some).ok_or_else(wrong),
        }
    }

    /// Takes a list out. A single text is a list of one.
    pub(super) fn list(&mut self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        self.list_from(name, |text| vec![text])
    }

    /// Takes a list out. A single text is a list with commas between its items.
    pub(super) fn comma_list(&mut self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        let split =
            |text: String| text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect();
        let mut list = self.list_from(name, split)?;
        if let Some(items) = &mut list {
            // A list of one empty item is how Vault's commands clear a list.
            items.retain(|item| !item.trim().is_empty());
        }
        Ok(list)
    }

    /// Takes a map from text to text out. Numbers and flags are taken as they are written.
    pub(super) fn map(&mut self, name: &str) -> Result<Option<BTreeMap<String, String>>, Refusal> {
        let map = |value| match value {
            Value::Object(members) => {
                members.into_iter().map(|(key, value)| Some((key, as_option(value)?))).collect::<Option<_>>()
            }
            _ => None,
        };
        self.take(name).map(|value| map(value).ok_or_else(|| self.wrong(name, "an object of strings"))).transpose()
    }

    /// Takes a TTL out. `what` is what Vault's message calls it.
    pub(super) fn ttl(&mut self, name: &str, what: &str) -> Result<TypedTtl, Refusal> {
        let Some(typed) = self.filled_text(name)? else {
            return Ok(TypedTtl::Unset);
        };
        let typed = typed.trim();
        if typed == "system" {
            return Ok(TypedTtl::System);
        }
        match typed.parse().map(GoDuration::to_std) {
            // A negative one is a duration all the same, and Vault's way to say that there is none.
            Ok(None | Some(Duration::ZERO)) => Ok(TypedTtl::System),
            Ok(Some(ttl)) => Ok(TypedTtl::Of(ttl)),
            Err(error) => Err(Refusal::invalid(format!("unable to parse {what} of {typed}: {error}"))),
        }
    }

    /// Refuses a field that has a meaning in Vault and none here.
    pub(super) fn refuse(&mut self, name: &str, why: &str) -> Result<(), Refusal> {
        match self.take(name) {
            None | Some(Value::Bool(false)) => Ok(()),
            Some(Value::String(text)) if text.is_empty() || text == "false" => Ok(()),
            // Members that say nothing clear what was never set.
            Some(Value::Object(members)) if members.values().all(says_nothing) => Ok(()),
            Some(_) => Err(Refusal::invalid(format!("field \"{}{name}\" is not supported: {why}", self.place))),
        }
    }

    fn list_from(&mut self, name: &str, split: fn(String) -> Vec<String>) -> Result<Option<Vec<String>>, Refusal> {
        let list = |value| match value {
            Value::Array(items) => items.into_iter().map(as_text).collect(),
            value => as_text(value).map(split),
        };
        self.take(name).map(|value| list(value).ok_or_else(|| self.wrong(name, "a list of strings"))).transpose()
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.values.remove(name).filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, expected: &str) -> Refusal {
        Refusal::invalid(format!("field \"{}{name}\" must be {expected}", self.place))
    }
}

fn says_nothing(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(str::is_empty)
}

fn as_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn as_option(value: Value) -> Option<String> {
    match value {
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null => Some(String::new()),
        value => as_text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        Fields::parse(json.as_bytes()).unwrap_or_else(|refusal| panic!("{}", refusal.message()))
    }

    #[track_caller]
    fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>, because: &str) {
        let refusal = result.expect_err("the field should be refused");
        assert!(refusal.message().contains(because), "{:?}, expected {because:?}", refusal.message());
    }

    #[test]
    fn types_are_taken_as_vaults_client_sends_them() {
        let json = r#"{"t":7,"f":"true","l":["a",1],"c":"a, b,,c","e":"K=a,b","m":{"v":2,"on":true},"n":null,"s":""}"#;
        let mut fields = fields(json);
        assert_eq!(fields.text("t").unwrap().as_deref(), Some("7"));
        assert_eq!(fields.flag("f").unwrap(), Some(true));
        assert_eq!(fields.comma_list("l").unwrap().unwrap(), ["a", "1"]);
        assert_eq!(fields.comma_list("c").unwrap().unwrap(), ["a", "b", "c"]);
        assert_eq!(fields.list("e").unwrap().unwrap(), ["K=a,b"]);
        let map = BTreeMap::from([("on".to_owned(), "true".to_owned()), ("v".to_owned(), "2".to_owned())]);
        assert_eq!(fields.map("m").unwrap(), Some(map));
        assert_eq!(fields.map("n").unwrap(), None);
        assert_eq!(fields.flag("n").unwrap(), None);
        assert_eq!(fields.filled_text("s").unwrap(), None);
        assert_eq!(fields.section("n", "n.").unwrap().text("x").unwrap(), None);
    }

    #[test]
    fn wrong_types_are_refused_by_name() {
        let all = || fields(r#"{"a":{},"b":[{}],"c":"maybe","d":{"e":[]},"f":7,"g":{"x":true}}"#);
        refused(all().text("a"), "\"a\" must be a string");
        refused(all().list("b"), "\"b\" must be a list of strings");
        refused(all().flag("c"), "\"c\" must be true or false");
        refused(all().map("d"), "\"d\" must be an object");
        refused(all().section("f", "f.").map(|_| ()), "\"f\" must be an object");
        refused(all().section("g", "g.").and_then(|mut inner| inner.text("x")), "\"g.x\" must be a string");
        refused(all().refuse("c", "no"), "\"c\" is not supported: no");
    }

    #[test]
    fn ttls_are_unset_the_systems_or_their_own() {
        for (json, ttl) in [
            ("{}", TypedTtl::Unset),
            (r#"{"t":""}"#, TypedTtl::Unset),
            (r#"{"t":null}"#, TypedTtl::Unset),
            (r#"{"t":"system"}"#, TypedTtl::System),
            (r#"{"t":"0s"}"#, TypedTtl::System),
            (r#"{"t":0}"#, TypedTtl::System),
            (r#"{"t":-1}"#, TypedTtl::System),
            (r#"{"t":"-1h30m"}"#, TypedTtl::System),
            (r#"{"t":" 1h "}"#, TypedTtl::Of(Duration::from_secs(3600))),
            (r#"{"t":"1h"}"#, TypedTtl::Of(Duration::from_secs(3600))),
            (r#"{"t":3600}"#, TypedTtl::Of(Duration::from_secs(3600))),
        ] {
            assert_eq!(fields(json).ttl("t", "TTL"), Ok(ttl), "{json}");
        }
        for typed in ["-x", "-", "--1", "-+1", "-system"] {
            let refusal = fields(&format!(r#"{{"t":{typed:?}}}"#)).ttl("t", "default TTL");
            refused(refusal, &format!("unable to parse default TTL of {typed}: "));
        }
        refused(fields(r#"{"t":"soon"}"#).ttl("t", "default TTL"), "unable to parse default TTL of soon: ");
    }

    #[test]
    fn no_body_makes_it_panic() {
        for body in ["", "{}", "{", "[]", "null", "7", "\"x\"", "{\"a\":}", "{\"a\":1}x", "\u{feff}{}", "{\"t\":1e999}"]
        {
            if let Ok(mut fields) = Fields::parse(body.as_bytes()) {
                let _ = (fields.text("a"), fields.ttl("t", "TTL"), fields.map("m"), fields.list("l"));
            }
        }
        refused(
            Fields::parse(b"[1]").map(|_| ()),
            "error parsing JSON: invalid type: sequence, expected a map at line 1",
        );
        refused(Fields::parse(b"{\"a\" 1}").map(|_| ()), "at line 1 column 6");
        refused(Fields::parse("[".repeat(100_000).as_bytes()).map(|_| ()), "error parsing JSON");
        refused(Fields::parse(format!("{{\"a\":{}", "[".repeat(100_000)).as_bytes()).map(|_| ()), "recursion limit");
    }
}
