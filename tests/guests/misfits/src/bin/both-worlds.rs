//! Is of both worlds at once.

use cofferdam_sdk::{AsyncContext, AsyncPlugin, Context, Description, Error, Plugin, Request, Response};

struct Misfit;

impl Plugin for Misfit {
    fn describe() -> Description {
        Description::secret("Cannot decide.")
    }

    fn setup(_: &Context) -> Result<Self, Error> {
        Ok(Self)
    }

    fn handle(&self, _: &Context, _: Request) -> Result<Response, Error> {
        Ok(Response::none())
    }
}

impl AsyncPlugin for Misfit {
    fn describe() -> Description {
        Description::secret("Cannot decide.")
    }

    async fn setup(_: &AsyncContext<'_>) -> Result<Self, Error> {
        Ok(Self)
    }

    async fn handle(&self, _: &AsyncContext<'_>, _: Request) -> Result<Response, Error> {
        Ok(Response::none())
    }
}

cofferdam_sdk::export!(Misfit);
cofferdam_sdk::export_async!(Misfit);

fn main() {}
