//! Plugins inside a host's own process: what a host needs that has them built in, without a sandbox and without a
//! process around them. Plugins themselves need nothing of it.
//!
//! A host makes an [`Embedded`] of a plugin's type, asks it what it is, and takes [`Backend`]s from it, each of which
//! serves any number of mounts. For each call it lends a [`View`]. Everything blocks, and nothing is caught: a panic is
//! the host's to deal with.

use serde_json::Value;

use crate::{Context, Description, Error, Existence, Kind, Mounts, Plugin, Request, Response, Spread};

pub use crate::stored::{Page, Wrap};
pub use crate::view::{Access, Facts, TransactionView, View};

/// A plugin, whatever its type.
#[derive(Clone, Copy)]
pub struct Embedded {
    describe: fn() -> Description,
    backend: fn() -> Box<dyn Backend>,
}

impl Embedded {
    /// Takes the plugin of this type.
    pub const fn of<P: Plugin>() -> Self {
        Self { describe: P::describe, backend: || Box::new(Mounts::<P>::new()) }
    }

    /// Asks the plugin what it is.
    pub fn describe(&self) -> Described {
        let Description {
            kind,
            spread,
            tells_create,
            version,
            help,
            root_paths,
            unauthenticated_paths,
            seal_wrap_paths,
            openapi,
        } = (self.describe)();
        Described {
            kind,
            spread,
            tells_create,
            version,
            help,
            root_paths,
            unauthenticated_paths,
            seal_wrap_paths,
            openapi,
        }
    }

    /// Returns what answers; it is not set up for any mount yet.
    pub fn backend(&self) -> Box<dyn Backend> {
        (self.backend)()
    }
}

/// What a plugin said of itself: the fields of a [`Description`].
#[derive(Clone, Debug)]
pub struct Described {
    /// Where it can be mounted.
    pub kind: Kind,
    /// Whether a mount's requests may be spread over backends.
    pub spread: Spread,
    /// Whether [`Backend::exists`] tells a write that creates from one that changes.
    pub tells_create: bool,
    /// Its semantic version; empty if it names none.
    pub version: String,
    /// One paragraph for a person.
    pub help: String,
    /// Paths that need the `sudo` capability.
    pub root_paths: Vec<String>,
    /// Paths that need no token.
    pub unauthenticated_paths: Vec<String>,
    /// Storage keys to wrap with the seal.
    pub seal_wrap_paths: Vec<String>,
    /// An OpenAPI document.
    pub openapi: Option<Value>,
}

/// What answers for mounts, many calls at a time. [`setup`](Self::setup) comes first for each mount.
pub trait Backend: Send + Sync {
    /// Prepares for the view's mount.
    fn setup(&self, view: &dyn View) -> Result<(), Error>;
    /// Starts the mount.
    fn initialize(&self, view: &dyn View) -> Result<(), Error>;
    /// Answers a request.
    fn handle(&self, view: &dyn View, request: Request) -> Result<Response, Error>;
    /// Says whether the path of a request exists.
    fn exists(&self, view: &dyn View, request: Request) -> Result<Existence, Error>;
    /// Drops what was cached of a key.
    fn invalidate(&self, view: &dyn View, key: &str);
    /// Ends the service of the view's mount.
    fn cleanup(&self, view: &dyn View);
}

impl<P: Plugin> Backend for Mounts<P> {
    fn setup(&self, view: &dyn View) -> Result<(), Error> {
        Mounts::setup(self, &Context::new(view))
    }

    fn initialize(&self, view: &dyn View) -> Result<(), Error> {
        Mounts::initialize(self, &Context::new(view))
    }

    fn handle(&self, view: &dyn View, request: Request) -> Result<Response, Error> {
        Mounts::handle(self, &Context::new(view), request)
    }

    fn exists(&self, view: &dyn View, request: Request) -> Result<Existence, Error> {
        Mounts::exists(self, &Context::new(view), request)
    }

    fn invalidate(&self, view: &dyn View, key: &str) {
        Mounts::invalidate(self, &Context::new(view), key);
    }

    fn cleanup(&self, view: &dyn View) {
        Mounts::cleanup(self, &Context::new(view));
    }
}
