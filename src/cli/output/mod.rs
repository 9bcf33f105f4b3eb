//! Answers as Vault prints them: as a table, JSON or YAML, or one field of them.

mod go;
mod secret;
mod yaml;

use std::str::FromStr;

use serde::Serialize;

pub(super) use go::go_text;
pub(super) use secret::Secret;

use super::console::{Console, Ended};
use super::json::{Json, Members};
use super::table::Table;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
    /// The server's answer as it came, for `read`.
    Raw,
    /// For people, of `status`.
    Pretty,
}

impl FromStr for Format {
    type Err = Ended;

    fn from_str(typed: &str) -> Result<Self, Ended> {
        match typed.to_ascii_lowercase().as_str() {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            "yaml" | "yml" => Ok(Self::Yaml),
            "raw" => Ok(Self::Raw),
            "pretty" => Ok(Self::Pretty),
            _ => Err(Ended::local(format!("Invalid output format: {typed}"))),
        }
    }
}

/// What the person asked to see of an answer.
pub(super) struct View {
    /// How to print it.
    pub(super) format: Format,
    /// The one field to print, if only one.
    pub(super) field: Option<String>,
}

impl View {
    /// Prints an answer.
    pub(super) fn secret(&self, console: &mut Console, secret: &Secret) -> Result<(), Ended> {
        if self.format == Format::Table {
            warn(console, secret);
        }
        if let Some(field) = &self.field {
            return self.one_field(console, field, secret.field(field), "secret");
        }
        match self.format {
            Format::Table | Format::Pretty => print_rows(console, secret.rows()),
            Format::Raw => console.bytes(&secret.raw),
            format => print_structured(console, format, secret)?,
        }
        Ok(())
    }

    /// Prints an answer's keys.
    pub(super) fn keys(&self, console: &mut Console, secret: &Secret, keys: &[Json]) -> Result<(), Ended> {
        if self.format != Format::Table {
            return print_structured(console, self.format, keys);
        }
        warn(console, secret);
        let mut names: Vec<String> = keys.iter().map(go::text).collect();
        names.sort();
        let mut table = Table::new(&["Keys"]);
        names.into_iter().for_each(|name| table.row([name]));
        if !table.is_empty() {
            console.line(table);
        }
        Ok(())
    }

    /// Prints a map as rows of key and value.
    pub(super) fn map(&self, console: &mut Console, map: &impl Serialize) -> Result<(), Ended> {
        let map = match lossless(map)? {
            Json::Object(map) => map,
            _ => Members::new(),
        };
        match (&self.field, self.format) {
            (Some(field), _) => self.one_field(console, field, map.get(field).cloned(), "map"),
            (None, Format::Table) => {
                print_rows(console, go::rows(&map));
                Ok(())
            }
            (None, format) => print_structured(console, format, &map),
        }
    }

    /// Prints a table to people, and to programs what it was made from.
    pub(super) fn table(&self, console: &mut Console, table: Table, source: &impl Serialize) -> Result<(), Ended> {
        match self.format {
            Format::Table => {
                console.line(table);
                Ok(())
            }
            format => print_structured(console, format, source),
        }
    }

    /// Prints what a program reads.
    pub(super) fn whole(&self, console: &mut Console, value: &impl Serialize) -> Result<(), Ended> {
        print_structured(console, self.format, value)
    }

    /// Prints one field, or says in what it is missing.
    pub(super) fn one_field(
        &self,
        console: &mut Console,
        field: &str,
        value: Option<Json>,
        thing: &str,
    ) -> Result<(), Ended> {
        let value = value
            .filter(|value| *value != Json::Null)
            .ok_or_else(|| Ended::local(format!("Field {field:?} not present in {thing}")))?;
        console.value(&match self.format {
            Format::Table | Format::Raw | Format::Pretty => go::text(&value),
            format => structured(format, &value)?,
        });
        Ok(())
    }
}

/// Prints an answer's warnings to standard error. An answer that is printed whole has them in it already.
pub(super) fn warn(console: &mut Console, secret: &Secret) {
    let warnings = secret.warnings.as_deref().unwrap_or_default();
    if warnings.is_empty() {
        return;
    }
    console.note("WARNING! The following warnings were returned from Vault:\n");
    for warning in warnings {
        console.note(format!("  * {warning}\n"));
    }
}

fn print_rows(console: &mut Console, rows: Vec<(String, String)>) {
    let mut table = Table::new(&["Key", "Value"]);
    rows.into_iter().for_each(|(key, value)| table.row([key, value]));
    if !table.is_empty() {
        console.line(table);
    }
}

fn print_structured(console: &mut Console, format: Format, value: &(impl Serialize + ?Sized)) -> Result<(), Ended> {
    console.line(structured(format, value)?);
    Ok(())
}

fn structured(format: Format, value: &(impl Serialize + ?Sized)) -> Result<String, Ended> {
    match format {
        // Vault's YAML has its keys sorted, which a value's are.
        Format::Yaml => lossless(value).map(|value| yaml::document(&value)),
        _ => serde_json::to_string_pretty(value)
            .map(|text| super::clean::for_json(&text))
            .map_err(|reason| unprintable(&reason)),
    }
}

fn lossless(value: &(impl Serialize + ?Sized)) -> Result<Json, Ended> {
    Json::of(value).map_err(|reason| unprintable(&reason))
}

fn unprintable(reason: &serde_json::Error) -> Ended {
    Ended::local(format!("Could not parse output: {reason}"))
}
