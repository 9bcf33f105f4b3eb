//! The contract between a host and its plugins: one table of cases, the same on every runtime.
//!
//! A case is a script: what is asked of a mount, and the whole answer. `cases` is the table, `script` its words,
//! `stage` plays a script on a host, `runtime` knows how each runtime's plugins are built.

mod cases;
mod double;
mod fields;
#[path = "../support/go.rs"]
mod go;
#[path = "../support/guests.rs"]
mod guests;
mod runtime;
mod script;
mod stage;

#[tokio::test]
async fn every_case_holds_in_the_sandbox() {
    play(&runtime::Wasm::build()).await;
}

#[tokio::test]
async fn every_case_holds_in_the_sandbox_for_plugins_that_serve_many_requests_at_once() {
    play(&runtime::WasmAsync::build()).await;
}

#[tokio::test]
async fn every_case_holds_for_plugins_that_the_host_has_built_in() {
    play(&runtime::Builtin).await;
}

#[test]
fn every_case_that_needs_no_host_holds_on_a_test_mount() {
    double::play_all();
}

#[tokio::test]
async fn every_case_holds_for_plugins_of_our_sdk_as_processes() {
    play(&runtime::Native::build()).await;
}

#[tokio::test]
async fn every_case_holds_for_plugins_of_vaults_sdk() {
    for flavor in runtime::Flavor::ALL {
        match runtime::Go::build(flavor) {
            Some(runtime) => play(&runtime).await,
            None => println!("left out, for want of Go: {flavor:?}"),
        }
    }
}

async fn play(runtime: &dyn runtime::Runtime) {
    let mut stage = stage::Stage::build(runtime).await;
    for case in cases::all() {
        match case.needs.and_then(|need| runtime.lacks(need)) {
            Some(why) => println!("{}: left out: {}: {why}", runtime.name(), case.name),
            None => {
                println!("{}: {}", runtime.name(), case.name);
                stage.play(case).await;
            }
        }
    }
    stage.end().await;
}
