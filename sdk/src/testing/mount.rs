//! The test mount: a plugin, storage, and calls in the order in which the host makes them.

use std::marker::PhantomData;

use serde::Serialize;

use super::rules;
use super::world::{LogLine, World};
use crate::view::Access;
use crate::{Caller, Error, Mounts, Operation, Plugin, Request, Response, Ttls};

/// A plugin, mounted in memory.
///
/// ```
/// # use cofferdam_sdk::{Context, Description, Error, Plugin, Request, Response};
/// # struct Silent;
/// # impl Plugin for Silent {
/// #     fn describe() -> Description { Description::secret("Says nothing.") }
/// #     fn setup(_: &Context) -> Result<Self, Error> { Ok(Self) }
/// #     fn handle(&self, _: &Context, _: Request) -> Result<Response, Error> { Ok(Response::none()) }
/// # }
/// let mount = cofferdam_sdk::testing::TestMount::<Silent>::new();
/// assert_eq!(mount.read("anything"), Ok(Response::none()));
/// ```
pub struct TestMount<P: Plugin> {
    world: World,
    mounts: Mounts<P>,
    plugin: PhantomData<P>,
}

impl<P: Plugin> TestMount<P> {
    /// Mounts a plugin with all defaults.
    ///
    /// # Panics
    ///
    /// If the plugin does not start; [`TestMountBuilder::start`] returns that error instead.
    #[expect(clippy::new_without_default, reason = "a default should not run a plugin")]
    #[track_caller]
    pub fn new() -> Self {
        match Self::builder().start() {
            Ok(mount) => mount,
            Err(error) => panic!("the plugin does not start: {error:?}"),
        }
    }

    /// Chooses options, TTLs and the caller before mounting.
    pub fn builder() -> TestMountBuilder<P> {
        TestMountBuilder { world: World::default(), plugin: PhantomData }
    }

    /// Reads a path.
    pub fn read(&self, path: &str) -> Result<Response, Error> {
        self.request(Request::new(Operation::Read, path))
    }

    /// Writes to a path: a create if the plugin says that it is absent, an update otherwise.
    pub fn write(&self, path: &str, data: impl Serialize) -> Result<Response, Error> {
        self.request(Request::new(Operation::Update, path).with_data(&data)?)
    }

    /// Patches a path.
    pub fn patch(&self, path: &str, data: impl Serialize) -> Result<Response, Error> {
        self.request(Request::new(Operation::Patch, path).with_data(&data)?)
    }

    /// Deletes a path.
    pub fn delete(&self, path: &str) -> Result<Response, Error> {
        self.request(Request::new(Operation::Delete, path))
    }

    /// Lists what is below a path, which gets a trailing slash if it has none.
    pub fn list(&self, path: &str) -> Result<Response, Error> {
        let slash = if path.is_empty() || path.ends_with('/') { "" } else { "/" };
        self.request(Request::new(Operation::List, format!("{path}{slash}")))
    }

    /// Returns the help for a path, or for the whole plugin at `""`.
    pub fn help(&self, path: &str) -> Result<String, Error> {
        #[derive(serde::Deserialize)]
        struct Help {
            help: String,
        }
        Ok(self.request(Request::new(Operation::Help, path))?.data::<Help>()?.help)
    }

    /// Makes any request. A create or an update becomes what the plugin's `exists` says.
    pub fn request(&self, mut request: Request) -> Result<Response, Error> {
        rules::check_request(&request)?;
        let description = P::describe();
        let open = rules::check_description(&description)?;
        let reach = rules::reach(&open, &request.path);
        let caller = rules::caller_at(reach, &self.world.caller);
        if matches!(request.operation, Operation::Create | Operation::Update) {
            // As in the host, a plugin that is asked whether something exists cannot write.
            let asked = request.clone();
            let known = self.world.call(Access::ReadOnly, caller.clone(), |ctx| self.mounts.exists(ctx, asked))?;
            request.operation = rules::write_operation(&description, known)?;
        }
        self.world.call(Access::ReadWrite, caller, |ctx| {
            let operation = request.operation;
            let response = self.mounts.handle(ctx, request)?;
            rules::check_response(&description, operation, reach, response)
        })
    }

