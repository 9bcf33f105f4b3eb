//! `secrets …`

use crate::{Case, check};

#[test]
fn enable_sends_the_whole_mount() {
    check(Case {
        typed: &["secrets", "enable", "hello"],
        answers: &[(204, "")],
        requests: &[concat!(
            r#"POST /v1/sys/mounts/hello {"config":{"default_lease_ttl":"0s","force_no_cache":false,"max_lease_ttl":"0s","#,
            r#""options":null},"description":"","external_entropy_access":false,"local":false,"options":null,"#,
            r#""seal_wrap":false,"type":"hello"}"#
        )],
        stdout: "Success! Enabled the hello secrets engine at: hello/\n",
        ..Case::default()
    });
    check(Case {
        typed: &[
            "secrets",
            "enable",
            "-path=my/kv",
            "-plugin-version=v1.0.0",
            "-max-lease-ttl",
            "1h30m",
            "-local",
            "-options=a=b",
            "-version=2",
            "-passthrough-request-headers=X-A",
            "-plugin-name=kv",
            "plugin",
        ],
        answers: &[(204, "")],
        requests: &[concat!(
            r#"POST /v1/sys/mounts/my/kv {"config":{"default_lease_ttl":"0s","force_no_cache":false,"#,
            r#""max_lease_ttl":"1h30m0s","options":null,"passthrough_request_headers":["X-A"],"#,
            r#""plugin_version":"v1.0.0"},"description":"","external_entropy_access":false,"local":true,"#,
            r#""options":{"a":"b","version":"2"},"seal_wrap":false,"type":"kv"}"#
        )],
        stdout: "Success! Enabled the kv secrets engine version v1.0.0 at: my/kv/\n",
        ..Case::default()
    });
    check(Case {
        typed: &["secrets", "enable"],
        stderr: "Not enough arguments (expected 1, got 0)\n",
        exit: 1,
        ..Case::default()
    });
}

#[test]
fn tune_sends_only_what_changes() {
    check(Case {
        typed: &["secrets", "tune", "-default-lease-ttl=-1", "-description=", "/hello/"],
        answers: &[(204, "")],
        requests: &[concat!(
            r#"POST /v1/sys/mounts/hello/tune {"default_lease_ttl":"system","description":"","#,
            r#""force_no_cache":false,"max_lease_ttl":"","options":null}"#
        )],
        stdout: "Success! Tuned the secrets engine at: hello/\n",
        ..Case::default()
    });
    check(Case {
        typed: &["secrets", "tune", "-plugin-version=v2.0.0", "hello"],
        answers: &[(400, r#"{"errors":["no such version"]}"#)],
        requests: &[concat!(
            r#"POST /v1/sys/mounts/hello/tune {"default_lease_ttl":"","force_no_cache":false,"#,
            r#""max_lease_ttl":"","options":null,"plugin_version":"v2.0.0"}"#
        )],
        stderr: "Error tuning secrets engine hello/: Error making API request.\n\n\
                 URL: POST ADDRESS/v1/sys/mounts/hello/tune\nCode: 400. Errors:\n\n* no such version\n",
        exit: 2,
        ..Case::default()
    });
}

#[test]
fn durations_are_checked_before_anything_is_sent() {
    for (ttl, because) in
        [("soon", "expected a duration"), ("300y", "expected a duration"), ("9999999h", "at most 292 years")]
    {
        let output = crate::program().args(["secrets", "tune", "-max-lease-ttl", ttl, "hello"]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(because), "{ttl}: {stderr}");
        assert_eq!(output.status.code(), Some(1), "{ttl}");
    }
}

#[test]
fn list_shows_mounts_by_path() {
    let answer = r#"{"data":{
        "sys/":{"type":"system","accessor":"system_1","description":"system","config":{"default_lease_ttl":0}},
        "hello/":{"type":"hello","accessor":"hello_2","description":"","uuid":"u","options":{"version":"2"},
            "local":true,"config":{"default_lease_ttl":0,"max_lease_ttl":60,"force_no_cache":false},
            "plugin_version":"v1.0.0","running_plugin_version":"v1.0.0","running_sha256":"ab"}}}"#;
    let (answers, requests) = (&[(200, answer)], &["GET /v1/sys/mounts"]);
    check(Case {
        typed: &["secrets", "list"],
        answers,
        requests,
        stdout: "Path      Type      Accessor    Description\n----      ----      --------    -----------\n\
                 hello/    hello     hello_2     n/a\nsys/      system    system_1    system\n",
        ..Case::default()
    });
    check(Case {
        typed: &["secrets", "list", "-detailed"],
        answers,
        requests,
        stdout: concat!(
            "Path      Plugin    Accessor    Default TTL    Max TTL    Force No Cache    Replication    Seal Wrap    ",
            "External Entropy Access    Options           Description    UUID    Version    Running Version    ",
            "Running SHA256    Deprecation Status\n",
            "----      ------    --------    -----------    -------    --------------    -----------    ---------    ",
            "-----------------------    -------           -----------    ----    -------    ---------------    ",
            "--------------    ------------------\n",
            "hello/    hello     hello_2     system         60         false             local          false        ",
            "false                      map[version:2]    n/a            u       v1.0.0     v1.0.0             ",
            "ab                n/a\n",
            "sys/      system    system_1    n/a            n/a        false             replicated     false        ",
            "false                      map[]             system         n/a     n/a        n/a                ",
            "n/a               n/a\n",
        ),
        ..Case::default()
    });
}

