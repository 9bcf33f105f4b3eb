//! The forms of requests that Vault's pages document: methods, headers, content types, spellings of values. One server
//! takes them all.

use serde_json::{Value, json};

use crate::http::{Answer, Request};
use crate::program::{Server, World};

/// A server with `kv/` and something at `kv/a`, and one request to it. Headers stand as `NAME: VALUE`; none is a
/// stranger's request.
struct Forms {
    _world: World,
    server: Server,
}

const TOKEN: &str = "X-Vault-Token: root";

impl Forms {
    fn new() -> Self {
        let world = World::new();
        let server = world.dev_server();
        world.mount_passthrough(&server, &["kv"]);
        assert_eq!(server.ask("PUT", "kv/a", r#"{"b":"c"}"#).status, 204);
        Self { _world: world, server }
    }

    fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let headers = headers.iter().map(|header| header.split_once(": ").expect("a name and a value"));
        let request = headers.fold(Request::new(method, path), |request, (name, value)| request.header(name, value));
        request.body(body).send(&self.server.address)
    }

    /// Checks status and body of a table of requests without a body.
    #[track_caller]
    fn check(&self, table: &[(&str, &str, &[&str], u16, &str)]) {
        for (method, path, headers, status, part) in table {
            let answer = self.ask(method, path, headers, "");
            assert_eq!(answer.status, *status, "{method} {path} {headers:?}: {answer:?}");
            assert!(answer.body.contains(part), "{method} {path} {headers:?}: {answer:?}");
        }
    }
}

#[test]
fn headers_of_vaults_clients_are_taken() {
    let forms = Forms::new();
    let good = r#""data":{"b":"c"}"#;
    let table: &[(&str, &str, &[&str], u16, &str)] = &[
        ("GET", "kv/a", &[TOKEN], 200, good),
        ("GET", "kv/a", &["x-vault-token: root"], 200, good),
        ("GET", "kv/a", &["Authorization: Bearer root"], 200, good),
        ("GET", "kv/a", &["Authorization: bearer root"], 200, good),
        ("GET", "kv/a", &["X-Vault-Token: ", "Authorization: Bearer root"], 200, good),
        ("GET", "kv/a", &["Authorization: Basic cm9vdDo="], 403, "permission denied"),
        ("GET", "kv/a", &[TOKEN, "X-Vault-Request: true"], 200, good),
        ("GET", "kv/a", &[TOKEN, "X-Vault-Request: true", "X-Vault-Namespace: "], 200, good),
        ("GET", "kv/a", &[TOKEN, "X-Vault-Namespace: root"], 200, good),
        ("GET", "kv/a", &[TOKEN, "X-Vault-Namespace: root/"], 200, good),
        ("GET", "kv/a", &[TOKEN, "X-Vault-Namespace: /"], 200, good),
        ("GET", "kv/a", &[TOKEN, "X-Vault-Namespace: team"], 400, "there are no namespaces in this version"),
        ("GET", "kv/a", &[TOKEN, "X-Vault-Wrap-TTL: 0"], 200, good),
        ("GET", "kv/a", &[TOKEN, "X-Vault-Wrap-TTL: 60s"], 400, "response wrapping needs the token system"),
        ("GET", "sys/mounts", &[TOKEN, "X-Vault-Wrap-TTL: 60"], 400, "response wrapping needs the token system"),
        ("GET", "kv/a", &[TOKEN, "X-Vault-No-Request-Forwarding: true", "X-Vault-MFA: a:b"], 200, good),
        ("GET", "kv/a", &[TOKEN, "X-Vault-Policy-Override: true", "X-Correlation-Id: 1"], 200, good),
        ("GET", "kv/a", &[TOKEN, "Accept: text/plain", "Accept-Encoding: gzip"], 200, good),
    ];
    forms.check(table);
}

#[test]
fn methods_and_paths_have_vaults_spellings() {
    let forms = Forms::new();
    let keys = r#""keys":["a"]"#;
    let table: &[(&str, &str, &[&str], u16, &str)] = &[
        ("LIST", "kv", &[TOKEN], 200, keys),
        ("LIST", "kv/", &[TOKEN], 200, keys),
        ("GET", "kv?list=true", &[TOKEN], 200, keys),
        ("GET", "kv/?list=1", &[TOKEN], 200, keys),
        ("GET", "kv/a?list=false", &[TOKEN], 200, r#""b":"c""#),
        ("GET", "kv/a?list=", &[TOKEN], 200, r#""b":"c""#),
        ("GET", "kv/a?list=perhaps", &[TOKEN], 400, "must be true or false"),
        ("GET", "kv//a", &[TOKEN], 307, ""),
        ("POST", "kv/a/", &[TOKEN], 400, "cannot write to a path ending in '/'"),
        ("GET", "sys/mounts/", &[TOKEN], 200, "kv/"),
        ("GET", "sys/mounts/kv/", &[TOKEN], 200, "passthrough-plugin"),
        ("GET", "sys/mounts/kv/tune/", &[TOKEN], 200, "default_lease_ttl"),
        ("LIST", "sys/plugins/catalog/secret", &[TOKEN], 200, "passthrough-plugin"),
        ("GET", "sys/plugins/catalog/secret?list=true", &[TOKEN], 200, "passthrough-plugin"),
        ("GET", "sys/plugins/catalog/", &[TOKEN], 200, "detailed"),
        ("TRACE", "kv/a", &[TOKEN], 405, "unsupported operation"),
    ];
    forms.check(table);
    assert!(forms.ask("GET", "kv//a?x=1", &[TOKEN], "").headers.contains("location: /v1/kv/a?x=1"));
    for method in ["PUT", "POST"] {
        assert_eq!(forms.server.ask(method, "kv/m", &format!(r#"{{"by":"{method}"}}"#)).status, 204);
        assert_eq!(forms.server.ask("GET", "kv/m", "").json()["data"]["by"], method);
    }
}

#[test]
fn bodies_are_read_by_their_content_type() {
    let forms = Forms::new();
    for (content_type, body) in [
        ("", r#"{"x":"y z"}"#),
        ("application/json", r#"{"x":"y z"}"#),
        ("application/json; charset=utf-8", r#"{"x":"y z"}"#),
        ("application/json;charset=UTF-8", " {\"x\": \"y z\"}\n"),
        ("text/plain; charset=utf-8", r#"{"x":"y z"}"#),
        ("application/x-www-form-urlencoded", "x=y+z"),
        ("application/x-www-form-urlencoded; charset=utf-8", "x=y%20z"),
    ] {
        let typed = format!("Content-Type: {content_type}");
        let headers: &[&str] = if content_type.is_empty() { &[TOKEN] } else { &[TOKEN, &typed] };
        assert_eq!(forms.server.ask("PUT", "kv/t", r#"{"x":"before"}"#).status, 204);
        let answer = forms.ask("PUT", "kv/t", headers, body);
        assert_eq!(answer.status, 204, "{content_type}: {answer:?}");
        assert_eq!(forms.server.ask("GET", "kv/t", "").json()["data"], json!({"x": "y z"}), "{content_type}");
    }
    for (content_type, is_read) in [
        ("application/merge-patch+json", true),
        ("application/merge-patch+json; charset=utf-8", true),
        ("application/json", false),
    ] {
        let answer = forms.ask("PATCH", "kv/t", &[TOKEN, &format!("Content-Type: {content_type}")], "{}");
        assert_eq!(answer.status != 415, is_read, "{content_type}: {answer:?}");
    }
    for body in ["null", "[1]", "\"x\"", "{", "{\"a\":1} x"] {
        let answer = forms.ask("PUT", "sys/mounts/kv/tune", &[TOKEN], body);
        let expected = if body == "null" { 204 } else { 400 };
        assert_eq!(answer.status, expected, "{body}: {answer:?}");
    }
}

#[test]
fn values_have_vaults_spellings() {
    let forms = Forms::new();
    let tuned = |field: &str, value: &str| -> Value {
        let answer = forms.server.ask("POST", "sys/mounts/kv/tune", &format!(r#"{{"{field}":{value}}}"#));
        assert_eq!(answer.status, 204, "{field} {value}: {answer:?}");
        forms.server.ask("GET", "sys/mounts/kv/tune", "").json()["data"][field].clone()
    };
    for value in ["\"1.5h\"", "\"90m\"", "\"1h30m\"", "\"5400s\"", "5400", "\"5400\"", "\"1h29m60s\""] {
        assert_eq!(tuned("default_lease_ttl", "\"1h\""), json!(3600));
        assert_eq!(tuned("default_lease_ttl", value), json!(5400), "{value}");
    }
    for value in ["\"X-A,X-B\"", "\"X-A, X-B\"", "[\"X-A\",\"X-B\"]"] {
        assert_eq!(tuned("passthrough_request_headers", "\"\""), Value::Null);
        assert_eq!(tuned("passthrough_request_headers", value), json!(["X-A", "X-B"]), "{value}");
    }
    for (at, value) in
        ["true", "\"true\"", "\"1\"", "1", "\"T\"", "false", "\"false\"", "\"0\"", "0"].iter().enumerate()
    {
        let path = format!("sys/mounts/flag{at}");
        let answer = forms.server.ask("POST", &path, &format!(r#"{{"type":"passthrough-plugin","local":{value}}}"#));
        assert_eq!(answer.status, 204, "{value}: {answer:?}");
        assert_eq!(forms.server.ask("GET", &path, "").json()["data"]["local"], json!(at < 5), "{value}");
    }
    for (field, value, part) in [
        ("default_lease_ttl", "\"soon\"", "unable to parse default TTL of soon"),
        ("default_lease_ttl", "[1]", "\"default_lease_ttl\" must be"),
        ("passthrough_request_headers", "{}", "\"passthrough_request_headers\" must be a list"),
        ("description", "{}", "\"description\" must be"),
    ] {
        let answer = forms.server.ask("POST", "sys/mounts/kv/tune", &format!(r#"{{"{field}":{value}}}"#));
        assert!(answer.status == 400 && answer.errors().contains(part), "{field} {value}: {answer:?}");
    }
}

#[test]
fn tokens_are_looked_up() {
    let forms = Forms::new();
    for (method, path, headers, body, status) in [
        ("GET", "auth/token/lookup-self", &[TOKEN][..], "", 200),
        ("POST", "auth/token/lookup-self", &[TOKEN], "", 200),
        ("PUT", "auth/token/lookup-self", &[TOKEN], "{}", 200),
        ("GET", "auth/token/lookup-self", &["Authorization: Bearer root"], "", 200),
        ("POST", "auth/token/lookup", &[TOKEN], r#"{"token":"root"}"#, 200),
        ("POST", "auth/token/lookup", &[TOKEN], "", 200),
        ("POST", "auth/token/lookup", &[TOKEN], r#"{"token":"other"}"#, 403),
        ("POST", "auth/token/lookup", &[], r#"{"token":"root"}"#, 403),
        ("GET", "auth/token/lookup-self", &[], "", 403),
        ("GET", "auth/token/lookup-self", &["X-Vault-Token: stale"], "", 403),
        ("DELETE", "auth/token/lookup-self", &[TOKEN], "", 405),
    ] {
        let answer = forms.ask(method, path, headers, body);
        assert_eq!(answer.status, status, "{method} {path} {headers:?}: {answer:?}");
        if status == 200 {
            let data = answer.json()["data"].clone();
            assert_eq!(
                (&data["policies"], &data["ttl"], &data["type"]),
                (&json!(["root"]), &json!(0), &json!("service"))
            );
        }
    }
}

#[test]
fn health_takes_its_parameters() {
    let forms = Forms::new();
    for method in ["GET", "HEAD"] {
        for (query, headers, status) in [
            ("", &[][..], 200),
            ("?standbyok=true&perfstandbyok=1", &[], 200),
            ("?standbycode=299&sealedcode=503&uninitcode=200&drsecondarycode=200&performancestandbycode=200", &[], 200),
            ("?activecode=299", &[], 299),
            ("?activecode=", &[], 200),
            ("?activecode=abc", &[], 400),
            ("", &["X-Vault-Token: stale"], 200),
            ("", &[TOKEN], 200),
        ] {
            let answer = forms.ask(method, &format!("sys/health{query}"), headers, "");
            assert_eq!(answer.status, status, "{method} {query} {headers:?}: {answer:?}");
            assert_eq!(answer.body.is_empty(), method == "HEAD", "{method} {query}: {answer:?}");
        }
    }
}

#[test]
fn help_is_given_below_sys() {
    let forms = Forms::new();
    let table: &[(&str, &str, &[&str], u16, &str)] = &[
        ("GET", "sys/mounts?help=1", &[TOKEN], 200, "help"),
        ("GET", "sys/mounts/kv/tune?help=1", &[TOKEN], 200, "help"),
        ("GET", "sys/plugins/catalog/secret/none?help=1", &[TOKEN], 200, "help"),
        ("HELP", "sys/remount", &[TOKEN], 200, "help"),
        ("GET", "sys/health?help=1", &[], 200, "help"),
        ("GET", "sys/nonsense?help=1", &[TOKEN], 404, "no handler for route"),
        ("GET", "sys/mounts?help=1", &[], 403, "permission denied"),
    ];
    forms.check(table);
}

#[test]
fn strangers_do_not_learn_what_is_there() {
    let forms = Forms::new();
    for path in ["kv/a", "kv/none", "nothing/here", "sys/nonsense", "sys/mounts", "sys/mounts/kv", "auth/none/login"] {
        for headers in [&[][..], &["X-Vault-Token: stale"], &["Authorization: Bearer stale"]] {
            let answer = forms.ask("GET", path, headers, "");
            assert_eq!((answer.status, answer.errors().as_str()), (403, "permission denied"), "{path} {headers:?}");
        }
    }
    let table: &[(&str, &str, &[&str], u16, &str)] = &[
        ("GET", "kv/none", &[TOKEN], 404, r#"{"errors":[]}"#),
        ("GET", "nothing/here", &[TOKEN], 404, "no handler for route"),
        ("GET", "sys/nonsense", &[TOKEN], 404, "no handler for route"),
        ("GET", "sys/mounts/none", &[TOKEN], 400, "none"),
        ("DELETE", "sys/plugins/catalog/secret/kv", &[TOKEN], 200, "nothing was deregistered"),
    ];
    forms.check(table);
}
