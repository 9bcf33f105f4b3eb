//! The session of Vault's plugin pages, word for word.

use serde_json::Value;

use crate::program::{Server, World, sha256};

/// Returns a text with everything that is new in each run as zeros (accessors, UUIDs and digests), and without the interfaces
/// that a plugin imports because its language does.
fn normalised(text: &str) -> String {
    let text = match text.split_once(" wasi:") {
        Some((before, after)) => &format!("{before} …{}", &after[after.find(']').unwrap_or(0)..]),
        None => text,
    };
    let is_ours = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c) || c == '-';
    let mut normalised = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_ours) {
        let (before, from) = rest.split_at(start);
        let (run, after) = from.split_at(from.find(|c| !is_ours(c)).unwrap_or(from.len()));
        let dashes: Vec<_> = run.match_indices('-').map(|(at, _)| at).collect();
        let is_new = match run.len() {
            64 => dashes.is_empty(),
            36 => dashes == [8, 13, 18, 23],
            8 => dashes.is_empty() && before.ends_with('_'),
            _ => false,
        };
        normalised.push_str(before);
        if is_new {
            normalised.extend(run.chars().map(|c| if c == '-' { '-' } else { '0' }));
        } else {
            normalised.push_str(run);
        }
        rest = after;
    }
    normalised + rest
}

#[track_caller]
fn check(world: &World, server: &Server, typed: &str, stdout: &str) {
    let typed: Vec<&str> = typed.split(' ').collect();
    assert_eq!(normalised(&world.succeed(server, &typed)), stdout, "{typed:?}");
}

#[test]
fn the_session_of_vaults_plugin_pages() {
    let world = World::new();
    let server = world.dev_server();
    let check = |typed: &str, stdout: &str| check(&world, &server, typed, stdout);
    let digest = sha256(&world.path("plugins/passthrough-plugin"));

    check(
        &format!("plugin register -sha256={digest} secret passthrough-plugin"),
        "Success! Registered plugin: passthrough-plugin\n",
    );
    check(
        "secrets enable -path=my-secrets passthrough-plugin",
        "Success! Enabled the passthrough-plugin secrets engine at: my-secrets/\n",
    );
    check("secrets list", MOUNTS);
    check("secrets list -detailed", MOUNTS_DETAILED);
    check("write my-secrets/a b=c", "Success! Data written to: my-secrets/a\n");
    check("read my-secrets/a", "Key    Value\n---    -----\nb      c\n");
    check("list my-secrets", "Keys\n----\na\n");
    check("delete my-secrets/a", "Success! Data deleted (if it existed) at: my-secrets/a\n");
    check("secrets tune -description=for-ada my-secrets", "Success! Tuned the secrets engine at: my-secrets/\n");
    check(
        "secrets move my-secrets other",
        "Started moving secrets engine my-secrets/ to other/, with migration ID 00000000-0000-0000-0000-000000000000\n\
         Success! Finished moving secrets engine my-secrets/ to other/, with migration ID \
         00000000-0000-0000-0000-000000000000\n",
    );
    check(
        "plugin list",
        "Name                  Type      Version\n----                  ----      -------\npassthrough-plugin    secret    n/a\n",
    );
    check(
        "plugin list secret",
        "Name                  Version\n----                  -------\npassthrough-plugin    n/a\n",
    );
    check("plugin list auth", "Name    Version\n----    -------\n");
    check("plugin list -detailed secret", PLUGINS_DETAILED);
    check("plugin info secret passthrough-plugin", PLUGIN_INFO);
    check("secrets disable other", "Success! Disabled the secrets engine (if it existed) at: other/\n");
    check(
        "plugin deregister secret passthrough-plugin",
        "Success! Deregistered plugin (if it was registered): passthrough-plugin\n",
    );
    check("plugin list", "Name    Type    Version\n----    ----    -------\n");
}

const MOUNTS: &str = "\
Path           Type                  Accessor                       Description
----           ----                  --------                       -----------
my-secrets/    passthrough-plugin    passthrough-plugin_00000000    n/a
sys/           system                system_00000000                system endpoints used for control, policy and debugging
";

/// Its lines, too long to read otherwise, in pieces of some columns each.
const MOUNTS_DETAILED: &str = concat!(
    "Path           Plugin                Accessor                       Default TTL    Max TTL    Force No Cache    ",
    "Replication    Seal Wrap    External Entropy Access    Options    ",
    "Description                                                UUID                                    ",
    "Version    Running Version    Running SHA256                                                      ",
    "Deprecation Status\n",
    "----           ------                --------                       -----------    -------    --------------    ",
    "-----------    ---------    -----------------------    -------    ",
    "-----------                                                ----                                    ",
    "-------    ---------------    --------------                                                      ",
    "------------------\n",
    "my-secrets/    passthrough-plugin    passthrough-plugin_00000000    system         system     false             ",
    "replicated     false        false                      map[]      ",
    "n/a                                                        00000000-0000-0000-0000-000000000000    ",
    "n/a        n/a                0000000000000000000000000000000000000000000000000000000000000000    ",
    "n/a\n",
    "sys/           system                system_00000000                n/a            n/a        false             ",
    "replicated     true         false                      map[]      ",
    "system endpoints used for control, policy and debugging    00000000-0000-0000-0000-000000000000    ",
    "n/a        n/a                n/a                                                                 ",
    "n/a\n",
);

const PLUGINS_DETAILED: &str = "\
Name                  Type      Version    Deprecation Status
----                  ----      -------    ------------------
passthrough-plugin    secret    n/a        n/a
";

const PLUGIN_INFO: &str = "\
Key                   Value
---                   -----
args                  []
builtin               false
capabilities          [environment (the registration's args and env) output (to the log) storage, caller, log (its own mount's)]
command               passthrough-plugin
deprecation_status    n/a
imports               [cofferdam:plugin/types@0.1.0 cofferdam:plugin/host@0.1.0 …]
instances             per-mount
name                  passthrough-plugin
runtime               wasm
sha256                0000000000000000000000000000000000000000000000000000000000000000
version               n/a
";

#[test]
fn moving_and_tuning_show_in_the_list_and_keep_the_data() {
    let world = World::new();
    let server = world.dev_server();
    world.mount_passthrough(&server, &["my-secrets"]);
    let mount = |path: &str| server.ask("GET", &format!("sys/mounts/{path}"), "").json()["data"].clone();
    let before = mount("my-secrets");

    check(&world, &server, "write my-secrets/deep/a b=c", "Success! Data written to: my-secrets/deep/a\n");
    world.succeed(&server, &["secrets", "tune", "-description=for ada", "-max-lease-ttl=2h", "my-secrets"]);
    world.succeed(&server, &["secrets", "move", "my-secrets", "team/other"]);

    let after = mount("team/other");
    assert_eq!((&after["uuid"], &after["accessor"]), (&before["uuid"], &before["accessor"]));
    assert_eq!((&after["description"], &after["config"]["max_lease_ttl"]), (&"for ada".into(), &7200.into()));
    check(&world, &server, "read -field=b team/other/deep/a", "c");
    assert_eq!(server.ask("GET", "my-secrets/deep/a", "").status, 404);

    world.succeed(&server, &["secrets", "disable", "team/other"]);
    world.mount_passthrough(&server, &["team/other"]);
    assert_eq!(server.ask("GET", "team/other/deep/a", "").status, 404, "a mount's data outlived it");
}

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
    assert_eq!(plugins["secret"], serde_json::json!(["passthrough-plugin"]));
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
                "Error enabling: Error making API request.\n\nURL: POST {address}/v1/sys/mounts/kv/below\nCode: 409. \
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
