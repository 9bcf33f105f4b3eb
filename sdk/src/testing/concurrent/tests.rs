//! Requests that overlap, as a plugin's own tests see them.

use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::{AsyncRoute, AsyncRoutes, AsyncStorage, Call, Description, Existence, Field};

type InFlight<'a> = Pin<Box<dyn Future<Output = Result<Response, Error>> + 'a>>;

struct Waiter {
    routes: AsyncRoutes<Self>,
    at_once: AtomicU64,
    most: AtomicU64,
    undone: Arc<Mutex<u64>>,
}

/// Counts how often it was dropped.
struct Undo(Arc<Mutex<u64>>);

impl Drop for Undo {
    fn drop(&mut self) {
        *self.0.lock().unwrap() += 1;
    }
}

impl Waiter {
    async fn wait(&self, ctx: &AsyncContext<'_>, call: &Call<'_>) -> Result<Response, Error> {
        let now = self.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        let _undo = Undo(Arc::clone(&self.undone));
        ctx.sleep(Duration::from_secs(call.field("seconds")?)).await?;
        self.at_once.fetch_sub(1, Ordering::Relaxed);
        Response::json(&json!({ "most": self.most.load(Ordering::Relaxed) }))
    }

    async fn count(&self, ctx: &AsyncContext<'_>, _: &Call<'_>) -> Result<Response, Error> {
        let count = ctx
            .transact(async |transaction| {
                let count = transaction.get_json::<u64>("count").await?.unwrap_or(0) + 1;
                // Whoever reads meanwhile reads the same.
                ctx.sleep(Duration::from_secs(1)).await?;
                transaction.put_json("count", &count).await?;
                Ok(count)
            })
            .await?;
        Response::json(&json!({ "count": count }))
    }

    async fn tell(&self, _: &AsyncContext<'_>, _: &Call<'_>) -> Result<Response, Error> {
        Response::json(&json!({ "undone": *self.undone.lock().unwrap() }))
    }

    async fn who(&self, ctx: &AsyncContext<'_>, _: &Call<'_>) -> Result<Response, Error> {
        let caller = ctx.caller();
        Response::json(&json!({ "name": caller.display_name, "address": caller.remote_address }))
    }

    async fn known(&self, ctx: &AsyncContext<'_>, _: &Call<'_>) -> Result<Existence, Error> {
        Ok(if ctx.get("count").await?.is_some() { Existence::Present } else { Existence::Absent })
    }
}

impl AsyncPlugin for Waiter {
    fn describe() -> Description {
        Description::secret("Waits.").tells_create().unauthenticated_path("open/*")
    }

    async fn setup(ctx: &AsyncContext<'_>) -> Result<Self, Error> {
        assert_eq!(ctx.put("a", b"").await, Err(StorageError::ReadOnly));
        let wait = AsyncRoute::at("wait/{seconds}").field(Field::integer("seconds", "How long."));
        let routes = AsyncRoutes::of([
            wait.synopsis("Waits.").read(Self::wait),
            AsyncRoute::at("count").write(Self::count).exists(Self::known),
            AsyncRoute::at("undone").read(Self::tell),
            AsyncRoute::at("who").read(Self::who),
            AsyncRoute::at("open/who").read(Self::who),
        ]);
        Ok(Self { routes, at_once: AtomicU64::new(0), most: AtomicU64::new(0), undone: Arc::default() })
    }

    async fn handle(&self, ctx: &AsyncContext<'_>, request: Request) -> Result<Response, Error> {
        self.routes.handle(self, ctx, &request).await
    }

    async fn exists(&self, ctx: &AsyncContext<'_>, request: Request) -> Result<Existence, Error> {
        self.routes.exists(self, ctx, &request).await
    }

    async fn background(&self, ctx: &AsyncContext<'_>) -> Result<(), Error> {
        for beat in 0_u64..10 {
            ctx.put_json("beat", &beat).await?;
            ctx.sleep(Duration::from_secs(60)).await?;
        }
        Ok(())
    }
}

fn read(path: &str) -> Request {
    Request::new(Operation::Read, path)
}

