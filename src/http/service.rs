//! The API as a service for the listeners of [`serve`](super::serve): one handler, with nothing before it that looks
//! for a route.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Body, HttpBody};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{Method, Request};
use axum::response::Response;
use bytes::Bytes;
use tower_service::Service;

use super::Door;
use super::connections::Activity;

/// Answers the requests of one connection.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) door: Arc<Door>,
    /// Where it comes from, unless that is a socket of this machine.
    pub(super) client: Option<SocketAddr>,
    pub(super) activity: Activity,
}

impl<B> Service<Request<B>> for Connection
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (door, client) = (Arc::clone(&self.door), self.client);
        let answering = self.activity.answering();
        Box::pin(async move {
            let is_head = request.method() == Method::HEAD;
            let response = door.respond(request.map(Body::new), client).await;
            drop(answering);
            Ok(if is_head { without_body(response) } else { response })
        })
    }
}

/// Returns an answer to HEAD: all that the answer to GET says of its body, and no body.
fn without_body(mut response: Response) -> Response {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response.map(|_| Body::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::http::{Api, ListenerLimits};
    use crate::system::{ServerInfo, SystemApi};

    #[tokio::test]
    async fn what_panics_ends_its_own_request() {
        let host =
            Host::builder().root_token("root").system(SystemApi::new(ServerInfo::default())).build().await.unwrap();
        let door = Door { api: Api::new(host), limits: ListenerLimits::default() };
        let connection = Connection { door: Arc::new(door), client: None, activity: Activity::new() };
        let buggy = futures_util::stream::poll_fn(|_| -> Poll<Option<Result<Bytes, BoxError>>> { panic!("a bug") });
        let request = |path: &str, body: Body| {
            let request = Request::builder().method(Method::POST).uri(path).header("X-Vault-Token", "root");
            connection.clone().call(request.body(body).unwrap())
        };
        let (failed, other) =
            tokio::join!(request("/v1/secret/a", Body::from_stream(buggy)), request("/v1/secret/a", Body::empty()));
        assert_eq!(failed.unwrap().status(), 500);
        assert_eq!(other.unwrap().status(), 404, "it is answered: there is no mount");
    }

    #[tokio::test]
    async fn head_tells_the_length_of_what_get_sends() {
        let host =
            Host::builder().root_token("root").system(SystemApi::new(ServerInfo::default())).build().await.unwrap();
        let door = Door { api: Api::new(host), limits: ListenerLimits::default() };
        let client = Some("192.0.2.1:7".parse().unwrap());
        let connection = Connection { door: Arc::new(door), client, activity: Activity::new() };
        let ask = async |method: Method| {
            let request = Request::builder().method(method).uri("/v1/sys/health").body(Body::empty()).unwrap();
            let response = connection.clone().call(request).await.unwrap();
            let length = response.headers().get(CONTENT_LENGTH).map(|length| length.to_str().unwrap().to_owned());
            (length, axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap())
        };
        let (_, body) = ask(Method::GET).await;
        assert!(!body.is_empty());
        assert_eq!(ask(Method::HEAD).await, (Some(body.len().to_string()), Bytes::new()));
    }
}
