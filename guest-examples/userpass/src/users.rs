//! `users/`: who may log in, and with what.

use cofferdam_sdk::{Call, Context, Error, Existence, Field, Response, Route, Storage};
use serde_json::json;

use crate::token;
use crate::user::{self, User, UserName};
use crate::{Userpass, cidr, password};

const NO_SUCH_USER: &str = "username does not exist";

pub(crate) fn routes() -> [Route<Userpass>; 4] {
    let name = || Field::string("username", "Username for this user.");
    let password = || Field::string("password", "Password for this user.");
    let deprecated = |newer: &str| {
        format!("Use {newer:?} instead. If this and {newer:?} are both specified, only {newer:?} will be used.")
    };
    let user = Route::new("users/{username}")
        .synopsis("Manage users allowed to authenticate.")
        .description("Deleting a user does not end the tokens that the user has got; they are not renewed any more.")
        .field(name())
        .field(password())
        .field(Field::string("password_hash", "Pre-hashed password in bcrypt format for this user."))
        .field(Field::list("policies", deprecated("token_policies")))
        .field(Field::duration("ttl", deprecated("token_ttl")))
        .field(Field::duration("max_ttl", deprecated("token_max_ttl")))
        .field(Field::list("bound_cidrs", deprecated("token_bound_cidrs")));
    let user = token::fields().into_iter().fold(user, Route::field);
    let passwords = Route::new("users/{username}/password").synopsis("Reset user's password.").field(name());
    let policies = Route::new("users/{username}/policies")
        .synopsis("Update the policies associated with the username.")
        .field(name())
        .field(Field::list("policies", deprecated("token_policies")))
        .field(Field::list("token_policies", "Comma-separated list of policies"));
    [
        Route::new("users").synopsis("All users.").list(list),
        user.read(read).write(write).delete(delete).exists(exists),
        passwords
            .field(password())
            .field(Field::string("password_hash", "Pre-hashed password in bcrypt format for this user."))
            .write(write_password),
        policies.write(write_policies),
    ]
}

fn list(_: &Userpass, ctx: &Context, _: &Call) -> Result<Response, Error> {
    Ok(Response::list(ctx.list(user::PREFIX)?))
}

fn exists(_: &Userpass, ctx: &Context, call: &Call) -> Result<Existence, Error> {
    let stored = ctx.get(&UserName::of(call)?.key())?;
    Ok(if stored.is_some() { Existence::Present } else { Existence::Absent })
}

fn read(_: &Userpass, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let Some(User { token, given_as, .. }) = User::get(ctx, &UserName::of(call)?)? else { return Ok(Response::none()) };
    let mut shown = token.shown();
    if given_as.ttl > 0 {
        shown.insert("ttl".into(), json!(given_as.ttl));
    }
    if given_as.max_ttl > 0 {
        shown.insert("max_ttl".into(), json!(given_as.max_ttl));
    }
    if !given_as.policies.is_empty() {
        shown.insert("policies".into(), json!(token.policies));
    }
    if !given_as.bound_cidrs.is_empty() {
        shown.insert("bound_cidrs".into(), json!(given_as.bound_cidrs));
    }
    Response::json(&shown)
}

fn delete(_: &Userpass, ctx: &Context, call: &Call) -> Result<Response, Error> {
    ctx.delete(&UserName::of(call)?.key())?;
    Ok(Response::none())
}

fn write(_: &Userpass, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let name = UserName::of(call)?;
    // Outside of the transaction, which may run several times: it is work.
    let hash = given_hash(call)?;
    ctx.transact(|transaction| {
        let mut user = match User::get(transaction, &name)? {
            Some(user) => user,
            None if hash.is_none() => return Err(password::missing()),
            None => User::default(),
        };
        user.token.update(call)?;
        if let Some(hash) = &hash {
            user.password_hash.clone_from(hash);
        }
        take_deprecated(&mut user, call)?;
        user.put(transaction, &name)
    })?;
    Ok(Response::none())
}

