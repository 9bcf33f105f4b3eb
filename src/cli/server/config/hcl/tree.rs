//! What a text in HCL says, and where in the text it says so.

use std::ops::Range;

/// Bytes of the text.
pub(super) type Span = Range<usize>;

/// `NAME = VALUE`, or `NAME "LABEL" … { … }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// The name and then the labels. Never empty; more than one only before an object.
    pub(super) keys: Vec<Key>,
    /// What stands after them.
    pub(super) value: Value,
}

/// A name or a label, in quotes or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// Without the quotes.
    pub(super) name: String,
    /// With the quotes.
    pub(super) span: Span,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// What it is.
    pub(super) kind: Kind,
    /// From its first to its last character, brackets and quotes included.
    pub(super) span: Span,
}

/// The kinds of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// `true` or `false`.
    Boolean(bool),
    /// Decimal, hexadecimal (`0x1f`), or octal (`0600`).
    Integer(i64),
    /// A number with a fraction or an exponent. Nothing that is written in HCL here takes one, so only the fact is
    /// kept.
    Fraction,
    /// A text in quotes, or a heredoc.
    Text(String),
    /// `[ … ]`.
    List(Vec<Value>),
    /// `{ … }`, in order. Names may repeat: what that means is for the reader to say.
    Object(Vec<Item>),
}

/// Why a text is no HCL, and what would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// The byte to look at. For what is not closed that is where it was opened.
    pub(super) at: usize,
    /// Shows no text in quotes: it may be a secret.
    pub(super) message: String,
}

impl SyntaxError {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}
