//! Says that it is of a version of half a million characters, which would stand on every line that it logs.

use cofferdam_sdk::{Context, Description, Error, Plugin, Request, Response};

struct Misfit;

impl Plugin for Misfit {
    fn describe() -> Description {
        Description::secret("Written large.").version(format!("1.0.0+{}", "a".repeat(500_000)))
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
