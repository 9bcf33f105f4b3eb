//! What one backend inside a process may ask of the host: its mount's storage, and what Vault calls the system view.
//!
//! Each backend gets a connection of its own, over a socket whose number it is told in `Setup`; so what is asked there
//! is asked for that mount, whatever the plugin says. A plugin may ask at any time, not only during a call: native
//! plugins work in the background. When the mount ends, or the backend is given up, the door is closed first, and
//! nothing is stored after that.

mod questions;
mod storage;
mod system;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use cofferdam_proto::messages::pb::storage_server::StorageServer;
use cofferdam_proto::messages::pb::system_view_server::SystemViewServer;
use cofferdam_proto::tls::Tls;
use cofferdam_proto::transport::Listener;
use tokio::sync::{RwLock, RwLockReadGuard};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Server;

use crate::runtime::MountScope;
use crate::storage::Room;
use questions::Bounded;
use storage::StorageService;
use system::SystemService;

/// What a plugin is told that asks after its mount ended.
const CLOSED: &str = "the mount has ended";

/// What the host serves to one backend.
pub(super) struct Callbacks {
    desk: Arc<Desk>,
    ending: CancellationToken,
}

/// Questions under way at a time from one backend. Each holds some KiB beside what comes out of its process's room.
const QUESTIONS_MAX: u32 = 64;

/// Connections at a time from one backend: the one that it asks through, and one that is just ending or beginning.
const CONNECTIONS_MAX: usize = 2;

/// Whom the questions are about, and whether they are answered.
pub(super) struct Desk {
    scope: ArcSwap<MountScope>,
    door: RwLock<Door>,
    /// Closes the door for whoever comes next, where nobody can wait for those inside.
    ending: CancellationToken,
}

/// How far the door is open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Storage can be read: the backend is being set up.
    ReadOnly,
    Open,
    Closed,
}

/// What a backend may ask of its storage at the moment. While it is held the door is not closed.
pub(super) struct Admission<'desk> {
    pub(super) scope: Arc<MountScope>,
    pub(super) read_only: bool,
    _inside: RwLockReadGuard<'desk, Door>,
}

impl Callbacks {
    /// Begins to listen at a path for the connection that a backend makes, and for the next when that has ended. What
    /// is kept for what it asks comes out of this room, which is its process's.
    pub(super) fn listen(
        scope: &Arc<MountScope>,
        path: PathBuf,
        tls: Option<Tls>,
        room: &Room,
        message_bytes_max: usize,
    ) -> io::Result<Self> {
        let ending = CancellationToken::new();
        let (scope, door) = (ArcSwap::new(Arc::clone(scope)), RwLock::new(Door::ReadOnly));
        let desk = Arc::new(Desk { scope, door, ending: ending.clone() });
        let listener = Listener::bind(path, tls)?;
        let storage = StorageServer::new(StorageService::new(Arc::clone(&desk), room, message_bytes_max))
            .max_decoding_message_size(message_bytes_max)
            .max_encoding_message_size(message_bytes_max);
        let system =
            SystemViewServer::new(SystemService::new(Arc::clone(&desk))).max_decoding_message_size(message_bytes_max);
        let (storage, system) = (Bounded::new(storage, room), Bounded::new(system, room));
        let ended = ending.clone();
        tokio::spawn(async move {
            // Not the first connection alone: a client of Go's ends one that was idle for half an hour, and makes
            // another.
            let incoming = listener.incoming_at_most(CONNECTIONS_MAX);
            let server =
                Server::builder().max_concurrent_streams(QUESTIONS_MAX).add_service(storage).add_service(system);
            let served = server.serve_with_incoming_shutdown(incoming, ended.cancelled_owned()).await;
            // Only binding could have failed, and that is done.
            drop(served);
        });
        Ok(Self { desk, ending })
    }

    /// From here on storage can be written.
    pub(super) async fn open(&self) {
        *self.desk.door.write().await = Door::Open;
    }

    /// The mount was tuned or moved.
    pub(super) fn update(&self, scope: &Arc<MountScope>) {
        if !Arc::ptr_eq(&self.desk.scope.load(), scope) {
            self.desk.scope.store(Arc::clone(scope));
        }
    }

    /// Waits for what is being stored, and lets nothing be stored any more.
    pub(super) async fn close(&self) {
        *self.desk.door.write().await = Door::Closed;
        self.ending.cancel();
    }
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        // What is under way may end; nothing new gets in.
        self.ending.cancel();
    }
}

impl Desk {
    /// Admits one question about storage.
    pub(super) async fn admit(&self) -> Result<Admission<'_>, Status> {
        let inside = self.door.read().await;
        if self.ending.is_cancelled() {
            return Err(Status::unavailable(CLOSED));
        }
        let read_only = match *inside {
            Door::ReadOnly => true,
            Door::Open => false,
            Door::Closed => return Err(Status::unavailable(CLOSED)),
        };
        Ok(Admission { scope: self.scope.load_full(), read_only, _inside: inside })
    }

    /// Returns the mount as it is now.
    pub(super) fn scope(&self) -> Arc<MountScope> {
        self.scope.load_full()
    }
}

#[cfg(test)]
mod tests;
