//! What a host and a native plugin share: go-plugin's protocol as Vault and OpenBao speak it.
//!
//! In the order in which a connection comes about:
//!
//! - [`names`]: the cookie, the versions and the variables that a plugin is started with.
//! - [`handshake`]: the one line that a plugin prints, saying where it listens.
//! - [`tls`]: mutual TLS, each side pinned to the other's certificate.
//! - [`transport`]: gRPC over Unix sockets.
//! - [`broker`]: further connections, in either direction, by number.
//! - [`messages`]: what is said, generated from the `.proto` files beside this crate's source.
//! - [`storage_error`]: what a failed storage call says, in words that both sides know.
//!
//! The host's side of it is `cofferdam::runtime::process`, the plugin's is `cofferdam_sdk::serve`.

pub mod broker;
pub mod handshake;
pub mod messages;
pub mod names;
pub mod storage_error;
pub mod tls;
pub mod transport;
