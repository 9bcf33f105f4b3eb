//! Greets: the smallest plugin. `read greet/ada` answers `greeting: hello, ada`.

use cofferdam_sdk::{
    AsyncContext, AsyncPlugin, AsyncRoute, AsyncRoutes, Call, Description, Error, Field, Request, Response,
};
use serde_json::json;

/// The plugin, in one mount.
pub struct Hello {
    routes: AsyncRoutes<Self>,
}

impl Hello {
    async fn greet(&self, _ctx: &AsyncContext<'_>, call: &Call<'_>) -> Result<Response, Error> {
        let name: String = call.field("name")?;
        Response::json(&json!({ "greeting": format!("hello, {name}") }))
    }
}

impl AsyncPlugin for Hello {
    fn describe() -> Description {
        Description::secret("Greets whoever asks.").version(env!("CARGO_PKG_VERSION"))
    }

    async fn setup(_ctx: &AsyncContext<'_>) -> Result<Self, Error> {
        let name = Field::string("name", "Who is greeted.");
        let greet = AsyncRoute::at("greet/{name}").synopsis("Greets by name.").field(name).read(Self::greet);
        Ok(Self { routes: AsyncRoutes::of([]).route(greet) })
    }

    async fn handle(&self, ctx: &AsyncContext<'_>, request: Request) -> Result<Response, Error> {
        self.routes.handle(self, ctx, &request).await
    }
}

cofferdam_sdk::export_async!(Hello);

fn main() {}
