//! `auth help`: what an auth method says of itself.

use std::collections::BTreeMap;

use clap::Args;

use super::kind::Kind;
use super::list::{self, Mount};
use crate::cli::Session;
use crate::cli::client::{Call, during};
use crate::cli::console::{Ended, Exit};
use crate::cli::flags::{Positionals, bare_path, mount_path};

/// `auth help TYPE|PATH`
#[derive(Args)]
pub(in crate::cli) struct HelpCommand {
    #[command(flatten)]
    arguments: Positionals,
}

impl HelpCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let [typed] = self.arguments.exactly()?;
        let path = mount_path(&bare_path(&typed));
        let mounts = list::mounts(session, Kind::Auth, "listing auth methods")?;
        let Some(path) = find(&mounts, typed.trim(), &path) else {
            return Err(Ended::local(format!("No auth method available on the server at {path:?}")));
        };
        let call = Call::get(Kind::Auth.whole(path)).with_query("help", "1");
        let answer = session.client.send(&call).and_then(|answer| answer.json());
        let answer = answer.map_err(during("retrieving help"))?;
        session.console.line(answer["help"].as_str().unwrap_or_default());
        Ok(Exit::Success)
    }
}

/// Returns the mount that was meant: the one at the path, or else the first one of the type.
fn find<'a>(mounts: &'a BTreeMap<String, Mount>, kind: &str, path: &str) -> Option<&'a str> {
    let at_path = mounts.get_key_value(path).map(|(path, _)| path);
    let of_type = || mounts.iter().find(|(_, mount)| mount.kind == kind).map(|(path, _)| path);
    at_path.or_else(of_type).map(String::as_str)
}
