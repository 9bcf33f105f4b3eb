//! Says that half a million slashes need no token: a small file that would cost every mount megabytes.

use cofferdam_sdk::{Context, Description, Error, Plugin, Request, Response};

struct Misfit;

impl Plugin for Misfit {
    fn describe() -> Description {
        Description::secret("Open anywhere.").unauthenticated_path("/".repeat(500_000))
    }

    fn setup(_: &Context) -> Result<Self, Error> {
        Ok(Self)
    }

    fn handle(&self, _: &Context, _: Request) -> Result<Response, Error> {
        Ok(Response::none())
    }
}

cofferdam_sdk::export!(Misfit);

fn main() {}
