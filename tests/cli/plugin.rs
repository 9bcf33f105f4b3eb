//! `plugin …`

use crate::{Case, check};

const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn register_sends_what_was_given_and_tells_what_is_asked_for() {
    check(Case {
        typed: &["plugin", "register", "-sha256", SHA256, "-command=hello.wasm", "secret", "hello"],
        answers: &[(
            200,
            r#"{"data":{"name":"hello","runtime":"wasm","capabilities":["http","clock"]},"warnings":["old"]}"#,
        )],
        requests: &[&format!(
            r#"PUT /v1/sys/plugins/catalog/secret/hello {{"command":"hello.wasm","sha256":"{SHA256}","type":"secret"}}"#
        )],
        headers: &[("x-vault-token", "hush"), ("content-type", "application/json")],
        stdout: "Success! Registered plugin: hello\n",
        stderr: "WARNING! The following warnings were returned from Vault:\n\n  * old\n\n\
                 Reaches: its own storage, and http, clock\n",
        ..Case::default()
    });
    check(Case {
        typed: &[
            "plugin",
            "register",
            "-sha256=ab",
            "-version=v1.0.0",
            "-env",
            "REGION=eu",
            "-env=A=-b",
            "-args=--x",
            "-args",
            "-y",
            "-instances=pooled",
            "hello",
        ],
        answers: &[(204, "")],
        requests: &[concat!(
            r#"PUT /v1/sys/plugins/catalog/hello {"args":["--x","-y"],"command":"hello","#,
            r#""env":["REGION=eu","A=-b"],"instances":"pooled","sha256":"ab","version":"v1.0.0"}"#
        )],
        stdout: "Success! Registered plugin: hello\n",
        ..Case::default()
    });
}

