//! The plugin that the tests run: it does what the path says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};

use cofferdam_sdk::{Context, Description, Error, Existence, Level, Plugin, Request, Response, Storage};
use serde_json::json;

/// Where two requests meet.
static MEETING: Barrier = Barrier::new(2);

/// A value of the plugin, as each mount has one.
pub(crate) struct Tested {
    requests: AtomicU64,
    /// A panic leaves it poisoned.
    notes: Mutex<Vec<String>>,
}

impl Plugin for Tested {
    fn describe() -> Description {
        Description::secret("Does what it is told.").version("1.2.3").root_path("root/*").unauthenticated_path("open")
    }

    fn setup(ctx: &Context) -> Result<Self, Error> {
        if ctx.option("refuse").is_some() {
            return Err(Error::InvalidRequest("no such option: refuse".into()));
        }
        if ctx.option("write").is_some() {
            ctx.put("written", b"in setup")?;
        }
        Ok(Self { requests: AtomicU64::new(0), notes: Mutex::default() })
    }

    fn initialize(&self, ctx: &Context) -> Result<(), Error> {
        Ok(ctx.put("initialized", b"yes")?)
    }

    fn handle(&self, ctx: &Context, request: Request) -> Result<Response, Error> {
        let count = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        match request.path.as_str() {
            "count" => Response::json(&json!({ "count": count, "mount": ctx.mount_id(), "path": ctx.mount_path() })),
            "meet" => {
                MEETING.wait();
                Ok(Response::none())
            }
            "panic" => {
                let _notes = self.notes.lock().map_err(|_| Error::Internal("poisoned".into()))?;
                panic!("as it was told");
            }
            "notes" => {
                self.notes.lock().map_err(|_| Error::Internal("poisoned".into()))?.push(request.path.clone());
                Ok(Response::none())
            }
            "ttls" => {
                let ttls = ctx.ttls();
                Response::json(&json!({ "ttls": [ttls.default.as_secs(), ttls.max.as_secs()] }))
            }
            "log" => {
                ctx.log(Level::Warn, "mind the step", &[("step", "third")]);
                Ok(Response::none())
            }
            "put" => {
                ctx.put("key", b"value")?;
                Ok(Response::none())
            }
            "list" => {
                let keys = ctx.list("")?;
                let page = ctx.list_page("", Some("a"), 1)?;
                Response::json(&json!({ "all": keys, "page": page }))
            }
            "transact" => {
                let seen = ctx.transact(|transaction| {
                    let seen = transaction.get("key")?.is_some();
                    transaction.put("key", b"from a transaction")?;
                    Ok(seen)
                })?;
                Response::json(&json!({ "seen": seen }))
            }
            "abandon" => {
                ctx.begin()?.put("abandoned", b"value")?;
                Response::json(&json!({ "stored": ctx.get("abandoned")?.is_some() }))
            }
            "conflict" => {
                let transaction = ctx.begin()?;
                transaction.get("contested")?;
                ctx.put("contested", b"changed")?;
                transaction.put("contested", b"mine")?;
                Ok(transaction.commit().map(|()| Response::none())?)
            }
            "snapshot" => Ok(ctx.snapshot()?.put("key", b"value").map(|()| Response::none())?),
            _ => Err(Error::UnsupportedPath),
        }
    }

    fn exists(&self, ctx: &Context, _request: Request) -> Result<Existence, Error> {
        // Refused here, which is all that it is for.
        ctx.put("written", b"in exists")?;
        Ok(Existence::Present)
    }

    fn invalidate(&self, ctx: &Context, key: &str) {
        drop(ctx.put("invalidated", key.as_bytes()));
    }

    fn cleanup(&self, ctx: &Context) {
        drop(ctx.put("cleaned", b"up"));
    }
}
