# The lines that CI runs (.ci/run), and a few more. `just` is a convenience: each line works without it.

# What CI checks.
default: format test orders guests-test quickstart-once lint go doc

# The README's first command: a server with plugins, and how to talk to it.
quickstart:
    cargo run --example quickstart

# The same, ending after the tour.
quickstart-once:
    cargo run --quiet --example quickstart -- --once

# The README's second command. cargo-component is needed by one test, which says that it is left out where that is not installed:
# `cargo install --locked cargo-component@0.21.1 && rustup target add wasm32-wasip1`.
test:
    cargo test --workspace

# Every order in which threads can meet, where the host relies on more than a mutex.
orders:
    cargo test --manifest-path tests/loom/Cargo.toml --locked

format:
    cargo fmt --check
    cd tests/loom && cargo fmt --check
    cd guest-examples && cargo fmt -p hello-plugin -p passthrough-plugin -p counter-plugin -p kv-plugin -p userpass-plugin --check
    cd tests/guests && cargo fmt -p hostile-plugin -p login-plugin -p misfits -p probe-plugin -p shelf-plugins -p waiting-plugins --check

lint:
    cargo clippy --workspace --all-targets -- -D warnings
    for features in '' wasm process builtin http wasm,process,builtin; do cargo clippy --package cofferdam --lib --no-default-features --features "$features" -- -D warnings || exit 1; done

# The Go plugins, formatted and vetted. Without Go it says so.
go:
    .ci/go

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# The table of docs/measurements.md, measured here and now.
bench:
    cargo bench --package cofferdam

# The same, written into the document with its charts.
bench-document:
    COFFERDAM_BENCH_DOCUMENT=1 cargo bench --package cofferdam

# The example plugins, as components in guest-examples/target/wasm32-wasip2/release.
guests:
    cd guest-examples && cargo build --release --target wasm32-wasip2

# One example with cargo-component, which then must be there, and one with plain cargo: built, registered, mounted and called.
toolchains:
    COFFERDAM_REQUIRE=cargo-component cargo test --package cofferdam --test toolchains

# The example plugins' own tests, natively.
guests-test:
    cargo test --manifest-path guest-examples/Cargo.toml --locked
