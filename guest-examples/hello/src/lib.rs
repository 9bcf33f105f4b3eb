//! Greets: the smallest plugin. `read greet/ada` answers `greeting: hello, ada`.

use cofferdam_sdk::{Call, Context, Description, Error, Field, Plugin, Request, Response, Route, Routes};
use serde_json::json;

/// The plugin, in one mount.
pub struct Hello {
    routes: Routes<Self>,
}

impl Hello {
    fn greet(&self, _ctx: &Context, call: &Call) -> Result<Response, Error> {
        let name: String = call.field("name")?;
        Response::json(&json!({ "greeting": format!("hello, {name}") }))
    }
}

impl Plugin for Hello {
    fn describe() -> Description {
        Description::secret("Greets whoever asks.").version(env!("CARGO_PKG_VERSION"))
    }

    fn setup(_ctx: &Context) -> Result<Self, Error> {
        let name = Field::string("name", "Who is greeted.");
        let greet = Route::new("greet/{name}").synopsis("Greets by name.").field(name).read(Self::greet);
        Ok(Self { routes: Routes::new().route(greet) })
    }

    fn handle(&self, ctx: &Context, request: Request) -> Result<Response, Error> {
        self.routes.handle(self, ctx, &request)
    }
}

cofferdam_sdk::export!(Hello);

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_sdk::testing::TestMount;
    use serde_json::Value;

    #[test]
    fn greets_by_name() {
        let mount = TestMount::<Hello>::new();
        assert_eq!(mount.read("greet/ada").unwrap().data::<Value>(), Ok(json!({ "greeting": "hello, ada" })));
        assert_eq!(mount.read("insult/ada"), Err(Error::UnsupportedPath));
        assert_eq!(mount.write("greet/ada", json!({})), Err(Error::UnsupportedOperation));
    }
}
