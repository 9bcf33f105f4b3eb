//! Why a mount's storage did not do what its plugin asked.

use super::StorageError;
use crate::complaints::Complaints;

/// Why a plugin's storage did not do what was asked, in words that a plugin may see.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ViewError {
    /// Nothing may be written here.
    #[error("the storage is read-only here")]
    ReadOnly,
    /// More than this many bytes.
    #[error("the value is larger than {0} bytes")]
    TooLarge(u64),
    /// The key is malformed.
    #[error("invalid key: {0}")]
    InvalidKey(String),
    /// What was read has changed since.
    #[error("the stored data has changed since it was read")]
    Conflict,
    /// The storage does not answer.
    #[error("{0}")]
    Unavailable(String),
}

/// Whoever may write can make the storage fail, as often as it likes.
static FAILURES: Complaints = Complaints::new();

/// The cause is for the operator: it is logged here, and the plugin gets a plain sentence.
impl From<StorageError> for ViewError {
    fn from(error: StorageError) -> Self {
        let sentence = match &error {
            StorageError::Conflict => return ViewError::Conflict,
            StorageError::Damaged { .. } => "the stored value is damaged",
            StorageError::InDoubt { .. } => "nothing says whether the storage applied the change; read again",
            StorageError::Unusable(_) | StorageError::Failed { .. } | StorageError::TakenOver => "the storage failed",
        };
        if let Some(left_out) = FAILURES.admit() {
            tracing::error!(error = &error as &dyn std::error::Error, left_out, "{sentence}");
        }
        ViewError::Unavailable(sentence.to_owned())
    }
}
