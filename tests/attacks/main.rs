//! Attacks of strangers on the program: what each may cost, and that everybody else is served meanwhile.
//!
//! One attack runs at a time, on a server of its own with its default limits. While it does, a neighbour at another
//! address asks for the server's health, again and again. Two bounds hold for every attack: how late the neighbour is
//! answered, and how much memory the server takes.

mod bodies;
mod connections;
mod flood;
mod logins;
mod paths;
mod siege;

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/commands.rs"]
mod commands;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/guests.rs"]
mod guests;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/http.rs"]
mod http;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/http2.rs"]
mod http2;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/program.rs"]
mod program;
