//! Built-in plugins that misbehave: what a host does about code that it can neither stop nor throw away. And one that
//! gives way to a registered plugin, and comes back.

#[path = "support/guests.rs"]
mod guests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use cofferdam::ident::{Digest, PluginKind, PluginName};
use cofferdam::request::{Body, Caller, Identity, Operation, Request};
use cofferdam::{Error, ErrorKind, Host, Limits, MountRequest, PluginDirectory, PluginKey, Registration};
use cofferdam_sdk::embed::Embedded;
use cofferdam_sdk::{Context, Description, Plugin, Response, Storage, StorageError};
use serde_json::{Value, json};

/// No step takes this long; only a hang does.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is meant to run out of time.
const SHORT: Duration = Duration::from_millis(200);

/// What a test holds of the plugin that it has built in. There is one plugin for each test, by its number.
struct Stage {
    /// A call has begun to wait.
    waiting: Mutex<Receiver<()>>,
    /// Lets one waiting call go on.
    go_on: Mutex<Sender<()>>,
    /// What the storage said to a call that went on.
    told: Mutex<Receiver<[Result<(), StorageError>; 4]>>,
}

/// The plugin's ends.
struct Ends {
    waiting: Mutex<Sender<()>>,
    go_on: Mutex<Receiver<()>>,
    told: Mutex<Sender<[Result<(), StorageError>; 4]>>,
    setups: AtomicU64,
}

/// The plugins of four tests.
static ENDS: [OnceLock<Ends>; 4] = [const { OnceLock::new() }; 4];

/// `panic` panics, `wait` waits for the test and stores afterwards, `setups` tells how often the plugin was set up, and
/// `stored` what was stored.
struct Misbehaving<const TEST: usize>;

impl<const TEST: usize> Misbehaving<TEST> {
    fn ends() -> &'static Ends {
        ENDS[TEST].get().expect("the test has set its stage")
    }
}

impl<const TEST: usize> Plugin for Misbehaving<TEST> {
    fn describe() -> Description {
        Description::secret("Misbehaves.")
    }

    fn setup(_: &Context) -> Result<Self, cofferdam_sdk::Error> {
        Self::ends().setups.fetch_add(1, Ordering::SeqCst);
        Ok(Self)
    }

    fn handle(&self, ctx: &Context, request: cofferdam_sdk::Request) -> Result<Response, cofferdam_sdk::Error> {
        let ends = Self::ends();
        match request.path.as_str() {
            "panic" => panic!("hunter2"),
            "wait" => {
                let before = ctx.begin()?;
                before.put("within", b"1")?;
                send(&ends.waiting, ());
                receive(&ends.go_on);
                let within = before.commit();
                let outside = [ctx.put("late", b"1"), ctx.get("late").map(drop), ctx.begin().map(drop)];
                let [put, get, begun] = outside;
                send(&ends.told, [within, put, get, begun]);
                Response::json(&json!({}))
            }
            "setups" => Response::json(&json!({ "setups": ends.setups.load(Ordering::SeqCst) })),
            "stored" => Response::json(&json!({ "keys": ctx.list("")? })),
            _ => Err(cofferdam_sdk::Error::UnsupportedPath),
        }
    }
}

fn send<T>(end: &Mutex<Sender<T>>, message: T) {
    end.lock().unwrap_or_else(PoisonError::into_inner).send(message).expect("somebody listens");
}

fn receive<T>(end: &Mutex<Receiver<T>>) -> T {
    let end = end.lock().unwrap_or_else(PoisonError::into_inner);
    end.recv_timeout(PATIENCE).expect("it comes in time")
}

/// Receives without keeping the runtime's thread from its other work.
async fn received<T: Send + 'static>(stage: &Arc<Stage>, end: fn(&Stage) -> &Mutex<Receiver<T>>) -> T {
    let stage = Arc::clone(stage);
    tokio::task::spawn_blocking(move || receive(end(&stage))).await.unwrap()
}

async fn stage<const TEST: usize>(limits: Limits) -> (Host, Arc<Stage>) {
    let ((waiting, is_waiting), (go_on, goes_on), (told, is_told)) = (channel(), channel(), channel());
    let ends = Ends {
        waiting: Mutex::new(waiting),
        go_on: Mutex::new(goes_on),
        told: Mutex::new(told),
        setups: AtomicU64::new(0),
    };
    assert!(ENDS[TEST].set(ends).is_ok(), "one plugin for each test");
    let plugin = Embedded::of::<Misbehaving<TEST>>();
    let limits = Limits { instances_max: 4, cancel_grace: SHORT, ..limits };
    let host = Host::builder().limits(limits).builtin("bad".parse().unwrap(), plugin).build().await.unwrap();
    host.enable(MountRequest::new("m".parse().unwrap(), "bad".parse().unwrap())).await.unwrap();
    let stage = Stage { waiting: Mutex::new(is_waiting), go_on: Mutex::new(go_on), told: Mutex::new(is_told) };
    (host, Arc::new(stage))
}

fn read(path: &str) -> Request {
    let path = format!("m/{path}").parse().unwrap();
    Request::new(Operation::Read, path).by(Caller::Known(Arc::new(Identity::named("ada"))))
}

