//! Bodies of requests: how much of them the server holds at a time, how slowly one may come, and where large ones are
//! parsed.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use cofferdam_contract::GoDuration;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::limits::ListenerLimits;
use super::refusal::Refusal;
use super::strangers::Visit;
use super::text::Pairs;
use crate::json::{self, JsonLimits};
use crate::limits::Limits;

/// How long a body may come as slowly as it likes: a lost packet costs seconds.
const SLOW_GRACE: Duration = Duration::from_secs(10);

/// Bytes per second that a body must bring after that, on the average. The slowest modem brings more.
const SLOW_BYTES_PER_SECOND: u64 = 1 << 10;

/// The largest body that is parsed on a thread that serves, in bytes: a fraction of a millisecond.
const PARSED_IN_PLACE_BYTES_MAX: usize = 64 << 10;

/// Larger bodies that are parsed at a time, each on a thread of its own.
const PARSERS_MAX: usize = 2;

/// What a form says it is.
const FORM: &str = "application/x-www-form-urlencoded";

/// The bodies of all requests that are under way.
pub(super) struct Bodies {
    bytes: Arc<Semaphore>,
    parsers: Arc<Semaphore>,
}

/// A body, counted until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    counted: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// What came in the head of a request, which bounds it.
    pub(super) fn uncounted(bytes: Bytes) -> Self {
        Self { bytes, counted: None }
    }
}

impl Bodies {
    pub(super) fn new(limits: &Limits) -> Self {
        let bytes = limits.bodies_bytes_max.min(Semaphore::MAX_PERMITS);
        Self { bytes: Arc::new(Semaphore::new(bytes)), parsers: Arc::new(Semaphore::new(PARSERS_MAX)) }
    }

    /// Reads a body whole, within what its listener grants. A stranger's visit is charged for it.
    pub(super) async fn read(
        &self,
        body: Body,
        limits: &ListenerLimits,
        mut visit: Option<&mut Visit>,
    ) -> Result<Held, Refusal> {
        let mut held = Held::uncounted(Bytes::new());
        if body.is_end_stream() {
            return Ok(held);
        }
        let mut bytes_max = limits.request_body_bytes_max;
        if visit.is_some() {
            bytes_max = bytes_max.min(limits.anonymous_body_bytes_max);
        }
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(too_large(bytes_max));
        }
        let begun = Instant::now();
        let mut pieces = body.into_data_stream();
        let mut all = BytesMut::new();
        loop {
            let read = all.len() + held.bytes.len();
            let brought = Duration::from_secs(read as u64 / SLOW_BYTES_PER_SECOND);
            let patience = limits.request_deadline.min(SLOW_GRACE + brought);
            let piece = timeout_at(begun + patience, pieces.next()).await.map_err(|_| too_slow(limits, patience))?;
            let Some(piece) = piece else { break };
            let piece = piece.map_err(|error| Refusal::invalid(format!("error reading the request body: {error}")))?;
            if read + piece.len() > bytes_max {
                return Err(too_large(bytes_max));
            }
            self.count(&mut held, piece.len())?;
            if let Some(visit) = &mut visit {
                visit.charge(piece.len())?;
            }
            // What comes in a single piece is not copied.
            if read == 0 {
                held.bytes = piece;
            } else {
                all.extend_from_slice(&std::mem::take(&mut held.bytes));
                all.extend_from_slice(&piece);
            }
        }
        if !all.is_empty() {
            held.bytes = all.freeze();
        }
        Ok(held)
    }

    /// Takes bytes out of what the whole server may hold.
    fn count(&self, held: &mut Held, bytes: usize) -> Result<(), Refusal> {
        let permit = u32::try_from(bytes).ok();
        let permit = permit.and_then(|bytes| Arc::clone(&self.bytes).try_acquire_many_owned(bytes).ok());
        let permit = permit.ok_or_else(|| {
            let message = "requests that are under way hold too much memory: try again later";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
        })?;
        match &mut held.counted {
            Some(counted) => counted.merge(permit),
            None => held.counted = Some(permit),
        }
        Ok(())
    }

    /// Returns a body as the JSON object that it must be. What is large is parsed apart from the threads that serve.
    pub(super) async fn parse(&self, mut held: Held, content_type: &str, limits: &JsonLimits) -> Result<Held, Refusal> {
        if held.bytes.len() <= PARSED_IN_PLACE_BYTES_MAX {
            held.bytes = data_of(held.bytes, content_type, limits)?;
            return Ok(held);
        }
        // Both go along: a client that leaves makes no room before its body is gone.
        let turn = Arc::clone(&self.parsers).acquire_owned().await;
        let (content_type, limits) = (content_type.to_owned(), *limits);
        let parsed = tokio::task::spawn_blocking(move || {
            held.bytes = data_of(held.bytes, &content_type, &limits)?;
            drop(turn);
            Ok(held)
        });
        parsed.await.unwrap_or_else(|_| {
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed to read the request body"))
        })
    }
}