fn field(response: &Result<Response, Error>, name: &str) -> Value {
    response.as_ref().unwrap().data::<Value>().unwrap()[name].clone()
}

#[test]
fn requests_overlap_and_time_passes_once_for_all() {
    let mount = AsyncTestMount::<Waiter>::start().unwrap();
    let answers = mount.together((1..=100).map(|n| read(&format!("wait/{n}"))));
    assert!(answers.iter().all(|answer| field(answer, "most") == 100));
    assert_eq!(mount.elapsed(), Duration::from_secs(100));
}

#[test]
fn an_open_path_tells_the_address_and_nothing_else() {
    let mut mount = AsyncTestMount::<Waiter>::start().unwrap();
    mount.world.caller.remote_address = "192.0.2.1:8200".into();
    for (path, name) in [("who", "token"), ("open/who", "")] {
        let answer = mount.read(path);
        assert_eq!(field(&answer, "name"), name, "{path}");
        assert_eq!(field(&answer, "address"), "192.0.2.1:8200", "{path}");
    }
}

#[test]
fn a_transaction_that_lost_runs_again() {
    let mount = AsyncTestMount::<Waiter>::start().unwrap();
    let answers = mount.together((0..5).map(|_| Request::new(Operation::Update, "count")));
    let mut counts: Vec<_> = answers.iter().map(|answer| field(answer, "count").as_u64().unwrap()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2, 3, 4, 5]);
}

#[test]
fn a_request_that_is_given_up_is_dropped_where_it_waits() {
    let mount = AsyncTestMount::<Waiter>::start().unwrap();
    assert!(mount.give_up_after(Duration::from_secs(5), read("wait/10")).is_none());
    assert_eq!(mount.elapsed(), Duration::from_secs(5));
    assert_eq!(field(&mount.read("undone"), "undone"), 1);
    assert!(mount.give_up_after(Duration::from_secs(5), read("wait/1")).is_some_and(|answer| answer.is_ok()));
    mount.restart().unwrap();
    assert_eq!(field(&mount.read("undone"), "undone"), 0, "what was in memory is gone");
}

#[test]
fn work_in_the_background_is_cut_off_or_ends() {
    let mount = AsyncTestMount::<Waiter>::start().unwrap();
    assert_eq!(mount.work_for(Duration::from_secs(150)), None);
    assert_eq!(mount.stored("beat"), Some(b"2".to_vec()));
    assert_eq!(mount.work_for(Duration::from_secs(3_600)), Some(Ok(())));
}

#[test]
fn routes_help_as_for_other_plugins() {
    let mount = AsyncTestMount::<Waiter>::start().unwrap();
    let help = field(&mount.request(Request::new(Operation::Help, "wait/1")), "help");
    assert!(help.as_str().is_some_and(|help| help.contains("How long.") && help.contains("Waits.")), "{help}");
    assert_eq!(mount.read("count"), Err(Error::UnsupportedOperation));
    assert_eq!(mount.read("nothing"), Err(Error::UnsupportedPath));
}

#[test]
fn a_cancelled_call_ends_at_its_next_turn_and_no_other_does() {
    let mount = AsyncTestMount::<Waiter>::start().unwrap();
    let answers = mount.run(async {
        let view = mount.view(Access::ReadWrite, Caller::default());
        let ctx = AsyncContext::new(&view);
        let cancel = async {
            ctx.sleep(Duration::from_secs(1)).await?;
            mount.mounts.cancel(101);
            Ok(Response::none())
        };
        let calls: [InFlight<'_>; 3] = [
            Box::pin(mount.mounts.handle(101, &ctx, read("wait/50"))),
            Box::pin(mount.mounts.handle(102, &ctx, read("wait/50"))),
            Box::pin(cancel),
        ];
        all(calls.into_iter()).await
    });
    assert_eq!(answers[0], Err(Error::Unavailable("request was given up".into())));
    assert!(answers[1].is_ok() && answers[2].is_ok());
    assert_eq!(mount.elapsed(), Duration::from_secs(50));
    assert_eq!(field(&mount.read("undone"), "undone"), 2);
}
