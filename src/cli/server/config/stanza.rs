//! Reads one stanza setting by setting. What was asked for is what is known: there is no second list of names to keep.

use super::document::{Entry, Place, Value};
use super::problem::Findings;
use super::value::{Read, expected};
use super::vault::{Foreign, Verdict};

/// The setting that says a stanza's type where no label does.
const TYPE: &str = "type";

/// The settings between one pair of braces.
pub(super) struct Stanza<'a> {
    /// What the stanza is called in messages, such as `in limits`; empty for a whole file.
    context: String,
    place: &'a Place,
    entries: &'a [Entry],
    /// The names asked for so far.
    known: Vec<&'static str>,
}

impl<'a> Stanza<'a> {
    /// Returns the outermost stanza: the settings of all files.
    pub(super) fn root(place: &'a Place, entries: &'a [Entry]) -> Self {
        Self { context: String::new(), place, entries, known: Vec::new() }
    }

    /// Whether a setting was written, good or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    /// Returns where the stanza was written.
    pub(super) fn place(&self) -> &'a Place {
        self.place
    }

    /// Returns where a setting was written, or the stanza if it was not.
    pub(super) fn place_of(&self, name: &str) -> &'a Place {
        self.entries.iter().find(|entry| entry.name == name).map_or(self.place, |entry| &entry.place)
    }

    /// Returns a setting's value if it is there and good.
    pub(super) fn get<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Read<T>,
        findings: &mut Findings,
    ) -> Option<T> {
        let entry = self.only_entry(name, findings)?;
        match read(&entry.value) {
            Ok(value) => Some(value),
            Err(fragment) => {
                findings.problem(&entry.place, format!("{name:?} {fragment}"));
                None
            }
        }
    }

    /// Like [`Stanza::get`], and reports a setting that is missing.
    pub(super) fn require<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Read<T>,
        findings: &mut Findings,
    ) -> Option<T> {
        if !self.has(name) {
            self.known.push(name);
            self.missing(name, findings);
            return None;
        }
        self.get(name, read, findings)
    }

    /// Replaces a default by a setting's value if it is there and good.
    pub(super) fn set<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Read<T>,
        target: &mut T,
        findings: &mut Findings,
    ) {
        if let Some(value) = self.get(name, read, findings) {
            *target = value;
        }
    }

    /// Returns the stanza that has no label: `limits { … }`.
    pub(super) fn stanza(&mut self, name: &'static str, findings: &mut Findings) -> Option<Stanza<'a>> {
        let entry = self.only_entry(name, findings)?;
        let mut found = objects(name, &entry.place, &entry.value, findings).into_iter();
        let (place, entries) = found.next()?;
        for (second, _) in found {
            twice(name, second, place, findings);
        }
        Some(Stanza { context: format!(" in {name}"), place, entries, known: Vec::new() })
    }

    /// Returns the stanzas of this name with the label of each: `listener "tcp" { … }`, or as in Vault
    /// `listener { type = "tcp" … }`.
    pub(super) fn labelled(&mut self, name: &'static str, findings: &mut Findings) -> Vec<(&'a str, Stanza<'a>)> {
        self.known.push(name);
        let mut stanzas = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.name == name) {
            for (place, labels) in objects(name, &entry.place, &entry.value, findings) {
                let kind = labels.iter().find(|label| label.name == TYPE).map(|label| &label.value);
                if let Some(Value::Text(kind)) = kind {
                    let context = format!(" in {name} {kind:?}");
                    let mut stanza = Stanza { context, place, entries: labels, known: Vec::new() };
                    stanza.only_entry(TYPE, findings);
                    stanzas.push((kind.as_str(), stanza));
                    continue;
                }
                let is_stanza = |label: &Entry| matches!(label.value, Value::Object(_) | Value::List(_));
                if labels.is_empty() || !labels.iter().all(is_stanza) {
                    let message = format!("{name:?} needs a type before its settings: {name} \"TYPE\" {{ … }}");
                    findings.problem(place, message);
                    continue;
                }
                for label in labels {
                    for (place, entries) in objects(&label.name, &label.place, &label.value, findings) {
                        let context = format!(" in {name} {:?}", label.name);
                        stanzas.push((label.name.as_str(), Stanza { context, place, entries, known: Vec::new() }));
                    }
                }
            }
        }
        stanzas
    }

    /// Returns the stanzas inside one that has a second label, with that: `plugin "secret" "kv" { … }`.
    pub(super) fn labels(self, name: &'static str, findings: &mut Findings) -> Vec<(&'a str, Stanza<'a>)> {
        let mut stanzas = Vec::new();
        for label in self.entries {
            if !matches!(label.value, Value::Object(_) | Value::List(_)) {
                let message =
                    format!("{name:?} needs a type and a name before its settings: {name} \"TYPE\" \"NAME\" {{ … }}");
                findings.problem(self.place, message);
                return stanzas;
            }
            for (place, entries) in objects(&label.name, &label.place, &label.value, findings) {
                let context = format!("{} {:?}", self.context, label.name);
                stanzas.push((label.name.as_str(), Stanza { context, place, entries, known: Vec::new() }));
            }
        }
        stanzas
    }

    /// Like [`Stanza::labelled`], and reports every stanza after the first. `None` for one that is there: it was
    /// reported.
    pub(super) fn labelled_once(
        &mut self,
        name: &'static str,
        findings: &mut Findings,
    ) -> Option<(&'a str, Stanza<'a>)> {
        let mut found = self.labelled(name, findings).into_iter();
        let first = found.next()?;
        for (_, second) in found {
            twice(name, second.place, first.1.place, findings);
        }
        Some(first)
    }

    /// Reports that a setting or stanza is not there.
    pub(super) fn missing(&self, name: &str, findings: &mut Findings) {
        findings.problem(self.place, format!("{name:?} is missing{}", self.context));
    }

    /// Reports the names that nobody asked for: settings of Vault by what their absence means, others with the nearest
    /// name.
    pub(super) fn finish(self, foreign: &[Foreign], findings: &mut Findings) {
        for entry in self.entries.iter().filter(|entry| !self.known.contains(&entry.name.as_str())) {
            match foreign.iter().find(|foreign| foreign.name == entry.name) {
                Some(foreign) if foreign.describes_this_server(&entry.value) => {}
                Some(Foreign { verdict: Verdict::Harmless, why, .. }) => {
                    findings.warning(&entry.place, format!("{:?} has no effect: {why}", entry.name));
                }
                Some(Foreign { verdict: Verdict::Refused, why, .. }) => {
                    findings.problem(&entry.place, format!("{:?} is not supported: {why}", entry.name));
                }
                None => {
                    let mut message = format!("unknown setting {:?}{}", entry.name, self.context);
                    if let Some(name) = nearest(&entry.name, &self.known) {
                        message += &format!(", did you mean {name:?}?");
                    }
                    findings.problem(&entry.place, message);
                }
            }
        }
    }

    /// Returns the first entry of a name, and reports the others.
    fn only_entry(&mut self, name: &'static str, findings: &mut Findings) -> Option<&'a Entry> {
        self.known.push(name);
        let mut found = self.entries.iter().filter(|entry| entry.name == name);
        let first = found.next()?;
        for second in found {
            twice(name, &second.place, &first.place, findings);
        }
        Some(first)
    }
}

