//! What one request waits for and another rings.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Rings once, and is rung from then on.
#[derive(Clone, Default)]
pub(crate) struct Bell(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    is_rung: bool,
    wakers: Vec<Waker>,
}

impl Bell {
    pub(crate) fn ring(&self) {
        let mut state = self.0.borrow_mut();
        state.is_rung = true;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_rung(&self) -> bool {
        self.0.borrow().is_rung
    }

    pub(crate) async fn rung(&self) {
        poll_fn(|context| self.poll(context)).await;
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.borrow_mut();
        if state.is_rung {
            return Poll::Ready(());
        }
        state.wakers.push(context.waker().clone());
        Poll::Pending
    }
}

/// Waits for the first of two, and tells whether it was the one.
pub(crate) async fn either(one: &Bell, other: &Bell) -> bool {
    poll_fn(|context| match (one.poll(context), other.poll(context)) {
        (Poll::Ready(()), _) => Poll::Ready(true),
        (_, Poll::Ready(())) => Poll::Ready(false),
        _ => Poll::Pending,
    })
    .await
}
