//! `login/{username}`: lets in whoever knows the password.

use std::collections::BTreeSet;

use cofferdam_sdk::{Call, Context, Error, Field, Login, Operation, Response, Route};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::user::{User, UserName};
use crate::{Userpass, cidr, password};

/// What a login remembers for its renewal.
#[derive(Deserialize, Serialize)]
struct Remembered {
    username: String,
    policies: Vec<String>,
}

pub(crate) fn route() -> Route<Userpass> {
    Route::new("login/{username}")
        .synopsis("Log in with a username and password.")
        .description("This endpoint authenticates using a username and password.")
        .field(Field::string("username", "Username of the user."))
        .field(Field::string("password", "Password for this user."))
        .write(log_in)
        .on(Operation::AliasLookahead, alias)
}

fn log_in(_: &Userpass, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let name = UserName::of(call)?;
    let password: String = call.field::<Option<_>>("password")?.unwrap_or_default();
    if password.is_empty() {
        return Err(password::missing());
    }
    let user = User::get(ctx, &name)?;
    let is_right = password::is_right(&password, user.as_ref().map(|user| user.password_hash.as_str()));
    // Who tries learns nothing of which users there are, neither by what is said nor by how long it takes.
    let user = user.filter(|_| is_right);
    let user = user.ok_or_else(|| Error::InvalidRequest("invalid username or password".into()))?;
    let blocks = &user.token.bound_cidrs;
    if !blocks.is_empty() && !cidr::allows(blocks, &ctx.caller().remote_address) {
        return Err(Error::Denied("permission denied".into()));
    }
    Ok(Response::login(login(&name, &user)))
}

fn login(name: &UserName, user: &User) -> Login {
    let remembered = json!({ "username": name.as_str(), "policies": user.token.policies });
    user.token.login(name.as_str(), remembered)
}

/// Says who would log in.
fn alias(_: &Userpass, _: &Context, call: &Call) -> Result<Response, Error> {
    let name = UserName::of(call)?;
    Ok(Response::login(Login { alias: Some(name.as_str().to_owned()), ..Login::default() }))
}

/// Lets somebody go on who is still known, with the policies of before.
pub(crate) fn renew(_: &Userpass, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let remembered: Remembered = call.request().lease()?;
    let name = UserName::parse(&remembered.username);
    let name = name.ok_or_else(|| Error::Internal("the lease names no user".into()))?;
    let user = User::get(ctx, &name)?.ok_or_else(|| Error::InvalidRequest("user no longer exists".into()))?;
    if as_set(&user.token.policies) != as_set(&remembered.policies) {
        return Err(Error::InvalidRequest("policies have changed, not renewing".into()));
    }
    Ok(Response::login(login(&name, &user)))
}

/// Returns policies as they count: whatever their case and order, and without the one that every token has.
fn as_set(policies: &[String]) -> BTreeSet<String> {
    policies.iter().map(|policy| policy.trim().to_lowercase()).filter(|policy| policy != "default").collect()
}
