//! Says that it has a version that is none.

use cofferdam_sdk::{Context, Description, Error, Plugin, Request, Response};

struct Misfit;

impl Plugin for Misfit {
    fn describe() -> Description {
        Description::secret("From nowhere.").version("one\\n\\u{1b}[31m.two")
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
