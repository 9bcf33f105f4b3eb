//! How the same plugins are built for each runtime.

use std::fs;
use std::path::PathBuf;

use cofferdam_sdk::embed::Embedded;

use crate::script::Need;
use crate::{go, guests};

/// A runtime that plugins can be built for.
pub(crate) trait Runtime {
    /// What it is called in a failure.
    fn name(&self) -> String;

    /// Returns a plugin.
    fn artifact(&self, plugin: Plugin) -> Artifact;

    /// Says why it does not have something, if so.
    fn lacks(&self, need: Need) -> Option<&'static str>;
}

/// A plugin that there is for every runtime.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plugin {
    Counter,
    Hello,
    Kv,
    Login,
    Passthrough,
    Probe,
}

/// What there is of a plugin.
pub(crate) enum Artifact {
    /// A file to register.
    File(Vec<u8>),
    /// Code in this program.
    Builtin(Embedded),
}

const ONE_PROCESS: &str = "a process serves many requests";
const WHOLE_LISTINGS: &str = "go-plugin's listings are whole";
const NO_KV: &str = "the example is not built so";

/// The sandbox.
pub(crate) struct Wasm {
    examples: PathBuf,
    guests: PathBuf,
}

impl Wasm {
    pub(crate) fn build() -> Self {
        let build = |workspace| guests::build(workspace).expect("the plugins build");
        Self { examples: build("guest-examples"), guests: build("tests/guests") }
    }
}

impl Runtime for Wasm {
    fn name(&self) -> String {
        "wasm".to_owned()
    }

    fn artifact(&self, plugin: Plugin) -> Artifact {
        let path = match plugin {
            Plugin::Counter => self.examples.join("counter_plugin.wasm"),
            Plugin::Hello => self.examples.join("hello_plugin.wasm"),
            Plugin::Kv => self.examples.join("kv_plugin.wasm"),
            Plugin::Login => self.guests.join("login_plugin.wasm"),
            Plugin::Passthrough => self.examples.join("passthrough_plugin.wasm"),
            Plugin::Probe => self.guests.join("probe_plugin.wasm"),
        };
        Artifact::File(fs::read(path).expect("the plugin was built"))
    }

    fn lacks(&self, _: Need) -> Option<&'static str> {
        None
    }
}

/// The sandbox, with plugins whose instances serve many requests at once.
pub(crate) struct WasmAsync(PathBuf);

impl WasmAsync {
    pub(crate) fn build() -> Self {
        Self(guests::build("tests/guests").expect("the plugins build"))
    }
}

impl Runtime for WasmAsync {
    fn name(&self) -> String {
        "wasm, async".to_owned()
    }

    fn artifact(&self, plugin: Plugin) -> Artifact {
        let file = match plugin {
            Plugin::Counter => "async-counter.wasm",
            Plugin::Hello => "async-hello.wasm",
            Plugin::Kv => panic!("{NO_KV}"),
            Plugin::Login => "async-login.wasm",
            Plugin::Passthrough => "async-passthrough.wasm",
            Plugin::Probe => "async-probe.wasm",
        };
        Artifact::File(fs::read(self.0.join(file)).expect("the plugin was built"))
    }

    fn lacks(&self, need: Need) -> Option<&'static str> {
        (need == Need::Kv).then_some(NO_KV)
    }
}

/// The same sources, as plugins that the host has built in.
pub(crate) struct Builtin;

impl Runtime for Builtin {
    fn name(&self) -> String {
        "built in".to_owned()
    }

    fn artifact(&self, plugin: Plugin) -> Artifact {
        Artifact::Builtin(match plugin {
            Plugin::Counter => Embedded::of::<counter_plugin::Counter>(),
            Plugin::Hello => Embedded::of::<hello_plugin::Hello>(),
            Plugin::Kv => Embedded::of::<kv_plugin::Kv>(),
            Plugin::Login => Embedded::of::<login_plugin::UserLogins>(),
            Plugin::Passthrough => Embedded::of::<passthrough_plugin::Passthrough>(),
            Plugin::Probe => Embedded::of::<probe_plugin::Probe>(),
        })
    }

