//! The connections of all listeners: how many there may be, in all and from one address, which goes when there is no
//! more room, and which goes because nothing happens in it.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::strangers::Origin;
use crate::limits::Limits;

/// Of the files that the process may open, one in so many is kept for storage, plugins and their files.
const FILES_RESERVED: usize = 4;

/// Bytes that must move, in either direction, to count as progress: more than what keeps an idle connection alive.
const PROGRESS_BYTES_MIN: u64 = 1 << 10;

/// Connections that were told to go and whose files are still open. They are beyond the bound for a moment, so they
/// have one.
const LEAVING_MAX: usize = 64;

/// How often a connection at work is looked at, in parts of the time that it may lie idle.
const LOOKS: u32 = 4;

/// All connections.
pub(super) struct Connections {
    all_max: usize,
    address_max: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    leaving: usize,
    open: HashMap<u64, (Origin, Activity)>,
    by_origin: HashMap<Origin, usize>,
}

/// One connection's place, given back when it is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    number: u64,
    pub(super) activity: Activity,
}

/// What goes on in a connection. Clones are one and the same.
#[derive(Clone)]
pub(super) struct Activity(Arc<Inner>);

struct Inner {
    opened: Instant,
    /// Milliseconds after `opened` when something last went on.
    last: AtomicU64,
    /// Bytes moved since.
    moved: AtomicU64,
    /// Milliseconds after `opened`, and one more, since when the client takes nothing of what is written; 0 if it does.
    blocked: AtomicU64,
    /// Requests that are being answered.
    requests: AtomicUsize,
    /// Requests that came.
    asked: AtomicUsize,
    /// It has to make room.
    gone: CancellationToken,
}

/// A request that is being answered, until it is dropped.
pub(super) struct Answering(Activity);

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing is asked. Its client may be told.
    Idle,
    /// The client does not do its part.
    Stalled,
}

impl Connections {
    /// Returns room for as many as the limits grant and the files of this process allow.
    pub(super) fn new(limits: &Limits, files: Option<u64>) -> Arc<Self> {
        let files = files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
        let all_max = limits.connections_max.min(files - files / FILES_RESERVED).max(2);
        let address_max = limits.address_connections_max.min(all_max / 2).max(1);
        Arc::new(Self { all_max, address_max, table: Mutex::default() })
    }

    /// Finds a place. Where there is none, an idle connection goes: one from the same address if that has as many as it
    /// may, else one from the address that has most. `None` when all are at work, or more come than can leave.
    pub(super) fn admit(self: &Arc<Self>, origin: Origin) -> Option<Place> {
        let mut table = self.table();
        let from_there = table.by_origin.get(&origin).copied().unwrap_or_default();
        if from_there >= self.address_max {
            table.evict(|other| other == origin)?;
        } else if table.open.len() >= self.all_max {
            table.evict(|_| true)?;
        }
        let activity = Activity::new();
        let number = table.next;
        table.next += 1;
        table.open.insert(number, (origin, activity.clone()));
        *table.by_origin.entry(origin).or_default() += 1;
        Some(Place { connections: Arc::clone(self), number, activity })
    }

