//! Lets users in with a name and a password: Vault's userpass.
//!
//! What is stored: `user/{name}`, a user with the bcrypt hash of a password and the parameters of the tokens that
//! logins get. Every write is one transaction and nothing is kept in memory, so any instance may answer.

mod cidr;
mod login;
mod password;
mod token;
mod user;
mod users;

use cofferdam_sdk::{Context, Description, Error, Existence, Plugin, Request, Response, Routes, Spread};

/// The plugin, in one mount.
pub struct Userpass {
    routes: Routes<Self>,
}

impl Plugin for Userpass {
    fn describe() -> Description {
        Description::auth(
            "The \"userpass\" auth method allows users to authenticate with a username and a password. The users are configured \
             at \"users/\"; whoever knows the password of one gets a token at \"login/\".",
        )
        .version(env!("CARGO_PKG_VERSION"))
        .spread(Spread::Many)
        .tells_create()
        .unauthenticated_path("login/*")
        .seal_wrap_path(user::PREFIX)
    }

    fn setup(_ctx: &Context) -> Result<Self, Error> {
        let routes = users::routes().into_iter().fold(Routes::new(), Routes::route);
        Ok(Self { routes: routes.route(login::route()).renew(login::renew) })
    }

    fn handle(&self, ctx: &Context, request: Request) -> Result<Response, Error> {
        self.routes.handle(self, ctx, &request)
    }

    fn exists(&self, ctx: &Context, request: Request) -> Result<Existence, Error> {
        self.routes.exists(self, ctx, &request)
    }
}

cofferdam_sdk::export!(Userpass);
