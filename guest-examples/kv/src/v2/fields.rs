//! Values of requests that need more than a declared field gives.

use std::collections::BTreeMap;

use cofferdam_sdk::contract::json;
use cofferdam_sdk::{Call, Error, Request};
use serde_json::Value;
use serde_json::value::RawValue;

/// A field of a merge patch, or of a write, which has no word for clearing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Change<T> {
    Keep,
    Clear,
    Set(T),
}

impl<T> Change<T> {
    /// Makes the change; what is cleared gets its default.
    pub(super) fn apply<U: Default>(self, to: &mut U, set: impl FnOnce(T) -> U) {
        match self {
            Self::Keep => {}
            Self::Clear => *to = U::default(),
            Self::Set(value) => *to = set(value),
        }
    }
}

/// Reads a field of which a patch may say `null`.
pub(super) fn change<T: serde::de::DeserializeOwned>(call: &Call, name: &str) -> Result<Change<T>, Error> {
    let fields: serde_json::Map<String, Value> = call.fields()?;
    match fields.get(name) {
        None => Ok(Change::Keep),
        Some(Value::Null) => Ok(Change::Clear),
        Some(_) => call.field(name).map(Change::Set),
    }
}

/// Reads `max_versions`.
pub(super) fn max_versions(call: &Call) -> Result<Change<u32>, Error> {
    Ok(match change::<i64>(call, "max_versions")? {
        Change::Keep => Change::Keep,
        Change::Clear => Change::Clear,
        Change::Set(number) => Change::Set(u32::try_from(number).map_err(|_| {
            Error::InvalidRequest(format!("field `max_versions`: expected a number from 0 to {}", u32::MAX))
        })?),
    })
}

/// Reads the field `data` of a write as it came, to the digit.
pub(super) fn data(request: &Request) -> Result<Box<RawValue>, Error> {
    let malformed = |_| Error::InvalidRequest("field `data`: expected an object".into());
    let body = if request.raw_data.is_empty() { b"{}" } else { request.raw_data.as_slice() };
    let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).map_err(malformed)?;
    let data = fields.remove("data").filter(|data| data.get() != "null");
    let data = data.ok_or_else(|| Error::InvalidRequest("no data provided".into()))?;
    if data.get().starts_with('"') {
        // The text of an object: what is declared as a map may come so, and then nothing else saw how deep it is. What
        // the answer puts around it is one level.
        let text: String = serde_json::from_str(data.get()).map_err(malformed)?;
        if json::is_deeper(text.as_bytes(), json::DEPTH_MAX - 1) {
            let text = format!("field `data`: JSON is nested more than {} deep", json::DEPTH_MAX - 1);
            return Err(Error::InvalidRequest(text));
        }
        return serde_json::from_str(&text).map_err(malformed);
    }
    Ok(data)
}

/// Reads `versions`, which must name one.
pub(super) fn versions(call: &Call, missing: &str) -> Result<Vec<u64>, Error> {
    let numbers: Vec<i64> = call.field::<Option<_>>("versions")?.unwrap_or_default();
    if numbers.is_empty() {
        return Err(Error::InvalidRequest(missing.into()));
    }
    // There is no version 0 and none below: they are passed over like any other that is not there.
    let mut numbers: Vec<u64> = numbers.into_iter().filter_map(|number| u64::try_from(number).ok()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}
