//! Every form in which Vault's pages write a command, a flag or a variable: each is honoured, or refused with a word.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;

use crate::{Case, check, program};

const UNSEALED: (u16, &str) = (200, r#"{"type":"shamir","initialized":true,"sealed":false,"t":1,"n":1}"#);
const LEADER: (u16, &str) = (200, r#"{"ha_enabled":false}"#);
const ANSWER: (u16, &str) = (200, r#"{"data":{"a":"b"}}"#);

/// Words that must stand in what is printed, and the code.
#[track_caller]
fn ends(typed: &[&str], environment: &[(&str, &str)], exit: i32, words: &[&str]) {
    let mut command = program();
    // Where nobody answers: nothing of these may be sent.
    command.env("VAULT_ADDR", "http://127.0.0.1:1").envs(environment.iter().copied());
    let output = command.args(typed).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(exit), "{typed:?} {environment:?}: {stdout}{stderr}");
    for word in words {
        assert!(stdout.contains(word) || stderr.contains(word), "{typed:?} {environment:?}: {stdout}{stderr}");
    }
}

#[test]
fn what_is_no_command_ends_as_vaults() {
    for (typed, exit, word) in [
        (&[][..], 127, "Usage: cofferdam"),
        (&["nonsense"], 127, "Usage: cofferdam"),
        (&["nonsense", "plugin"], 127, "Usage: cofferdam"),
        (&["plugin"], 1, "Usage: cofferdam plugin"),
        (&["plugin", "nonsense"], 1, "Usage: cofferdam plugin"),
        (&["plugin", "-format=json", "nonsense"], 1, "Usage: cofferdam plugin"),
        (&["secrets"], 1, "Usage: cofferdam secrets"),
        (&["secrets", "nonsense", "x"], 1, "Usage: cofferdam secrets"),
        (&["auth"], 1, "Usage: cofferdam auth"),
        (&["auth", "nonsense"], 1, "Usage: cofferdam auth"),
    ] {
        ends(typed, &[], exit, &[word]);
    }
}

#[test]
fn every_command_tells_what_is_wrong_with_its_arguments() {
    let many = ["a", "b", "c"];
    for (command, fewest, most) in [
        (&["read"][..], 1, usize::MAX),
        (&["write"], 1, usize::MAX),
        (&["patch"], 1, usize::MAX),
        (&["delete"], 1, usize::MAX),
        (&["list"], 1, 1),
        (&["path-help"], 1, 1),
        (&["status"], 0, 0),
        (&["plugin", "register"], 1, 2),
        (&["plugin", "deregister"], 1, 2),
        (&["plugin", "info"], 1, 2),
        (&["plugin", "list"], 0, 1),
        (&["plugin", "reload"], 1, 0),
        (&["plugin", "reload-status"], 1, 1),
        (&["plugin", "pin"], 2, 2),
        (&["plugin", "unpin"], 2, 2),
        (&["plugin", "pins"], 0, 0),
        (&["plugin", "upgrade"], 1, 2),
        (&["plugin", "top"], 0, 0),
        (&["secrets", "enable"], 1, 1),
        (&["secrets", "list"], 0, 0),
        (&["secrets", "tune"], 1, 1),
        (&["secrets", "move"], 2, 2),
        (&["secrets", "disable"], 1, 1),
        (&["auth", "enable"], 1, 1),
        (&["auth", "list"], 0, 0),
        (&["auth", "tune"], 1, 1),
        (&["auth", "move"], 2, 2),
        (&["auth", "disable"], 1, 1),
        (&["auth", "help"], 1, 1),
    ] {
        if fewest > 0 {
            ends(command, &[], 1, &["Not enough arguments (expected ", ", got 0)"]);
        }
        if most < many.len() {
            ends(&[command, &many].concat(), &[], 1, &["Too many arguments (expected ", ", got 3)"]);
        }
        ends(&[command, &["-nonsense"]].concat(), &[], 1, &["flag provided but not defined: -nonsense"]);
        ends(&[command, &["-nonsense=1", "x"]].concat(), &[], 1, &["flag provided but not defined: -nonsense"]);
        ends(&[command, &["x", "-format"]].concat(), &[], 1, &["flag needs an argument: -format"]);
        ends(&[command, &["-help"]].concat(), &[], 0, &["Usage: cofferdam"]);
    }
    for (typed, words) in [
        (
            &["secrets", "enable", "-max-lease-ttl=soon", "x"][..],
            &["invalid value \"soon\" for flag -max-lease-ttl: "][..],
        ),
        (&["secrets", "tune", "-default-lease-ttl=-x", "x"], &["invalid value \"-x\" for flag -default-lease-ttl: "]),
        (&["read", "-header=x", "x"], &["invalid value \"x\" for flag -header: missing = in KV pair"]),
        (&["read", "-output-policy=perhaps", "x"], &["-output-policy"]),
        (&["write", "-format=raw", "x", "a=b"], &["Invalid output format: raw"]),
        (&["read", "-format=pretty", "x"], &["Invalid output format: pretty"]),
        (&["read", "-format=xml", "x"], &["Invalid output format: xml"]),
    ] {
        ends(typed, &[], 1, words);
    }
}

#[test]
fn flags_that_clear_are_sent() {
    let rest = r#""force_no_cache":false,"max_lease_ttl":"","options":null"#;
    let tuned = |ttl: &str| format!(r#"POST /v1/sys/mounts/x/tune {{"default_lease_ttl":"{ttl}",{rest}}}"#);
    for (flag, request) in [
        ("-default-lease-ttl=system", tuned("system")),
        ("-default-lease-ttl=", tuned("system")),
        ("-default-lease-ttl=-1", tuned("system")),
        ("-default-lease-ttl=0", tuned("")),
        ("-default-lease-ttl=1.5h", tuned("1h30m0s")),
        (
            "-max-lease-ttl=",
            r#"POST /v1/sys/mounts/x/tune {"default_lease_ttl":"","force_no_cache":false,"max_lease_ttl":"system","options":null}"#
                .to_owned(),
        ),
        (
            "-plugin-version=",
            format!(r#"POST /v1/sys/mounts/x/tune {{"default_lease_ttl":"",{rest},"plugin_version":""}}"#),
        ),
        (
            "-description=",
            r#"POST /v1/sys/mounts/x/tune {"default_lease_ttl":"","description":"","force_no_cache":false,"max_lease_ttl":"","options":null}"#
                .to_owned(),
        ),
        (
            "-options=k=",
            r#"POST /v1/sys/mounts/x/tune {"default_lease_ttl":"","force_no_cache":false,"max_lease_ttl":"","options":{"k":""}}"#
                .to_owned(),
        ),
    ] {
        check(Case {
            typed: &["secrets", "tune", flag, "x"],
            answers: &[(204, "")],
            requests: &[&request],
            stdout: "Success! Tuned the secrets engine at: x/\n",
            ..Case::default()
        });
    }
}

#[test]
fn flags_for_every_command_are_honoured() {
    let table = "Key    Value\n---    -----\na      b\n";
    for (flags, environment, headers, stdout) in [
        (&["-non-interactive"][..], &[][..], &[][..], table),
        (&["-non-interactive=true"], &[], &[], table),
        (&["-mfa=id:123"], &[], &[("x-vault-mfa", "id:123")][..], table),
        (&["-policy-override"], &[], &[("x-vault-policy-override", "true")], table),
        (&["-header=X-One=1", "-header", "x-two=2"], &[], &[("x-one", "1"), ("x-two", "2")], table),
        (&["-ns=team"], &[], &[("x-vault-namespace", "team/")], table),
        (&["-namespace=a/"], &[("VAULT_NAMESPACE", "b")], &[("x-vault-namespace", "a/")], table),
        (&[], &[("VAULT_NAMESPACE", "b")], &[("x-vault-namespace", "b/")], table),
        (&[], &[("VAULT_FORMAT", "yml")], &[], ""),
        (&["-format=raw"], &[], &[], ANSWER.1),
        (&["-format=raw", "-field=a"], &[], &[], "b"),
        (&["-tls-skip-verify"], &[], &[], table),
        (&[], &[("VAULT_SKIP_VERIFY", "1"), ("VAULT_CLIENT_TIMEOUT", "30"), ("VAULT_MAX_RETRIES", "2")], &[], table),
    ] {
        let yaml = "data:\n  a: b\nlease_duration: 0\nlease_id: ''\nrenewable: false\nrequest_id: ''\nwarnings: null\n";
        let typed = &[&["read"], flags, &["x"]].concat();
        let (requests, stdout) = (&["GET /v1/x"][..], if stdout.is_empty() { yaml } else { stdout });
        check(Case { typed, environment, answers: &[ANSWER], requests, headers, stdout, ..Case::default() });
    }
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    for (flags, environment, words) in [
        (&["-tls-server-name=x"][..], &[][..], "-tls-server-name is not supported"),
        (&[], &[("VAULT_TLS_SERVER_NAME", "x")][..], "VAULT_TLS_SERVER_NAME is set"),
        (&[], &[("VAULT_AGENT_ADDR", "nowhere")], "address \"nowhere\" should look like"),
        (&["-agent-address=nowhere"], &[("VAULT_AGENT_ADDR", "http://x")], "address \"nowhere\" should look like"),
        (&[], &[("VAULT_HTTP_PROXY", "http://x")], "VAULT_HTTP_PROXY is set"),
        (&[], &[("VAULT_PROXY_ADDR", "http://x")], "VAULT_PROXY_ADDR is set"),
        (&[], &[("VAULT_SRV_LOOKUP", "true")], "VAULT_SRV_LOOKUP is set"),
        (&[], &[("VAULT_RATE_LIMIT", "1")], "VAULT_RATE_LIMIT is set"),
        (&[], &[("VAULT_CACERT_BYTES", "x")], "VAULT_CACERT_BYTES holds no PEM certificate"),
        (&[], &[("VAULT_DISABLE_REDIRECTS", "maybe")], "could not parse VAULT_DISABLE_REDIRECTS"),
        (&[], &[("VAULT_MAX_RETRIES", "many")], "VAULT_MAX_RETRIES is \"many\""),
        (&[], &[("VAULT_WRAP_TTL", "soon")], "could not parse VAULT_WRAP_TTL"),
        (&[], &[("VAULT_CAPATH", directory)], "holds no PEM certificate"),
        (&["-ca-path=/does/not/exist"], &[], "failed to setup TLS config: /does/not/exist"),
        (&["-address=unix://x"], &[], "should look like unix:///path/to/socket"),
        (&["-address=unix:///does/not/exist"], &[], "There is no talking to the server at unix:///does/not/exist"),
    ] {
        ends(&[&["read"], flags, &["x"]].concat(), environment, 2, &[words]);
    }
}

#[test]
fn a_server_in_trouble_is_asked_again_where_that_is_set() {
    check(Case {
        typed: &["read", "x"],
        environment: &[("VAULT_MAX_RETRIES", "1")],
        answers: &[(503, "busy"), ANSWER],
        requests: &["GET /v1/x", "GET /v1/x"],
        stdout: "Key    Value\n---    -----\na      b\n",
        ..Case::default()
    });
}

#[test]
fn an_answer_is_wrapped_or_not_shown() {
    let wrapped = r#"{"wrap_info":{"token":"t","accessor":"a","ttl":60,"creation_time":"now","creation_path":"x"}}"#;
    check(Case {
        typed: &["read", "-wrap-ttl=60", "x"],
        answers: &[(200, wrapped)],
        requests: &["GET /v1/x"],
        headers: &[("x-vault-wrap-ttl", "1m0s")],
        stdout: "Key                              Value\n---                              -----\n\
                 wrapping_token:                  t\nwrapping_accessor:               a\n\
                 wrapping_token_ttl:              1m\nwrapping_token_creation_time:    now\n\
                 wrapping_token_creation_path:    x\n",
        ..Case::default()
    });
    check(Case {
        typed: &["read", "x"],
        environment: &[("VAULT_WRAP_TTL", "1h")],
        answers: &[ANSWER],
        requests: &["GET /v1/x"],
        headers: &[("x-vault-wrap-ttl", "1h0m0s")],
        stderr: "Error reading x: the server's answer cannot be read: it should be wrapped, and is not; it is not shown\n",
        exit: 2,
        ..Case::default()
    });
}

#[test]
fn a_request_can_be_shown_as_policy() {
    for (typed, path, capabilities) in [
        (&["read", "a/b"][..], "a/b", r#""read""#),
        (&["list", "a/"], "a", r#""list""#),
        (&["write", "a", "b=c"], "a", r#""create", "update""#),
        (&["patch", "a", "b=c"], "a", r#""patch""#),
        (&["delete", "a"], "a", r#""delete""#),
        (&["secrets", "enable", "kv"], "sys/mounts/kv", r#""create", "update""#),
        (&["auth", "enable", "userpass"], "sys/auth/userpass", r#""create", "update", "sudo""#),
        (&["plugin", "info", "secret", "x"], "sys/plugins/catalog/secret/x", r#""read", "sudo""#),
    ] {
        check(Case {
            typed: &[typed, &["-output-policy"]].concat(),
            stdout: &format!("path \"{path}\" {{\n  capabilities = [{capabilities}]\n}}\n"),
            ..Case::default()
        });
    }
}

#[test]
fn the_status_needs_no_token() {
    let table = "Key             Value\n---             -----\nSeal Type       shamir\nInitialized     true\n\
                 Sealed          false\nTotal Shares    1\nThreshold       1\nHA Enabled      false\n";
    for format in [&[][..], &["-format=pretty"]] {
        check(Case {
            typed: &[&["status"], format].concat(),
            answers: &[UNSEALED, LEADER],
            requests: &["GET /v1/sys/seal-status", "GET /v1/sys/leader"],
            stdout: table,
            ..Case::default()
        });
    }
    let server = crate::Server::start(&[UNSEALED, LEADER]);
    let output =
        program().env("VAULT_ADDR", &server.address).env("VAULT_TOKEN", "stale").arg("status").output().unwrap();
    assert!(output.status.success());
    let asked = server.asked.lock().unwrap();
    assert!(asked.iter().all(|asked| !asked.headers.contains_key("x-vault-token")), "a stale token is a 403");
}

#[test]
fn the_server_may_listen_on_a_socket_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    let address = format!("unix://{}", path.display());
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            let mut bytes = [0; 1024];
            let amount = stream.read(&mut bytes).unwrap();
            assert!(amount > 0, "the request ended early");
            request.extend_from_slice(&bytes[..amount]);
        }
        let body = ANSWER.1;
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        String::from_utf8(request).unwrap().to_ascii_lowercase()
    });
    let output = program().env("VAULT_ADDR", &address).env("VAULT_TOKEN", "t").args(["read", "-field=a", "x"]).output();
    let output = output.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "b", "{}", String::from_utf8_lossy(&output.stderr));
    let request = server.join().unwrap();
    for part in ["get /v1/x http/1.1\r\n", "host: localhost\r\n", "x-vault-token: t\r\n"] {
        assert!(request.contains(part), "{request}");
    }
    check(Case {
        typed: &["read", "-output-curl-string", "-address=unix:///run/c.sock", "x"],
        stdout: "curl --unix-socket '/run/c.sock' -H \"X-Vault-Token: $VAULT_TOKEN\" -H 'X-Vault-Request: true' \
                 'http://localhost/v1/x'\n",
        ..Case::default()
    });
}
