//! Who is told of what was asked and what was answered.

use async_trait::async_trait;

use super::access::Asked;
use super::{Answer, Error};

/// Is told of every request, before it is carried out and when it has ended: those that are refused, and those to paths
/// where nothing is mounted, too. A host has none unless it is given one; see
/// [`HostBuilder::audit`](super::HostBuilder::audit).
///
/// What it is told holds secrets: data as it was sent, and answers as plugins gave them.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Is told of a request, and why it is refused if it is. The request waits for it.
    ///
    /// # Errors
    ///
    /// Then nothing is asked of the plugin, and the client is told this error.
    async fn request(&self, asked: &Asked<'_>, refused: Option<&Error>) -> Result<(), Error>;

    /// Is told what a request came to. The answer waits for it.
    ///
    /// # Errors
    ///
    /// Then the client is told this error in place of the answer. What the plugin did stays done.
    async fn response(&self, asked: &Asked<'_>, outcome: Result<&Answer, &Error>) -> Result<(), Error>;
}
