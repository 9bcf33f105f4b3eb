//! The host's side of `wit/`, generated. The only file with a `bindgen!` in the crate: one for each world.
//!
//! Imports that touch storage are `async` on the host, so that a guest that waits for a disk gives its thread back; the
//! quick ones are plain.

wasmtime::component::bindgen!({
    world: "plugin",
    path: "wit",
    imports: {
        "cofferdam:plugin/host.[method]context.get": async | trappable,
        "cofferdam:plugin/host.[method]context.put": async | trappable,
        "cofferdam:plugin/host.[method]context.delete": async | trappable,
        "cofferdam:plugin/host.[method]context.list": async | trappable,
        "cofferdam:plugin/host.[method]context.begin": async | trappable,
        "cofferdam:plugin/host.[method]transaction.get": async | trappable,
        "cofferdam:plugin/host.[method]transaction.put": async | trappable,
        "cofferdam:plugin/host.[method]transaction.delete": async | trappable,
        "cofferdam:plugin/host.[method]transaction.list": async | trappable,
        "cofferdam:plugin/host.[method]transaction.commit": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "cofferdam:plugin/host.context": super::lent::ContextHandle,
        "cofferdam:plugin/host.transaction": super::lent::TransactionHandle,
    },
});

/// The world whose instances serve many calls at once. What its plugins wait for gets an accessor instead of the store:
/// nobody holds the store while something waits.
pub(super) mod concurrent {
    wasmtime::component::bindgen!({
        world: "plugin-async",
        path: "wit",
        imports: { default: trappable },
        exports: { default: async | store },
        with: {
            "cofferdam:plugin/types": super::cofferdam::plugin::types,
            "cofferdam:plugin/host-async.context": crate::runtime::wasm::lent::ContextHandle,
            "cofferdam:plugin/host-async.transaction": crate::runtime::wasm::lent::TransactionHandle,
        },
    });
}