    /// Starts the mount again on the same storage, as a restart of the server does: cleanup, setup, initialize.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.world.quietly(|ctx| self.mounts.cleanup(ctx));
        self.start()
    }

    /// Replaces the instance as after a trap: what was in memory is gone, without a cleanup, and only `setup` runs.
    pub fn replace_instance(&mut self) -> Result<(), Error> {
        self.mounts = Mounts::new();
        self.setup()
    }

    /// Sets one of the mount's options, as `tune` does: another instance is set up with it and takes the place of the
    /// one that answers. Where the plugin refuses, the mount goes on as it was.
    ///
    /// Unlike a host, it leaves `initialize` to [`restart`](Self::restart), so that a test sees what requests do before
    /// it.
    ///
    /// # Errors
    ///
    /// What the plugin's `setup` refuses the option with.
    pub fn set_option(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let before = (self.world.options.clone(), std::mem::take(&mut self.mounts));
        self.world.options.retain(|(known, _)| known != name);
        self.world.options.push((name.into(), value.into()));
        let set_up = self.setup();
        if set_up.is_err() {
            (self.world.options, self.mounts) = before;
        }
        set_up
    }

    /// Changes a key (`None` deletes it) behind the plugin's back, as another node does, and tells the plugin so.
    pub fn change_elsewhere(&self, key: &str, value: Option<&[u8]>) {
        self.world.memory.set(key, value);
        self.world.quietly(|ctx| self.mounts.invalidate(ctx, key));
    }

    /// Changes a key just before the next transaction commits, so that one which read that key conflicts.
    pub fn change_before_commit(&self, key: &str, value: &[u8]) {
        self.world.memory.change_before_commit(key, value);
    }

    /// Returns what is stored under a key.
    pub fn stored(&self, key: &str) -> Option<Vec<u8>> {
        self.world.memory.value(key)
    }

    /// Returns all stored keys, in order.
    pub fn stored_keys(&self) -> Vec<String> {
        self.world.memory.keys()
    }

    /// Returns what the plugin has logged so far.
    pub fn logs(&self) -> Vec<LogLine> {
        self.world.logs.borrow().clone()
    }

    fn start(&mut self) -> Result<(), Error> {
        self.setup()?;
        self.world.call(Access::ReadWrite, Caller::default(), |ctx| self.mounts.initialize(ctx))
    }

    fn setup(&mut self) -> Result<(), Error> {
        self.world.call(Access::ReadOnly, Caller::default(), |ctx| self.mounts.setup(ctx))
    }
}

// --- TestMountBuilder ---

/// What a test mount starts with.
pub struct TestMountBuilder<P> {
    world: World,
    plugin: PhantomData<P>,
}

impl<P: Plugin> TestMountBuilder<P> {
    /// Sets one of the mount's options.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.world.options.push((name.into(), value.into()));
        self
    }

    /// Sets where the mount is, ending in `/`. The default is `test/`.
    pub fn path(mut self, path: &str) -> Self {
        self.world.path = path.into();
        self
    }

    /// Sets how long leases live. The default is Vault's: 32 days for both.
    pub fn ttls(mut self, ttls: Ttls) -> Self {
        self.world.ttls = ttls;
        self
    }

    /// Sets who makes the requests, except on unauthenticated paths, where only the address is known.
    pub fn caller(mut self, caller: Caller) -> Self {
        self.world.caller = caller;
        self
    }

    /// Sends a header with each request.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.world.headers.push((name.into(), value.into()));
        self
    }

    /// Puts a value into storage before the plugin starts.
    pub fn stored(self, key: &str, value: &[u8]) -> Self {
        self.world.memory.set(key, Some(value));
        self
    }

    /// Mounts the plugin: setup, then initialize.
    pub fn start(self) -> Result<TestMount<P>, Error> {
        let mut mount = TestMount { world: self.world, mounts: Mounts::new(), plugin: PhantomData };
        mount.start()?;
        Ok(mount)
    }
}

#[cfg(test)]
mod tests;
