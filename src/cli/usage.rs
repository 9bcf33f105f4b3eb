//! What was typed wrong, in the words of Go's flags, which Vault's users know.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Returns what is wrong with the flags.
pub(super) fn explain(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    // Clap's text has the flag's value behind its name: `--max-lease-ttl <MAX_LEASE_TTL>`.
    let flag = context(ContextKind::InvalidArg).filter(|flag| flag.starts_with('-'));
    let flag = flag.map(|flag| flag.trim_start_matches('-')).and_then(|flag| flag.split([' ', '=']).next());
    let value = context(ContextKind::InvalidValue).unwrap_or_default();
    match (error.kind(), flag) {
        (ErrorKind::UnknownArgument, Some(flag)) => format!("flag provided but not defined: -{flag}"),
        (ErrorKind::InvalidValue, Some(flag)) if value.is_empty() => format!("flag needs an argument: -{flag}"),
        (ErrorKind::ValueValidation, Some(flag)) => {
            let reason = error.source().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("invalid value {value:?} for flag -{flag}{reason}")
        }
        (ErrorKind::TooManyValues, Some(flag)) => {
            format!("invalid boolean value for flag -{flag}: it is true or false")
        }
        _ => error.render().to_string().trim_end().to_owned(),
    }
}
