//! `status`: whether the server is sealed, also as the exit code.

use super::Session;
use super::client::{Call, during};
use super::console::{Ended, Exit};
use super::flags::Positionals;
use super::json::{Json, Members};
use super::output::{Format, go_text};
use super::table::Table;

/// Runs `status`. Its failures end with 1: 2 means sealed.
pub(super) fn run(arguments: Positionals, session: &mut Session<'_>) -> Result<Exit, Ended> {
    let [] = arguments.exactly()?;
    let status = fetch(session).map_err(|ended| ended.with_exit(Exit::Local))?;
    let is_sealed = status.get("sealed") != Some(&Json::Bool(false));
    match (&session.view.field, session.view.format) {
        (Some(field), _) => {
            let value = status.get(field).cloned();
            session.view.one_field(session.console, field, value, "seal status")?;
        }
        (None, Format::Table | Format::Pretty) => session.console.line(table(&status)),
        (None, _) => session.view.map(session.console, &status)?,
    }
    Ok(if is_sealed { Exit::Remote } else { Exit::Success })
}

/// Returns the seal's status, and the leader's where there can be one.
fn fetch(session: &Session<'_>) -> Result<Members, Ended> {
    let client = session.client.as_nobody();
    let object = |path: &str, what: &str| {
        let answer = client.send(&Call::get(path)).and_then(|answer| answer.document()).map_err(during(what))?;
        match answer {
            Json::Object(object) => Ok(object),
            _ => Err(Ended::remote(format!("Error {what}: the answer is no JSON object"))),
        }
    };
    let mut status = object("sys/seal-status", "checking seal status")?;
    status.entry("ha_enabled".to_owned()).or_insert(Json::Bool(false));
    if status.get("sealed") == Some(&Json::Bool(false)) {
        status.extend(object("sys/leader", "checking leader status")?);
    }
    Ok(status)
}

fn table(status: &Members) -> Table {
    let text = |member: &str| status.get(member).map(go_text).unwrap_or_default();
    let is = |member: &str| status.get(member) == Some(&Json::Bool(true));
    let mut table = Table::new(&["Key", "Value"]);
    let mut row = |key: &str, value: String| table.row([key.to_owned(), value]);
    row("Seal Type", text("type"));
    row("Initialized", text("initialized"));
    row("Sealed", text("sealed"));
    row("Total Shares", text("n"));
    row("Threshold", text("t"));
    if is("sealed") {
        row("Unseal Progress", format!("{}/{}", text("progress"), text("t")));
        row("Unseal Nonce", text("nonce"));
    }
    for (key, member) in [
        ("Version", "version"),
        ("Build Date", "build_date"),
        ("Storage Type", "storage_type"),
        ("Cluster Name", "cluster_name"),
        ("Cluster ID", "cluster_id"),
    ] {
        if !text(member).is_empty() {
            row(key, text(member));
        }
    }
    row("HA Enabled", text("ha_enabled"));
    if is("ha_enabled") && !is("sealed") {
        row("HA Cluster", text("leader_cluster_address"));
        row("HA Mode", if is("is_self") { "active" } else { "standby" }.to_owned());
        match is("is_self") {
            true => row("Active Since", text("active_time")),
            false => row("Active Node Address", text("leader_address")),
        }
    }
    table
}
