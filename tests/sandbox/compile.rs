//! Components that are made against the compiler and the engine: refused before they reach either, by the name of what
//! is too much.

use std::time::{Duration, Instant};

use cofferdam::{ErrorKind, Limits};

use crate::bench::{Bench, check_refused, component, limits};

/// Looking a component through takes a fraction of this, and compiling a bomb minutes.
const QUICK: Duration = Duration::from_secs(10);

/// The export that makes a component one of the async world, as far as can be seen before it is compiled.
const ASYNC: &str = "(instance $i) (export \"cofferdam:plugin/backend-async@0.1.0\" (instance $i))";

/// A component for every proposal that is off: its name, and the text.
const PROPOSALS: &[(&str, &str)] = &[
    (
        // Of the shared cases: it ends a process whose engine is built without a garbage collector.
        "gc",
        "(component (core module $m
           (rec (type $base (sub (func))) (type $derived (sub $base (func))))
           (table 2 funcref)
           (func $callee (type $derived))
           (elem (i32.const 0) $callee)
           (func $main (call_indirect (type $base) (i32.const 0)))
           (start $main))
         (core instance (instantiate $m)))",
    ),
    ("gc", "(component (core module (type (struct (field i32)))))"),
    ("gc", "(component (core module (type (array i8))))"),
    ("gc", "(component (core module (func (drop (ref.i31 (i32.const 1))))))"),
    ("gc", "(component (core module (func (param externref))))"),
    ("gc", "(component (core module (table 1 externref)))"),
    (
        "function-references",
        "(component (core module (type $t (func)) (func (param (ref $t)) (call_ref $t (local.get 0)))))",
    ),
    ("function-references", "(component (core module (type $t (func)) (func (param (ref null $t)))))"),
    ("threads", "(component (core module (memory 1 1 shared)))"),
    ("threads", "(component (core module (memory 1) (func (drop (i32.atomic.load (i32.const 0))))))"),
    (
        "threads",
        "(component (core module (memory 1)
           (func (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 0))))))",
    ),
    (
        "threads",
        "(component (core module (memory 1) (func (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))))",
    ),
    ("threads", "(component (core module (func (atomic.fence))))"),
    ("shared-everything-threads", "(component (core module (global (shared i32) (i32.const 0))))"),
    ("exceptions", "(component (core module (tag)))"),
    ("exceptions", "(component (core module (func (try_table))))"),
    ("exceptions", "(component (core module (tag $t) (func (throw $t))))"),
    ("legacy-exceptions", "(component (core module (func try catch_all end)))"),
    ("stack-switching", "(component (core module (type $f (func)) (type (cont $f))))"),
    ("memory64", "(component (core module (memory i64 1)))"),
    ("memory64", "(component (core module (table i64 1 funcref)))"),
    (
        "relaxed-simd",
        "(component (core module (func (param v128 v128) (result v128)
           (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))))",
    ),
    ("custom-page-sizes", "(component (core module (memory 1 (pagesize 1))))"),
    (
        "wide-arithmetic",
        "(component (core module (func (param i64 i64) (result i64 i64)
           (i64.mul_wide_u (local.get 0) (local.get 1)))))",
    ),
    ("memory-control", "(component (core module (memory 1) (func (memory.discard (i32.const 0) (i32.const 0)))))"),
    (
        // Descriptors are of structs.
        "gc",
        "(component (core module (rec (type $a (descriptor $b) (struct)) (type $b (describes $a) (struct)))))",
    ),
    ("compact-imports", "(component (core module (import \"a\" (item \"b\" (func)) (item \"c\" (func)))))"),
    ("component-model-async", "(component (type (stream u8)))"),
    (
        "component-model-async-stackful",
        "(component (core module $m (func (export \"f\")))
       (core instance $i (instantiate $m)) (type $f (func async))
       (func (type $f) (canon lift (core func $i \"f\") async)))",
    ),
    ("component-model-more-async-builtins", "(component (core func (canon subtask.cancel async)))"),
    ("component-model-threading", "(component (core func (canon thread.index)))"),
    (
        "component-model-gc",
        "(component (core module $m (func (export \"f\")))
       (core instance $i (instantiate $m)) (func (canon lift (core func $i \"f\") gc)))",
    ),
    ("component-model-values", "(component (import \"v\" (value string)))"),
    ("component-model-map", "(component (type (map string u8)))"),
    ("component-model-64", "(component (type (resource (rep i64))))"),
    ("component-model-implements", "(component (import \"a\" (implements \"a:b/c\") (instance)))"),
    ("component-model-canon-names", "(component (import \"a:b/c@1\" (versionsuffix \".0.0\") (instance)))"),
    ("component-model-nested-names", "(component (import \"a:b:c/d\" (instance)))"),
    ("component-model-error-context", "(component (type error-context))"),
    ("component-model-fixed-length-lists", "(component (type (list u8 4)))"),
];

/// Proposals that need that of the async world, which the plain world lacks first.
const BUILT_ON_ASYNC: [&str; 2] = ["component-model-async-stackful", "component-model-more-async-builtins"];

/// The proposals that guests may use, by the names of the validator's flags.
const ON: [&str; 14] = [
    "floats",
    "mutable-global",
    "saturating-float-to-int",
    "sign-extension",
    "reference-types",
    "call-indirect-overlong",
    "multi-value",
    "bulk-memory",
    "bulk-memory-opt",
    "simd",
    "tail-call",
    "extended-const",
    "multi-memory",
    "component-model",
];

fn parse(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Asserts that a component is refused with these phrases, and soon.
async fn refuse(bench: &Bench, name: &str, bytes: &[u8], phrases: &[&str]) {
    let began = Instant::now();
    check_refused(name, bench.register(name, bytes, |_| ()).await, ErrorKind::InvalidRequest, phrases);
    assert!(began.elapsed() < QUICK, "{name}: it took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_proposal_that_is_off_is_refused_by_its_name() {
    let bench = Bench::with_hostile(limits()).await;
    for (at, (proposal, text)) in PROPOSALS.iter().enumerate() {
        let refused = async |text: &str, world: &str, needs: &str| {
            let needs = format!("needs the WebAssembly proposal {needs}");
            refuse(&bench, &format!("{proposal}-{world}-{at}"), &parse(text), &[&needs, "does not offer"]).await;
        };
        let of_async = BUILT_ON_ASYNC.contains(proposal);
        refused(text, "plain", if of_async { "component-model-async" } else { proposal }).await;
        if *proposal != "component-model-async" {
            refused(&text.replacen("(component", &format!("(component {ASYNC}"), 1), "async", proposal).await;
        }
    }
    assert_eq!(bench.count("good").await, 1, "the neighbour still answers");
}

/// So that a new release of the validator, with a proposal that this file does not know, fails here.
#[test]
fn every_proposal_that_is_off_has_a_component() {
    for (flag, _) in wasmparser::WasmFeatures::all().iter_names() {
        let name = flag.to_lowercase().replace('_', "-").replace("cm-", "component-model-");
        let name = match &*name {
            "cm64" => "component-model-64",
            "gc-types" | "custom-descriptors" => "gc",
            name => name,
        };
        let off = PROPOSALS.iter().any(|(proposal, _)| *proposal == name);
        assert!(off != ON.contains(&name), "{flag} is neither on nor off, or both");
    }
}

/// Names of a component that are kept from logs and terminals: `check_refused` looks for control characters.
#[tokio::test]
async fn a_refusal_shows_little_of_a_name_and_no_control_characters() {
    let bench = Bench::with_hostile(limits()).await;
    let long = "a".repeat(90_000);
    let (escape, lines) = ("\\1b[2J", "\\0aforged");
    for (name, text) in [
        ("import", format!("(component (import \"url=<https://{escape}{lines}{long}>\" (component)))")),
        ("invalid-import", format!("(component (import \"{escape}{lines}{long}\" (func)))")),
        ("invalid-export", format!("(component (instance $i) (export \"{escape}{lines}{long}\" (instance $i)))")),
        ("export", format!("(component (instance $i) (export \"{long}\" (instance $i)))")),
        ("core", format!("(component (core module (func (export \"{escape}\")) (func (export \"{escape}\"))))")),
    ] {
        let refused = bench.register(name, &parse(&text), |_| ()).await;
        let length = refused.as_ref().map_err(|error| error.message().len()).map(drop);
        check_refused(name, refused, ErrorKind::InvalidRequest, &["component"]);
        assert!(length.unwrap_err() < 5_000, "{name}: {length:?}");
    }
}

#[tokio::test]
async fn a_bomb_is_refused_before_it_is_compiled() {
    let bench = Bench::with_hostile(Limits { load_deadline: Duration::from_secs(60), ..limits() }).await;
    let mut nested = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for level in 1..5 {
        let instances = format!("(instance (instantiate $c{}))", level - 1).repeat(900);
        nested = format!("(component $c{level} {nested} {instances})");
    }
    let locals = format!("(component (core module (func {})))", "(local i32)".repeat(20_000));
    for (name, text, phrase) in [
        ("nested", nested.as_str(), "instantiations, multiplied along its nesting, and this host takes 1000"),
        ("locals", &locals, "local variables in one function, and this host takes 10000"),
        ("memory", "(component (core module $m (memory 1025)) (core instance (instantiate $m)))", "instance_memory"),
        (
            "table",
            "(component (core module $m (table 10000000 funcref)) (core instance (instantiate $m)))",
            "instance_table_elements",
        ),
        ("memories", "(component (core module $m (memory 1) (memory 1)) (core instance (instantiate $m)))", "takes 1 "),
        ("old-wasi", "(component (import \"wasi:cli/exit@0.2.0-rc-2023-11-10\" (instance)))", "release candidate"),
        ("new-wasi", "(component (import \"wasi:cli/exit@0.3.0\" (instance)))", "newer than WASI 0.2"),
    ] {
        refuse(&bench, name, &parse(text), &[phrase]).await;
    }
    let again = bench.register("again", &component("hostile_plugin"), |_| ()).await;
    again.expect("another plugin can be registered");
    assert_eq!(bench.count("good").await, 1, "the neighbour still answers");
}
