//! Keeps secrets at any path: Vault's key-value engine, both versions of it in one plugin.
//!
//! The mount's option `version` chooses. Version 1, the default, keeps what was written last. Version 2 keeps versions,
//! which can be read, deleted, brought back and destroyed. A mount that goes from 1 to 2 takes its secrets along: see
//! `upgrade`.
//!
//! What is stored where, below the mount:
//!
//! | key | what |
//! |---|---|
//! | `1/{path}` | version 1: a secret, the JSON object as it was written |
//! | `2/upgrade` | version 2: whether all of version 1 has been taken along |
//! | `2/config` | version 2: what holds for every secret |
//! | `2/metadata/{path}` | version 2: a secret's settings, and when its versions came and went |
//! | `2/versions/{path}/{number}` | version 2: one version, the JSON object as it was written |
//!
//! Every write is one transaction, and nothing is kept in memory but that the upgrade is done, so any instance may
//! answer.

mod path;
mod time;
mod upgrade;
mod v1;
mod v2;

use std::sync::atomic::{AtomicBool, Ordering};

use cofferdam_sdk::{Context, Description, Error, Existence, Operation, Plugin, Request, Response, Routes, Spread};

use upgrade::Progress;

/// How far `initialize` takes an upgrade: some 50,000 secrets, well within the time that a start is given. Requests do
/// the rest.
const BATCHES_AT_START: usize = 500;

/// How far one request takes an upgrade: it should still be answered at once.
const BATCHES_IN_REQUEST: usize = 4;

/// The plugin, in one mount.
pub struct Kv {
    v1: Routes<Self>,
    v2: Routes<Self>,
    version: Version,
    /// Set once this instance has seen that the upgrade is done, which it stays.
    upgraded: AtomicBool,
}

/// Which engine a mount is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Version {
    /// What was written last.
    One,
    /// All that was written.
    Two,
}

impl Version {
    /// Asks the mount. A tuned one is set up anew, so this is asked once.
    fn of(ctx: &Context) -> Result<Self, Error> {
        match ctx.option("version").as_deref() {
            None | Some("" | "1") => Ok(Self::One),
            Some("2") => Ok(Self::Two),
            Some(other) => Err(Error::InvalidRequest(format!("option version must be 1 or 2, not {other:?}"))),
        }
    }
}

impl Kv {
    /// Refuses a request until everything is versioned, and does its share of that.
    fn upgrade(&self, ctx: &Context, batches_max: usize) -> Result<(), Error> {
        if self.upgraded.load(Ordering::Acquire) {
            return Ok(());
        }
        match upgrade::advance(ctx, batches_max)? {
            Progress::Done => {
                self.upgraded.store(true, Ordering::Release);
                Ok(())
            }
            Progress::Unfinished => Err(upgrade::unavailable()),
        }
    }
}

impl Plugin for Kv {
    fn describe() -> Description {
        Description::secret(
            "Keeps arbitrary secrets at any path. With the option version=2 it keeps several versions of each, which can be \
             read, deleted, brought back and destroyed.",
        )
        .version(env!("CARGO_PKG_VERSION"))
        .spread(Spread::Many)
        .tells_create()
        .seal_wrap_path("1/")
        .seal_wrap_path("2/versions/")
    }

    fn setup(ctx: &Context) -> Result<Self, Error> {
        let version = Version::of(ctx)?;
        if version == Version::One {
            upgrade::refuse_downgrade(ctx)?;
        }
        Ok(Self { v1: v1::routes(), v2: v2::routes(), version, upgraded: AtomicBool::new(false) })
    }

    fn initialize(&self, ctx: &Context) -> Result<(), Error> {
        if self.version == Version::Two {
            match self.upgrade(ctx, BATCHES_AT_START) {
                // The mount starts: each request goes on with it, and so does the host's call once a minute.
                Err(Error::Unavailable(_)) => ctx.warn("the upgrade to versioned data goes on with the next requests"),
                other => return other,
            }
        }
        Ok(())
    }

    fn handle(&self, ctx: &Context, request: Request) -> Result<Response, Error> {
        if self.version == Version::One {
            return self.v1.handle(self, ctx, &request);
        }
        if request.operation != Operation::Help {
            self.upgrade(ctx, BATCHES_IN_REQUEST)?;
        }
        if request.operation == Operation::Rollback {
            return Ok(Response::none());
        }
        self.v2.handle(self, ctx, &request)
    }

    fn exists(&self, ctx: &Context, request: Request) -> Result<Existence, Error> {
        match self.version {
            Version::One => self.v1.exists(self, ctx, &request),
            Version::Two => self.v2.exists(self, ctx, &request),
        }
    }

    fn invalidate(&self, _ctx: &Context, key: &str) {
        if key == upgrade::MARKER {
            self.upgraded.store(false, Ordering::Release);
        }
    }
}

cofferdam_sdk::export!(Kv);
