//! `read`, `write`, `patch`, `list`, `delete` and `path-help`.

use crate::{Case, check};

const ANSWER: &str = r#"{"request_id":"r","lease_id":"","lease_duration":2764800,"renewable":false,
    "data":{"ttl":3600,"map":{"b":[1,"x"],"a":null},"text":"hi"},"warnings":["careful"],"auth":null}"#;

const WARNING: &str = "WARNING! The following warnings were returned from Vault:\n\n  * careful\n\n";

#[test]
fn read_prints_in_every_format() {
    for (typed, stdout, stderr) in [
        (
            &[][..],
            "Key                 Value\n---                 -----\nrefresh_interval    768h\n\
             map                 map[a:<nil> b:[1 x]]\ntext                hi\nttl                 1h\n",
            WARNING,
        ),
        (
            &["-format", "json"],
            "{\n  \"request_id\": \"r\",\n  \"lease_id\": \"\",\n  \"lease_duration\": 2764800,\n  \"renewable\": false,\n  \
             \"data\": {\n    \"map\": {\n      \"a\": null,\n      \"b\": [\n        1,\n        \"x\"\n      ]\n    },\n    \
             \"text\": \"hi\",\n    \"ttl\": 3600\n  },\n  \"warnings\": [\n    \"careful\"\n  ]\n}\n",
            "",
        ),
        (
            &["-format=yaml"],
            "data:\n  map:\n    a: null\n    b:\n    - 1\n    - x\n  text: hi\n  ttl: 3600\nlease_duration: 2764800\n\
             lease_id: ''\nrenewable: false\nrequest_id: r\nwarnings:\n- careful\n",
            "",
        ),
        (&["-field=text"], "hi", WARNING),
        (&["-field=ttl", "-format=json"], "3600", ""),
    ] {
        let typed = &[&["read", "/hello/a b/"], typed].concat();
        let (answers, requests) = (&[(200, ANSWER)], &["GET /v1/hello/a%20b"]);
        check(Case { typed, answers, requests, stdout, stderr, ..Case::default() });
    }
}