#[test]
fn register_confines_where_it_is_told_to_or_given_paths() {
    for (flags, fields) in [
        (&["-confine"][..], r#""confine":true"#),
        (
            &["-confine-read=/etc/ssl", "-confine-read", "/etc/pki"],
            r#""confine":true,"confine_read":["/etc/ssl","/etc/pki"]"#,
        ),
        (&["-confine", "-confine-write=/var/lib/x"], r#""confine":true,"confine_write":["/var/lib/x"]"#),
    ] {
        check(Case {
            typed: &[&["plugin", "register", "-sha256=ab"], flags, &["hello"]].concat(),
            answers: &[(204, "")],
            requests: &[&format!(r#"PUT /v1/sys/plugins/catalog/hello {{"command":"hello",{fields},"sha256":"ab"}}"#)],
            stdout: "Success! Registered plugin: hello\n",
            ..Case::default()
        });
    }
}

#[test]
fn register_reports_refusals_as_vault_does() {
    check(Case {
        typed: &["plugin", "register", "-sha256=ab", "auth", "hello"],
        answers: &[(400, r#"{"errors":["missing command value"]}"#)],
        requests: &[r#"PUT /v1/sys/plugins/catalog/auth/hello {"command":"hello","sha256":"ab","type":"auth"}"#],
        stderr: "Error registering plugin hello: Error making API request.\n\n\
                 URL: PUT ADDRESS/v1/sys/plugins/catalog/auth/hello\nCode: 400. Errors:\n\n* missing command value\n",
        exit: 2,
        ..Case::default()
    });
    for (typed, stderr, exit) in [
        (&["-sha256=ab"][..], "Not enough arguments (expected 1 or 2, got 0)\n", 1),
        (&["a", "b", "c"], "Too many arguments (expected 1 or 2, got 3)\n", 1),
        (&["auth", "x"], "SHA256 is required for all plugins, please provide -sha256\n", 1),
        (&["-sha256=ab", "zip", "x"], "\"zip\" is not a supported plugin type\n", 2),
    ] {
        check(Case { typed: &[&["plugin", "register"], typed].concat(), stderr, exit, ..Case::default() });
    }
}

#[test]
fn deregister_names_the_version_in_the_query() {
    check(Case {
        typed: &["plugin", "deregister", "-version=1.0.0", "auth", "hello"],
        answers: &[(204, "")],
        requests: &["DELETE /v1/sys/plugins/catalog/auth/hello?version=1.0.0"],
        stdout: "Success! Deregistered plugin (if it was registered): hello\n",
        ..Case::default()
    });
}

#[test]
fn deregister_is_no_success_when_the_version_is_missing() {
    check(Case {
        typed: &["plugin", "deregister", "secret", "hello"],
        answers: &[(200, r#"{"data":null,"warnings":["no version was specified; deregister with -version=v0.1.0"]}"#)],
        requests: &["DELETE /v1/sys/plugins/catalog/secret/hello?version="],
        stderr: "WARNING! The following warnings were returned from Vault:\n\n  \
                 * no version was specified; deregister with -version=v0.1.0\n\n",
        ..Case::default()
    });
}

#[test]
fn deregister_of_what_is_built_in_says_one_thing() {
    check(Case {
        typed: &["plugin", "deregister", "secret", "kv"],
        answers: &[(
            200,
            r#"{"data":null,"warnings":["plugin \"kv\" is built in, and stays: nothing was deregistered"]}"#,
        )],
        requests: &["DELETE /v1/sys/plugins/catalog/secret/kv?version="],
        stderr: "WARNING! The following warnings were returned from Vault:\n\n  \
                 * plugin \"kv\" is built in, and stays: nothing was deregistered\n\n",
        ..Case::default()
    });
}

#[test]
fn register_says_in_one_line_what_is_reached() {
    for (flags, data, reach) in [
        (&[][..], r#""runtime":"wasm","capabilities":[]"#, "nothing but its own storage"),
        (&[], r#""runtime":"wasm","capabilities":["http"]"#, "its own storage, and http"),
        (&[], r#""runtime":"native""#, "whatever the server's user may: it is a process, and not confined"),
        (
            &["-confine"],
            r#""runtime":"native""#,
            "the network, the system's programs and libraries, and the paths given",
        ),
    ] {
        let confine = if flags.is_empty() { "" } else { r#","confine":true"# };
        check(Case {
            typed: &[&["plugin", "register", "-sha256=ab"], flags, &["hello"]].concat(),
            answers: &[(200, &format!(r#"{{"data":{{"name":"hello",{data}}}}}"#))],
            requests: &[&format!(r#"PUT /v1/sys/plugins/catalog/hello {{"command":"hello"{confine},"sha256":"ab"}}"#)],
            stdout: "Success! Registered plugin: hello\n",
            stderr: &format!("Reaches: {reach}\n"),
            ..Case::default()
        });
    }
}

#[test]
fn info_of_programs_still_warns_people() {
    check(Case {
        typed: &["plugin", "info", "-format=json", "secret", "hello"],
        answers: &[(200, r#"{"data":{"name":"hello","args":["a"],"version":"v1.0.0"},"warnings":["old"]}"#)],
        requests: &["GET /v1/sys/plugins/catalog/secret/hello"],
        stdout: "{\n  \"args\": [\n    \"a\"\n  ],\n  \"builtin\": false,\n  \"command\": \"\",\n  \
                 \"deprecation_status\": \"\",\n  \"name\": \"hello\",\n  \"sha256\": \"\",\n  \"version\": \"v1.0.0\"\n}\n",
        stderr: "WARNING! The following warnings were returned from Vault:\n\n  * old\n\n",
        ..Case::default()
    });
}

#[test]
fn list_shows_a_table_or_structure() {
    let answer = r#"{"data":{"auth":["hello"],"secret":["kv"],"detailed":[
        {"type":"auth","name":"hello","version":"v1.0.0","builtin":false},
        {"type":"secret","name":"kv","version":"","builtin":true,"deprecation_status":"supported"}]}}"#;
    for (typed, stdout) in [
        (
            &[][..],
            "Name     Type      Version\n----     ----      -------\nhello    auth      v1.0.0\nkv       secret    n/a\n",
        ),
        (&["auth"], "Name     Version\n----     -------\nhello    v1.0.0\n"),
        (
            &["-detailed"],
            "Name     Type      Version    Deprecation Status\n----     ----      -------    ------------------\n\
             hello    auth      v1.0.0     n/a\nkv       secret    n/a        supported\n",
        ),
        (
            &["-format=json", "secret"],
            "{\n  \"secret\": [\n    \"kv\"\n  ],\n  \"details\": [\n    {\n      \"type\": \"secret\",\n      \
             \"name\": \"kv\",\n      \"builtin\": true,\n      \"deprecation_status\": \"supported\"\n    }\n  ]\n}\n",
        ),
    ] {
        let typed = &[&["plugin", "list"], typed].concat();
        let (answers, requests) = (&[(200, answer)], &["GET /v1/sys/plugins/catalog"]);
        check(Case { typed, answers, requests, stdout, ..Case::default() });
    }
}

#[test]
fn info_shows_every_row() {
    let answer = r#"{"data":{"name":"hello","args":null,"command":"hello.wasm","sha256":"ab","version":"v1.0.0"}}"#;
    check(Case {
        typed: &["plugin", "info", "-version", "v1.0.0", "secret", "hello"],
        answers: &[(200, answer)],
        requests: &["GET /v1/sys/plugins/catalog/secret/hello?version=v1.0.0"],
        stdout: "Key                   Value\n---                   -----\nargs                  []\n\
                 builtin               false\ncommand               hello.wasm\ndeprecation_status    n/a\n\
                 name                  hello\nsha256                ab\nversion               v1.0.0\n",
        ..Case::default()
    });
    check(Case {
        typed: &["plugin", "info", "-field=command", "secret", "hello"],
        answers: &[(200, answer)],
        requests: &["GET /v1/sys/plugins/catalog/secret/hello"],
        stdout: "hello.wasm",
        ..Case::default()
    });
    check(Case {
        typed: &["plugin", "info", "secret", "nope"],
        answers: &[(404, r#"{"errors":[]}"#)],
        requests: &["GET /v1/sys/plugins/catalog/secret/nope"],
        stderr: "Error reading plugin named nope: Error making API request.\n\n\
                 URL: GET ADDRESS/v1/sys/plugins/catalog/secret/nope\nCode: 404. Errors:\n\n\n",
        exit: 2,
        ..Case::default()
    });
}

#[test]
fn reload_names_what_it_reloads() {
    for (typed, request, stdout) in [
        (
            &["-plugin=hello"][..],
            r#"PUT /v1/sys/plugins/reload/backend {"plugin":"hello"}"#,
            "Success! Reloaded plugin: hello\n",
        ),
        (
            &["-mounts=a", "-mounts", "b", "-scope=global"],
            r#"PUT /v1/sys/plugins/reload/backend {"mounts":["a","b"],"scope":"global"}"#,
            "Success! Reloading mounts: [a b], reload_id: r1\n",
        ),
        (
            &["-mounts=a,b"],
            r#"PUT /v1/sys/plugins/reload/backend {"mounts":["a","b"]}"#,
            "Success! Reloaded mounts: [a b]\n",
        ),
        (
            &["-type=auth", "-plugin=hello"],
            r#"PUT /v1/sys/plugins/reload/auth/hello {"scope":""}"#,
            "Success! Reloaded plugin: hello\n",
        ),
    ] {
        let typed = &[&["plugin", "reload"], typed].concat();
        let answers = &[(200, r#"{"data":{"reload_id":"r1"}}"#)];
        check(Case { typed, answers, requests: &[request], stdout, ..Case::default() });
    }
    for (typed, stderr) in [
        (&[][..], "Not enough arguments (expected 1, got 0)\n"),
        (&["-plugin=a", "-mounts=b"], "Too many arguments (expected 1, got 2)\n"),
        (&["-plugin=a", "-scope=here"], "Invalid reload scope: here\n"),
    ] {
        check(Case { typed: &[&["plugin", "reload"], typed].concat(), stderr, exit: 1, ..Case::default() });
    }
}

#[test]
fn reload_names_the_mounts_that_go_on_as_they_were() {
    let why = r#"cannot reload plugin on \"a/\": the file is gone; the mount goes on with what it ran; reloaded: b/"#;
    check(Case {
        typed: &["plugin", "reload", "-plugin=hello"],
        answers: &[(400, &format!(r#"{{"errors":["{why}"]}}"#))],
        requests: &[r#"PUT /v1/sys/plugins/reload/backend {"plugin":"hello"}"#],
        stderr: "Error reloading plugin/mounts: Error making API request.\n\n\
                 URL: PUT ADDRESS/v1/sys/plugins/reload/backend\nCode: 400. Errors:\n\n\
                 * cannot reload plugin on \"a/\": the file is gone; the mount goes on with what it ran; reloaded: b/\n",
        exit: 2,
        ..Case::default()
    });
}

#[test]
fn reload_status_shows_each_node() {
    let answer = r#"{"data":{"reload_id":"r1","results":{
        "n1":{"timestamp":"2026-01-02T03:04:05.678Z","error":""},"n2":{"timestamp":"2026-01-02T03:04:06Z","error":"busy"}}}}"#;
    check(Case {
        typed: &["plugin", "reload-status", "r1"],
        answers: &[(200, answer)],
        requests: &["GET /v1/sys/plugins/reload/backend/status?reload_id=r1"],
        stdout: "Time        Participant    Success    Message\n----        -----------    -------    -------\n\
                 03:04:05    n1             true       n/a\n03:04:06    n2             false      busy\n",
        ..Case::default()
    });
    check(Case {
        typed: &["plugin", "reload-status", "nope"],
        answers: &[(404, r#"{"errors":[]}"#)],
        requests: &["GET /v1/sys/plugins/reload/backend/status?reload_id=nope"],
        stderr: "Error retrieving plugin reload status: Error making API request.\n\n\
                 URL: GET ADDRESS/v1/sys/plugins/reload/backend/status?reload_id=nope\nCode: 404. Errors:\n\n\n",
        exit: 2,
        ..Case::default()
    });
}

#[test]
fn pins_are_set_removed_and_listed() {
    check(Case {
        typed: &["plugin", "pin", "-version=1.0", "auth", "hello"],
        answers: &[(204, "")],
        requests: &[r#"PUT /v1/sys/plugins/pins/auth/hello {"version":"v1.0.0"}"#],
        stdout: "Success! Pinned auth plugin hello to version: v1.0.0\n",
        ..Case::default()
    });
    check(Case {
        typed: &["plugin", "unpin", "auth", "hello"],
        answers: &[(204, "")],
        requests: &["DELETE /v1/sys/plugins/pins/auth/hello"],
        stdout: "Success! Unpinned auth plugin (if it was pinned): hello\n",
        ..Case::default()
    });
    let answer = r#"{"data":{"pinned_versions":[{"name":"hello","type":"auth","version":"v1.0.0"}]}}"#;
    for (format, stdout) in [
        ("-format=table", "Name     Type    Version\n----     ----    -------\nhello    auth    v1.0.0\n"),
        (
            "-format=json",
            "[\n  {\n    \"name\": \"hello\",\n    \"type\": \"auth\",\n    \"version\": \"v1.0.0\"\n  }\n]\n",
        ),
    ] {
        check(Case {
            typed: &["plugin", "pins", format],
            answers: &[(200, answer)],
            requests: &["GET /v1/sys/plugins/pins"],
            stdout,
            ..Case::default()
        });
    }
    for (typed, stderr, exit) in [
        (&["pin", "hello"][..], "Not enough arguments (expected 2, got 1)\n", 1),
        (&["pin", "auth", "hello"], "Version is required, please provide -version\n", 1),
        (&["unpin", "zip", "hello"], "\"zip\" is not a supported plugin type\n", 2),
    ] {
        check(Case { typed: &[&["plugin"], typed].concat(), stderr, exit, ..Case::default() });
    }
}

const UPGRADE: &[&str] = &["plugin", "upgrade", "-sha256=ab", "-command=kv-2", "-version=2.0.0", "kv"];
const CATALOG: (u16, &str) =
    (200, r#"{"data":{"detailed":[{"type":"secret","name":"kv","version":"v1.0.0","sha256":"aa"}]}}"#);
const BEFORE: (u16, &str) = (
    200,
    r#"{"data":{"a/":{"type":"kv","plugin_version":"v1.0.0"},"b/":{"type":"kv","plugin_version":""},"sys/":{"type":"system"}}}"#,
);
const REGISTER: &str =
    r#"PUT /v1/sys/plugins/catalog/secret/kv {"command":"kv-2","sha256":"ab","type":"secret","version":"v2.0.0"}"#;

#[test]
fn upgrade_registers_tunes_reloads_and_verifies() {
    check(Case {
        typed: UPGRADE,
        answers: &[
            CATALOG,
            BEFORE,
            (204, ""),
            (204, ""),
            (204, ""),
            (200, r#"{"data":{"reload_id":"r"}}"#),
            (
                200,
                r#"{"data":{"a/":{"type":"kv","plugin_version":"v2.0.0","running_plugin_version":"v2.0.0","running_sha256":"ab"},
                "b/":{"type":"kv","plugin_version":"v2.0.0","running_plugin_version":"v2.0.0","running_sha256":"ab"}}}"#,
            ),
        ],
        requests: &[
            "GET /v1/sys/plugins/catalog",
            "GET /v1/sys/mounts",
            REGISTER,
            r#"POST /v1/sys/mounts/a/tune {"plugin_version":"v2.0.0"}"#,
            r#"POST /v1/sys/mounts/b/tune {"plugin_version":"v2.0.0"}"#,
            r#"PUT /v1/sys/plugins/reload/backend {"mounts":["a/","b/"]}"#,
            "GET /v1/sys/mounts",
        ],
        stdout: "Registered secret plugin kv version v2.0.0\nTuned a/ from v1.0.0 to v2.0.0\n\
                 Tuned b/ from no version to v2.0.0\nReloaded a/, b/\nVerified a/: version v2.0.0, SHA256 ab\n\
                 Verified b/: version v2.0.0, SHA256 ab\n\
                 Success! Upgraded secret plugin kv to version v2.0.0 at 2 mounts\n",
        ..Case::default()
    });
}

#[test]
fn upgrade_backs_out_of_what_it_did() {
    // The second mount is not tuned: the first goes back.
    check(Case {
        typed: UPGRADE,
        answers: &[
            CATALOG,
            BEFORE,
            (204, ""),
            (204, ""),
            (400, r#"{"errors":["no"]}"#),
            (204, ""),
            (200, r#"{"data":{"reload_id":"r"}}"#),
            (204, ""),
        ],
        requests: &[
            "GET /v1/sys/plugins/catalog",
            "GET /v1/sys/mounts",
            REGISTER,
            r#"POST /v1/sys/mounts/a/tune {"plugin_version":"v2.0.0"}"#,
            r#"POST /v1/sys/mounts/b/tune {"plugin_version":"v2.0.0"}"#,
            r#"POST /v1/sys/mounts/a/tune {"plugin_version":"v1.0.0"}"#,
            r#"PUT /v1/sys/plugins/reload/backend {"mounts":["a/"]}"#,
            "DELETE /v1/sys/plugins/catalog/secret/kv?version=v2.0.0",
        ],
        stdout: "Registered secret plugin kv version v2.0.0\nTuned a/ from v1.0.0 to v2.0.0\n",
        stderr: "Error tuning b/: Error making API request.\n\nURL: POST ADDRESS/v1/sys/mounts/b/tune\n\
                 Code: 400. Errors:\n\n* no\nBacking out: tuned a/ back to v1.0.0\nBacking out: reloaded a/\n\
                 Backing out: deregistered secret plugin kv version v2.0.0\n",
        exit: 2,
        ..Case::default()
    });
    // What runs is not what was asked for, and going back fails, too.
    check(Case {
        typed: &[UPGRADE, &["-mounts=b"]].concat()[..],
        answers: &[
            CATALOG,
            BEFORE,
            (204, ""),
            (204, ""),
            (200, "{}"),
            (
                200,
                r#"{"data":{"b/":{"type":"kv","plugin_version":"v2.0.0","running_plugin_version":"","running_sha256":"aa"}}}"#,
            ),
            (204, ""),
            (400, r#"{"errors":["cannot reload plugin on b/"]}"#),
            (204, ""),
        ],
        requests: &[
            "GET /v1/sys/plugins/catalog",
            "GET /v1/sys/mounts",
            REGISTER,
            r#"POST /v1/sys/mounts/b/tune {"plugin_version":"v2.0.0"}"#,
            r#"PUT /v1/sys/plugins/reload/backend {"mounts":["b/"]}"#,
            "GET /v1/sys/mounts",
            r#"POST /v1/sys/mounts/b/tune {"plugin_version":"unversioned"}"#,
            r#"PUT /v1/sys/plugins/reload/backend {"mounts":["b/"]}"#,
            "DELETE /v1/sys/plugins/catalog/secret/kv?version=v2.0.0",
        ],
        stdout: "Registered secret plugin kv version v2.0.0\nTuned b/ from no version to v2.0.0\nReloaded b/\n",
        stderr: "Error verifying b/: it asks for v2.0.0 and runs no version with the SHA256 aa, expected v2.0.0 with ab\n\
                 Backing out: tuned b/ back to no version\nBacking out failed in part: Error reloading plugin/mounts: \
                 Error making API request.\n\nURL: PUT ADDRESS/v1/sys/plugins/reload/backend\nCode: 400. Errors:\n\n\
                 * cannot reload plugin on b/\nBacking out: deregistered secret plugin kv version v2.0.0\n",
        exit: 2,
        ..Case::default()
    });
}

#[test]
fn upgrade_changes_nothing_before_it_knows_what() {
    for (typed, stderr, exit) in [
        (&["-version=2.0.0", "kv"][..], "SHA256 is required for all plugins, please provide -sha256\n", 1),
        (&["-sha256=ab", "kv"], "An upgrade is to a version, please provide -version\n", 1),
        (&["-sha256=ab", "-version=x", "kv"], "version \"x\" is not a valid semantic version: ", 2),
    ] {
        let (typed, stderr) = (&[&["plugin", "upgrade"], typed].concat()[..], stderr.to_owned());
        let stderr =
            if exit == 2 { stderr + "unexpected character 'x' while parsing major version number\n" } else { stderr };
        check(Case { typed, stderr: &stderr, exit, ..Case::default() });
    }
    let catalog = ["GET /v1/sys/plugins/catalog"];
    let both = ["GET /v1/sys/plugins/catalog", "GET /v1/sys/mounts"];
    for (typed, requests, why) in [
        (
            &["-sha256=ab", "-version=2.0.0", "other"][..],
            &catalog[..],
            "other: it is not registered; give its TYPE before its name",
        ),
        (
            &["-sha256=ab", "-version=1.0.0", "kv"],
            &catalog,
            "kv: version v1.0.0 is registered already, with the SHA256 aa; an upgrade needs a version of its own",
        ),
        (&["-sha256=ab", "-version=2.0.0", "-mounts=a,c", "kv"], &both, "kv: c/ is no mount of secret plugin kv"),
    ] {
        check(Case {
            typed: &[&["plugin", "upgrade"], typed].concat(),
            answers: &[CATALOG, BEFORE],
            requests,
            stderr: &format!("Error upgrading plugin {why}\n"),
            exit: 2,
            ..Case::default()
        });
    }
}
