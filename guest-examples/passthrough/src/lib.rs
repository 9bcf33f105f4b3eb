//! Stores what is written at any path, like Vault's key-value engine in its first version.

use cofferdam_sdk::{
    Call, Context, Description, Error, Existence, Field, Plugin, Request, Response, Route, Routes, Spread, Storage,
};
use serde_json::{Map, Value};

/// The plugin, in one mount.
pub struct Passthrough {
    routes: Routes<Self>,
}

impl Passthrough {
    fn read(&self, ctx: &Context, call: &Call) -> Result<Response, Error> {
        match ctx.get_json::<Map<String, Value>>(&call.request().path)? {
            Some(data) => Response::json(&data),
            None => Ok(Response::none()),
        }
    }

    fn write(&self, ctx: &Context, call: &Call) -> Result<Response, Error> {
        // The body as it came, and not the call's fields: a secret may well have a field named `path`.
        let data: Map<String, Value> = call.request().data()?;
        if data.is_empty() {
            return Err(Error::InvalidRequest("missing data fields".into()));
        }
        ctx.put_json(&call.request().path, &data)?;
        Ok(Response::none())
    }

    fn delete(&self, ctx: &Context, call: &Call) -> Result<Response, Error> {
        ctx.delete(&call.request().path)?;
        Ok(Response::none())
    }

    fn list(&self, ctx: &Context, call: &Call) -> Result<Response, Error> {
        Ok(Response::list(ctx.list(&call.request().path)?))
    }

    fn exists(&self, ctx: &Context, call: &Call) -> Result<Existence, Error> {
        let stored = ctx.get(&call.request().path)?;
        Ok(if stored.is_some() { Existence::Present } else { Existence::Absent })
    }
}

impl Plugin for Passthrough {
    fn describe() -> Description {
        Description::secret("Stores arbitrary data at any path, and gives it back.")
            // Nothing is kept in memory and each request touches one key, so any instance may answer.
            .spread(Spread::Many)
            .tells_create()
    }

    fn setup(_ctx: &Context) -> Result<Self, Error> {
        let anywhere = Route::new("{path..}")
            .synopsis("Stores data at a path.")
            .description("A write replaces all that was stored at the path; fields are not merged.")
            .field(Field::string("path", "Where the data is."))
            .any_fields()
            .read(Self::read)
            .write(Self::write)
            .delete(Self::delete)
            .list(Self::list)
            .exists(Self::exists);
        Ok(Self { routes: Routes::new().route(anywhere) })
    }

    fn handle(&self, ctx: &Context, request: Request) -> Result<Response, Error> {
        self.routes.handle(self, ctx, &request)
    }

    fn exists(&self, ctx: &Context, request: Request) -> Result<Existence, Error> {
        self.routes.exists(self, ctx, &request)
    }
}

cofferdam_sdk::export!(Passthrough);

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_sdk::testing::TestMount;
    use serde_json::json;

    #[test]
    fn what_was_written_is_read_until_it_is_deleted() {
        let mut mount = TestMount::<Passthrough>::new();
        let secret = json!({ "user": "ada", "path": "a field of its own" });
        assert_eq!(mount.write("db/prod", &secret), Ok(Response::none()));
        mount.restart().unwrap();
        assert_eq!(mount.read("db/prod").unwrap().data::<Value>().unwrap(), secret);
        mount.delete("db/prod").unwrap();
        assert_eq!(mount.read("db/prod"), Ok(Response::none()));
    }

    #[test]
    fn lists_one_level() {
        let mount = TestMount::<Passthrough>::new();
        for path in ["a", "b/c", "b/d"] {
            mount.write(path, json!({ "k": "v" })).unwrap();
        }
        assert_eq!(mount.list("").unwrap().data::<Value>(), Ok(json!({ "keys": ["a", "b/"] })));
        assert_eq!(mount.list("b").unwrap().data::<Value>(), Ok(json!({ "keys": ["c", "d"] })));
        assert_eq!(mount.list("none"), Ok(Response::none()));
    }

    #[test]
    fn an_empty_write_is_refused() {
        let mount = TestMount::<Passthrough>::new();
        assert_eq!(mount.write("a", json!({})), Err(Error::InvalidRequest("missing data fields".into())));
        assert!(mount.stored_keys().is_empty());
    }
}