async fn ask(host: &Host, path: &str) -> Result<Value, Error> {
    match host.handle(read(path)).await?.body {
        Body::Data(json) => Ok(serde_json::from_slice(&json).unwrap()),
        other => panic!("{other:?}"),
    }
}

/// Asserts that the call that waits is let go on, that the storage refuses all that it asks, and that nothing was
/// stored.
async fn cut_off(host: &Host, stage: &Arc<Stage>) {
    send(&stage.go_on, ());
    for answer in received(stage, |stage| &stage.told).await {
        let Err(StorageError::Unavailable(why)) = &answer else { panic!("{answer:?}") };
        assert!(why.contains("the call is over"), "{why}");
    }
    assert_eq!(ask(host, "stored").await.unwrap(), json!({"keys": []}));
}

/// Waits until the plugin has been set up so many times.
async fn is_set_up(host: &Host, times: u64) {
    let until = Instant::now() + PATIENCE;
    while ask(host, "setups").await.unwrap() != json!({ "setups": times }) {
        assert!(Instant::now() < until, "it was never set up {times} times");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_panic_ends_the_instance_and_nothing_else() {
    let (host, _stage) = stage::<0>(Limits::default()).await;
    // One started the mount and was let go, one answers.
    assert_eq!(ask(&host, "setups").await.unwrap(), json!({"setups": 2}));
    assert_eq!(ask(&host, "setups").await.unwrap(), json!({"setups": 2}));
    let crashed = ask(&host, "panic").await.unwrap_err();
    assert_eq!(crashed.kind(), ErrorKind::PluginFault);
    assert!(crashed.message().contains("it panicked") && !crashed.message().contains("hunter2"), "{crashed}");
    assert_eq!(ask(&host, "setups").await.unwrap(), json!({"setups": 3}));
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_cut_off_from_its_storage() {
    let (host, stage) = stage::<1>(Limits::default()).await;
    let slow = Request { deadline: Some(10 * SHORT), ..read("wait") };
    let given_up = host.handle(slow).await.unwrap_err();
    assert_eq!(given_up.kind(), ErrorKind::DeadlineExceeded, "{given_up}");
    received(&stage, |stage| &stage.waiting).await;
    // It does not return, so requests get another instance before long.
    is_set_up(&host, 3).await;
    cut_off(&host, &stage).await;
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_cut_off_from_its_storage() {
    let (host, stage) = stage::<2>(Limits::default()).await;
    tokio::select! {
        answer = host.handle(read("wait")) => panic!("{answer:?}"),
        () = received(&stage, |stage| &stage.waiting) => {}
    }
    cut_off(&host, &stage).await;
}

#[tokio::test]
async fn a_call_that_hangs_keeps_its_place() {
    let (host, stage) = stage::<3>(Limits { builtin_calls_max: 1, ..Limits::default() }).await;
    tokio::select! {
        answer = host.handle(read("wait")) => panic!("{answer:?}"),
        () = received(&stage, |stage| &stage.waiting) => {}
    }
    let next = Request { deadline: Some(SHORT), ..read("setups") };
    let busy = host.handle(next).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    assert!(busy.message().contains("all 1 calls that built-in plugins may be in are under way"), "{busy}");
    cut_off(&host, &stage).await;
}

#[tokio::test]
async fn a_reload_follows_the_catalog_to_an_unversioned_plugin_and_back() {
    let built = guests::build("guest-examples").expect("the plugins build").join("passthrough_plugin.wasm");
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(&built, directory.path().join("file")).unwrap();
    let digest = Digest::of(&std::fs::read(built).unwrap());
    let limits = Limits { instances_max: 4, ..Limits::default() };
    let builder = Host::builder().limits(limits).plugin_directory(PluginDirectory::open(directory.path()).unwrap());
    let host = builder.shipped_plugins().build().await.unwrap();
    let kv: PluginName = "kv".parse().unwrap();
    let mut request = MountRequest::new("m".parse().unwrap(), kv.clone());
    request.settings.options = [("version".to_owned(), "2".to_owned())].into();
    host.enable(request).await.unwrap();
    // The engine with versions always has a configuration; the other plugin has what was written.
    let has_versions = async || matches!(host.handle(read("config")).await.unwrap().body, Body::Data(_));
    let runs_a_file = || host.mount(&"m".parse().unwrap()).unwrap().running_sha256;
    assert_eq!((runs_a_file(), has_versions().await), (None, true));

    host.register_plugin(Registration::new(kv.clone(), "file".parse().unwrap(), digest)).await.unwrap();
    assert_eq!((runs_a_file(), has_versions().await), (None, true));
    let reloaded = host.reload_plugin(Some(PluginKind::Secret), &kv).await.unwrap();
    assert!(reloaded.len() == 1 && reloaded[0].failure.is_none(), "{reloaded:?}");
    assert_eq!((runs_a_file(), has_versions().await), (Some(digest), false));

    host.deregister_plugin(&PluginKey::new(PluginKind::Secret, kv.clone(), None)).await.unwrap();
    assert_eq!((runs_a_file(), has_versions().await), (Some(digest), false));
    host.reload_mounts(&["m".parse().unwrap()]).await.unwrap();
    assert_eq!((runs_a_file(), has_versions().await), (None, true));
    host.shutdown().await;
}
