//! Plugins that keep in memory what they stored, as many do: so a test sees when an instance knows too little, or too
//! many answer.
//!
//! * [`Shelf`] lets its requests be spread, and forgets what it is told to. `cached/…` stores, and reads from memory
//!   what it can; `plain/…` stores and reads; `instance` says which instance answers.
//! * [`Hold`] keeps to one instance, and waits.
//! * [`Tally`] keeps to one instance, and counts in memory under a lock: two that counted at once would lose counts.
//!   `bump` counts; `edition` says which one it was started as.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use cofferdam_sdk::{Body, Context, Description, Error, Operation, Plugin, Request, Response, Spread, Storage};
use serde_json::{Value, json};

/// Where the count is.
const COUNT: &str = "count";

/// Says which edition a plugin was registered as.
const EDITION: &str = "EDITION";

/// Which instance this is: a number that no other has.
fn instance() -> u64 {
    static INSTANCE: OnceLock<u64> = OnceLock::new();
    *INSTANCE.get_or_init(|| RandomState::new().hash_one(0) >> 12)
}

/// How many mounts this instance was set up for.
static MOUNTS: AtomicU64 = AtomicU64::new(0);

/// Remembers what it read, until it is told that it changed.
pub struct Shelf {
    cached: Mutex<BTreeMap<String, Option<Value>>>,
}

impl Shelf {
    fn cached(&self) -> MutexGuard<'_, BTreeMap<String, Option<Value>>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plugin for Shelf {
    fn describe() -> Description {
        Description::secret("Remembers what it read.").spread(Spread::Many)
    }

    fn setup(_: &Context) -> Result<Self, Error> {
        MOUNTS.fetch_add(1, Ordering::Relaxed);
        Ok(Self { cached: Mutex::default() })
    }

    fn handle(&self, ctx: &Context, request: Request) -> Result<Response, Error> {
        let (what, key) = request.path.split_once('/').unwrap_or((&request.path, ""));
        match (what, request.operation) {
            ("plain", Operation::Read) => Ok(match ctx.get(key)? {
                Some(stored) => Response { body: Body::Data(stored), ..Response::default() },
                None => Response::none(),
            }),
            ("plain", _) => Ok(ctx.put(key, &request.raw_data).map(|()| Response::none())?),
            ("instance", _) => {
                // Some tests hold it here, to have several at a time.
                ctx.get("gate")?;
                Response::json(&json!({ "instance": instance(), "mounts": MOUNTS.load(Ordering::Relaxed) }))
            }
            ("cached", Operation::Read) => {
                let known = self.cached().get(key).cloned();
                let value = match &known {
                    Some(value) => value.clone(),
                    None => ctx.get_json(key)?,
                };
                self.cached().insert(key.to_owned(), value.clone());
                Response::json(&json!({ "value": value, "remembered": known.is_some(), "instance": instance() }))
            }
            ("cached", Operation::Update) => {
                let value = request.data::<Value>()?["value"].clone();
                ctx.put_json(key, &value)?;
                self.cached().insert(key.to_owned(), Some(value));
                Response::json(&json!({ "instance": instance() }))
            }
            _ => Err(Error::UnsupportedPath),
        }
    }

    fn invalidate(&self, _: &Context, key: &str) {
        self.cached().remove(key);
    }
}

/// Counts in memory, and stores each count.
pub struct Tally {
    count: Mutex<u64>,
}

impl Plugin for Tally {
    fn describe() -> Description {
        Description::secret("Counts.")
    }

    fn setup(ctx: &Context) -> Result<Self, Error> {
        Ok(Self { count: Mutex::new(ctx.get_json(COUNT)?.unwrap_or(0)) })
    }

    fn handle(&self, ctx: &Context, request: Request) -> Result<Response, Error> {
        let edition = std::env::var(EDITION).unwrap_or_default();
        match request.path.as_str() {
            "edition" => Response::json(&json!({ "edition": edition, "instance": instance() })),
            "bump" => {
                let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
                ctx.put_json(COUNT, &(*count + 1))?;
                *count += 1;
                Response::json(&json!({ "edition": edition, "count": *count }))
            }
            _ => Err(Error::UnsupportedPath),
        }
    }
}

/// Keeps to one instance, and says which. It stops at the gate, as [`Shelf`] does.
pub struct Hold;

impl Plugin for Hold {
    fn describe() -> Description {
        Description::secret("Says which instance it is.")
    }

    fn setup(_: &Context) -> Result<Self, Error> {
        Ok(Self)
    }

    fn handle(&self, ctx: &Context, _: Request) -> Result<Response, Error> {
        ctx.get("gate")?;
        Response::json(&json!({ "instance": instance() }))
    }
}
