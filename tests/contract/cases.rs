//! The table.

mod answers;
mod json;
mod logins;
mod mounts;
mod stored;

use crate::script::Case;

/// Returns every case.
pub(crate) fn all() -> Vec<Case> {
    [stored::cases(), answers::cases(), json::cases(), mounts::cases(), logins::cases()].into_iter().flatten().collect()
}
