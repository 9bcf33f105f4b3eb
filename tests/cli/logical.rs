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
