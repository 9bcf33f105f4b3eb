//! Stores what is written at any path, like Vault's key-value engine in its first version.

use cofferdam_sdk::{
    AsyncContext, AsyncPlugin, AsyncRoute, AsyncRoutes, AsyncStorage, Call, Description, Error, Existence, Field,
    Request, Response, Spread,
};
use serde_json::{Map, Value};

/// The plugin, in one mount.
pub struct Passthrough {
    routes: AsyncRoutes<Self>,
}

impl Passthrough {
    async fn read(&self, ctx: &AsyncContext<'_>, call: &Call<'_>) -> Result<Response, Error> {
        match ctx.get_json::<Map<String, Value>>(&call.request().path).await? {
            Some(data) => Response::json(&data),
            None => Ok(Response::none()),
        }
    }

    async fn write(&self, ctx: &AsyncContext<'_>, call: &Call<'_>) -> Result<Response, Error> {
        // The body as it came, and not the call's fields: a secret may well have a field named `path`.
        let data: Map<String, Value> = call.request().data()?;
        if data.is_empty() {
            return Err(Error::InvalidRequest("missing data fields".into()));
        }
        ctx.put_json(&call.request().path, &data).await?;
        Ok(Response::none())
    }

    async fn delete(&self, ctx: &AsyncContext<'_>, call: &Call<'_>) -> Result<Response, Error> {
        ctx.delete(&call.request().path).await?;
        Ok(Response::none())
    }

    async fn list(&self, ctx: &AsyncContext<'_>, call: &Call<'_>) -> Result<Response, Error> {
        Ok(Response::list(ctx.list(&call.request().path).await?))
    }

    async fn exists(&self, ctx: &AsyncContext<'_>, call: &Call<'_>) -> Result<Existence, Error> {
        let stored = ctx.get(&call.request().path).await?;
        Ok(if stored.is_some() { Existence::Present } else { Existence::Absent })
    }
}

impl AsyncPlugin for Passthrough {
    fn describe() -> Description {
        Description::secret("Stores arbitrary data at any path, and gives it back.")
            // Nothing is kept in memory and each request touches one key, so any instance may answer.
            .spread(Spread::Many)
            .tells_create()
    }

    async fn setup(_ctx: &AsyncContext<'_>) -> Result<Self, Error> {
        let anywhere = AsyncRoute::at("{path..}")
            .synopsis("Stores data at a path.")
            .description("A write replaces all that was stored at the path; fields are not merged.")
            .field(Field::string("path", "Where the data is."))
            .any_fields()
            .read(Self::read)
            .write(Self::write)
            .delete(Self::delete)
            .list(Self::list)
            .exists(Self::exists);
        Ok(Self { routes: AsyncRoutes::of([]).route(anywhere) })
    }

    async fn handle(&self, ctx: &AsyncContext<'_>, request: Request) -> Result<Response, Error> {
        self.routes.handle(self, ctx, &request).await
    }

    async fn exists(&self, ctx: &AsyncContext<'_>, request: Request) -> Result<Existence, Error> {
        self.routes.exists(self, ctx, &request).await
    }
}

cofferdam_sdk::export_async!(Passthrough);

fn main() {}
