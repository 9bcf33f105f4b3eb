//! What the host keeps for the questions of one process: their bytes come out of the process's room as they arrive, and
//! those of their answers before they are sent. So it is bounded for all its mounts together, however many questions
//! they ask at once.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic::{Request, Status};

use crate::storage::{Room, Taken, ViewError};

/// One question, from its first byte until its answer was sent.
pub(super) struct Question {
    room: Room,
    /// What is kept for it.
    taken: Mutex<Option<Taken>>,
}

/// A service whose questions and answers come out of a room.
#[derive(Clone)]
pub(super) struct Bounded<S> {
    service: S,
    room: Room,
}

/// What a question or its answer is sent in.
struct Message {
    body: Body,
    question: Arc<Question>,
    /// Whether its bytes have still to be counted.
    arrives: bool,
}

impl Question {
    /// Returns the question that this request is.
    pub(super) fn of<T>(request: &Request<T>) -> Result<Arc<Self>, Status> {
        let question = request.extensions().get::<Arc<Self>>();
        question.cloned().ok_or_else(|| Status::internal("the question was not counted"))
    }

    /// Takes room for more bytes, until the answer was sent.
    pub(super) fn keep(&self, bytes: usize) -> Result<(), ViewError> {
        let more = self.room.take(bytes)?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *taken {
            Some(taken) => taken.add(more),
            None => *taken = Some(more),
        }
        Ok(())
    }
}

impl<S> Bounded<S> {
    pub(super) fn new(service: S, room: &Room) -> Self {
        Self { service, room: room.clone() }
    }
}

impl<S: NamedService> NamedService for Bounded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Bounded<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<S::Response, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let question = Arc::new(Question { room: self.room.clone(), taken: Mutex::default() });
        request.extensions_mut().insert(Arc::clone(&question));
        let arriving = Arc::clone(&question);
        let request = request.map(|body| Body::new(Message { body, question: arriving, arrives: true }));
        let answering = self.service.call(request);
        Box::pin(async move {
            let answer = answering.await?;
            Ok(answer.map(|body| Body::new(Message { body, question, arrives: false })))
        })
    }
}

impl http_body::Body for Message {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if self.arrives
            && let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(refused) = self.question.keep(data.len())
        {
            return Poll::Ready(Some(Err(Status::resource_exhausted(refused.to_string()))));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