    /// Ends an idle connection, because the process has run out of files.
    pub(super) fn make_room(&self) {
        // Where all are at work, there is nothing to end.
        let _ = self.table().evict(|_| true);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Ends the one of these that was idle the longest. Its file is closed a moment later, out of the reserve.
    fn evict(&mut self, is_candidate: impl Fn(Origin) -> bool) -> Option<()> {
        if self.leaving >= LEAVING_MAX {
            return None;
        }
        let idle = self.open.iter().filter(|(_, (origin, activity))| is_candidate(*origin) && activity.is_idle());
        let most_first = |origin: &Origin| usize::MAX - self.by_origin.get(origin).copied().unwrap_or_default();
        let (number, _) = idle.min_by_key(|(_, (origin, activity))| (most_first(origin), activity.last()))?;
        let number = *number;
        if let Some(activity) = self.remove(number) {
            activity.0.gone.cancel();
            self.leaving += 1;
        }
        Some(())
    }

    fn remove(&mut self, number: u64) -> Option<Activity> {
        let (origin, activity) = self.open.remove(&number)?;
        if let Some(count) = self.by_origin.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                self.by_origin.remove(&origin);
            }
        }
        Some(activity)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        if table.remove(self.number).is_none() {
            // It was told to go, and has.
            table.leaving -= 1;
        }
    }
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Inner {
            opened: Instant::now(),
            last: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            requests: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            gone: CancellationToken::new(),
        }))
    }

    /// Counts a request.
    pub(super) fn answering(&self) -> Answering {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.goes_on();
        Answering(self.clone())
    }

    /// Returns when the connection has to make room.
    pub(super) async fn gone(&self) {
        self.0.gone.cancelled().await;
    }

    /// Returns when the first request takes longer than `first`, or when nothing went on for as long as `idle` while no
    /// request was being answered, or while the client took nothing of an answer.
    pub(super) async fn over(&self, first: Duration, idle: Duration) -> End {
        loop {
            let now = Instant::now();
            let (due, end) = self.due(first, idle).unwrap_or((now + idle / LOOKS, None));
            match end {
                Some(end) if due <= now => return end,
                _ => sleep_until(due.max(now + Duration::from_millis(1))).await,
            }
        }
    }

    /// Returns when the connection ends and why, if nothing else happens.
    fn due(&self, first: Duration, idle: Duration) -> Option<(Instant, Option<End>)> {
        if self.0.asked.load(Ordering::Relaxed) == 0 {
            return Some((self.0.opened + first, Some(End::Stalled)));
        }
        match self.0.blocked.load(Ordering::Relaxed) {
            0 if !self.is_idle() => None,
            0 => Some((self.last() + idle, Some(End::Idle))),
            since => Some((self.at(since).max(self.last()) + idle, Some(End::Stalled))),
        }
    }

    fn is_idle(&self) -> bool {
        self.0.requests.load(Ordering::Relaxed) == 0
    }

    fn last(&self) -> Instant {
        self.at(self.0.last.load(Ordering::Relaxed))
    }

    fn at(&self, milliseconds: u64) -> Instant {
        self.0.opened + Duration::from_millis(milliseconds)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Counts bytes that were read or written.
    fn moved(&self, bytes: usize) {
        let moved = self.0.moved.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if moved >= PROGRESS_BYTES_MIN {
            self.goes_on();
        }
    }

    fn goes_on(&self) {
        self.0.last.store(self.now(), Ordering::Relaxed);
        self.0.moved.store(0, Ordering::Relaxed);
    }

    /// Notes whether the client takes what is written.
    fn wrote(&self, poll: &Poll<io::Result<usize>>) {
        match poll {
            Poll::Pending if self.0.blocked.load(Ordering::Relaxed) == 0 => {
                self.0.blocked.store(self.now() + 1, Ordering::Relaxed);
            }
            Poll::Pending | Poll::Ready(Err(_)) => {}
            Poll::Ready(Ok(bytes)) => {
                self.0.blocked.store(0, Ordering::Relaxed);
                self.moved(*bytes);
            }
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.goes_on();
    }
}

/// A connection's bytes, counted as they pass. Below TLS, so that a handshake counts too.
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) activity: Activity,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        self.activity.moved(into.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.activity.wrote(&poll);
        poll
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.activity.wrote(&poll);
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tokio::io::AsyncWriteExt as _;
    use tokio::time::advance;

    use super::*;

    const FIRST: Duration = Duration::from_secs(1);
    const IDLE: Duration = Duration::from_secs(6);

    fn from(last: u8) -> Origin {
        Origin::Network(IpAddr::from([192, 0, 2, last]))
    }

    /// Whether it took that long, but for the milliseconds that clocks are read in.
    fn took(since: Instant, long: Duration) -> bool {
        since.elapsed().abs_diff(long) <= Duration::from_millis(2)
    }

    fn is_gone(place: &Place) -> bool {
        place.activity.0.gone.is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_idle_the_longest_makes_room() {
        let connections = Connections::new(&Limits { connections_max: 4, ..Limits::default() }, None);
        let first = connections.admit(from(1)).unwrap();
        advance(FIRST).await;
        let second = connections.admit(from(1)).unwrap();
        let working = first.activity.answering();
        let third = connections.admit(from(1)).unwrap();
        assert!(is_gone(&second) && !is_gone(&first));
        let working_too = third.activity.answering();
        assert!(connections.admit(from(1)).is_none(), "half of all from one address, and all at work");
        let others: Vec<_> = (2..4).map(|last| connections.admit(from(last)).unwrap()).collect();
        let _fifth = connections.admit(from(9)).unwrap();
        assert_eq!(others.iter().filter(|place| is_gone(place)).count(), 1);
        drop((working, working_too));
        drop((first, second, third, others));
        let table = connections.table();
        assert_eq!((table.open.len(), table.leaving), (1, 0));
        drop(table);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_most_makes_room() {
        let connections = Connections::new(&Limits { connections_max: 4, ..Limits::default() }, None);
        let neighbour = connections.admit(from(1)).unwrap();
        advance(FIRST).await;
        let flood = [2, 2, 3].map(|last| connections.admit(from(last)).unwrap());
        let _more = connections.admit(from(3)).unwrap();
        assert!(!is_gone(&neighbour));
        assert_eq!(flood.iter().filter(|place| is_gone(place)).count(), 1);
    }

    #[tokio::test]
    async fn only_so_many_leave_at_a_time() {
        let connections = Connections::new(&Limits { connections_max: 2, ..Limits::default() }, None);
        let held: Vec<_> = (0..=LEAVING_MAX).map(|_| connections.admit(from(1)).unwrap()).collect();
        assert!(connections.admit(from(1)).is_none());
        drop(held);
        assert!(connections.admit(from(1)).is_some());
    }

    #[test]
    fn there_are_never_more_than_files() {
        let connections = Connections::new(&Limits::default(), Some(1_024));
        assert_eq!((connections.all_max, connections.address_max), (768, 384));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_ends_soon_and_one_at_work_does_not() {
        let activity = Activity::new();
        let before = Instant::now();
        assert_eq!(activity.over(FIRST, IDLE).await, End::Stalled);
        assert!(took(before, FIRST));

        let working = activity.answering();
        let waited = tokio::time::timeout(10 * IDLE, activity.over(FIRST, IDLE)).await;
        assert!(waited.is_err(), "a plugin may take its time");
        drop(working);
        let before = Instant::now();
        assert_eq!(activity.over(FIRST, IDLE).await, End::Idle);
        assert!(took(before, IDLE));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_stalled_even_while_more_is_asked() {
        let (near, far) = tokio::io::duplex(1 << 10);
        let activity = Activity::new();
        let mut near = Watched { stream: near, activity: activity.clone() };
        let _working = activity.answering();
        let writing = tokio::spawn(async move { near.write_all(&[0; 4 << 10]).await });
        assert_eq!(activity.over(FIRST, IDLE).await, End::Stalled);
        drop(far);
        assert!(writing.await.unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_is_no_progress() {
        let activity = Activity::new();
        drop(activity.answering());
        let before = Instant::now();
        let pings = async {
            loop {
                activity.moved(17);
                tokio::time::sleep(IDLE / 8).await;
            }
        };
        tokio::select! {
            () = pings => {}
            end = activity.over(FIRST, IDLE) => assert_eq!(end, End::Idle),
        }
        assert!(took(before, IDLE));
    }
}