/// Vault's client has digits as texts until they are printed.
#[test]
fn numbers_keep_their_digits_both_ways() {
    let members = r#""a":18446744073709551616,"b":[100000000000000.01,{"c":1.10}],"d":-0.0"#;
    let answer = &format!(r#"{{"data":{{{members}}}}}"#);
    for (typed, stdout) in [
        (
            &[][..],
            "Key    Value\n---    -----\na      18446744073709551616\nb      [100000000000000.01 map[c:1.10]]\nd      -0.0\n",
        ),
        (&["-field=a"], "18446744073709551616"),
        (&["-field=b"], "[100000000000000.01 map[c:1.10]]"),
        (&["-field=b", "-format=json"], "[\n  100000000000000.01,\n  {\n    \"c\": 1.10\n  }\n]"),
        (&["-field=data", "-format=yaml"], "a: 18446744073709551616\nb:\n- 100000000000000.01\n- c: 1.10\nd: -0.0"),
        (&["-format=raw"], answer),
    ] {
        let typed = &[&["read", "x"], typed].concat();
        check(Case { typed, answers: &[(200, answer)], requests: &["GET /v1/x"], stdout, ..Case::default() });
    }
    for format in ["-format=json", "-format=yaml"] {
        let keys = (200, r#"{"data":{"keys":[1.10]}}"#);
        let stdout = if format == "-format=json" { "[\n  1.10\n]\n" } else { "- 1.10\n" };
        let (typed, requests) = (&["list", format, "x"], &["GET /v1/x?list=true"]);
        check(Case { typed, answers: &[keys], requests, stdout, ..Case::default() });
    }

    let object = &format!("{{{members}}}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), object).unwrap();
    let from_file = &format!("@{}", file.path().display());
    for command in ["write", "patch"] {
        for (typed, stdin) in [(&[from_file.as_str()][..], ""), (&["-"], object.as_str())] {
            let method = if command == "write" { "PUT" } else { "PATCH" };
            check(Case {
                typed: &[&[command, "x"], typed].concat(),
                stdin,
                answers: &[(200, answer)],
                requests: &[&format!("{method} /v1/x {object}")],
                stdout: "Key    Value\n---    -----\na      18446744073709551616\nb      [100000000000000.01 map[c:1.10]]\nd      -0.0\n",
                ..Case::default()
            });
        }
    }
    check(Case {
        typed: &["write", "x", "a=18446744073709551616", "b=1.10"],
        answers: &[(204, "")],
        requests: &[r#"PUT /v1/x {"a":"18446744073709551616","b":"1.10"}"#],
        stdout: "Success! Data written to: x\n",
        ..Case::default()
    });
}

#[test]
fn stored_data_controls_no_terminal() {
    let answer =
        r#"{"data":{"k\u001b[1m":"\u001b[31mred\u009b2J\rx","lines":"a\nb"},"warnings":["\u001b]0;title\u0007"]}"#;
    let warning = "WARNING! The following warnings were returned from Vault:\n\n  * \\x1b]0;title\\x07\n\n";
    for (typed, stdout, stderr) in [
        (
            &[][..],
            "Key         Value\n---         -----\nk\\x1b[1m    \\x1b[31mred\\u{9b}2J\\rx\nlines       a\\nb\n",
            warning,
        ),
        // Not a terminal: a program gets what is stored.
        (&["-field=k\x1b[1m"], "\x1b[31mred\u{9b}2J\rx", warning),
        (&["-format=raw"], answer, ""),
        (&["-format=json", "-field=k\x1b[1m"], "\"\\u001b[31mred\\u009b2J\\rx\"", ""),
        (&["-format=yaml", "-field=k\x1b[1m"], "\"\\x1b[31mred\\x9b2J\\rx\"", ""),
    ] {
        let typed = &[&["read", "x"], typed].concat();
        check(Case { typed, answers: &[(200, answer)], requests: &["GET /v1/x"], stdout, stderr, ..Case::default() });
    }
    check(Case {
        typed: &["list", "x"],
        answers: &[(200, r#"{"data":{"keys":["a\u001b[2J","b\nc"]}}"#)],
        requests: &["GET /v1/x?list=true"],
        stdout: "Keys\n----\na\\x1b[2J\nb\\nc\n",
        ..Case::default()
    });
    check(Case {
        typed: &["secrets", "list"],
        answers: &[(
            200,
            r#"{"data":{"a\u001b[2J/":{"type":"kv","accessor":"kv_1","description":"\u001b[31m\nfake/ kv"}}}"#,
        )],
        requests: &["GET /v1/sys/mounts"],
        stdout: "Path         Type    Accessor    Description\n----         ----    --------    -----------\n\
                 a\\x1b[2J/    kv      kv_1        \\x1b[31m\\nfake/ kv\n",
        ..Case::default()
    });
    check(Case {
        typed: &["read", "x"],
        answers: &[(400, r#"{"errors":["\u001b[2Jno"]}"#)],
        requests: &["GET /v1/x"],
        stderr: "Error reading x: Error making API request.\n\nURL: GET ADDRESS/v1/x\nCode: 400. Errors:\n\n* \\x1b[2Jno\n",
        exit: 2,
        ..Case::default()
    });
}

#[test]
fn read_may_find_nothing() {
    for (body, stderr) in [
        (r#"{"errors":[]}"#, "No value found at hello/x\n"),
        ("", "No value found at hello/x\n"),
        ("not json", "No value found at hello/x\n"),
    ] {
        check(Case {
            typed: &["read", "hello/x", "k=v w"],
            answers: &[(404, body)],
            requests: &["GET /v1/hello/x?k=v%20w"],
            stderr,
            exit: 2,
            ..Case::default()
        });
    }
    check(Case {
        typed: &["read", "-field=nope", "hello/x"],
        answers: &[(200, r#"{"data":{}}"#)],
        requests: &["GET /v1/hello/x"],
        stderr: "Field \"nope\" not present in secret\n",
        exit: 1,
        ..Case::default()
    });
}

#[test]
fn write_takes_data_from_everywhere() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), r#"{"n":1}"#).unwrap();
    let from_file = &format!("@{}", file.path().display());
    for (typed, stdin, body) in [
        (&["a=-b", "c=d=e"][..], "", r#"{"a":"-b","c":"d=e"}"#),
        (&["k=-"], "from stdin", r#"{"k":"from stdin"}"#),
        (&["-"], r#"{"deep":{"er":[true]}}"#, r#"{"deep":{"er":[true]}}"#),
        (&[from_file, "a=1"], "", r#"{"a":"1","n":1}"#),
        (&["-f"], "", "{}"),
        (&["-force"], "", "{}"),
    ] {
        check(Case {
            typed: &[&["write", "hello/x"], typed].concat(),
            stdin,
            answers: &[(204, "")],
            requests: &[&format!("PUT /v1/hello/x {body}")],
            stdout: "Success! Data written to: hello/x\n",
            ..Case::default()
        });
    }
    for (typed, stderr) in [
        (&["write"][..], "Not enough arguments (expected 1, got 0)\n"),
        (&["write", "x"], "Must supply data or use -force\n"),
        (&["write", "x", "y"], "Failed to parse K=V data: invalid key/value pair \"y\": format must be key=value\n"),
    ] {
        check(Case { typed, stderr, exit: 1, ..Case::default() });
    }
}

#[test]
fn writes_may_answer() {
    check(Case {
        typed: &["write", "hello/x", "a=b"],
        answers: &[(200, r#"{"data":{"id":"7"}}"#)],
        requests: &[r#"PUT /v1/hello/x {"a":"b"}"#],
        stdout: "Key    Value\n---    -----\nid     7\n",
        ..Case::default()
    });
    check(Case {
        typed: &["patch", "hello/x", "a=b"],
        answers: &[(403, r#"{"errors":["permission denied"]}"#)],
        requests: &[r#"PATCH /v1/hello/x {"a":"b"}"#],
        headers: &[("content-type", "application/merge-patch+json")],
        stderr: "Error writing data to hello/x: Error making API request.\n\n\
                 URL: PATCH ADDRESS/v1/hello/x\nCode: 403. Errors:\n\n* permission denied\n",
        exit: 2,
        ..Case::default()
    });
}

#[test]
fn list_prints_keys() {
    let keys = (200, r#"{"data":{"keys":["b","a/"]}}"#);
    let empty = (404, r#"{"errors":[]}"#);
    for (typed, answer, stdout, stderr, exit) in [
        (&[][..], keys, "Keys\n----\na/\nb\n", "", 0),
        (&["-format=json"], keys, "[\n  \"b\",\n  \"a/\"\n]\n", "", 0),
        (&[], empty, "", "No value found at hello\n", 2),
        (&["-format=json"], empty, "{}\n", "", 2),
        (&[], (200, r#"{"data":{"x":1}}"#), "", "No entries found at hello\n", 2),
    ] {
        let typed = &[&["list", "hello/"], typed].concat();
        check(Case {
            typed,
            answers: &[answer],
            requests: &["GET /v1/hello?list=true"],
            stdout,
            stderr,
            exit,
            ..Case::default()
        });
    }
}

#[test]
fn delete_and_path_help() {
    check(Case {
        typed: &["delete", "hello/x"],
        answers: &[(204, "")],
        requests: &["DELETE /v1/hello/x"],
        stdout: "Success! Data deleted (if it existed) at: hello/x\n",
        ..Case::default()
    });
    check(Case {
        typed: &["path-help", "hello"],
        answers: &[(200, r#"{"help":"First line.\nSecond line."}"#)],
        requests: &["GET /v1/hello?help=1"],
        stdout: "First line.\nSecond line.\n",
        ..Case::default()
    });
}
