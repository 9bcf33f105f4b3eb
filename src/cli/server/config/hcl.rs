//! Reads HCL into the document tree. Only literals: a server's settings have nothing to compute with.

use std::ops::Range;

use hcl_edit::Span;
use hcl_edit::expr::{Expression, ObjectKey, ObjectValue};
use hcl_edit::structure::{Block, Body, Structure};

use super::document::{DEPTH_MAX, Entry, Lines, Node, Place, Value};
use super::problem::Findings;

/// Parses a file and returns its settings and blocks. What is wrong goes to the findings: the first error of syntax, or every
/// expression that is no literal.
pub(super) fn parse(text: &str, lines: &Lines<'_>, findings: &mut Findings) -> Option<Vec<Entry>> {
    let body: Body = match text.parse::<Body>() {
        Ok(body) => body,
        Err(error) => {
            let message = error.message();
            // HashiCorp's first HCL took commas and blanks between the settings of a block, so some files have them.
            let hint = if message.starts_with("invalid block body") { " (HCL takes one setting a line)" } else { "" };
            findings.problem(&lines.line(error.location().line()), format!("invalid HCL: {message}{hint}"));
            return None;
        }
    };
    Some(Reader { lines, findings }.body(&body, &lines.line(1), DEPTH_MAX))
}

struct Reader<'a> {
    lines: &'a Lines<'a>,
    findings: &'a mut Findings,
}

impl Reader<'_> {
    fn body(&mut self, body: &Body, outside: &Place, depth_left: usize) -> Vec<Entry> {
        if depth_left == 0 {
            self.too_deep(outside);
            return Vec::new();
        }
        body.iter()
            .map(|structure| match structure {
                Structure::Attribute(attribute) => {
                    let place = self.place(attribute.key.span(), outside);
                    let value = self.value(&attribute.value, &place, depth_left - 1);
                    Entry { name: attribute.key.as_str().to_owned(), place, value }
                }
                Structure::Block(block) => self.block(block, outside, depth_left - 1),
            })
            .collect()
    }

    /// Turns `a "b" "c" { … }` into `a { b { c { … } } }`.
    fn block(&mut self, block: &Block, outside: &Place, depth_left: usize) -> Entry {
        let name = block.ident.as_str().to_owned();
        let place = self.place(block.ident.span(), outside);
        let Some(depth_left) = depth_left.checked_sub(block.labels.len()) else {
            self.too_deep(&place);
            return Entry { name, place, value: Value::Refused };
        };
        let mut value = Value::Object(self.body(&block.body, &place, depth_left));
        for label in block.labels.iter().rev() {
            value = Value::Object(vec![Entry { name: label.as_str().to_owned(), place: place.clone(), value }]);
        }
        Entry { name, place, value }
    }

    /// Returns a literal's value, or [`Value::Refused`] after a report.
    fn value(&mut self, expression: &Expression, outside: &Place, depth_left: usize) -> Value {
        let place = self.place(expression.span(), outside);
        match expression {
            Expression::Null(_) => Value::Null,
            Expression::Bool(value) => Value::Boolean(*value.value()),
            Expression::Number(value) => value.as_i64().map_or(Value::OtherNumber, Value::Integer),
            Expression::String(value) => Value::Text(value.value().clone()),
            Expression::Array(_) | Expression::Object(_) if depth_left == 0 => {
                self.too_deep(&place);
                Value::Refused
            }
            Expression::Array(array) => {
                let node = |element: &Expression| {
                    let place = self.place(element.span(), &place);
                    let value = self.value(element, &place, depth_left - 1);
                    Node { place, value }
                };
                Value::List(array.iter().map(node).collect())
            }
            Expression::Object(object) => {
                let entry =
                    |(key, value): (_, &ObjectValue)| self.object_entry(key, value.expr(), &place, depth_left - 1);
                Value::Object(object.iter().filter_map(entry).collect())
            }
            _ => {
                let kind = describe_computed(expression);
                self.findings.problem(&place, format!("{kind} is not supported: write the value out, texts in quotes"));
                Value::Refused
            }
        }
    }

    fn object_entry(
        &mut self,
        key: &ObjectKey,
        value: &Expression,
        outside: &Place,
        depth_left: usize,
    ) -> Option<Entry> {
        let place = self.place(key.span(), outside);
        let name = match key {
            ObjectKey::Ident(name) => name.as_str().to_owned(),
            ObjectKey::Expression(Expression::String(name)) => name.value().clone(),
            ObjectKey::Expression(_) => {
                self.findings.problem(&place, "a computed name is not supported: write it out");
                return None;
            }
        };
        let value = self.value(value, &place, depth_left);
        Some(Entry { name, place, value })
    }

    fn too_deep(&mut self, place: &Place) {
        self.findings.problem(place, format!("nested more than {DEPTH_MAX} deep"));
    }

    fn place(&self, span: Option<Range<usize>>, otherwise: &Place) -> Place {
        span.map_or_else(|| otherwise.clone(), |span| self.lines.place(span.start))
    }
}

/// Returns what an expression is that computes something.
fn describe_computed(expression: &Expression) -> &'static str {
    match expression {
        Expression::StringTemplate(_) => "a template in a text (\"${…}\" or \"%{…}\")",
        Expression::HeredocTemplate(_) => "a heredoc",
        Expression::Variable(_) => "a word without quotes",
        Expression::FuncCall(_) => "a function call",
        Expression::Conditional(_) | Expression::ForExpr(_) => "a conditional or a loop",
        _ => "an expression",
    }
}
