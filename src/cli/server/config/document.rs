//! What a configuration file says, whichever of the two syntaxes it is written in.
//!
//! HCL's blocks and JSON's objects become the same tree: a block's labels are nested objects, as HashiCorp's HCL
//! defines it. So `listener "tcp" { … }`, `{"listener": {"tcp": {…}}}` and `{"listener": [{"tcp": {…}}]}` read the
//! same. Everything carries the place where it was written. Names may repeat: what that means is for the validator to
//! say.

use std::fmt;
use std::sync::Arc;

/// Deepest nesting of objects and lists. Vault's own settings need 4; the bound keeps hostile files off the stack.
pub(super) const DEPTH_MAX: usize = 32;

/// Where something was written. Shown as `FILE:LINE`, or as `FILE` where no line is to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The file as the operator typed it.
    pub(super) file: Arc<str>,
    /// Counted from 1.
    pub(super) line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// A value and where it starts.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// The kinds of values that both syntaxes have.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    /// A number with a fraction, or beyond 64 bits: no setting takes one, so only the fact is kept.
    OtherNumber,
    Text(String),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

impl Value {
    /// Returns what the value is, for messages. It never shows a text: a setting in the wrong place may be a secret.
    pub(super) fn describe(&self) -> String {
        match self {
            Value::Null => "null".to_owned(),
            Value::Boolean(value) => value.to_string(),
            Value::Integer(value) => format!("the number {value}"),
            Value::OtherNumber => "a number that is not whole".to_owned(),
            Value::Text(_) => "a text".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Object(_) => "a stanza".to_owned(),
        }
    }
}

/// A name with its value: a setting, a stanza, or a stanza's label.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) value: Value,
}

/// The lines of a file, to tell where a byte lies.
pub(super) struct Lines<'a> {
    file: &'a Arc<str>,
    /// Offsets of the line breaks, in order.
    breaks: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(file: &'a Arc<str>, text: &str) -> Self {
        Self { file, breaks: text.match_indices('\n').map(|(at, _)| at).collect() }
    }

    /// Returns the place of the byte at an offset.
    pub(super) fn place(&self, offset: usize) -> Place {
        self.line(1 + self.breaks.partition_point(|at| *at < offset))
    }

    /// Returns the place that is a line, counted from 1.
    pub(super) fn line(&self, line: usize) -> Place {
        Place { file: Arc::clone(self.file), line: Some(line) }
    }
}