fn too_large(bytes_max: usize) -> Refusal {
    let message = format!("request body too large: it may have {bytes_max} bytes at most");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

fn too_slow(limits: &ListenerLimits, patience: Duration) -> Refusal {
    let message = if patience == limits.request_deadline {
        format!("the request body did not arrive within {}", GoDuration::from_std(patience))
    } else {
        format!("the request body came more slowly than {SLOW_BYTES_PER_SECOND} bytes per second")
    };
    Refusal::new(StatusCode::REQUEST_TIMEOUT, message)
}

/// Returns a body as the JSON object that it must be. Go's client sends `null` where it has nothing to say.
///
/// curl says "form" of whatever it sends, so a form that starts like an object is one: Vault does the same.
fn data_of(body: Bytes, content_type: &str, limits: &JsonLimits) -> Result<Bytes, Refusal> {
    let start = body.trim_ascii_start().first();
    if start.is_none() || body.trim_ascii() == b"null" {
        return Ok(Bytes::new());
    }
    if content_type.eq_ignore_ascii_case(FORM) && start != Some(&b'{') {
        let form =
            std::str::from_utf8(&body).map_err(|_| Refusal::invalid("the form in the request body is not UTF-8"))?;
        return Ok(Pairs::parse(form)?.into_data());
    }
    let object = json::object(&body).and_then(|object| json::check(object.as_bytes(), limits).map(|()| object));
    match object {
        Ok(object) => Ok(body.slice_ref(object.as_bytes())),
        Err(why) => Err(Refusal::invalid(format!("error parsing JSON: {why}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::strangers::Strangers;

    fn endless(piece: &'static [u8], every: Duration) -> Body {
        let pieces = futures_util::stream::unfold((), move |()| async move {
            tokio::time::sleep(every).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(piece)), ()))
        });
        Body::from_stream(pieces)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_hardly_comes_is_given_up() {
        let bodies = Bodies::new(&Limits::default());
        let begun = Instant::now();
        let body = endless(&[b' '; 100], Duration::from_secs(1));
        let refusal = bodies.read(body, &ListenerLimits::default(), None).await.err().unwrap();
        assert!(refusal.status() == 408 && refusal.message().contains("1024 bytes per second"), "{refusal:?}");
        assert!((10..13).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        // One that comes along has the deadline of its listener.
        let body = endless(&[b' '; 2_000], Duration::from_secs(1));
        let refusal = bodies.read(body, &ListenerLimits::default(), None).await.err().unwrap();
        assert!(refusal.status() == 408 && refusal.message().contains("within 1m30s"), "{refusal:?}");
    }

    #[tokio::test]
    async fn all_bodies_share_what_the_server_holds() {
        let limits = Limits { bodies_bytes_max: 100, ..Limits::default() };
        let (bodies, granted) = (Bodies::new(&limits), ListenerLimits::from(&limits));
        let read = async |bytes: usize| bodies.read(vec![b' '; bytes].into(), &granted, None).await;
        let first = read(60).await.unwrap();
        assert_eq!(read(41).await.err().unwrap().status(), 503);
        let first = bodies.parse(first, "", &granted.json).await.unwrap();
        assert_eq!(read(41).await.err().unwrap().status(), 503, "until it is answered");
        drop(first);
        assert!(read(100).await.is_ok());
        assert_eq!(bodies.bytes.available_permits(), 100);
    }

    #[tokio::test]
    async fn strangers_have_a_limit_of_their_own() {
        let limits = Limits { anonymous_body_bytes_max: 10, ..Limits::default() };
        let (bodies, granted) = (Bodies::new(&limits), ListenerLimits::from(&limits));
        let strangers = Strangers::new(&limits);
        let mut visit = strangers.arrive(None).unwrap();
        let refusal = bodies.read(vec![b' '; 11].into(), &granted, Some(&mut visit)).await.err().unwrap();
        assert!(refusal.status() == 413 && refusal.message().contains("10 bytes at most"), "{refusal:?}");
        assert!(bodies.read(vec![b' '; 10].into(), &granted, Some(&mut visit)).await.is_ok());
        assert!(bodies.read(vec![b' '; 11].into(), &granted, None).await.is_ok());
    }

    #[tokio::test]
    async fn large_bodies_are_parsed_like_small_ones() {
        let bodies = Bodies::new(&Limits::default());
        let granted = ListenerLimits::default();
        let text = "x".repeat(1 << 20);
        for (content_type, body, good) in [
            ("", format!("{{\"a\":\"{text}\"}}"), true),
            ("", format!("{{\"a\":\"{text}\"}}!"), false),
            (FORM, format!("a={text}"), true),
            (FORM, "a=1&".repeat(1 << 20), false),
            ("", format!("{{\"a\":[{}[]]}}", "[0],".repeat(1 << 20)), false),
        ] {
            let held = bodies.read(body.into(), &granted, None).await.unwrap();
            assert_eq!(bodies.parse(held, content_type, &granted.json).await.is_ok(), good);
        }
    }
}
