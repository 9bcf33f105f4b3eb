//! What a plugin is, and what it says of itself.

use serde_json::Value;

use crate::{Context, Error, Request, Response};

/// A secrets engine or an auth method: one value of this type for each mount that an instance serves.
///
/// The host calls [`setup`](Self::setup) before anything else for a mount, [`initialize`](Self::initialize) once when
/// the mount starts, then [`exists`](Self::exists) before each write and [`handle`](Self::handle) for every request,
/// and [`cleanup`](Self::cleanup) last. A component serves one call at a time; a native build serves many at once,
/// which is why the type is `Send` and `Sync` and takes `&self`: keep what changes behind a `Mutex` or in an atomic.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// Says what this plugin is.
    ///
    /// It is called in a sandbox without storage or variables, before the plugin is trusted with any; the answer must
    /// not depend on anything.
    fn describe() -> Description;

    /// Prepares for serving a mount.
    ///
    /// Storage can be read, not written. This runs for every fresh instance, so read only what is worth keeping in
    /// memory.
    fn setup(ctx: &Context) -> Result<Self, Error>;

    /// Runs once each time the mount starts: when it is enabled, when the server starts, when the plugin is reloaded.
    ///
    /// This is the place for writing defaults and for migrations. An error keeps the mount from starting.
    fn initialize(&self, ctx: &Context) -> Result<(), Error> {
        let _ = ctx;
        Ok(())
    }

    /// Answers one request. Most plugins hand it to their [`Routes`](crate::Routes).
    fn handle(&self, ctx: &Context, request: Request) -> Result<Response, Error>;

    /// Says whether a path exists; it decides between [`Create`](crate::Operation::Create) and
    /// [`Update`](crate::Operation::Update), which policies tell apart. The host asks only a plugin whose description
    /// says so, with [`Description::tells_create`].
    fn exists(&self, ctx: &Context, request: Request) -> Result<Existence, Error> {
        let _ = (ctx, request);
        Ok(Existence::Unknown)
    }

    /// Drops what was cached of a storage key that another instance or node has changed. It comes before the next
    /// request to this instance that could see the change.
    fn invalidate(&self, ctx: &Context, key: &str) {
        let _ = (ctx, key);
    }

    /// Ends the service of this mount in this instance: the mount is disabled, its plugin is reloaded, or the host
    /// shuts down. Nothing follows it. Not called after a panic, nor when the host lets an idle instance go to make
    /// room for another.
    fn cleanup(&self, ctx: &Context) {
        let _ = ctx;
    }
}

/// Whether a path exists already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Existence {
    /// Writing to it is an update.
    Present,
    /// Writing to it is a create.
    Absent,
    /// The plugin does not tell; writing is an update.
    Unknown,
}

/// Where a plugin can be mounted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A secrets engine, mounted with `secrets enable`.
    Secret,
    /// An auth method, mounted with `auth enable`.
    Auth,
}

/// Whether one mount's requests may be spread over several instances.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Spread {
    /// One instance at a time answers for a mount, so a lock in memory guards a read-modify-write.
    #[default]
    One,
    /// The plugin uses transactions, and drops what it cached when it is told to `invalidate`.
    Many,
}

// --- Description ---

/// What a plugin says of itself: its kind and help, and defaults for the rest.
#[derive(Clone, Debug)]
pub struct Description {
    pub(crate) kind: Kind,
    pub(crate) spread: Spread,
    pub(crate) tells_create: bool,
    pub(crate) version: String,
    pub(crate) help: String,
    pub(crate) root_paths: Vec<String>,
    pub(crate) unauthenticated_paths: Vec<String>,
    pub(crate) seal_wrap_paths: Vec<String>,
    pub(crate) openapi: Option<Value>,
}

impl Description {
    /// Describes a secrets engine; `help` is one paragraph for a person.
    pub fn secret(help: impl Into<String>) -> Self {
        Self::new(Kind::Secret, help.into())
    }

    /// Describes an auth method; `help` is one paragraph for a person.
    pub fn auth(help: impl Into<String>) -> Self {
        Self::new(Kind::Auth, help.into())
    }

    /// Sets the semantic version, which must agree with the one the plugin is registered as. The default is to name
    /// none.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Lets a mount's requests be spread over instances. The default is [`Spread::One`].
    pub fn spread(mut self, spread: Spread) -> Self {
        self.spread = spread;
        self
    }

    /// Says that [`Plugin::exists`] tells a write that creates from one that changes. Without it the host never asks,
    /// every write is an [`Operation::Update`](crate::Operation::Update), and costs one call less.
    pub fn tells_create(mut self) -> Self {
        self.tells_create = true;
        self
    }

    /// Names a path that needs the `sudo` capability; a trailing `*` matches any rest.
    pub fn root_path(mut self, path: impl Into<String>) -> Self {
        self.root_paths.push(path.into());
        self
    }

    /// Names a path that needs no token; `+` matches one segment, and a trailing `*` any rest. A host takes 64 of them
    /// at most, of at most 256 bytes, and none that ends in `+*`.
    pub fn unauthenticated_path(mut self, path: impl Into<String>) -> Self {
        self.unauthenticated_paths.push(path.into());
        self
    }

    /// Names a storage key to wrap with the seal; a trailing `/` means all below.
    pub fn seal_wrap_path(mut self, key: impl Into<String>) -> Self {
        self.seal_wrap_paths.push(key.into());
        self
    }

    /// Adds an OpenAPI document; [`Routes::openapi`](crate::Routes::openapi) makes one.
    pub fn openapi(mut self, document: Value) -> Self {
        self.openapi = Some(document);
        self
    }

    fn new(kind: Kind, help: String) -> Self {
        Self {
            kind,
            spread: Spread::default(),
            tells_create: false,
            version: String::new(),
            help,
            root_paths: Vec::new(),
            unauthenticated_paths: Vec::new(),
            seal_wrap_paths: Vec::new(),
            openapi: None,
        }
    }
}
