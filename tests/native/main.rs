//! Native plugins work as they do in Vault: processes that mounts share, their start, their life, and their end.
//!
//! `stage` is a host in this process, for what an embedder sees. What only a whole server shows is asked of the program
//! itself. The plugins are real ones, on Vault's SDK; a machine without Go is told which cases it leaves out.

mod auth;
#[allow(dead_code, reason = "the server's own tests need more of it")]
#[path = "../support/commands.rs"]
mod commands;
mod confinement;
mod ends;
mod engine;
mod environment;
#[path = "../support/go.rs"]
mod go;
#[path = "../support/guests.rs"]
mod guests;
mod hang_up;
#[allow(dead_code, reason = "the server's own tests need more of it")]
#[path = "../support/http.rs"]
mod http;
#[allow(dead_code, reason = "the server's own tests need more of it")]
#[path = "../support/http2.rs"]
mod http2;
mod legacy;
mod logs;
mod plugins;
mod processes;
#[allow(dead_code, reason = "the server's own tests need more of it")]
#[path = "../support/program.rs"]
mod program;
mod restart;
mod servers;
mod session;
mod sharing;
mod stage;
mod supervision;
