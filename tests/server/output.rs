//! What commands print and end with, whatever the subject: formats, fields, input, exit codes.

use serde_json::Value;

use crate::program::World;
use crate::session::check;

#[test]
fn answers_come_as_table_json_yaml_or_one_field() {
    let world = World::new();
    let server = world.dev_server();
    world.mount_passthrough(&server, &["kv"]);
    let check = |typed: &str, stdout: &str| check(&world, &server, typed, stdout);
    check("write kv/a user=ada level=7", "Success! Data written to: kv/a\n");

    check("read kv/a", "Key      Value\n---      -----\nlevel    7\nuser     ada\n");
    check("read -field=user kv/a", "ada");
    check("read -format=json -field=user kv/a", "\"ada\"");
    check("read -format=json kv/a", READ_JSON);
    check("read -format=yaml kv/a", READ_YAML);
    check("list -format=json kv", "[\n  \"a\"\n]\n");
    check("list -format=yaml kv", "- a\n");
    check("write -format=json kv/b c=d", "");
    check("plugin info -field=runtime secret passthrough-plugin", "wasm");
    check("status -field=storage_type", "inmem");

    let mounts: Value = serde_json::from_str(&world.succeed(&server, &["secrets", "list", "-format=json"])).unwrap();
    assert_eq!((&mounts["kv/"]["type"], &mounts["sys/"]["type"]), (&"passthrough-plugin".into(), &"system".into()));
    let plugins: Value = serde_json::from_str(&world.succeed(&server, &["plugin", "list", "-format=json"])).unwrap();
    assert_eq!(plugins["secret"], serde_json::json!(["kv", "passthrough-plugin"]));
}

const READ_JSON: &str = "{
  \"request_id\": \"00000000-0000-0000-0000-000000000000\",
  \"lease_id\": \"\",
  \"lease_duration\": 0,
  \"renewable\": false,
  \"data\": {
    \"level\": \"7\",
    \"user\": \"ada\"
  },
  \"warnings\": null
}
";

const READ_YAML: &str = "data:
  level: '7'
  user: ada
lease_duration: 0
lease_id: ''
renewable: false
request_id: 00000000-0000-0000-0000-000000000000
warnings: null
";

#[test]
fn data_comes_from_arguments_files_and_standard_input() {
    let world = World::new();
    let server = world.dev_server();
    world.mount_passthrough(&server, &["kv"]);
    let (text, json) = (world.write("text", "from a file"), world.write("data.json", r#"{"n":1,"list":["a"]}"#));
    for (typed, stdin, stored) in [
        (&["a=b", "c="][..], "", r#"{"a":"b","c":""}"#),
        (&[&*format!("a=@{text}")], "", r#"{"a":"from a file"}"#),
        (&["a=-"], "from a pipe", r#"{"a":"from a pipe"}"#),
        (&[&*format!("@{json}")], "", r#"{"list":["a"],"n":1}"#),
        (&["-"], r#"{"x":{"y":null}}"#, r#"{"x":{"y":null}}"#),
    ] {
        let ran = world.run_typing(&server, &[&["write", "kv/a"], typed].concat(), stdin);
        assert_eq!(
            (ran.stdout.as_str(), ran.exit),
            ("Success! Data written to: kv/a\n", 0),
            "{typed:?}: {}",
            ran.stderr
        );
        assert_eq!(server.ask("GET", "kv/a", "").json()["data"].to_string(), stored, "{typed:?}");
    }
}

#[test]
fn exit_codes_tell_local_failures_from_remote_ones() {
    let world = World::new();
    let server = world.dev_server();
    world.mount_passthrough(&server, &["kv"]);
    let address = &server.address;
    for (typed, exit, stderr) in [
        ("read kv/none", 2, "No value found at kv/none\n".to_owned()),
        ("list kv/none", 2, "No value found at kv/none\n".to_owned()),
        ("write kv/a", 1, "Must supply data or use -force\n".to_owned()),
        (
            "write -f kv/a",
            2,
            format!(
                "Error writing data to kv/a: Error making API request.\n\nURL: PUT {address}/v1/kv/a\nCode: 400. \
                 Errors:\n\n* missing data fields\n"
            ),
        ),
        ("read nowhere/a", 2, "No value found at nowhere/a\n".to_owned()),
        (
            "secrets enable -path=kv/below passthrough-plugin",
            2,
            format!(
                "Error enabling: Error making API request.\n\nURL: POST {address}/v1/sys/mounts/kv/below\nCode: 400. \
                 Errors:\n\n* existing mount at kv/\n"
            ),
        ),
        (
            "secrets enable nonsense",
            2,
            format!(
                "Error enabling: Error making API request.\n\nURL: POST {address}/v1/sys/mounts/nonsense\nCode: 400. \
                 Errors:\n\n* plugin not found in the catalog: nonsense\n"
            ),
        ),
        ("plugin register secret x", 1, "SHA256 is required for all plugins, please provide -sha256\n".to_owned()),
    ] {
        let ran = world.run(&server, &typed.split(' ').collect::<Vec<_>>());
        assert_eq!((ran.exit, ran.stdout.as_str(), ran.stderr), (exit, "", stderr), "{typed}");
    }
}

#[test]
fn status_and_help_answer() {
    let world = World::new();
    let server = world.dev_server();
    world.mount_passthrough(&server, &["kv"]);
    let version = env!("CARGO_PKG_VERSION");
    check(
        &world,
        &server,
        "status",
        &format!(
            "Key             Value\n---             -----\nSeal Type       shamir\nInitialized     true\n\
             Sealed          false\nTotal Shares    1\nThreshold       1\nVersion         {version}\n\
             Storage Type    inmem\nHA Enabled      false\n"
        ),
    );
    check(&world, &server, "path-help kv/a", PATH_HELP);
}

const PATH_HELP: &str = "\
Request:        a
Matching Route: {path..}

Stores data at a path.

## PARAMETERS

    path (string)

        Where the data is.

## DESCRIPTION

A write replaces all that was stored at the path; fields are not merged.

";
