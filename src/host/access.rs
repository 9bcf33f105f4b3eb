//! Who asks, and may they: the one place where it is asked, for mounts and for the host's own paths alike.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;

use super::own_record::TokenDigest;
use super::{Error, ErrorKind};
use crate::ident::MountPath;
use crate::request::{Caller, ClientToken, Identity, Operation};

/// Decides who asks, and who may ask for what. A host has one; see
/// [`HostBuilder::access`](super::HostBuilder::access).
#[async_trait]
pub trait Access: Send + Sync {
    /// Returns whom a token stands for; `None` if it stands for nobody.
    ///
    /// # Errors
    ///
    /// When it cannot be found out now, such as [`ErrorKind::Storage`].
    async fn identify(&self, token: &ClientToken) -> Result<Option<Arc<Identity>>, Error>;

    /// Decides whether a caller may do what is asked. It is asked once for each request whose path leads somewhere,
    /// after the mount has started and before its plugin is called.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Denied`] when the caller may not; any other kind when that cannot be found out now.
    async fn authorize(&self, asked: &Asked<'_>) -> Result<(), Error>;
}

/// What is asked of which mount, by whom: what a decision is made by, and what is told of it.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The request's id.
    pub id: &'a str,
    /// What is asked. A write is an [`Operation::Update`] here: whether it creates is for the plugin to say later.
    pub operation: Operation,
    /// The mount that answers; `sys/` and `auth/token/` are the host's own. `None` where nothing is mounted.
    pub mount: Option<&'a MountPath>,
    /// The rest of the path, as the plugin sees it; the whole path where there is no mount.
    pub path: &'a str,
    /// A JSON object in UTF-8; empty when there is none.
    pub data: &'a Bytes,
    /// Who asks.
    pub caller: &'a Caller,
    /// From where, if it came over a network.
    pub remote_address: Option<std::net::SocketAddr>,
    /// Whether the plugin declares the path open to everybody. It is not told who asks there.
    pub is_open: bool,
}

/// Leaves the data out, which may be secret.
impl std::fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked")
            .field("id", &self.id)
            .field("operation", &self.operation)
            .field("mount", &self.mount)
            .field("path", &self.path)
            .field("is_open", &self.is_open)
            .finish_non_exhaustive()
    }
}

/// The access of a host that is given no other: one token, and a caller that is known may do anything.
pub(super) struct RootTokenAccess {
    token: RwLock<Option<TokenDigest>>,
    /// Whom the token stands for.
    root: Arc<Identity>,
}

impl RootTokenAccess {
    pub(super) fn new(token: Option<TokenDigest>) -> Self {
        let root = Identity { policies: vec!["root".to_owned()], ..Identity::named("root") };
        Self { token: RwLock::new(token), root: Arc::new(root) }
    }

    /// Accepts this token in place of the one before.
    pub(super) fn accept(&self, token: TokenDigest) {
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = Some(token);
    }

    /// Tells whether there is a token.
    pub(super) fn has_token(&self) -> bool {
        self.token().is_some()
    }

    fn token(&self) -> Option<TokenDigest> {
        *self.token.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Access for RootTokenAccess {
    async fn identify(&self, token: &ClientToken) -> Result<Option<Arc<Identity>>, Error> {
        let known = self.token().is_some_and(|known| known.matches(token.expose()));
        Ok(known.then(|| Arc::clone(&self.root)))
    }

    async fn authorize(&self, asked: &Asked<'_>) -> Result<(), Error> {
        match asked.caller {
            Caller::Anonymous if !asked.is_open => Err(Error::new(ErrorKind::Denied, "permission denied")),
            Caller::Anonymous | Caller::Known(_) => Ok(()),
        }
    }
}