/// Returns the hash of the password that a request names, or the one that it brings.
fn given_hash(call: &Call) -> Result<Option<String>, Error> {
    let (password, hash): (Option<String>, Option<String>) = (call.field("password")?, call.field("password_hash")?);
    match (password, hash) {
        (Some(_), Some(_)) => {
            Err(Error::InvalidRequest("password and password_hash cannot be given at the same time".into()))
        }
        (Some(password), None) => password::hash(&password).map(Some),
        (None, Some(hash)) => password::check_hash(hash).map(Some),
        (None, None) => Ok(None),
    }
}

/// Takes over what a write says under names of before Vault 1.2, where it does not say the same under the newer ones.
fn take_deprecated(user: &mut User, call: &Call) -> Result<(), Error> {
    let (token, given_as) = (&mut user.token, &mut user.given_as);
    let policies = token::list(call, "policies")?.map(sanitised);
    upgrade(call, "token_policies", policies, &mut given_as.policies, &mut token.policies)?;
    upgrade(call, "token_ttl", call.field("ttl")?, &mut given_as.ttl, &mut token.ttl)?;
    upgrade(call, "token_max_ttl", call.field("max_ttl")?, &mut given_as.max_ttl, &mut token.max_ttl)?;
    let blocks = token::list(call, "bound_cidrs")?.map(|blocks| cidr::parse(&blocks)).transpose()?;
    upgrade(call, "token_bound_cidrs", blocks, &mut given_as.bound_cidrs, &mut token.bound_cidrs)
}

fn upgrade<T: Clone + Default>(
    call: &Call,
    newer: &str,
    given: Option<T>,
    older_value: &mut T,
    newer_value: &mut T,
) -> Result<(), Error> {
    let newer_is_given = call.field::<Option<serde_json::Value>>(newer)?.is_some();
    match (newer_is_given, given) {
        (true, Some(_)) => older_value.clone_from(newer_value),
        (true, None) => *older_value = T::default(),
        (false, Some(given)) => {
            newer_value.clone_from(&given);
            *older_value = given;
        }
        (false, None) => {}
    }
    Ok(())
}

/// Returns policies in lower case, sorted, each once.
fn sanitised(policies: Vec<String>) -> Vec<String> {
    let mut policies: Vec<String> = policies.iter().map(|policy| policy.trim().to_lowercase()).collect();
    policies.retain(|policy| !policy.is_empty());
    policies.sort();
    policies.dedup();
    policies
}

fn write_password(_: &Userpass, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let name = UserName::of(call)?;
    let hash = given_hash(call)?.ok_or_else(password::missing)?;
    change(ctx, &name, |user| {
        user.password_hash.clone_from(&hash);
        Ok(())
    })
}

fn write_policies(_: &Userpass, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let (older, newer) = (token::list(call, "policies")?, token::list(call, "token_policies")?);
    let (older, newer) = (older.map(sanitised), newer.map(sanitised));
    change(ctx, &UserName::of(call)?, |user| {
        match (&older, &newer) {
            (older, Some(newer)) => {
                user.token.policies.clone_from(newer);
                user.given_as.policies = if older.is_some() { newer.clone() } else { Vec::new() };
            }
            (Some(older), None) => {
                user.token.policies.clone_from(older);
                user.given_as.policies.clone_from(older);
            }
            (None, None) => {}
        }
        Ok(())
    })
}

/// Changes a user who is there.
fn change(ctx: &Context, name: &UserName, change: impl Fn(&mut User) -> Result<(), Error>) -> Result<Response, Error> {
    ctx.transact(|transaction| {
        let user = User::get(transaction, name)?;
        let mut user = user.ok_or_else(|| Error::InvalidRequest(NO_SUCH_USER.into()))?;
        change(&mut user)?;
        user.put(transaction, name)
    })?;
    Ok(Response::none())
}
