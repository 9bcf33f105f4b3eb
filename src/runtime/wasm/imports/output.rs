//! A guest's standard output and error, and its log: lines in the host's log, named, cleaned and rationed.
//!
//! A guest controls every byte of these lines. Control characters would let it forge lines or drive a terminal, so they
//! become spaces; a line has a maximum length; a mount has a budget for each second, and is told on about what was
//! dropped.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::runtime::MountScope;

/// Bytes that a guest may write at once without asking again.
const WRITE_PERMIT_BYTES: usize = 64 << 10;

/// Writes one line of a guest to the log, if its mount's budget allows. Without a mount it is the plugin's.
pub(super) fn emit(scope: &MountScope, mount: Option<&str>, level: tracing::Level, line: &str) {
    scope.log_line(mount, level, line);
}

// --------------------------------------------------------------------------------------------------------------
// OutputScope

/// Which mount a sandbox's output belongs to at the moment. Shared by its two streams.
#[derive(Clone)]
pub(in crate::runtime::wasm) struct OutputScope {
    shared: Arc<Mutex<Option<Owner>>>,
    line_bytes_max: usize,
}

/// Whose output it is.
#[derive(Clone)]
enum Owner {
    /// One mount's.
    Mount(Arc<MountScope>),
    /// The plugin's: its instance has served several mounts at once, and output says not for which. The latest one's
    /// budget pays.
    Plugin(Arc<MountScope>),
}

impl OutputScope {
    pub(in crate::runtime::wasm) fn new(line_bytes_max: usize) -> Self {
        Self { shared: Arc::default(), line_bytes_max }
    }

    /// Returns how long a line may be; the rest of it is dropped.
    pub(in crate::runtime::wasm) fn line_bytes_max(&self) -> usize {
        self.line_bytes_max
    }

    /// From here on, output belongs to this mount.
    pub(in crate::runtime::wasm) fn enter(&self, scope: &Arc<MountScope>) {
        let mut current = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(&*current, Some(Owner::Mount(current)) if Arc::ptr_eq(current, scope)) {
            *current = Some(Owner::Mount(Arc::clone(scope)));
        }
    }

    /// From here on, output belongs to this mount beside those that were entered before.
    pub(in crate::runtime::wasm) fn join(&self, scope: &Arc<MountScope>) {
        let mut current = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let scope = Arc::clone(scope);
        *current = Some(match &*current {
            None => Owner::Mount(scope),
            Some(Owner::Mount(before)) if before.id == scope.id => Owner::Mount(scope),
            Some(_) => Owner::Plugin(scope),
        });
    }
}

// --------------------------------------------------------------------------------------------------------------
// GuestOutput

/// Which of the two streams it is.
#[derive(Clone, Copy)]
pub(in crate::runtime::wasm) enum StreamName {
    /// Logged at info.
    Stdout,
    /// Logged at warn: a panic's message arrives here.
    Stderr,
}

/// One of a guest's output streams, cut into lines.
#[derive(Clone)]
pub(in crate::runtime::wasm) struct GuestOutput {
    name: StreamName,
    scope: OutputScope,
    line: Arc<Mutex<Vec<u8>>>,
}

impl GuestOutput {
    pub(in crate::runtime::wasm) fn new(name: StreamName, scope: &OutputScope) -> Self {
        Self { name, scope: scope.clone(), line: Arc::default() }
    }

    /// Writes what was begun of a line: whatever follows belongs to another call, or nothing follows.
    pub(in crate::runtime::wasm) fn end_line(&self) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if !line.is_empty() {
            self.write_line(&line);
            line.clear();
        }
    }

    fn take_in(&self, bytes: &[u8]) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let room = self.scope.line_bytes_max.saturating_sub(line.len());
            line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.write_line(&line);
                line.clear();
            }
        }
    }

    fn write_line(&self, line: &[u8]) {
        let owner = self.scope.shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Output from before the first call, while the plugin says what it is, belongs to no mount and is dropped.
        let Some(owner) = owner else { return };
        let level = match self.name {
            StreamName::Stdout => tracing::Level::INFO,
            StreamName::Stderr => tracing::Level::WARN,
        };
        let line = String::from_utf8_lossy(line);
        match owner {
            Owner::Mount(scope) => emit(&scope, Some(scope.path.as_str()), level, &line),
            Owner::Plugin(scope) => emit(&scope, None, level, &line),
        }
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take_in(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_PERMIT_BYTES)
    }
}

impl AsyncWrite for GuestOutput {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take_in(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
