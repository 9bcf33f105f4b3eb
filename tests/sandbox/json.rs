//! JSON through the key-value example, which everybody copies: to the digit, and as deep as it may be. Version 2 of it
//! takes data apart, merges it and lists its keys, each of which recurses on the sandbox's stack.

use cofferdam::request::{Body, Operation};
use cofferdam::{ErrorKind, Limits};

use crate::bench::{Bench, check_refused, mount_request, request, within};
use crate::guests;

/// How deep the object `data` may be: one less than a request, which has it in an object.
const DEEPEST: usize = 499;

/// Returns a bench with version 2 of the example, mounted at `kv/`.
async fn bench() -> Bench {
    let folder = guests::build("guest-examples").expect("the plugins build");
    let component = std::fs::read(folder.join("kv_plugin.wasm")).expect("the plugin was built");
    let bench = Bench::start(Limits::default()).await;
    bench.register("kv", &component, |_| ()).await.expect("the plugin can be registered");
    let mut mount = mount_request("kv", &[("version", "2")]);
    mount.settings.plugin = "kv".parse().expect("the name is well formed");
    within(bench.host.enable(mount)).await.expect("the plugin can be mounted");
    bench
}

impl Bench {
    /// Makes a request and returns the JSON of the answer as it came.
    async fn json(&self, operation: Operation, path: &str, body: String) -> Result<String, cofferdam::Error> {
        let mut request = request(path).with_data(body);
        request.operation = operation;
        let response = within(self.host.handle(request)).await?;
        let Body::Data(data) = response.body else { panic!("{path}: there is no data") };
        Ok(String::from_utf8(data.to_vec()).expect("JSON is text"))
    }
}

/// Returns objects inside one another, so many of them, with a number in the innermost.
fn nested(deep: usize) -> String {
    format!("{}1.10{}", "{\"a\":".repeat(deep), "}".repeat(deep))
}

#[tokio::test]
async fn numbers_keep_their_digits_in_kv() {
    let bench = bench().await;
    let secret = r#"{"large":18446744073709551616,"long":100000000000000.01,"money":1.10}"#;
    bench.json(Operation::Update, "kv/data/a", format!(r#"{{"data":{secret}}}"#)).await.expect("it is stored");
    let read = bench.json(Operation::Read, "kv/data/a", "{}".to_owned()).await.expect("it is read");
    assert!(read.contains(secret), "{read}");
    let patch = r#"{"data":{"long":null,"more":0.100}}"#.to_owned();
    bench.json(Operation::Patch, "kv/data/a", patch).await.expect("it is patched");
    let read = bench.json(Operation::Read, "kv/data/a", "{}".to_owned()).await.expect("it is read");
    assert!(read.contains(r#"{"large":18446744073709551616,"money":1.10,"more":0.100}"#), "{read}");
}

#[tokio::test]
async fn kv_goes_as_deep_as_requests_may() {
    let bench = bench().await;
    let body = |deep: usize| format!(r#"{{"data":{}}}"#, nested(deep));
    for operation in [Operation::Update, Operation::Patch, Operation::Patch] {
        bench.json(operation, "kv/data/a", body(DEEPEST)).await.expect("it is stored");
        let read = bench.json(Operation::Read, "kv/data/a", "{}".to_owned()).await.expect("it is read");
        assert!(read.contains(&nested(DEEPEST)), "{operation:?}");
    }
    let subkeys = bench.json(Operation::Read, "kv/subkeys/a", "{}".to_owned()).await.expect("it is taken apart");
    assert!(subkeys.contains(&nested(DEEPEST).replace("1.10", "null")));
    // The text of an object is one level less than a request, too.
    let as_text = |deep: usize| format!(r#"{{"data":{:?}}}"#, nested(deep));
    bench.json(Operation::Update, "kv/data/b", as_text(DEEPEST)).await.expect("it is stored");
    for deeper in [body(DEEPEST + 1), as_text(DEEPEST + 1), body(100_000), as_text(100_000)] {
        for operation in [Operation::Update, Operation::Patch] {
            let answer = bench.json(operation, "kv/data/b", deeper.clone()).await;
            check_refused("what is too deep", answer, ErrorKind::InvalidRequest, &[]);
        }
    }
    let read = bench.json(Operation::Read, "kv/data/b", "{}".to_owned()).await.expect("it is read");
    assert!(read.contains(&nested(DEEPEST)), "the instance lives on");
}