#[test]
fn list_says_which_mounts_do_not_answer_and_why() {
    let answer = r#"{"data":{
        "a/":{"type":"a","state":"disabled","state_reason":"no such\nfile"},
        "b/":{"type":"b","state":"starting"},
        "c/":{"type":"c","state":"running"},
        "d/":{"type":"d"}}}"#;
    let row = |cells: [&str; 16], state: &str| {
        let widths = [8, 10, 12, 15, 11, 18, 15, 13, 27, 11, 15, 8, 11, 19, 18, 22];
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}{state}\n", cells.collect::<String>())
    };
    let titles = [
        "Path",
        "Plugin",
        "Accessor",
        "Default TTL",
        "Max TTL",
        "Force No Cache",
        "Replication",
        "Seal Wrap",
        "External Entropy Access",
        "Options",
        "Description",
        "UUID",
        "Version",
        "Running Version",
        "Running SHA256",
        "Deprecation Status",
    ];
    let lines = titles.map(|title| "-".repeat(title.len()));
    let mut stdout = row(titles, "State") + &row(lines.each_ref().map(String::as_str), "-----");
    for (name, state) in [("a", "disabled: no such file"), ("b", "starting"), ("c", "running"), ("d", "running")] {
        let path = &format!("{name}/");
        let mut cells = ["n/a"; 16];
        cells[..10].copy_from_slice(&[
            path,
            name,
            "n/a",
            "system",
            "system",
            "false",
            "replicated",
            "false",
            "false",
            "map[]",
        ]);
        stdout += &row(cells, state);
    }
    check(Case {
        typed: &["secrets", "list", "-detailed"],
        answers: &[(200, answer)],
        requests: &["GET /v1/sys/mounts"],
        stdout: &stdout,
        ..Case::default()
    });
    check(Case {
        typed: &["secrets", "list", "-format=yaml"],
        answers: &[(200, r#"{"data":{"a/":{"type":"a","state":"disabled","state_reason":"no"}}}"#)],
        requests: &["GET /v1/sys/mounts"],
        stdout: "a/:\n  accessor: ''\n  config:\n    default_lease_ttl: 0\n    force_no_cache: false\n    max_lease_ttl: 0\n  \
                 deprecation_status: ''\n  description: ''\n  external_entropy_access: false\n  local: false\n  options: null\n  \
                 plugin_version: ''\n  running_plugin_version: ''\n  running_sha256: ''\n  seal_wrap: false\n  \
                 state: disabled\n  state_reason: 'no'\n  type: a\n  uuid: ''\n",
        ..Case::default()
    });
}

#[test]
fn changes_print_what_the_server_warns_of() {
    let warned = (200, r#"{"data":null,"warnings":["careful"]}"#);
    for (typed, stdout) in [
        (&["enable", "hello"][..], "Success! Enabled the hello secrets engine at: hello/\n"),
        (&["tune", "hello"], "Success! Tuned the secrets engine at: hello/\n"),
        (&["disable", "hello"], "Success! Disabled the secrets engine (if it existed) at: hello/\n"),
        (&["disable", "-format=json", "hello"], "Success! Disabled the secrets engine (if it existed) at: hello/\n"),
    ] {
        let request = match typed[0] {
            "enable" => concat!(
                r#"POST /v1/sys/mounts/hello {"config":{"default_lease_ttl":"0s","force_no_cache":false,"#,
                r#""max_lease_ttl":"0s","options":null},"description":"","external_entropy_access":false,"#,
                r#""local":false,"options":null,"seal_wrap":false,"type":"hello"}"#
            ),
            "tune" => concat!(
                r#"POST /v1/sys/mounts/hello/tune {"default_lease_ttl":"","force_no_cache":false,"#,
                r#""max_lease_ttl":"","options":null}"#
            ),
            _ => "DELETE /v1/sys/mounts/hello",
        };
        check(Case {
            typed: &[&["secrets"], typed].concat(),
            answers: &[warned],
            requests: &[request],
            stdout,
            stderr: "WARNING! The following warnings were returned from Vault:\n\n  * careful\n\n",
            ..Case::default()
        });
    }
}

#[test]
fn move_follows_the_migration() {
    let started = (200, r#"{"data":{"migration_id":"m1"}}"#);
    let running = (200, r#"{"data":{"migration_info":{"status":"in-progress"}}}"#);
    let done = (200, r#"{"data":{"migration_info":{"status":"success"}}}"#);
    let failed = (200, r#"{"data":{"migration_info":{"status":"failure"}}}"#);
    let post = r#"POST /v1/sys/remount {"from":"a/","to":"b/"}"#;
    let get = "GET /v1/sys/remount/status/m1";
    check(Case {
        typed: &["secrets", "move", "a", "b/"],
        answers: &[started, running, done],
        requests: &[post, get, get],
        stdout: "Started moving secrets engine a/ to b/, with migration ID m1\n\
                 Waiting for terminal status in migration of secrets engine a/ to b/, with migration ID m1\n\
                 Success! Finished moving secrets engine a/ to b/, with migration ID m1\n",
        ..Case::default()
    });
    let started = (200, r#"{"data":{"migration_id":"m1"},"warnings":["the disk is full"]}"#);
    check(Case {
        typed: &["secrets", "move", "a/", "b/"],
        answers: &[started, failed],
        requests: &[post, get],
        stdout: "Started moving secrets engine a/ to b/, with migration ID m1\n",
        stderr: "WARNING! The following warnings were returned from Vault:\n\n  * the disk is full\n\n\
                 Failure! Error encountered moving secrets engine a/ to b/, with migration ID m1\n",
        exit: 2,
        ..Case::default()
    });
}

#[test]
fn disable_is_idempotent() {
    check(Case {
        typed: &["secrets", "disable", "hello"],
        answers: &[(204, "")],
        requests: &["DELETE /v1/sys/mounts/hello"],
        stdout: "Success! Disabled the secrets engine (if it existed) at: hello/\n",
        ..Case::default()
    });
}
