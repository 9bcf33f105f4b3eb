//! HCL as HashiCorp's first parser took it, which is the language that Vault's files are written in.
//!
//! [`tree`], [`scan`] and [`parse`] are the language and know nothing of a configuration: text in, items with their
//! spans out. What stands here turns the items into the document that JSON becomes as well.
//!
//! What its users know of it: `NAME = VALUE` and `NAME "LABEL" { … }`, one after the other, on one line or on many,
//! with commas between them or without. Names may be quoted. Values are texts, numbers, `true` and `false`, lists, and
//! objects; `<<EOF` and `<<-EOF` are texts of several lines. Comments are `#`, `//` and `/* */`. Nothing is computed,
//! and `${…}` is text.

mod parse;
mod scan;
#[cfg(test)]
mod tests;
mod tree;

use super::document::{DEPTH_MAX, Entry, Lines, Node, Value};
use super::problem::Findings;
use tree::Item;

/// Parses a file and returns its settings and blocks. What is wrong goes to the findings: the first error of syntax.
pub(super) fn parse(text: &str, lines: &Lines<'_>, findings: &mut Findings) -> Option<Vec<Entry>> {
    match parse::parse(text, DEPTH_MAX) {
        Ok(items) => Some(Reader { lines, findings }.entries(items)),
        Err(error) => {
            findings.problem(&lines.place(error.at), format!("invalid HCL: {}", error.message));
            None
        }
    }
}

struct Reader<'a> {
    lines: &'a Lines<'a>,
    findings: &'a mut Findings,
}

impl Reader<'_> {
    fn entries(&mut self, items: Vec<Item>) -> Vec<Entry> {
        items.into_iter().filter_map(|item| self.entry(item)).collect()
    }

    /// Turns `a "b" "c" { … }` into `a { b { c { … } } }`.
    fn entry(&mut self, item: Item) -> Option<Entry> {
        let mut value = self.value(item.value);
        let mut keys = item.keys.into_iter();
        let first = keys.next()?;
        let place = self.lines.place(first.span.start);
        for label in keys.rev() {
            let place = self.lines.place(label.span.start);
            value = Value::Object(vec![Entry { name: label.name, place, value }]);
        }
        Some(Entry { name: first.name, place, value })
    }

    fn value(&mut self, value: tree::Value) -> Value {
        match value.kind {
            tree::Kind::Boolean(value) => Value::Boolean(value),
            tree::Kind::Integer(value) => Value::Integer(value),
            tree::Kind::Fraction => Value::OtherNumber,
            tree::Kind::Text(text) => {
                if text.contains("${") {
                    let place = self.lines.place(value.span.start);
                    self.findings.warning(&place, "\"${…}\" is taken as it stands: nothing is filled in");
                }
                Value::Text(text)
            }
            tree::Kind::List(values) => {
                let node =
                    |value: tree::Value| Node { place: self.lines.place(value.span.start), value: self.value(value) };
                Value::List(values.into_iter().map(node).collect())
            }
            tree::Kind::Object(items) => Value::Object(self.entries(items)),
        }
    }
}
