//! The contract between a host and its plugins: one table of cases, the same on every runtime.
//!
//! A case is a script: what is asked of a mount, and the whole answer. `cases` is the table, `script` its words, `stage` plays a
//! script on a host, `runtime` knows how each runtime's plugins are built.

mod cases;
#[path = "../support/guests.rs"]
mod guests;
mod runtime;
mod script;
mod stage;

#[tokio::test]
async fn every_case_holds_on_every_runtime() {
    for runtime in runtime::all() {
        let mut stage = stage::Stage::build(&*runtime).await;
        for case in cases::all() {
            println!("{}: {}", runtime.name(), case.name);
            stage.play(case).await;
        }
    }
}
