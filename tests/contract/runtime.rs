//! How the same plugins are built for each runtime.

use std::fs;
use std::path::PathBuf;

use crate::guests;

/// A runtime that plugins can be built for.
pub(crate) trait Runtime {
    /// What it is called in a failure.
    fn name(&self) -> &'static str;

    /// Returns a plugin's file.
    fn artifact(&self, plugin: Plugin) -> Vec<u8>;
}

/// A plugin whose source builds for every runtime.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plugin {
    Counter,
    Hello,
    Passthrough,
    Probe,
}

/// Returns every runtime that this host was built with.
pub(crate) fn all() -> Vec<Box<dyn Runtime>> {
    vec![Box::new(Wasm::build())]
}

/// The sandbox.
struct Wasm {
    examples: PathBuf,
    guests: PathBuf,
}

impl Wasm {
    fn build() -> Self {
        let build = |workspace| guests::build(workspace).expect("the plugins build");
        Self { examples: build("guest-examples"), guests: build("tests/guests") }
    }
}

impl Runtime for Wasm {
    fn name(&self) -> &'static str {
        "wasm"
    }

    fn artifact(&self, plugin: Plugin) -> Vec<u8> {
        let path = match plugin {
            Plugin::Counter => self.examples.join("counter_plugin.wasm"),
            Plugin::Hello => self.examples.join("hello_plugin.wasm"),
            Plugin::Passthrough => self.examples.join("passthrough_plugin.wasm"),
            Plugin::Probe => self.guests.join("probe_plugin.wasm"),
        };
        fs::read(path).expect("the plugin was built")
    }
}
