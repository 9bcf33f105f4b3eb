//! Which WebAssembly proposals a guest may use: our own list, and not what the engine happens to have switched on.
//!
//! A proposal is on because a toolchain that plugins are built with needs it. Everything else is off, whether this file
//! knows its name or not, so that a new engine never widens what guests may do. The same list goes to the validator,
//! which sees a component first and says what is wrong with it, and to the engines: what the one lets through by
//! mistake the other refuses.

use wasmparser::{Validator, WasmFeatures};

use super::world::World;
use crate::runtime::text::brief;

/// What core modules and components of both worlds may use.
///
/// The engine is built without a garbage collector and without threads, and code that needs one of them ends the
/// process: typed function references and their subtypes belong to that too. Several memories in one module are on
/// because the engine joins the parts of a composed component with such modules, which it checks against the same list.
const ALLOWED: WasmFeatures = WasmFeatures::FLOATS
    .union(WasmFeatures::MUTABLE_GLOBAL)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::COMPONENT_MODEL);

/// What components of the async world may use beside.
const ALLOWED_ASYNC: WasmFeatures = ALLOWED.union(WasmFeatures::CM_ASYNC);

/// Proposals that are off: their flag, their name, and how a component is built without them. The rest is told by its
/// flag's name.
const OFF: [(WasmFeatures, &str, &str); 28] = [
    (WasmFeatures::GC, "gc", "build it with a compiler that keeps its own heap in linear memory"),
    (WasmFeatures::GC_TYPES, "gc (reference types beyond funcref)", "build it without externref and anyref"),
    (WasmFeatures::FUNCTION_REFERENCES, "function-references", "build it without typed function references"),
    (WasmFeatures::THREADS, "threads", "build it for wasm32-wasip2 without atomics (-C target-feature=-atomics)"),
    (WasmFeatures::SHARED_EVERYTHING_THREADS, "shared-everything-threads", "build it without threads"),
    (WasmFeatures::STACK_SWITCHING, "stack-switching", "build it without continuations"),
    (WasmFeatures::EXCEPTIONS, "exceptions", "build it with panic=abort, or without -fwasm-exceptions"),
    (WasmFeatures::LEGACY_EXCEPTIONS, "legacy-exceptions", "build it with panic=abort, or without -fwasm-exceptions"),
    (WasmFeatures::MEMORY64, "memory64", "build it for wasm32, not wasm64"),
    (WasmFeatures::RELAXED_SIMD, "relaxed-simd", "build it with -C target-feature=-relaxed-simd (-mno-relaxed-simd)"),
    (WasmFeatures::CUSTOM_PAGE_SIZES, "custom-page-sizes", "build it with memory pages of 64 KiB"),
    (WasmFeatures::WIDE_ARITHMETIC, "wide-arithmetic", "build it with -C target-feature=-wide-arithmetic"),
    (WasmFeatures::MEMORY_CONTROL, "memory-control", "build it without memory.discard"),
    (WasmFeatures::CUSTOM_DESCRIPTORS, "custom-descriptors", "build it without descriptors of types"),
    (WasmFeatures::COMPACT_IMPORTS, "compact-imports", "build it with one entry for each import"),
    (
        WasmFeatures::CM_ASYNC,
        "component-model-async",
        "build it against cofferdam:plugin/plugin-async, or without async functions, streams and futures",
    ),
    (WasmFeatures::CM_ASYNC_STACKFUL, "component-model-async-stackful", "lift its async functions with a callback"),
    (WasmFeatures::CM_MORE_ASYNC_BUILTINS, "component-model-more-async-builtins", "build it without those built-ins"),
    (WasmFeatures::CM_THREADING, "component-model-threading", "build it without threads"),
    (WasmFeatures::CM_ERROR_CONTEXT, "component-model-error-context", "build it without error-context"),
    (WasmFeatures::CM_FIXED_LENGTH_LISTS, "component-model-fixed-length-lists", "use a tuple or a list in its WIT"),
    (WasmFeatures::CM_GC, "component-model-gc", "lift and lower through linear memory"),
    (WasmFeatures::CM_VALUES, "component-model-values", "export and import functions in place of values"),
    (WasmFeatures::CM_MAP, "component-model-map", "use a list of pairs in its WIT"),
    (WasmFeatures::CM64, "component-model-64", "build it for wasm32, not wasm64"),
    (WasmFeatures::CM_IMPLEMENTS, "component-model-implements", "name each import and export after its own interface"),
    (WasmFeatures::CM_CANON_NAMES, "component-model-canon-names", "write versions into the names of its interfaces"),
    (WasmFeatures::CM_NESTED_NAMES, "component-model-nested-names", "name its packages as namespace:name"),
];

/// Returns what components of a world may use.
pub(super) fn allowed(world: World) -> WasmFeatures {
    match world {
        World::Plain => ALLOWED,
        World::Async => ALLOWED_ASYNC,
    }
}

/// Checks that a component is valid and uses nothing that its world does not allow. Says what is wrong, and what to do
/// where that is known.
pub(super) fn validate(world: World, component: &[u8]) -> Result<(), String> {
    let allowed = allowed(world);
    let Err(cause) = Validator::new_with_features(allowed).validate_all(component) else { return Ok(()) };
    Err(match cause.missing_wasm_feature().or_else(|| needed(component, allowed, &cause)) {
        Some(feature) => refusal(feature, &cause),
        None => format!("the file is not a valid WebAssembly component: {}", brief(&cause.to_string())),
    })
}

/// Returns the proposal that an invalid component needs, where the validator does not say it itself: the one with which
/// it is valid, or else comes further, if there is one.
fn needed(component: &[u8], allowed: WasmFeatures, without: &wasmparser::Error) -> Option<WasmFeatures> {
    let mut further = None;
    for (feature, ..) in OFF.iter().filter(|(feature, ..)| !allowed.contains(*feature)) {
        match Validator::new_with_features(allowed | *feature).validate_all(component) {
            Ok(_) => return Some(*feature),
            Err(with) if with.offset() > without.offset() => further = further.or(Some(*feature)),
            Err(_) => {}
        }
    }
    further
}

fn refusal(feature: WasmFeatures, cause: &wasmparser::Error) -> String {
    // It repeats names of the component, however long they are and whatever is in them.
    let cause = brief(&cause.to_string());
    // A flag can hold another one; the smallest that is off says it best.
    let known = OFF.iter().find(|(off, ..)| *off == feature);
    match known {
        Some((_, name, way_out)) => format!(
            "the component needs the WebAssembly proposal {name}, which this host does not offer: {way_out} ({cause})"
        ),
        None => {
            let names: Vec<_> = feature.iter_names().map(|(name, _)| name.to_lowercase().replace('_', "-")).collect();
            format!(
                "the component needs the WebAssembly proposal {}, which this host does not offer: build it without ({cause})",
                names.join(", ")
            )
        }
    }
}
