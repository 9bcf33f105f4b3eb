//! A plugin as a program of its own, which a host starts and speaks go-plugin with.
//!
//! `launch` reads what the host asks for, `server` listens and says where, `services` are go-plugin's own, and
//! `backend` is the plugin: each of its calls finds the `instance` of a mount and runs there, on a thread that may
//! block, with a `view` that asks the host back through `storage` and the system's view. `convert` knows both kinds of
//! messages, `log` the host's log format.
//!
//! What stays as it is: standard output, of which a host reads only the first line. The stream for it is open and
//! silent.

mod backend;
mod convert;
mod instance;
mod launch;
mod log;
mod mount;
mod server;
mod services;
mod storage;
mod view;

pub use server::serve;
