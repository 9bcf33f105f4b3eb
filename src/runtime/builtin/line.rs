//! The line from a call to its mount's storage, which can be cut from the outside while the plugin's thread goes on.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use cofferdam_sdk::StorageError;
use tokio_util::sync::CancellationToken;

/// One call's line.
#[derive(Default)]
pub(super) struct Line {
    cut: CancellationToken,
    /// Held while the storage is driven and while the line is cut: once it is cut, nothing of this call reaches the
    /// storage.
    turn: Mutex<()>,
}

impl Line {
    /// Ends all that the call still asks of the storage, now and later. What was handed over before may still be
    /// applied.
    pub(super) fn cut(&self) {
        let _turn = self.turn();
        self.cut.cancel();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.is_cancelled()
    }

    /// Drives what is asked of the storage, until the line is cut.
    pub(super) async fn drive<T>(
        &self,
        asked: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let (mut asked, mut cut) = (pin!(asked), pin!(self.cut.cancelled()));
        poll_fn(|context| {
            // Also for the wake-up, should it be cut while the storage takes its time.
            if cut.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(over()));
            }
            let _turn = self.turn();
            if self.is_cut() { Poll::Ready(Err(over())) } else { asked.as_mut().poll(context) }
        })
        .await
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        // There is nothing that could be left half done.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn over() -> StorageError {
    StorageError::Unavailable("the call is over: it ran out of time, or nobody waits for it any more".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn what_waits_for_the_storage_ends_when_the_line_is_cut() {
        let line = Arc::new(Line::default());
        let waiting = tokio::spawn({
            let line = Arc::clone(&line);
            async move { line.drive(std::future::pending::<Result<(), StorageError>>()).await }
        });
        assert_eq!(line.drive(async { Ok(1) }).await, Ok(1));
        line.cut();
        assert_eq!(waiting.await.unwrap(), Err(over()));
    }

    #[tokio::test]
    async fn nothing_is_begun_on_a_line_that_is_cut() {
        let line = Line::default();
        line.cut();
        let mut begun = false;
        let asked = async {
            begun = true;
            Ok(())
        };
        assert_eq!(line.drive(asked).await, Err(over()));
        assert!(!begun);
    }
}
