//! What a single value may be read as, wherever it comes from: JSON, a query, a flag, a setting.

use std::borrow::Cow;
use std::fmt;

use crate::{DurationError, GoDuration, Time};

/// A value that holds no others, not read yet.
#[derive(Clone, Copy)]
pub enum Scalar<'a> {
    /// True or false.
    Boolean(bool),
    /// A number, as it was written.
    Number(&'a str),
    /// A text.
    Text(&'a str),
}

/// What was expected of a value. It never says what was there, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mismatch(pub(crate) &'static str);

impl Mismatch {
    pub(crate) const BOOLEAN: Self = Self("expected a boolean");
    pub(crate) const INTEGER: Self = Self("expected an integer");
    pub(crate) const NUMBER: Self = Self("expected a number");
    pub(crate) const TEXT: Self = Self("expected a string");
}

/// A fragment that follows the field's name: "expected an integer".
impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Mismatch {}

impl From<DurationError> for Mismatch {
    fn from(error: DurationError) -> Self {
        Self(error.expected())
    }
}

/// Reads a boolean as Go's `strconv.ParseBool` does; `None` for any other text.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl<'a> Scalar<'a> {
    /// Reads a boolean: the texts and numbers that Go's `ParseBool` takes, and the empty text, which is false.
    pub fn boolean(self) -> Result<bool, Mismatch> {
        match self {
            Self::Boolean(value) => Ok(value),
            Self::Number(text) | Self::Text(text) => match text {
                "" => Ok(false),
                text => boolean(text).ok_or(Mismatch::BOOLEAN),
            },
        }
    }

    /// Reads an integer of 64 bits, with a sign or without. A text may have Go's prefixes `0x`, `0o` and `0b`, and the
    /// empty one is zero; a number may have a fraction of zero, since not all that writes JSON tells the two apart.
    pub fn integer(self) -> Result<i128, Mismatch> {
        const LEAST: i128 = i64::MIN as i128;
        const MOST: i128 = u64::MAX as i128;
        let value = match self {
            Self::Boolean(value) => Some(i128::from(value)),
            Self::Text("") => Some(0),
            Self::Text(text) => written_integer(text),
            Self::Number(text) => text.parse().ok().or_else(|| whole_float(text)),
        };
        value.filter(|value| (LEAST..=MOST).contains(value)).ok_or(Mismatch::INTEGER)
    }

    /// Reads a number that is finite. The empty text is zero.
    pub fn float(self) -> Result<f64, Mismatch> {
        let value = match self {
            Self::Boolean(value) => Some(f64::from(value)),
            Self::Text("") => Some(0.0),
            Self::Number(text) | Self::Text(text) => text.parse().ok(),
        };
        value.filter(|value| value.is_finite()).ok_or(Mismatch::NUMBER)
    }

    /// Reads a text. A number is taken as its digits, and a boolean as `1` or `0`.
    pub fn text(self) -> Cow<'a, str> {
        Cow::Borrowed(match self {
            Self::Boolean(true) => "1",
            Self::Boolean(false) => "0",
            Self::Number(text) | Self::Text(text) => text,
        })
    }

    /// Reads a duration. The empty text is none at all: what resets a setting.
    pub fn duration(self) -> Result<GoDuration, Mismatch> {
        match self {
            Self::Text("") => Ok(GoDuration::ZERO),
            Self::Boolean(_) => Err(DurationError::Syntax.into()),
            Self::Text(text) => Ok(text.parse()?),
            Self::Number(text) => match text.parse::<GoDuration>() {
                Err(DurationError::Syntax) => {
                    let seconds = whole_float(text).ok_or(DurationError::Syntax)?;
                    Ok(seconds.to_string().parse()?)
                }
                read => Ok(read?),
            },
        }
    }

    /// Reads a moment: RFC 3339, or seconds since 1970.
    pub fn time(self) -> Result<Time, Mismatch> {
        let read = match self {
            Self::Boolean(_) => None,
            Self::Number(text) => text.parse().ok().map(Time::from_seconds),
            Self::Text(text) => Time::parse(text).or_else(|| text.parse().ok().map(Time::from_seconds)),
        };
        read.ok_or(Mismatch("expected a time like \"2006-01-02T15:04:05Z\", or seconds since 1970"))
    }
}

/// Reads a number that is written as a float and has no fraction.
fn whole_float(text: &str) -> Option<i128> {
    /// Above 2^53 a float skips integers, so what was meant is no longer known.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let float: f64 = text.parse().ok()?;
    (float.fract() == 0.0 && float.abs() <= EXACT_MAX).then_some(float as i128)
}

/// Reads an integer as Go's source has it: a prefix says the base, `0` alone says 8, and `_` may stand between digits.
fn written_integer(text: &str) -> Option<i128> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (-1, unsigned),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefix = unsigned.get(..2).unwrap_or_default().to_ascii_lowercase();
    let (radix, digits) = match prefix.as_str() {
        "0x" => (16, &unsigned[2..]),
        "0o" => (8, &unsigned[2..]),
        "0b" => (2, &unsigned[2..]),
        _ if unsigned.len() > 1 && unsigned.starts_with('0') => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    // Behind a prefix one may come first.
    let digits = if radix == 10 { digits } else { digits.strip_prefix('_').unwrap_or(digits) };
    let well_placed = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
    let is_digit = |c: char| c.is_digit(radix) || c == '_';
    if digits.is_empty() || !well_placed || !digits.chars().all(is_digit) {
        return None;
    }
    i128::from_str_radix(&digits.replace('_', ""), radix).ok().map(|value| sign * value)
}
