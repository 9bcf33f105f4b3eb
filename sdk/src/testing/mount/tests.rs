//! The rules that the test mount keeps for the host.

use serde_json::json;

use super::*;
use crate::{Context, Description, Existence, Level, Login, Storage, StorageError};

/// Does to storage what a request says; written without routes, as a plugin may be.
struct Probe {
    setups: u64,
}

impl Plugin for Probe {
    fn describe() -> Description {
        Description::secret("Probes.").tells_create().unauthenticated_path("open/*")
    }

    fn setup(ctx: &Context) -> Result<Self, Error> {
        if ctx.option("write-in-setup").is_some() {
            ctx.put("a", b"x")?;
        }
        let setups = ctx.get_json::<u64>("setups")?.unwrap_or(0);
        Ok(Self { setups })
    }

    fn initialize(&self, ctx: &Context) -> Result<(), Error> {
        ctx.put_json("setups", &(self.setups + 1))
    }

    fn handle(&self, ctx: &Context, request: Request) -> Result<Response, Error> {
        match request.path.as_str() {
            "setups" => Response::json(&json!({ "setups": self.setups })),
            "key" => Ok(ctx.put("a/../key", b"x").map(|()| Response::none())?),
            "sum" => ctx.transact(|transaction| {
                let sum = transaction.get_json::<u64>("x")?.unwrap_or(0) + transaction.list("")?.len() as u64;
                transaction.put_json("sum", &sum)?;
                Ok(Response::none())
            }),
            "abandoned" => {
                let transaction = ctx.begin()?;
                transaction.put("abandoned", b"x")?;
                Ok(Response::none())
            }
            "snapshot" => Ok(ctx.snapshot()?.put("a", b"x").map(|()| Response::none())?),
            "login" | "open/login" => Ok(Response::login(Login::default())),
            _ => Response::json(&json!({ "caller": ctx.caller().display_name })),
        }
    }

    fn exists(&self, ctx: &Context, request: Request) -> Result<Existence, Error> {
        if request.path == "written-when-asked" {
            ctx.put("asked", b"x")?;
        }
        Ok(Existence::Unknown)
    }

    fn invalidate(&self, ctx: &Context, key: &str) {
        ctx.log(Level::Info, "forgotten", &[("key", key)]);
    }
}

fn field(response: Result<Response, Error>, name: &str) -> serde_json::Value {
    response.unwrap().data::<serde_json::Value>().unwrap()[name].clone()
}

#[test]
fn setup_cannot_write() {
    let started = TestMount::<Probe>::builder().option("write-in-setup", "yes").start();
    assert_eq!(started.err(), Some(StorageError::ReadOnly.into()));
}

#[test]
fn a_restart_initializes_again_and_a_new_instance_does_not() {
    let mut mount = TestMount::<Probe>::new();
    assert_eq!(mount.stored("setups"), Some(b"1".to_vec()));
    mount.replace_instance().unwrap();
    assert_eq!(mount.stored("setups"), Some(b"1".to_vec()));
    mount.restart().unwrap();
    assert_eq!(mount.stored("setups"), Some(b"2".to_vec()));
    assert_eq!(field(mount.read("setups"), "setups"), 1);
}

#[test]
fn a_transaction_that_lost_runs_again() {
    let mount = TestMount::<Probe>::builder().stored("x", b"1").start().unwrap();
    mount.change_before_commit("x", b"10");
    mount.write("sum", json!({})).unwrap();
    // 10 as changed, and the two keys `setups` and `x`.
    assert_eq!(mount.stored("sum"), Some(b"12".to_vec()));
}

#[test]
fn a_transaction_loses_to_a_new_key_in_what_it_listed() {
    let mount = TestMount::<Probe>::new();
    mount.change_before_commit("new", b"1");
    mount.write("sum", json!({})).unwrap();
    assert_eq!(mount.stored("sum"), Some(b"2".to_vec()));
}

