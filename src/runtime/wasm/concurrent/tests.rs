//! One instance and several mounts, which no pool shares between them here; and work in the background.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use crate::ident::RequestPath;
use crate::limits::Limits;
use crate::plugin::{Launchable, Source};
use crate::request::{Body, Operation, Request};
use crate::runtime::wasm::WasmRuntime;
use crate::runtime::{Call, Failure, Instance, Launch, MountScope, Program, double};
use crate::storage::{MemoryStorage, Storage, StorageView, ViewLimits};

#[path = "../../../../tests/support/guests.rs"]
mod guests;

/// No call takes this long, whatever a plugin does.
const PATIENCE: Duration = Duration::from_secs(60);

/// One storage, and two mounts in it.
struct Stage {
    storage: Arc<dyn Storage>,
    program: Arc<dyn Program>,
    // The engine has to outlive what it made.
    _runtime: WasmRuntime,
}

impl Stage {
    async fn build() -> Self {
        let limits = Limits { instances_max: 2, cancel_grace: Duration::from_millis(200), ..Limits::default() };
        let runtime = WasmRuntime::new(Arc::new(limits), None).expect("the engine can be made");
        let folder = guests::build("tests/guests").expect("the plugins build");
        let component = fs::read(folder.join("async-hostile.wasm")).expect("the plugin was built");
        let launch = Launch {
            label: "hostile".into(),
            name: "hostile".parse().expect("the name is well formed"),
            kind: None,
            version: None,
            launchable: Launchable::new(Source::Builtin),
            meter: Arc::default(),
        };
        let digest = crate::ident::Digest::of(&component);
        let program = runtime.load(component, digest, launch).await.expect("it is a plugin");
        Self { storage: Arc::new(MemoryStorage::new()), program, _runtime: runtime }
    }

    /// Returns a call for a mount.
    fn call(&self, mount: &str) -> Call {
        let view =
            StorageView::new(Arc::clone(&self.storage), format!("{mount}/"), ViewLimits::from(&Limits::default()));
        let scope = MountScope { id: mount.into(), storage: view, ..double::scope() };
        Call::lifecycle(&Arc::new(scope), PATIENCE)
    }

    /// Returns an instance that is set up for these mounts.
    async fn instance(&self, mounts: &[&str]) -> Arc<dyn Instance> {
        let instance = self.program.instantiate(&self.program.grants()).await.expect("an instance can be made");
        for mount in mounts {
            instance.setup(self.call(mount)).await.expect("it can be set up");
        }
        instance
    }

    async fn ask(&self, instance: &dyn Instance, mount: &str, path: &str) -> Result<String, Failure> {
        let path: RequestPath = path.parse().expect("the path is well formed");
        let request = Request::new(Operation::Update, path).with_data(format!(r#"{{"of":"{mount}"}}"#));
        let response = instance.handle(self.call(mount), request).await?;
        match response.body {
            Body::Data(data) => Ok(String::from_utf8_lossy(&data).into_owned()),
            _ => Ok(String::new()),
        }
    }

    async fn stored(&self, key: &str) -> bool {
        self.storage.get(key).await.expect("the storage answers").is_some()
    }
}

#[tokio::test]
async fn interleaved_calls_of_two_mounts_see_their_own_storage() {
    let stage = Stage::build().await;
    let instance = stage.instance(&["one", "two"]).await;
    // Each waits within its call until the other mount's call has rung, and only then reads.
    let turns = async |mount: &str, own: &str, others: &str| {
        stage.ask(&*instance, mount, "put/a").await.expect("it can be stored");
        let (wait, ring) = (format!("wait/{own}"), format!("ring/{others}"));
        let waiting = stage.ask(&*instance, mount, &wait);
        let ringing = stage.ask(&*instance, mount, &ring);
        let (waited, rung) = tokio::join!(waiting, ringing);
        waited.and(rung).expect("the other mount's call went on meanwhile");
        stage.ask(&*instance, mount, "get/a").await.expect("it can be read")
    };
    let (one, two) = tokio::join!(turns("one", "a", "b"), turns("two", "b", "a"));
    assert_eq!([one.as_str(), two.as_str()], [r#"{"of":"one"}"#, r#"{"of":"two"}"#]);
    assert!(stage.stored("one/a").await && stage.stored("two/a").await);
    assert!(!stage.stored("a").await);
}

#[tokio::test]
async fn work_in_the_background_goes_on_beside_requests_until_cleanup() {
    let stage = Stage::build().await;
    let instance = stage.instance(&["one", "two"]).await;
    assert_eq!(stage.program.concurrency().get(), Limits::default().instance_calls_max);
    for mount in ["one", "two"] {
        // It has no deadline, whatever its call says.
        instance.work_in_background(Call { deadline: tokio::time::Instant::now(), ..stage.call(mount) });
        stage.ask(&*instance, mount, "count").await.expect("requests are answered beside it");
        assert!(stage.stored(&format!("{mount}/background")).await, "it works, and may write");
    }
    // Its end is waited for: it obeys at once, where one that does not would retire the instance.
    tokio::time::timeout(PATIENCE, instance.cleanup(stage.call("one"))).await.expect("it ends").expect("it is told");
    assert!(instance.is_alive());
    assert_eq!(stage.ask(&*instance, "two", "count").await.expect("the other mount goes on"), r#"{"count":3}"#);
}

#[tokio::test]
async fn an_instance_that_is_let_go_leaves_nothing_behind() {
    let stage = Stage::build().await;
    // Many more than may live at a time, one after the other, each with work that nobody ends.
    for _ in 0..40 {
        let instance = stage.instance(&["one"]).await;
        instance.work_in_background(stage.call("one"));
        stage.ask(&*instance, "one", "count").await.expect("it answers");
        drop(instance);
        assert_eq!(Arc::strong_count(&stage.storage), 1, "no mount's storage is held any more");
    }
}
