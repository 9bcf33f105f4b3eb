//! The component around a plugin whose instance serves many calls at once.

use std::marker::PhantomData;
use std::time::Duration;

use super::bindings::cofferdam::plugin::types;
use super::bindings::concurrent::cofferdam::plugin::host_async as host;
use super::bindings::concurrent::exports::cofferdam::plugin::backend_async::Guest;
use super::convert;
use crate::stored::{Page, StorageError, Wrap};
use crate::view::{Access, AsyncTransactionView, AsyncView, Facts, Wait};
use crate::{AsyncContext, AsyncMounts, AsyncPlugin, Caller, Level, Ttls};

/// Names the plugin that a component is made of, and the one place where its state is.
pub trait AsyncExport: 'static {
    /// The plugin.
    type Plugin: AsyncPlugin;

    /// Returns this component's mounts.
    fn mounts() -> &'static AsyncMounts<Self::Plugin>;
}

/// The component's exports.
pub struct AsyncComponent<E>(PhantomData<E>);

impl<E: AsyncExport> Guest for AsyncComponent<E> {
    fn describe() -> types::Description {
        E::Plugin::describe().into()
    }

    async fn setup(ctx: &host::Context) -> Result<(), types::Error> {
        Ok(E::mounts().setup(ctx.call_id(), &AsyncContext::new(&HostView(ctx))).await?)
    }

    async fn initialize(ctx: &host::Context) -> Result<(), types::Error> {
        Ok(E::mounts().initialize(ctx.call_id(), &AsyncContext::new(&HostView(ctx))).await?)
    }

    async fn handle(ctx: &host::Context, request: types::Request) -> Result<types::Response, types::Error> {
        let answer = E::mounts().handle(ctx.call_id(), &AsyncContext::new(&HostView(ctx)), request.into()).await;
        Ok(answer?.into())
    }

    async fn exists(ctx: &host::Context, request: types::Request) -> Result<Option<bool>, types::Error> {
        let existence = E::mounts().exists(ctx.call_id(), &AsyncContext::new(&HostView(ctx)), request.into()).await;
        Ok(convert::known(existence?))
    }

    async fn background(ctx: &host::Context) -> Result<(), types::Error> {
        Ok(E::mounts().background(ctx.call_id(), &AsyncContext::new(&HostView(ctx))).await?)
    }

    async fn invalidate(ctx: &host::Context, key: String) {
        E::mounts().invalidate(ctx.call_id(), &AsyncContext::new(&HostView(ctx)), &key).await;
    }

    async fn cleanup(ctx: &host::Context) {
        E::mounts().cleanup(ctx.call_id(), &AsyncContext::new(&HostView(ctx))).await;
    }

    async fn cancel(call: u64) {
        E::mounts().cancel(call);
    }
}

/// The host's context, borrowed for one call.
struct HostView<'a>(&'a host::Context);

impl Facts for HostView<'_> {
    fn mount_id(&self) -> String {
        self.0.mount_id()
    }

    fn mount_path(&self) -> String {
        self.0.mount_path()
    }

    fn options(&self) -> Vec<(String, String)> {
        self.0.options()
    }

    fn ttls(&self) -> Ttls {
        self.0.ttls().into()
    }

    fn caller(&self) -> Caller {
        self.0.caller().into()
    }

    fn header(&self, name: &str) -> Vec<String> {
        self.0.header(name)
    }

    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.0.log(level.into(), message, &fields);
    }
}

impl AsyncView for HostView<'_> {
    fn sleep(&self, time: Duration) -> Wait<'_, Result<(), ()>> {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Box::pin(async move { self.0.sleep(nanoseconds).await })
    }

    fn get<'a>(&'a self, key: &'a str) -> Wait<'a, Result<Option<Vec<u8>>, StorageError>> {
        Box::pin(async move { Ok(self.0.get(key.to_owned()).await?) })
    }

    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], wrap: Wrap) -> Wait<'a, Result<(), StorageError>> {
        Box::pin(async move { Ok(self.0.put(entry(key, value, wrap)).await?) })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Wait<'a, Result<(), StorageError>> {
        Box::pin(async move { Ok(self.0.delete(key.to_owned()).await?) })
    }

    fn list<'a>(&'a self, page: Page<'a>) -> Wait<'a, Result<Vec<String>, StorageError>> {
        let Page { prefix, after, limit } = page;
        Box::pin(async move { Ok(self.0.list(prefix.to_owned(), after.map(str::to_owned), limit).await?) })
    }

    fn begin(&self, access: Access) -> Wait<'_, Result<Box<dyn AsyncTransactionView + '_>, StorageError>> {
        Box::pin(async move {
            let transaction = self.0.begin(access == Access::ReadOnly).await?;
            Ok(Box::new(HostTransaction(transaction)) as Box<dyn AsyncTransactionView>)
        })
    }
}

/// The host's transaction; dropping the handle undoes it.
struct HostTransaction(host::Transaction);

impl AsyncTransactionView for HostTransaction {
    fn get<'a>(&'a self, key: &'a str) -> Wait<'a, Result<Option<Vec<u8>>, StorageError>> {
        Box::pin(async move { Ok(self.0.get(key.to_owned()).await?) })
    }

    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], wrap: Wrap) -> Wait<'a, Result<(), StorageError>> {
        Box::pin(async move { Ok(self.0.put(entry(key, value, wrap)).await?) })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Wait<'a, Result<(), StorageError>> {
        Box::pin(async move { Ok(self.0.delete(key.to_owned()).await?) })
    }

    fn list<'a>(&'a self, page: Page<'a>) -> Wait<'a, Result<Vec<String>, StorageError>> {
        let Page { prefix, after, limit } = page;
        Box::pin(async move { Ok(self.0.list(prefix.to_owned(), after.map(str::to_owned), limit).await?) })
    }

    fn commit<'a>(self: Box<Self>) -> Wait<'a, Result<(), StorageError>>
    where
        Self: 'a,
    {
        Box::pin(async move { Ok(self.0.commit().await?) })
    }
}

fn entry(key: &str, value: &[u8], wrap: Wrap) -> host::Entry {
    host::Entry { key: key.to_owned(), value: value.to_owned(), seal_wrap: wrap == Wrap::Seal }
}
