//! The words that cases are written in.

use cofferdam::request::Operation;
use cofferdam::{ErrorKind, MountConfig, Tune};
use serde_json::Value;

/// One part of the contract.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The plugin's name in the catalog; it is mounted at `m/` when the case begins, an auth method at `auth/m/`.
    pub(crate) plugin: &'static str,
    pub(crate) options: &'static [(&'static str, &'static str)],
    pub(crate) config: MountConfig,
    pub(crate) steps: Vec<Step>,
    /// What not every runtime has.
    pub(crate) needs: Option<Need>,
}

/// What not every runtime, or not every SDK, has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A fresh instance for each request.
    PerRequest,
    /// Transactions in the plugin's storage.
    Transactions,
    /// A bound on what one listing gives.
    HostPages,
    /// What our SDK promises of JSON, and Vault's does not: it reads numbers as floats, and goes as deep as it likes.
    OurSdk,
    /// The key-value engine of the examples.
    Kv,
}

/// One step of a case.
pub(crate) enum Step {
    Change(Change),
    /// A change that is not made, for a reason in these words.
    Refused(Change, ErrorKind, &'static str),
    /// Ends the host, and starts another on what it stored.
    Restart,
    /// Tells the plugin at a mount that somebody else changed a stored value.
    Invalidate(&'static str, &'static str),
    /// Makes a request, whose answer is exactly this.
    Ask(Ask, Expected),
}

/// A change of the mount table.
pub(crate) enum Change {
    /// Mounts the case's plugin once more.
    Enable(&'static str),
    Move(&'static str, &'static str),
    Disable(&'static str),
    Tune(&'static str, Box<Tune>),
}

impl Change {
    pub(crate) fn tune(mount: &'static str, tune: Tune) -> Self {
        Self::Tune(mount, tune.into())
    }

    pub(crate) fn works(self) -> Step {
        Step::Change(self)
    }

    pub(crate) fn fails(self, kind: ErrorKind, phrase: &'static str) -> Step {
        Step::Refused(self, kind, phrase)
    }
}

/// A request.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) operation: Operation,
    pub(crate) path: String,
    pub(crate) data: Option<Value>,
    pub(crate) lease: Option<Value>,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) asker: Asker,
}

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) enum Asker {
    Ada,
    Nobody,
}

/// What must come of a request.
pub(crate) enum Expected {
    Answer(Box<Answer>),
    Failure(ErrorKind, &'static str),
}

/// TTL, maximum, whether it can be renewed, and what is internal.
pub(crate) type Lease = (u64, u64, bool, Value);

/// A whole answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) body: Body,
    pub(crate) lease: Option<Lease>,
    pub(crate) login: Option<Login>,
    pub(crate) warnings: Vec<String>,
    pub(crate) headers: Vec<(String, String)>,
}

/// Who was let in.
#[derive(Debug, PartialEq)]
pub(crate) struct Login {
    pub(crate) policies: Vec<String>,
    pub(crate) display_name: String,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) alias: Option<String>,
    pub(crate) lease: Lease,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) enum Body {
    #[default]
    Nothing,
    Data(Value),
    Raw(u16, String, Vec<u8>),
    Redirect(String),
}

/// Returns a case with a mount that has all defaults.
pub(crate) fn case(name: &'static str, plugin: &'static str, steps: impl Into<Vec<Step>>) -> Case {
    Case { name, plugin, options: &[], config: MountConfig::default(), steps: steps.into(), needs: None }
}

impl Case {
    pub(crate) fn needs(self, need: Need) -> Self {
        Self { needs: Some(need), ..self }
    }
}

// -----------------------------------------------------------------------------------------------------------------
// requests

pub(crate) fn read(path: impl Into<String>) -> Ask {
    ask(Operation::Read, path)
}

pub(crate) fn write(path: impl Into<String>, data: Value) -> Ask {
    Ask { data: Some(data), ..ask(Operation::Update, path) }
}

pub(crate) fn delete(path: impl Into<String>) -> Ask {
    ask(Operation::Delete, path)
}

pub(crate) fn list(path: impl Into<String>) -> Ask {
    ask(Operation::List, path)
}

pub(crate) fn ask(operation: Operation, path: impl Into<String>) -> Ask {
    Ask { operation, path: path.into(), data: None, lease: None, headers: &[], asker: Asker::Ada }
}

impl Ask {
    pub(crate) fn with(self, data: Value) -> Self {
        Self { data: Some(data), ..self }
    }

    pub(crate) fn with_lease(self, internal: Value) -> Self {
        Self { lease: Some(internal), ..self }
    }

    pub(crate) fn with_headers(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }

    pub(crate) fn by_nobody(self) -> Self {
        Self { asker: Asker::Nobody, ..self }
    }

    pub(crate) fn gives(self, data: Value) -> Step {
        self.answers(Answer { body: Body::Data(data), ..Answer::default() })
    }

    pub(crate) fn gives_nothing(self) -> Step {
        self.answers(Answer::default())
    }

    pub(crate) fn answers(self, answer: Answer) -> Step {
        Step::Ask(self, Expected::Answer(answer.into()))
    }

    pub(crate) fn fails(self, kind: ErrorKind, phrase: &'static str) -> Step {
        Step::Ask(self, Expected::Failure(kind, phrase))
    }
}
