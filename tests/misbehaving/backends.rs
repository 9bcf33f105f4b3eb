//! Plugins that lie about what they are, confuse their mounts, or go on when their mount has ended.

use cofferdam::ErrorKind::{InvalidRequest, PluginFault};
use cofferdam::Limits;
use cofferdam::ident::PluginKind;
use cofferdam::request::Operation;

use crate::journal::Journal;
use crate::stage::{Plugin, Stage, check_refused, limits, within};

#[tokio::test]
async fn another_version_or_type_than_registered_is_refused() {
    let stage = Stage::set().await;
    let rows = [
        (
            "version",
            "other-version",
            Some("1.2.3"),
            None,
            "plugin version mismatch: bad reported version (v9.9.9) did not match requested version (v1.2.3)",
        ),
        (
            "type",
            "other-type",
            None,
            Some(PluginKind::Secret),
            "plugin type mismatch: bad was registered as type secret, and says that it is of type auth",
        ),
    ];
    for (name, how, version, kind, phrase) in rows {
        let Some(plugin) = Plugin::go("hostile", &[how]) else { continue };
        let outcome = stage.register("bad", &Plugin { version, kind, ..plugin }).await;
        check_refused(name, outcome, InvalidRequest, &[phrase]);
    }
    stage.no_other_is_left().await;
    stage.end().await;
}

/// The plugin serves two mounts out of one memory, which is its own affair. The host's part: what it stores lands in
/// the mount whose connection it is stored over, and no other plugin's storage can be reached at all.
#[tokio::test]
async fn a_plugin_that_mixes_up_its_mounts_reaches_no_others() {
    let Some(plugin) = Plugin::go("hostile", &["mixes-ids"]) else { return };
    let stage = Stage::set().await;
    stage.register("mixes", &plugin).await.expect("it can be registered");
    let mut ids = Vec::new();
    for path in ["a", "b"] {
        ids.push(stage.enable(path, "mixes").await.expect("it can be mounted").uuid.to_string());
    }
    let neighbour = stage.host.mount(&"good".parse().expect("it is a path")).expect("it is mounted").uuid.to_string();
    let write = |path: &'static str| stage.tell(path, Operation::Update, r#"{"whose": "a"}"#, None);
    write("a/kv/x").await.expect("it can be written to");
    assert_eq!(stage.ask("b/kv/x").await.expect("it answers")["whose"], "a", "it serves both out of one memory");
    assert!(stage.ask("good/kv/x").await.expect("it answers").is_null(), "the neighbour has no such value");
    // The mount whose backend answers goes: its storage is wiped, and nothing can be stored there any more.
    stage.disable("b").await.expect("it can be disabled");
    let after = stage.tell("a/kv/y", Operation::Update, "{}", None).await;
    stage.neighbour_answers().await;
    let keys = stage.end().await;
    assert!(!keys.iter().any(|key| key.contains(&ids[1]) && key.starts_with("logical/")), "{after:?}: {keys:?}");
    let strange = |key: &&String| key.ends_with("/x") || key.ends_with("/y");
    assert!(!keys.iter().filter(strange).any(|key| key.contains(&neighbour)), "{keys:?}");
}

/// It goes on writing while it is told to clean up, and for as long as it may afterwards.
#[tokio::test]
async fn nothing_is_stored_once_a_mount_has_ended() {
    let Some(plugin) = Plugin::go("hostile", &["writes-on"]) else { return };
    let journal = Journal::begin();
    let limits = Limits { lifecycle_deadline: std::time::Duration::from_secs(3), ..limits() };
    let stage = Stage::set_with(limits, |_| ()).await;
    stage.mount("endless", &plugin).await;
    // It shares the process, which therefore lives on.
    let id = stage.host.mount(&"endless".parse().expect("it is a path")).expect("it is mounted").uuid.to_string();
    stage.enable("other", "endless").await.expect("it can be mounted twice");
    stage.disable("endless").await.expect("it can be disabled");
    within(journal.says("a write was refused", 1)).await;
    // Vault's SDK holds a lock while a mount is cleaned up, so that the whole process hangs. It is found out, and
    // replaced.
    let beside = stage.ask("other/kv/a").await;
    check_refused("beside", beside, PluginFault, &["at other/ crashed: its process was killed by signal 9 (SIGKILL)"]);
    assert!(stage.ask("other/kv/a").await.expect("the other mount answers").is_null());
    stage.neighbour_answers().await;
    let keys = stage.end().await;
    assert!(!keys.iter().any(|key| key.contains(&id)), "{keys:?}");
}
