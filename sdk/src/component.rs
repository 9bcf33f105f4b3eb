//! The component around a plugin: its exports here, its imports in `view`, the generated types in `bindings`.
//!
//! Everything is hidden from the documentation: `export!` names it in the plugin's crate, authors do not.

pub mod bindings;
#[cfg(feature = "async")]
mod concurrent;
mod convert;
mod view;

#[cfg(feature = "async")]
pub use concurrent::{AsyncComponent, AsyncExport};

use std::marker::PhantomData;

use bindings::cofferdam::plugin::host;
use bindings::cofferdam::plugin::types;
use bindings::exports::cofferdam::plugin::backend::Guest;

use crate::{Context, Mounts, Plugin};
use view::HostView;

/// Names the plugin that a component is made of, and the one place where its state is.
pub trait Export: 'static {
    /// The plugin.
    type Plugin: Plugin;

    /// Returns this component's mounts.
    fn mounts() -> &'static Mounts<Self::Plugin>;
}

/// The component's exports.
pub struct Component<E>(PhantomData<E>);

impl<E: Export> Guest for Component<E> {
    fn describe() -> types::Description {
        E::Plugin::describe().into()
    }

    fn setup(ctx: &host::Context) -> Result<(), types::Error> {
        Ok(E::mounts().setup(&Context::new(&HostView(ctx)))?)
    }

    fn initialize(ctx: &host::Context) -> Result<(), types::Error> {
        Ok(E::mounts().initialize(&Context::new(&HostView(ctx)))?)
    }

    fn handle(ctx: &host::Context, request: types::Request) -> Result<types::Response, types::Error> {
        Ok(E::mounts().handle(&Context::new(&HostView(ctx)), request.into())?.into())
    }

    fn exists(ctx: &host::Context, request: types::Request) -> Result<Option<bool>, types::Error> {
        let existence = E::mounts().exists(&Context::new(&HostView(ctx)), request.into())?;
        Ok(convert::known(existence))
    }

    fn invalidate(ctx: &host::Context, key: String) {
        E::mounts().invalidate(&Context::new(&HostView(ctx)), &key);
    }

    fn cleanup(ctx: &host::Context) {
        E::mounts().cleanup(&Context::new(&HostView(ctx)));
    }
}
