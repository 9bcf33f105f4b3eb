//! `status`, `version`, and what holds for every command: flags, environment, headers, failures.

use crate::{Case, check, program};

const UNSEALED: (u16, &str) = (
    200,
    r#"{"type":"shamir","initialized":true,"sealed":false,"t":1,"n":1,"progress":0,"nonce":"","version":"0.1.0",
        "build_date":"today","storage_type":"redb"}"#,
);

#[test]
fn status_ends_with_the_seal() {
    check(Case {
        typed: &["status"],
        answers: &[UNSEALED, (200, r#"{"ha_enabled":false}"#)],
        requests: &["GET /v1/sys/seal-status", "GET /v1/sys/leader"],
        stdout: "Key             Value\n---             -----\nSeal Type       shamir\nInitialized     true\n\
                 Sealed          false\nTotal Shares    1\nThreshold       1\nVersion         0.1.0\n\
                 Build Date      today\nStorage Type    redb\nHA Enabled      false\n",
        ..Case::default()
    });
    check(Case {
        typed: &["status", "-field=sealed"],
        answers: &[(200, r#"{"sealed":true}"#)],
        requests: &["GET /v1/sys/seal-status"],
        stdout: "true",
        exit: 2,
        ..Case::default()
    });
    check(Case {
        typed: &["status"],
        answers: &[(500, "broken")],
        requests: &["GET /v1/sys/seal-status"],
        stderr: "Error checking seal status: Error making API request.\n\n\
                 URL: GET ADDRESS/v1/sys/seal-status\nCode: 500. Raw Message:\n\nbroken\n",
        exit: 1,
        ..Case::default()
    });
}

#[test]
fn the_version_needs_no_server() {
    let version = &format!("Cofferdam v{}\n", env!("CARGO_PKG_VERSION"));
    for typed in [&["version"], &["-version"], &["-v"]] {
        check(Case { typed, environment: &[("VAULT_ADDR", "nonsense")], stdout: version, ..Case::default() });
    }
}

#[test]
fn flags_win_over_our_variables_and_those_over_vaults() {
    let answers = &[(200, r#"{"data":{"a":1}}"#)];
    let (json, table) = ("{\n  \"a\": 1\n}", "map[a:1]");
    for (typed, environment, stdout) in [
        (&[][..], &[][..], table),
        (&[], &[("VAULT_FORMAT", "json")], json),
        (&[], &[("VAULT_FORMAT", "json"), ("COFFERDAM_FORMAT", "table")], table),
        (&["-format=json"], &[("COFFERDAM_FORMAT", "table")], json),
    ] {
        let typed = &[&["read", "-field=data", "x"], typed].concat();
        check(Case { typed, environment, answers, requests: &["GET /v1/x"], stdout, ..Case::default() });
    }
}

#[test]
fn requests_carry_vaults_headers() {
    check(Case {
        typed: &["delete", "-namespace=team/a", "-header", "X-Trace=1", "x"],
        answers: &[(204, "")],
        requests: &["DELETE /v1/x"],
        headers: &[("x-vault-token", "hush"), ("x-vault-namespace", "team/a/"), ("x-trace", "1")],
        stdout: "Success! Data deleted (if it existed) at: x\n",
        ..Case::default()
    });
    check(Case {
        typed: &["delete", "-header=x-vault-token=other", "x"],
        stderr: "failed to setup Headers[x-vault-token]: Header starting by 'X-Vault-' are for internal usage only\n",
        exit: 2,
        ..Case::default()
    });
}

#[test]
fn one_redirect_is_followed_with_its_body() {
    check(Case {
        typed: &["write", "x", "a=b"],
        answers: &[(307, "/v1/y"), (204, "")],
        requests: &[r#"PUT /v1/x {"a":"b"}"#, r#"PUT /v1/y {"a":"b"}"#],
        stdout: "Success! Data written to: x\n",
        ..Case::default()
    });
}

#[test]
fn no_redirect_is_followed_where_that_is_set() {
    for (typed, environment) in [
        (&["read", "x"][..], &[("VAULT_DISABLE_REDIRECTS", "true")][..]),
        (&["read", "-disable-redirects", "x"], &[]),
        (&["read", "-disable-redirects", "x"], &[("VAULT_DISABLE_REDIRECTS", "false")]),
    ] {
        check(Case {
            typed,
            environment,
            answers: &[(307, "/v1/y")],
            requests: &["GET /v1/x"],
            stderr: "Error reading x: Error making API request.\n\n\
                     URL: GET ADDRESS/v1/x\nCode: 307. Raw Message:\n\n/v1/y\n",
            exit: 2,
            ..Case::default()
        });
    }
}

#[test]
fn a_request_can_be_shown_as_curl() {
    check(Case {
        typed: &["write", "-output-curl-string", "x", "a=it's"],
        stdout: concat!(
            r#"curl -X PUT -H "X-Vault-Token: $VAULT_TOKEN" -H 'X-Vault-Request: true' "#,
            r#"-H 'Content-Type: application/json' -d '{"a":"it'"'"'s"}' 'ADDRESS/v1/x'"#,
            "\n"
        ),
        ..Case::default()
    });
}

#[test]
fn wrong_settings_are_named() {
    for (environment, stderr, exit) in [
        (("VAULT_ADDR", "127.0.0.1"), "address \"127.0.0.1\" should look like https://127.0.0.1:8200\n", 2),
        (("VAULT_FORMAT", "xml"), "Invalid output format: xml\n", 1),
        (("VAULT_CLIENT_TIMEOUT", "soon"), "could not parse VAULT_CLIENT_TIMEOUT: \"soon\"\n", 2),
        (("VAULT_SKIP_VERIFY", "maybe"), "could not parse VAULT_SKIP_VERIFY\n", 2),
        (("VAULT_CLIENT_CERT", "a.pem"), "both client cert and client key must be provided\n", 2),
        (
            ("VAULT_CACERT", "/does/not/exist"),
            "failed to setup TLS config: /does/not/exist: No such file or directory (os error 2)\n",
            2,
        ),
    ] {
        check(Case { typed: &["read", "x"], environment: &[environment], stderr, exit, ..Case::default() });
    }
}

#[test]
fn a_silent_server_is_named_with_a_way_out() {
    // Nobody listens where a listener has just been closed.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = program().args(["read", &format!("-address=http://{closed}"), "x"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    for part in ["Error reading x: ", &format!("There is no talking to the server at http://{closed}."), "VAULT_ADDR"] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
fn wrong_usage_ends_with_vaults_codes() {
    for (typed, exit) in [
        (&[][..], 127),
        (&["nonsense"], 127),
        (&["plugin"], 1),
        (&["read", "-nonsense", "x"], 1),
        (&["secrets", "enable", "-max-lease-ttl=soon", "x"], 1),
        (&["read", "-help"], 0),
        (&["-h"], 0),
    ] {
        let output = program().args(typed).output().unwrap();
        assert_eq!(output.status.code(), Some(exit), "{typed:?}");
        assert!(!(output.stdout.is_empty() && output.stderr.is_empty()), "{typed:?}");
    }
}