#[test]
fn a_transaction_that_always_loses_is_a_conflict() {
    let mount = TestMount::<Probe>::new();
    let world = &mount.world;
    let mut rounds = 0;
    let result = world.call(Access::ReadWrite, Caller::default(), |ctx| {
        ctx.transact(|transaction| {
            rounds += 1;
            transaction.get("hot")?;
            world.memory.set("hot", Some(b"x"));
            transaction.put("mine", b"x").map_err(Error::from)
        })
    });
    assert_eq!((result, rounds), (Err(StorageError::Conflict.into()), 16));
    assert_eq!(mount.stored("mine"), None);
}

#[test]
fn a_plugin_that_is_asked_whether_something_exists_cannot_write() {
    let mount = TestMount::<Probe>::new();
    assert_eq!(mount.write("written-when-asked", json!({})), Err(StorageError::ReadOnly.into()));
    assert_eq!(mount.stored("asked"), None);
}

/// Tells what is there, and says nowhere that it does.
struct Forgetful;

impl Plugin for Forgetful {
    fn describe() -> Description {
        Description::secret("Forgets to say so.")
    }

    fn setup(_ctx: &Context) -> Result<Self, Error> {
        Ok(Self)
    }

    fn handle(&self, _ctx: &Context, _request: Request) -> Result<Response, Error> {
        Ok(Response::none())
    }

    fn exists(&self, _ctx: &Context, _request: Request) -> Result<Existence, Error> {
        Ok(Existence::Absent)
    }
}

#[test]
fn a_plugin_that_would_never_be_asked_is_told() {
    let refused = TestMount::<Forgetful>::new().write("a", json!({})).unwrap_err();
    assert!(refused.to_string().contains(".tells_create()"), "{refused}");
}

#[test]
fn what_is_not_committed_never_was() {
    let mount = TestMount::<Probe>::new();
    mount.write("abandoned", json!({})).unwrap();
    assert_eq!(mount.stored_keys(), ["setups"]);
    assert_eq!(mount.write("snapshot", json!({})), Err(StorageError::ReadOnly.into()));
}

#[test]
fn malformed_keys_and_paths_are_refused() {
    let mount = TestMount::<Probe>::new();
    assert!(matches!(mount.write("key", json!({})), Err(Error::InvalidRequest(reason)) if reason.contains("key")));
    for path in ["/a", "a/../b", "./a", "a\nb"] {
        assert!(matches!(mount.read(path), Err(Error::InvalidRequest(_))), "{path:?} was taken");
    }
    assert!(matches!(mount.write("a", json!([1])), Err(Error::InvalidRequest(_))));
}

#[test]
fn nobody_is_known_on_an_unauthenticated_path() {
    let mount = TestMount::<Probe>::new();
    assert_eq!(field(mount.read("who"), "caller"), "token");
    assert_eq!(field(mount.read("open/who"), "caller"), "");
}

#[test]
fn a_secrets_engine_lets_nobody_in() {
    let mount = TestMount::<Probe>::new();
    for path in ["login", "open/login"] {
        assert!(matches!(mount.write(path, json!({})), Err(Error::Internal(_))), "{path}");
    }
}

#[test]
fn a_change_elsewhere_is_made_known() {
    let mount = TestMount::<Probe>::new();
    mount.change_elsewhere("a", Some(b"x"));
    let fields = vec![("key".to_string(), "a".to_string())];
    assert_eq!(mount.logs(), [LogLine { level: Level::Info, message: "forgotten".into(), fields }]);
    assert_eq!(mount.stored("a"), Some(b"x".to_vec()));
}

#[test]
fn a_stored_value_that_does_not_fit_is_our_fault_and_stays_untold() {
    let started = TestMount::<Probe>::builder().stored("setups", br#""hunter2""#).start();
    let expected = "stored value \"setups\" is not what was expected: expected u64, found string";
    assert_eq!(started.err(), Some(Error::Internal(expected.into())));
}
