//! Says that more paths are open than anybody would compare with.

use cofferdam_sdk::{Context, Description, Error, Plugin, Request, Response};

struct Misfit;

impl Plugin for Misfit {
    fn describe() -> Description {
        (0..65).fold(Description::secret("Open everywhere."), |all, at| all.unauthenticated_path(format!("a/{at}")))
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