/// Returns an object, or the objects of a list, each with its place.
fn objects<'a>(
    name: &str,
    place: &'a Place,
    value: &'a Value,
    findings: &mut Findings,
) -> Vec<(&'a Place, &'a [Entry])> {
    let mut objects = Vec::new();
    let mut add = |place: &'a Place, value: &'a Value| match value {
        Value::Object(entries) => objects.push((place, entries.as_slice())),
        other => findings.problem(place, format!("{name:?} {}", expected(other, "a stanza"))),
    };
    match value {
        Value::List(nodes) if nodes.is_empty() => {
            findings.problem(place, format!("{name:?} is an empty list, expected a stanza"));
        }
        Value::List(nodes) => nodes.iter().for_each(|node| add(&node.place, &node.value)),
        single => add(place, single),
    }
    objects
}

fn twice(name: &str, second: &Place, first: &Place, findings: &mut Findings) {
    findings.problem(second, format!("{name:?} is set twice, first at {first}"));
}

/// Returns the known name that was probably meant: at most a third of its letters differ.
fn nearest(typed: &str, known: &[&'static str]) -> Option<&'static str> {
    let edits_max = |name: &str| name.len() / 3;
    known
        .iter()
        // Names that differ so much in length are not compared: what is typed may be of any length.
        .filter(|name| typed.len().abs_diff(name.len()) <= edits_max(name))
        .map(|name| (strsim::damerau_levenshtein(typed, name), *name))
        .filter(|(edits, name)| *edits <= edits_max(name))
        .min()
        .map(|(_, name)| name)
}
