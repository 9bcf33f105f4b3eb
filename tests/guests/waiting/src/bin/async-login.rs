//! Lets users in who know their password: an auth method as small as one can be.
//!
//! `write users/{name} password=…` makes a user; `write login/{name} password=…`, open to everyone, lets them in. A
//! renewal lets them go on for as long as the user exists. Passwords are stored as they are: this plugin is for tests.

use std::time::Duration;

use cofferdam_sdk::{
    AsyncContext, AsyncPlugin, AsyncRoute, AsyncRoutes, AsyncStorage, Call, Description, Error, Field, FieldType,
    Lease, Login, Request, Response,
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
    routes: AsyncRoutes<Self>,
}

impl UserLogins {
    async fn write(&self, ctx: &AsyncContext<'_>, call: &Call<'_>) -> Result<Response, Error> {
        let name: String = call.field("name")?;
        ctx.put_json(&key(&name), &call.fields::<User>()?).await?;
        Ok(Response::none())
    }

    async fn read(&self, ctx: &AsyncContext<'_>, call: &Call<'_>) -> Result<Response, Error> {
        match user(ctx, &call.field::<String>("name")?).await? {
            Some(User { policies, ttl, .. }) => Response::json(&json!({ "policies": policies, "ttl": ttl })),
            None => Ok(Response::none()),
        }
    }

    async fn delete(&self, ctx: &AsyncContext<'_>, call: &Call<'_>) -> Result<Response, Error> {
        ctx.delete(&key(&call.field::<String>("name")?)).await?;
        Ok(Response::none())
    }

    async fn list(&self, ctx: &AsyncContext<'_>, _: &Call<'_>) -> Result<Response, Error> {
        Ok(Response::list(ctx.list("users/").await?))
    }

    async fn login(&self, ctx: &AsyncContext<'_>, call: &Call<'_>) -> Result<Response, Error> {
        let (name, password): (String, String) = (call.field("name")?, call.field("password")?);
        match user(ctx, &name).await? {
            Some(user) if user.password == password => Ok(let_in(&name, user)),
            // Who tries learns nothing of which users there are.
            _ => Err(Error::InvalidRequest("invalid username or password".into())),
        }
    }

    async fn renew(&self, ctx: &AsyncContext<'_>, call: &Call<'_>) -> Result<Response, Error> {
        let internal: Value = call.request().lease()?;
        let name = internal["name"].as_str().unwrap_or_default();
        let user = user(ctx, name).await?.ok_or_else(|| Error::InvalidRequest("user is gone".into()))?;
        Ok(let_in(name, user))
    }

    /// Lets in whoever holds a token already, which no host may take for a login.
    async fn again(&self, _: &AsyncContext<'_>, _: &Call<'_>) -> Result<Response, Error> {
        Ok(Response::login(Login::default()))
    }
}

impl AsyncPlugin for UserLogins {
    fn describe() -> Description {
        Description::auth("Lets users in who know their password.").version("1.0.0").unauthenticated_path("login/*")
    }

    async fn setup(_: &AsyncContext<'_>) -> Result<Self, Error> {
        let name = || Field::string("name", "The user's name.");
        let password = || Field::string("password", "The user's password.");
        let user = AsyncRoute::at("users/{name}")
            .synopsis("A user.")
            .field(name())
            .field(password().required())
            .field(Field::of(FieldType::Slice, "policies", "Policies of the user's tokens.").default(json!([])))
            .field(Field::duration("ttl", "How long a token lives.").default(0));
        let users = AsyncRoute::at("users").synopsis("All users.");
        let login = AsyncRoute::at("login/{name}").synopsis("Lets a user in.").field(name()).field(password());
        let again = AsyncRoute::at("again").synopsis("Answers with a login where none may be.");
        let routes = AsyncRoutes::of([])
            .route(users.list(Self::list))
            .route(user.read(Self::read).write(Self::write).delete(Self::delete))
            .route(login.write(Self::login))
            .route(again.read(Self::again))
            .renew(Self::renew);
        Ok(Self { routes })
    }

    async fn handle(&self, ctx: &AsyncContext<'_>, request: Request) -> Result<Response, Error> {
        self.routes.handle(self, ctx, &request).await
    }
}

cofferdam_sdk::export_async!(UserLogins);

fn key(name: &str) -> String {
    format!("users/{name}")
}

async fn user(ctx: &AsyncContext<'_>, name: &str) -> Result<Option<User>, Error> {
    ctx.get_json(&key(name)).await
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

fn main() {}
