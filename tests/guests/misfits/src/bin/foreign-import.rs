//! A plugin that asks its host for what no host offers.

use cofferdam::plugin::host::Context;
use cofferdam::plugin::types::{Description, Error, Kind, Request, Response, Spread};
use exports::cofferdam::plugin::backend::Guest;

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package evil:guest;
        interface root { become-root: func() -> bool; }
        world foreign { include cofferdam:plugin/plugin@0.1.0; import root; }
    ",
    world: "evil:guest/foreign",
    generate_all,
});

struct Foreign;

impl Guest for Foreign {
    fn describe() -> Description {
        Description {
            kind: Kind::Secret,
            spread: Spread::One,
            version: String::new(),
            help: format!("Is root: {}.", evil::guest::root::become_root()),
            root_paths: vec![],
            unauthenticated_paths: vec![],
            tells_create: false,
            seal_wrap_paths: vec![],
            openapi: vec![],
        }
    }

    fn setup(_: &Context) -> Result<(), Error> {
        Ok(())
    }

    fn initialize(_: &Context) -> Result<(), Error> {
        Ok(())
    }

    fn handle(_: &Context, _: Request) -> Result<Response, Error> {
        Err(Error::UnsupportedPath)
    }

    fn exists(_: &Context, _: Request) -> Result<Option<bool>, Error> {
        Ok(None)
    }

    fn invalidate(_: &Context, _: String) {}

    fn cleanup(_: &Context) {}
}

export!(Foreign);

fn main() {}
