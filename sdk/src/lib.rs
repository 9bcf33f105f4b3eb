//! What a plugin for Cofferdam is written with.
//!
//! A plugin is a type that implements [`Plugin`], and one line that exports it. This one is complete:
//!
//! ```
//! use cofferdam_sdk::{Call, Context, Description, Error, Field, Plugin, Request, Response, Route, Routes};
//!
//! struct Greeter {
//!     routes: Routes<Self>,
//! }
//!
//! impl Greeter {
//!     fn greet(&self, _ctx: &Context, call: &Call) -> Result<Response, Error> {
//!         let name: String = call.field("name")?;
//!         Response::json(&serde_json::json!({ "greeting": format!("hello, {name}") }))
//!     }
//! }
//!
//! impl Plugin for Greeter {
//!     fn describe() -> Description {
//!         Description::secret("Greets whoever asks.")
//!     }
//!
//!     fn setup(_ctx: &Context) -> Result<Self, Error> {
//!         let greet = Route::new("greet/{name}").field(Field::string("name", "Who is greeted.")).read(Self::greet);
//!         Ok(Self { routes: Routes::new().route(greet) })
//!     }
//!
//!     fn handle(&self, ctx: &Context, request: Request) -> Result<Response, Error> {
//!         self.routes.handle(self, ctx, &request)
//!     }
//! }
//!
//! cofferdam_sdk::export!(Greeter);
//!
//! # #[cfg(not(target_family = "wasm"))]
//! # {
//! let mount = cofferdam_sdk::testing::TestMount::<Greeter>::new();
//! assert_eq!(mount.read("greet/ada").unwrap().data::<serde_json::Value>().unwrap()["greeting"], "hello, ada");
//! # }
//! ```
//!
//! The core types, and how long they live:
//!
//! - [`Plugin`]: one value for each mount that an instance serves, from `setup` to `cleanup`. Its memory is a cache:
//!   instances come and go, and what must survive belongs in storage.
//! - [`Context`]: one call's view of the world, lent by the host and taken back when the call returns. Each question
//!   asked of it is a call into the host; nothing is fetched before it is asked for.
//! - [`Storage`]: what a mount has stored. [`Context`] reads and writes one key at a time, a [`Transaction`] many as
//!   one.
//! - [`Routes`]: which handler answers which path, what fields it takes, and the help that follows from both.
//! - [`contract`]: how those fields are read, as Vault reads them; durations; JSON that keeps its digits. The host has
//!   the same.
//! - [`testing::TestMount`]: a mount in memory that keeps the host's rules, for `cargo test`.
//!
//! A plugin that waits for more than its storage is an `AsyncPlugin` instead: `async` functions, an `AsyncContext`,
//! `AsyncRoutes`, and `export_async!`. One instance of it serves many requests at once. All of that comes with the
//! feature `async`; without it a component holds nothing of the async world, which tools that are older than it cannot
//! read.
//!
//! On `wasm32` the crate implements the exports of the world `cofferdam:plugin/plugin`. Plugin code never names a
//! generated type, so the same source also compiles natively: with the feature `native`, `serve` makes it a program
//! that speaks go-plugin.

#[cfg(feature = "async")]
mod concurrent;
mod plugin;
mod routes;

mod request;
mod response;

mod context;
mod storage;
mod stored;
mod view;

mod decode;
mod error;

pub mod embed;
mod export;
mod mounts;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod component;

#[cfg(all(feature = "native", not(target_family = "wasm")))]
mod native;

#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use cofferdam_contract as contract;
pub use cofferdam_contract::FieldType;
#[cfg(feature = "async")]
pub use concurrent::AsyncContext;
#[cfg(feature = "async")]
pub use concurrent::AsyncPlugin;
#[cfg(feature = "async")]
pub use concurrent::AsyncStorage;
#[cfg(feature = "async")]
pub use concurrent::AsyncTransaction;
pub use context::Caller;
pub use context::Context;
pub use context::Level;
pub use context::Ttls;
pub use error::Error;
#[cfg(all(feature = "native", not(target_family = "wasm")))]
pub use native::serve;
pub use plugin::Description;
pub use plugin::Existence;
pub use plugin::Kind;
pub use plugin::Plugin;
pub use plugin::Spread;
pub use request::Operation;
pub use request::Request;
pub use response::Body;
pub use response::DefaultPolicy;
pub use response::Lease;
pub use response::Login;
pub use response::Raw;
pub use response::Renewal;
pub use response::Response;
#[cfg(feature = "async")]
pub use routes::AsyncRoute;
#[cfg(feature = "async")]
pub use routes::AsyncRoutes;
pub use routes::Call;
pub use routes::Field;
pub use routes::Route;
pub use routes::Routes;
pub use storage::Storage;
pub use storage::Transaction;
pub use stored::StorageError;

#[doc(hidden)]
#[cfg(feature = "async")]
pub use concurrent::AsyncMounts;
#[doc(hidden)]
pub use mounts::Mounts;

/// Compiles the examples in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
