//! Lets users in who know their password: an auth method as small as one can be.
//!
//! `write users/{name} password=…` makes a user; `write login/{name} password=…`, open to everyone, lets them in. A
//! renewal lets them go on for as long as the user exists. Passwords are stored as they are: this plugin is for tests.

use std::time::Duration;

use cofferdam_sdk::{
    Call, Context, Description, Error, Field, FieldType, Lease, Login, Plugin, Request, Response, Route, Routes,
    Storage,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What is stored of a user.
#[derive(Deserialize, Serialize)]
struct User {
    password: String,
    policies: Vec<String>,
    /// Seconds; 0 means the mount's default.
    ttl: u64,
}

/// A mount of the auth method.
pub struct UserLogins {
    routes: Routes<Self>,
}

impl UserLogins {
    fn write(&self, ctx: &Context, call: &Call) -> Result<Response, Error> {
        let name: String = call.field("name")?;
        ctx.put_json(&key(&name), &call.fields::<User>()?)?;
        Ok(Response::none())
    }

    fn read(&self, ctx: &Context, call: &Call) -> Result<Response, Error> {
        match user(ctx, &call.field::<String>("name")?)? {
            Some(User { policies, ttl, .. }) => Response::json(&json!({ "policies": policies, "ttl": ttl })),
            None => Ok(Response::none()),
        }
    }

    fn delete(&self, ctx: &Context, call: &Call) -> Result<Response, Error> {
        ctx.delete(&key(&call.field::<String>("name")?))?;
        Ok(Response::none())
    }

    fn list(&self, ctx: &Context, _: &Call) -> Result<Response, Error> {
        Ok(Response::list(ctx.list("users/")?))
    }

    fn login(&self, ctx: &Context, call: &Call) -> Result<Response, Error> {
        let (name, password): (String, String) = (call.field("name")?, call.field("password")?);
        match user(ctx, &name)? {
            Some(user) if user.password == password => Ok(let_in(&name, user)),
            // Who tries learns nothing of which users there are.
            _ => Err(Error::InvalidRequest("invalid username or password".into())),
        }
    }

    fn renew(&self, ctx: &Context, call: &Call) -> Result<Response, Error> {
        let internal: Value = call.request().lease()?;
        let name = internal["name"].as_str().unwrap_or_default();
        let user = user(ctx, name)?.ok_or_else(|| Error::InvalidRequest("user is gone".into()))?;
        Ok(let_in(name, user))
    }

    /// Lets in whoever holds a token already, which no host may take for a login.
    fn again(&self, _: &Context, _: &Call) -> Result<Response, Error> {
        Ok(Response::login(Login::default()))
    }
}

impl Plugin for UserLogins {
    fn describe() -> Description {
        Description::auth("Lets users in who know their password.").version("1.0.0").unauthenticated_path("login/*")
    }

    fn setup(_: &Context) -> Result<Self, Error> {
        let name = || Field::string("name", "The user's name.");
        let password = || Field::string("password", "The user's password.");
        let user = Route::new("users/{name}")
            .synopsis("A user.")
            .field(name())
            .field(password().required())
            .field(Field::of(FieldType::Slice, "policies", "Policies of the user's tokens.").default(json!([])))
            .field(Field::duration("ttl", "How long a token lives.").default(0));
        let users = Route::new("users").synopsis("All users.");
        let login = Route::new("login/{name}").synopsis("Lets a user in.").field(name()).field(password());
        let again = Route::new("again").synopsis("Answers with a login where none may be.");
        let routes = Routes::new()
            .route(users.list(Self::list))
            .route(user.read(Self::read).write(Self::write).delete(Self::delete))
            .route(login.write(Self::login))
            .route(again.read(Self::again))
            .renew(Self::renew);
        Ok(Self { routes })
    }

    fn handle(&self, ctx: &Context, request: Request) -> Result<Response, Error> {
        self.routes.handle(self, ctx, &request)
    }
}

#[cfg(target_family = "wasm")]
cofferdam_sdk::export!(UserLogins);

fn key(name: &str) -> String {
    format!("users/{name}")
}

fn user(ctx: &Context, name: &str) -> Result<Option<User>, Error> {
    ctx.get_json(&key(name))
}

fn let_in(name: &str, user: User) -> Response {
    Response::login(Login {
        policies: user.policies,
        display_name: name.to_owned(),
        metadata: vec![("username".to_owned(), name.to_owned())],
        lease: Lease::renewable(Duration::from_secs(user.ttl), json!({ "name": name })),
        alias: Some(name.to_owned()),
        ..Login::default()
    })
}
