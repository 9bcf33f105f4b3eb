//! What is said: generated from `proto/*.proto`, committed, and compared by a test. The modules are the protocol's
//! packages.
//!
//! None of the messages is `Debug`: most can hold a secret.

#![allow(missing_docs, unreachable_pub, clippy::all, rustdoc::all)]

pub use prost_types::Timestamp;

/// The backend protocol: what a plugin serves, and what it is served.
pub mod pb {
    include!("generated/pb.rs");
}

/// Identities and versions.
pub mod logical {
    include!("generated/logical.rs");
}

/// go-plugin's own services.
pub mod plugin {
    include!("generated/plugin.rs");
}

/// Whether one process serves many mounts.
pub mod multiplexing {
    include!("generated/pluginutil.multiplexing.rs");
}

/// All of it as an encoded `FileDescriptorSet`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
