//! What the values of settings may look like. Each function takes a value, or says what is wrong with it in a fragment
//! that follows the setting's name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cofferdam_contract::{DurationError, GoDuration};

use super::document::Value;

/// What a reader of values returns.
pub(super) type Read<T> = Result<T, String>;

/// A text that is not empty.
pub(super) fn text(value: &Value) -> Read<String> {
    match value {
        Value::Text(text) if text.is_empty() => Err("is empty".to_owned()),
        Value::Text(text) => Ok(text.clone()),
        other => Err(expected(other, "a text in quotes")),
    }
}

/// A path, relative to the working directory unless it starts with a slash.
pub(super) fn path(value: &Value) -> Read<PathBuf> {
    text(value).map(PathBuf::from)
}

/// A switch: as in Vault also 1, 0, and what Go's `ParseBool` takes.
pub(super) fn switch(value: &Value) -> Read<bool> {
    match value {
        Value::Boolean(on) => Ok(*on),
        Value::Integer(1) => Ok(true),
        Value::Integer(0) => Ok(false),
        Value::Text(text) => {
            cofferdam_contract::boolean(text).ok_or_else(|| format!("is {text:?}, expected true or false"))
        }
        other => Err(expected(other, "true or false")),
    }
}

/// Where something is kept, or whether it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PathOrSwitch {
    /// Here.
    Path(PathBuf),
    /// In the usual place.
    On,
    /// Nowhere.
    Off,
}

/// A path in quotes, or `true` or `false` without.
pub(super) fn path_or_switch(value: &Value) -> Read<PathOrSwitch> {
    match value {
        Value::Boolean(true) => Ok(PathOrSwitch::On),
        Value::Boolean(false) => Ok(PathOrSwitch::Off),
        Value::Text(typed) if switch(value).is_ok() => {
            Err(format!("is {typed:?}, expected a path, or true or false without quotes"))
        }
        Value::Text(_) => path(value).map(PathOrSwitch::Path),
        other => Err(expected(other, "a path in quotes, or true or false")),
    }
}

/// A duration above zero: Go's syntax, or a number of seconds.
pub(super) fn duration(value: &Value) -> Read<Duration> {
    const EXPECTED: &str = "a duration such as \"1h30m\", or a number of seconds";
    let text = match value {
        Value::Integer(seconds) => seconds.to_string(),
        Value::Text(text) => text.clone(),
        other => return Err(expected(other, EXPECTED)),
    };
    match text.parse().map(GoDuration::to_std) {
        Ok(Some(Duration::ZERO)) => Err("is zero, expected a longer duration".to_owned()),
        Ok(Some(duration)) => Ok(duration),
        Ok(None) => Err(format!("is {text:?}, which is negative")),
        Err(DurationError::Syntax) => Err(format!("is {text:?}, expected {EXPECTED}")),
        Err(DurationError::TooLong) => Err(format!("is {text:?}, which is longer than 292 years")),
    }
}

/// A size above zero in bytes: a number, or a text with a unit of any case, "64MiB" or "64MB" (2²⁰ and 10⁶ bytes).
pub(super) fn size<T: TryFrom<u64>>(value: &Value) -> Read<T> {
    const EXPECTED: &str = "a size such as \"64MiB\", or a number of bytes";
    let text = match value {
        Value::Integer(bytes) => bytes.to_string(),
        Value::Text(text) => text.clone(),
        other => return Err(expected(other, EXPECTED)),
    };
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "kb" => Some(1_000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        "kib" => Some(1 << 10),
        "mib" => Some(1 << 20),
        "gib" => Some(1 << 30),
        _ => None,
    };
    let (Some(unit), false) = (unit, digits.is_empty()) else {
        return Err(format!("is {text:?}, expected {EXPECTED}"));
    };
    above_zero(digits.parse().ok().and_then(|count: u64| count.checked_mul(unit)))
}

/// A whole number above zero, as a number or as a text.
pub(super) fn count<T: TryFrom<u64>>(value: &Value) -> Read<T> {
    const EXPECTED: &str = "a whole number above zero";
    match value {
        Value::Integer(count) if *count >= 0 => above_zero(u64::try_from(*count).ok()),
        Value::Text(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            above_zero(text.parse().ok())
        }
        Value::Text(text) => Err(format!("is {text:?}, expected {EXPECTED}")),
        other => Err(expected(other, EXPECTED)),
    }
}

/// Returns a number in the type that keeps it. `None` is one that 64 bits do not hold.
fn above_zero<T: TryFrom<u64>>(number: Option<u64>) -> Read<T> {
    match number {
        Some(0) => Err("is zero, expected more".to_owned()),
        Some(number) => T::try_from(number).map_err(|_| "is too large".to_owned()),
        None => Err("is too large".to_owned()),
    }
}

/// An address to listen at: `IP:PORT`, `[IPV6]:PORT`, `localhost:PORT`, or Go's `:PORT` for every address of the
/// machine.
///
/// Other host names are refused: which of their addresses is meant would be decided by a resolver at start.
pub(super) fn listen_address(value: &Value) -> Read<SocketAddr> {
    let typed = text(value)?;
    let address = match typed.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None if typed.starts_with(':') => format!("[::]{typed}"),
        None => typed.clone(),
    };
    address.parse().map_err(|_| format!("is {typed:?}, expected an IP address with a port, such as \"127.0.0.1:8200\""))
}

/// A name, or a number with or without quotes.
pub(super) fn name_or_number(value: &Value) -> Read<String> {
    match value {
        Value::Integer(number) => Ok(number.to_string()),
        value => text(value),
    }
}

/// The mode of a file, in octal: `"0660"` or `"660"`.
pub(super) fn file_mode(value: &Value) -> Read<u32> {
    let typed = name_or_number(value)?;
    let mode = u32::from_str_radix(&typed, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| format!("is {typed:?}, expected a file's mode in octal, such as \"0660\""))
}

/// A URL that clients and plugins reach this server at.
pub(super) fn url(value: &Value) -> Read<String> {
    let typed = text(value)?;
    let host = typed.strip_prefix("https://").or_else(|| typed.strip_prefix("http://"));
    let is_host = |host: &str| {
        !host.is_empty()
            && !host.starts_with(['/', ':'])
            && !host.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    if !host.is_some_and(is_host) {
        return Err(format!("is {typed:?}, expected a URL such as \"https://vault.example.com:8200\""));
    }
    Ok(typed)
}

/// One of a few words, in any case.
pub(super) fn word<T: Copy>(words: &[(&str, T)]) -> impl Fn(&Value) -> Read<T> {
    move |value| {
        let names: Vec<_> = words.iter().map(|(name, _)| format!("{name:?}")).collect();
        let one_of = format!("one of {}", names.join(", "));
        let Value::Text(typed) = value else {
            return Err(expected(value, &one_of));
        };
        let found = words.iter().find(|(name, _)| name.eq_ignore_ascii_case(typed));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| format!("is {typed:?}, expected {one_of}"))
    }
}

/// Returns the fragment for a value of the wrong type.
pub(super) fn expected(found: &Value, expected: &str) -> String {
    format!("is {}, expected {expected}", found.describe())
}
