//! The session of Vault's plugin pages, word for word.

use crate::program::{Server, World, sha256};

/// Returns a text with everything that is new in each run as zeros (accessors, UUIDs and digests), and without the
/// interfaces that a plugin imports because its language does.
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

/// Runs a command, words apart, that must succeed and print this.
#[track_caller]
pub(crate) fn check(world: &World, server: &Server, typed: &str, stdout: &str) {
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
        "Name                  Type      Version\n----                  ----      -------\n\
         userpass              auth      v0.1.0+builtin.cofferdam\nkv                    secret    v0.1.0+builtin.cofferdam\n\
         passthrough-plugin    secret    n/a\n",
    );
    check(
        "plugin list secret",
        "Name                  Version\n----                  -------\n\
         kv                    v0.1.0+builtin.cofferdam\npassthrough-plugin    n/a\n",
    );
    check("plugin list auth", "Name        Version\n----        -------\nuserpass    v0.1.0+builtin.cofferdam\n");
    check("plugin list -detailed secret", PLUGINS_DETAILED);
    check("plugin info secret passthrough-plugin", PLUGIN_INFO);
    check("secrets disable other", "Success! Disabled the secrets engine (if it existed) at: other/\n");
    check(
        "plugin deregister secret passthrough-plugin",
        "Success! Deregistered plugin (if it was registered): passthrough-plugin\n",
    );
    check(
        "plugin list",
        "Name        Type      Version\n----        ----      -------\n\
         userpass    auth      v0.1.0+builtin.cofferdam\nkv          secret    v0.1.0+builtin.cofferdam\n",
    );
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
Name                  Type      Version                     Deprecation Status
----                  ----      -------                     ------------------
kv                    secret    v0.1.0+builtin.cofferdam    supported
passthrough-plugin    secret    n/a                         n/a
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
