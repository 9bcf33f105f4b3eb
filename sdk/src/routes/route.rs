//! One route: a pattern, its fields, and its handlers.

use serde_json::{Map, Value};

use super::pattern::{Captures, Pattern};
use super::{ExistenceCheck, Field, Handler, Mode, Plain};
use crate::{Error, Operation, Request};

/// One pattern of paths, with what can be done there.
pub struct Route<P, M: Mode<P> = Plain> {
    pub(super) pattern: Pattern,
    pub(super) fields: Vec<Field>,
    pub(super) synopsis: String,
    pub(super) description: String,
    handlers: Vec<(Operation, M::Handler)>,
    existence_check: Option<M::Check>,
    unknown_fields: UnknownFields,
}

/// What happens to fields that no one declared.
enum UnknownFields {
    Warned,
    Welcome,
}

impl<P> Route<P> {
    /// Makes a route for the paths that fit `pattern`:
    ///
    /// - `config` fits just that;
    /// - `creds/{name}` fits one more segment, which becomes the field `name`;
    /// - `data/{path..}` fits all that follows `data/`, which becomes the field `path` and may be empty.
    ///
    /// A trailing slash, as in a list request, is ignored except by `{path..}`, which keeps it.
    ///
    /// # Panics
    ///
    /// If the pattern is malformed, which is a mistake in the plugin's source that its first test shows.
    pub fn new(pattern: &str) -> Self {
        Self::empty(pattern)
    }

    /// Answers reads.
    pub fn read(self, handler: Handler<P>) -> Self {
        self.on(Operation::Read, handler)
    }

    /// Answers writes, to what exists and to what does not.
    pub fn write(self, handler: Handler<P>) -> Self {
        self.on(Operation::Create, handler).on(Operation::Update, handler)
    }

    /// Answers merge patches.
    pub fn patch(self, handler: Handler<P>) -> Self {
        self.on(Operation::Patch, handler)
    }

    /// Answers deletions.
    pub fn delete(self, handler: Handler<P>) -> Self {
        self.on(Operation::Delete, handler)
    }

    /// Answers lists.
    pub fn list(self, handler: Handler<P>) -> Self {
        self.on(Operation::List, handler)
    }

    /// Answers any other operation. A second handler for the same one replaces the first.
    pub fn on(mut self, operation: Operation, handler: Handler<P>) -> Self {
        self.set(operation, handler);
        self
    }

    /// Tells creates from updates.
    pub fn exists(mut self, check: ExistenceCheck<P>) -> Self {
        self.set_check(check);
        self
    }
}

impl<P, M: Mode<P>> Route<P, M> {
    pub(super) fn empty(pattern: &str) -> Self {
        Self {
            pattern: Pattern::new(pattern),
            fields: Vec::new(),
            synopsis: String::new(),
            description: String::new(),
            handlers: Vec::new(),
            existence_check: None,
            unknown_fields: UnknownFields::Warned,
        }
    }

    /// Declares a field. Segments that the pattern captures need no declaration, but are better explained by one.
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// Says in one line what this path is for.
    pub fn synopsis(mut self, synopsis: impl Into<String>) -> Self {
        self.synopsis = synopsis.into();
        self
    }

    /// Says in full what this path is for.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Takes fields that were not declared, without a warning to the client.
    pub fn any_fields(mut self) -> Self {
        self.unknown_fields = UnknownFields::Welcome;
        self
    }

    pub(super) fn set(&mut self, operation: Operation, handler: M::Handler) {
        self.handlers.retain(|(known, _)| *known != operation);
        self.handlers.push((operation, handler));
    }

    pub(super) fn set_check(&mut self, check: M::Check) {
        self.existence_check = Some(check);
    }

    pub(super) fn handler(&self, operation: Operation) -> Option<&M::Handler> {
        self.handlers.iter().find_map(|(known, handler)| (*known == operation).then_some(handler))
    }

    pub(super) fn existence_check(&self) -> Option<&M::Check> {
        self.existence_check.as_ref()
    }

    /// Returns the declared fields, and those that only the pattern names.
    pub(super) fn all_fields(&self) -> impl Iterator<Item = Field> {
        let undeclared = self.pattern.captures().filter(|name| self.declared(name).is_none());
        self.fields.iter().cloned().chain(undeclared.map(|name| Field::string(name, "")))
    }

    /// Checks and converts a request's fields.
    pub(super) fn input(&self, request: &Request, captures: &Captures) -> Result<Input, Error> {
        let mut body = request.object()?;
        let mut replaced = Vec::new();
        for (name, value) in captures {
            if body.insert(name.clone(), Value::String(value.clone())).is_some() {
                replaced.push(name.as_str());
            }
        }
        let mut fields = Map::new();
        for field in &self.fields {
            let absence = Absence::of(request.operation);
            if let Some(value) = field.take(&mut body, absence)? {
                fields.insert(field.name.clone(), value);
            }
        }
        let is_capture = |name: &str| captures.iter().any(|(capture, _)| capture == name);
        let mut ignored = Vec::new();
        for (name, value) in body {
            if is_capture(&name) || matches!(self.unknown_fields, UnknownFields::Welcome) {
                fields.insert(name, value);
            } else {
                ignored.push(name);
            }
        }
        Ok(Input { fields, warnings: warnings(&ignored, &replaced) })
    }

    fn declared(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// A request's fields, converted, and what the client should know of them.
pub(super) struct Input {
    pub(super) fields: Map<String, Value>,
    pub(super) warnings: Vec<String>,
}

/// What becomes of a field that a request does not have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Absence {
    /// Its default stands in; without one, a required field is missed.
    Refused,
    /// Its default stands in.
    Filled,
    /// It stays absent.
    Kept,
}

impl Absence {
    fn of(operation: Operation) -> Self {
        match operation {
            Operation::Create | Operation::Update => Self::Refused,
            // A patch changes what it names: a default would overwrite, and what is required is there already.
            Operation::Patch => Self::Kept,
            // One route serves all operations on a path, and what a write must say a read need not.
            _ => Self::Filled,
        }
    }
}

/// The wording is Vault's.
fn warnings(ignored: &[String], replaced: &[&str]) -> Vec<String> {
    let mut warnings = Vec::new();
    if !ignored.is_empty() {
        warnings.push(format!("Endpoint ignored these unrecognized parameters: [{}]", ignored.join(" ")));
    }
    if !replaced.is_empty() {
        warnings.push(format!(
            "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [{}]",
            replaced.join(" ")
        ));
    }
    warnings
}
