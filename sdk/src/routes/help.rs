//! The answer to `path-help`, in the layout that Vault's users know.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::{Mode, Route, openapi};

/// Helps with one path.
pub(super) fn of_route<P, M: Mode<P>>(path: &str, route: &Route<P, M>) -> Value {
    let synopsis = or(&route.synopsis, "<no synopsis>");
    let mut help = format!("Request:        {path}\nMatching Route: {}\n\n{synopsis}\n", route.pattern.as_str());
    // A map keeps them in order without a sort, which would be a tenth of a small plugin's code.
    let mut fields = BTreeMap::new();
    for field in route.all_fields() {
        fields.insert(field.name.clone(), field);
    }
    if !fields.is_empty() {
        help.push_str("\n## PARAMETERS\n");
    }
    for field in fields.values() {
        let parameter = format!("{} ({})", field.name, field.kind);
        let description = or(&field.description, "<no description>");
        push(&mut help, format_args!("\n{}\n\n{}\n", indent(4, &parameter), indent(8, description)));
    }
    let description = or(&route.description, "<no description>");
    push(&mut help, format_args!("\n## DESCRIPTION\n\n{description}\n"));
    json!({ "help": help, "see_also": [], "openapi": openapi::document([route]) })
}

/// Helps with the plugin as a whole: what it is, and which patterns it knows.
pub(super) fn of_plugin<P, M: Mode<P>>(about: &str, routes: &[Route<P, M>]) -> Value {
    let mut help = format!("## DESCRIPTION\n\n{}\n\n## PATHS\n\n{PATHS}\n\n", about.trim());
    for route in routes {
        let pattern = or(route.pattern.as_str(), "\"\"");
        let synopsis = or(&route.synopsis, "<no synopsis>");
        push(&mut help, format_args!("{}\n{}\n\n", indent(4, pattern), indent(8, synopsis)));
    }
    json!({ "help": help, "see_also": [], "openapi": openapi::document(routes) })
}

const PATHS: &str = "\
The following paths are supported by this backend. To view help for
any of the paths below, use the help command with any route matching
the path pattern. Note that depending on the policy of your auth token,
you may or may not be able to access certain paths.";

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.trim().is_empty() { otherwise } else { text.trim() }
}

fn indent(columns: usize, text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("{:columns$}{line}", "")).collect();
    lines.join("\n")
}

fn push(text: &mut String, more: std::fmt::Arguments) {
    text.write_fmt(more).expect("a String takes all that is written to it");
}
