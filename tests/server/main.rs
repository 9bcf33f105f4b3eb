//! The program as operators run it: a real server on a socket, and the real client commands.
//!
//! Every test has a server, a home and a plugin directory of its own. Nothing sleeps: a server's output and its sockets
//! say when it is ready, and every wait has a deadline.

mod api;
mod auth;
mod bodies;
mod builtin;
mod capacity;
#[path = "../support/commands.rs"]
mod commands;
mod compile;
mod compiled;
mod config;
mod damage;
mod environment;
mod forms;
#[path = "../support/guests.rs"]
mod guests;
mod hang_up;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/http2.rs"]
mod http2;
mod instances;
mod kv;
mod lifecycle;
mod metrics;
mod operations;
mod output;
mod plugins;
#[path = "../support/program.rs"]
mod program;
mod restart;
mod session;
mod tls;
