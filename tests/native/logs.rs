//! What plugins print, in the server's log; and what is never in it.

use serde_json::{Value, json};

use crate::plugins;
use crate::servers::{self, Line};

#[test]
fn what_a_plugin_prints_has_its_level_plugin_mount_and_process() {
    let Some(engine) = plugins::go("engine", "what a plugin prints") else { return };
    let world = servers::world(&[("engine", &engine)]);
    let server = world.native_server(&[], &["-dev-no-plugin-init"]);
    server.mount(&world, "e", "engine", &json!({"version": "v2.0.1"}));
    let pid = server.read("e/pid")["pid"].clone();
    assert_eq!(server.ask("PUT", "e/print", "").status, 204);
    let (_, _, log) = server.stop();
    let lines = Line::all(&log);
    for (level, text) in [
        ("DEBUG", "a line on stdout"),
        ("DEBUG", "a line on the stderr that go-plugin serves"),
        ("DEBUG", "a plain line"),
        ("TRACE", "a plain line with its level"),
        ("DEBUG", "a plain line with its level"),
        ("INFO", "a plain line with its level"),
        ("WARN", "a plain line with its level"),
        ("ERROR", "a plain line with its level"),
        ("TRACE", "a log line at trace n=1 quoted=a \"b\""),
        ("DEBUG", "a log line at debug n=2"),
        ("INFO", "a log line at info n=3"),
        ("WARN", "a log line at warn n=4"),
        ("ERROR", "a log line at error n=5"),
    ] {
        let found: Vec<_> = lines.iter().filter(|line| line.text() == text && line.level() == level).collect();
        let [line] = found[..] else { panic!("{level} {text}: {found:?}\n{log}") };
        assert_eq!(
            (line.field("plugin"), line.field("mount"), line.field("pid")),
            (&json!("e v2.0.1"), &json!("e/"), &pid),
            "{text}"
        );
    }
    let long = lines.iter().find(|line| line.text().starts_with("long long")).expect("a long line is there");
    assert_eq!(long.text().len(), 4 << 10, "a line is cut at its limit");
}

#[test]
fn a_panic_is_logged_whole_at_error() {
    let Some(engine) = plugins::go("engine", "a panic in the log") else { return };
    let world = servers::world(&[("engine", &engine)]);
    let server = world.native_server(&[], &["-dev-no-plugin-init"]);
    server.mount(&world, "e", "engine", &json!({}));
    let pid = server.read("e/pid")["pid"].clone();
    let answer = server.ask("GET", "e/panic", "");
    assert_eq!(answer.status, 502);
    assert!(answer.errors().contains("its process exited with status 2"), "{answer:?}");
    assert!(!answer.body.contains("goroutine"), "{answer:?}");
    assert_eq!(server.ask("GET", "e/pid", "").status, 200);

    let (_, _, log) = server.stop();
    let errors: Vec<_> = Line::all(&log).into_iter().filter(|line| line.level() == "ERROR").collect();
    let of_plugin: Vec<_> = errors.iter().filter(|line| *line.field("pid") == pid).collect();
    let has = |text: &str| of_plugin.iter().any(|line| line.text().contains(text));
    for text in ["panic: the engine was asked to panic", "goroutine ", "main.(*engine).panic", "faults.go", "[running]"]
    {
        assert!(has(text), "{text}: {log}");
    }
    for line in &of_plugin {
        assert_eq!((line.field("plugin"), line.field("mount")), (&json!("e"), &json!("e/")), "{line:?}");
    }
    let verdict = of_plugin.iter().find(|line| line.text().starts_with("the plugin's process exited with status 2"));
    assert!(verdict.is_some_and(|line| line.text().contains("panic: the engine was asked to panic")), "{log}");
}

#[test]
fn secrets_of_registrations_and_requests_are_in_no_log_line_and_no_error() {
    let Some(engine) = plugins::go("engine", "secrets and the log") else { return };
    let world = servers::world(&[("engine", &engine)]);
    let server = world.native_server(&[("INHERITED", "hush-inherited")], &["-dev-no-plugin-init"]);
    let fields = json!({"env": ["TOKEN=hush-registered"], "args": ["-unused=hush-argument"]});
    server.mount(&world, "e", "engine", &fields);
    let mut said = String::new();
    let mut ask = |method: &str, path: &str, body: Value| {
        let answer = server.ask(method, path, &body.to_string());
        if answer.status >= 400 {
            said.push_str(&answer.body);
        }
    };
    ask("PUT", "e/items/a", json!({"value": "hush-value"}));
    ask("GET", "e/items/a", Value::Null);
    ask("PUT", "e/no/such", json!({"value": "hush-nowhere"}));
    ask("PUT", "e/panic", json!({"value": "hush-panic"}));
    // Started again; and once more, which is too soon.
    ask("PUT", "e/exit/3", json!({"value": "hush-exit"}));
    ask("PUT", "e/items/c", json!({"value": "hush-late"}));
    let registered = server.ask("GET", "sys/plugins/catalog/secret/e", "");
    said.push_str(&registered.body);
    let (_, _, log) = server.stop();
    for secret in
        ["hush-inherited", "hush-registered", "hush-value", "hush-nowhere", "hush-panic", "hush-exit", "hush-late"]
    {
        assert!(!log.contains(secret), "{secret}: {log}");
        assert!(!said.contains(secret), "{secret}: {said}");
    }
    assert!(!log.contains("hush-argument"), "{log}");
}