    fn lacks(&self, need: Need) -> Option<&'static str> {
        match need {
            Need::PerRequest => Some("what is not registered has the default policy"),
            Need::HostPages | Need::Kv | Need::OurSdk | Need::Transactions => None,
        }
    }
}

/// The same sources, as processes.
pub(crate) struct Native {
    examples: PathBuf,
    guests: PathBuf,
}

impl Native {
    pub(crate) fn build() -> Self {
        let build = |workspace| guests::build_native(workspace).expect("the plugins build");
        Self { examples: build("guest-examples"), guests: build("tests/guests") }
    }
}

impl Runtime for Native {
    fn name(&self) -> String {
        "native".to_owned()
    }

    fn artifact(&self, plugin: Plugin) -> Artifact {
        let path = match plugin {
            Plugin::Counter => self.examples.join("counter-native"),
            Plugin::Hello => self.examples.join("hello-native"),
            Plugin::Kv => self.examples.join("kv-native"),
            Plugin::Passthrough => self.examples.join("passthrough-native"),
            Plugin::Login => self.guests.join("login-native"),
            Plugin::Probe => self.guests.join("probe-native"),
        };
        Artifact::File(fs::read(path).expect("the plugin was built"))
    }

    fn lacks(&self, need: Need) -> Option<&'static str> {
        match need {
            Need::PerRequest => Some(ONE_PROCESS),
            Need::HostPages => Some(WHOLE_LISTINGS),
            Need::Kv | Need::OurSdk | Need::Transactions => None,
        }
    }
}

/// Plugins written in Go.
pub(crate) struct Go(Flavor);

/// With whose SDK, and how they serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavor {
    /// Vault's newest; one process serves all mounts.
    Vault,
    /// Vault's newest; a process for each mount.
    VaultSingle,
    /// Vault's of 2023, 0.10; a process for each mount.
    VaultOld,
    /// Vault's newest, with OpenBao's transactions and pages added message by message.
    VaultWithTransactions,
}

impl Flavor {
    pub(crate) const ALL: [Flavor; 4] =
        [Flavor::Vault, Flavor::VaultSingle, Flavor::VaultOld, Flavor::VaultWithTransactions];
}

impl Go {
    /// Returns `None` where there is no Go.
    pub(crate) fn build(flavor: Flavor) -> Option<Self> {
        match go::build("hello").expect("the plugin builds") {
            go::Built::Yes(_) => Some(Self(flavor)),
            go::Built::NoGo => None,
        }
    }
}

impl Runtime for Go {
    fn name(&self) -> String {
        format!("Go, {:?}", self.0)
    }

    fn artifact(&self, plugin: Plugin) -> Artifact {
        let program = match (plugin, self.0) {
            (Plugin::Counter, _) => "counter",
            (Plugin::Hello, _) => "hello",
            (Plugin::Kv, _) => panic!("{NO_KV}"),
            (Plugin::Passthrough, _) => "passthrough",
            (Plugin::Login, _) => "login",
            (Plugin::Probe, Flavor::Vault) => "probe",
            (Plugin::Probe, Flavor::VaultSingle) => "probe-single",
            (Plugin::Probe, Flavor::VaultOld) => "probe-old",
            (Plugin::Probe, Flavor::VaultWithTransactions) => "probe-tx",
        };
        match go::build(program).expect("the plugin builds") {
            go::Built::Yes(path) => Artifact::File(fs::read(path).expect("the plugin was built")),
            go::Built::NoGo => panic!("Go went away"),
        }
    }

    fn lacks(&self, need: Need) -> Option<&'static str> {
        match need {
            Need::PerRequest => Some(ONE_PROCESS),
            Need::HostPages => Some(WHOLE_LISTINGS),
            Need::Kv => Some(NO_KV),
            Need::OurSdk => Some("Vault's SDK reads numbers as floats, and JSON as deep as it comes"),
            Need::Transactions if self.0 == Flavor::VaultWithTransactions => None,
            Need::Transactions => Some("Vault's SDK has no transactions"),
        }
    }
}
