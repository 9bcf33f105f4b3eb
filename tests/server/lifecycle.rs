//! What becomes of mounts while plugins change: reloads, versions, and what stays as it was where something fails.

use serde_json::{Value, json};

use crate::plugins::padded;
use crate::program::{Server, World, passthrough, sha256};

/// Puts another build of the passthrough plugin into the plugin directory, one that no other number gives, and returns
/// its digest.
pub(crate) fn add_build(world: &World, file: &str, number: usize) -> String {
    world.add_plugin(file, &padded(passthrough(), number));
    sha256(&world.path("plugins").join(file))
}

/// Registers a build of its own as a version of the plugin `kv`, and returns its digest.
pub(crate) fn register(world: &World, server: &Server, version: &str, number: usize) -> String {
    let file = format!("kv-{version}");
    let digest = add_build(world, &file, number);
    let (digest_flag, version_flag) = (format!("-sha256={digest}"), format!("-version={version}"));
    let command = format!("-command={file}");
    world.succeed(server, &["plugin", "register", &digest_flag, &version_flag, &command, "secret", "kv"]);
    digest
}

/// Returns what `secrets list` shows of a mount: the version that it asks for, the one that runs, and its digest.
#[track_caller]
pub(crate) fn versions(server: &Server, mount: &str) -> [String; 3] {
    let answer = server.ask("GET", "sys/mounts", "").json()["data"][mount].clone();
    ["plugin_version", "running_plugin_version", "running_sha256"]
        .map(|member| answer[member].as_str().unwrap_or_else(|| panic!("{mount} has no {member}: {answer}")).to_owned())
}

#[test]
fn a_tuned_version_runs_from_the_reload_on() {
    let world = World::new();
    let server = world.dev_server();
    let (one, two) = (register(&world, &server, "1.0.0", 1), register(&world, &server, "2.0.0", 2));
    for mount in ["a", "b"] {
        world.succeed(&server, &["secrets", "enable", "-plugin-version=1.0.0", &format!("-path={mount}"), "kv"]);
        world.succeed(&server, &["write", &format!("{mount}/x"), &format!("of={mount}")]);
        world.succeed(&server, &["secrets", "tune", "-plugin-version=v2.0.0", mount]);
        assert_eq!(
            versions(&server, &format!("{mount}/")),
            ["v2.0.0", "v1.0.0", &one],
            "a tune changes what comes next"
        );
    }

    let said = world.succeed(&server, &["plugin", "reload", "-mounts=a/"]);
    assert_eq!(said, "Success! Reloaded mounts: [a/]\n");
    assert_eq!(versions(&server, "a/"), ["v2.0.0", "v2.0.0", &two]);
    assert_eq!(versions(&server, "b/"), ["v2.0.0", "v1.0.0", &one], "the other mount was not named");

    assert_eq!(world.succeed(&server, &["plugin", "reload", "-plugin=kv"]), "Success! Reloaded plugin: kv\n");
    assert_eq!(versions(&server, "b/"), ["v2.0.0", "v2.0.0", &two]);
    for mount in ["a", "b"] {
        assert_eq!(world.succeed(&server, &["read", "-field=of", &format!("{mount}/x")]), mount, "data stays");
    }
    let listed = world.succeed(&server, &["secrets", "list", "-detailed"]);
    let cells = format!("v2.0.0     v2.0.0             {two}");
    assert_eq!(listed.matches(&cells).count(), 2, "{listed}");
}

#[test]
fn reloads_are_asked_for_as_vault_takes_them() {
    let world = World::new();
    let server = world.dev_server();
    register(&world, &server, "1.0.0", 1);
    world.succeed(&server, &["secrets", "enable", "-path=a", "kv"]);
    world.succeed(&server, &["secrets", "enable", "-path=b", "kv"]);

    let put = |path: &str, body: Value| server.ask("PUT", path, &body.to_string());
    for (path, body, status) in [
        ("sys/plugins/reload/backend", json!({"plugin": "kv"}), 200),
        ("sys/plugins/reload/backend", json!({"mounts": "a,b/", "scope": ""}), 200),
        ("sys/plugins/reload/backend", json!({"plugin": "kv", "scope": "global"}), 202),
        ("sys/plugins/reload/secret/kv", json!({}), 200),
        ("sys/plugins/reload/unknown/kv", json!({"scope": "global"}), 202),
    ] {
        let answer = put(path, body.clone());
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
        assert!(
            !answer.json()["data"]["reload_id"].as_str().unwrap_or_default().is_empty(),
            "{path} {body}: {answer:?}"
        );
        assert_eq!(answer.json()["warnings"], Value::Null, "{path} {body}");
    }
    for (path, body) in [
        ("sys/plugins/reload/backend", json!({"plugin": "nope"})),
        ("sys/plugins/reload/backend", json!({"mounts": "a,nope"})),
        ("sys/plugins/reload/auth/kv", json!({})),
        ("sys/plugins/reload/database/kv", json!({})),
    ] {
        assert_eq!(put(path, body.clone()).status, 400, "{path} {body}");
    }
    assert_eq!(server.ask("GET", "sys/plugins/reload/backend", "").status, 405);

    let said = world.succeed(&server, &["plugin", "reload", "-type=secret", "-plugin=kv", "-scope=global"]);
    let id = said.strip_prefix("Success! Reloading plugin: kv, reload_id: ").unwrap_or_else(|| panic!("{said}")).trim();
    let status = server.ask("GET", &format!("sys/plugins/reload/backend/status?reload_id={id}"), "").json();
    let results = status["data"]["results"].as_object().unwrap().clone();
    let (node, result) = results.iter().next().unwrap();
    assert_eq!((status["data"]["reload_id"].as_str(), &result["error"]), (Some(id), &json!("")));
    let told = world.succeed(&server, &["plugin", "reload-status", id]);
    assert!(told.starts_with("Time        Participant "), "{told}");
    assert!(told.contains(&format!("    {node}    true       n/a\n")), "{told}");
    assert_eq!(world.run(&server, &["plugin", "reload-status", "nope"]).exit, 2);
}

#[test]
fn a_mount_that_cannot_be_reloaded_goes_on_and_is_named() {
    let world = World::new();
    let server = world.first_server();
    let token = server.token.clone();
    let one = register(&world, &server, "1.0.0", 1);
    register(&world, &server, "2.0.0", 2);
    for mount in ["a", "b"] {
        let path = format!("-path={mount}");
        world.succeed(&server, &["secrets", "enable", "-plugin-version=1.0.0", &path, "kv"]);
        world.succeed(&server, &["write", &format!("{mount}/x"), "y=z"]);
    }
    server.stop();

    // The next server has not loaded the second version when its file changes.
    let server = world.next_server(&token);
    world.add_plugin("kv-2.0.0", b"something else");
    world.succeed(&server, &["secrets", "tune", "-plugin-version=2.0.0", "b"]);
    let ran = world.run(&server, &["plugin", "reload", "-plugin=kv"]);
    assert_eq!((ran.exit, ran.stdout.as_str()), (2, ""));
    for part in [
        "Error reloading plugin/mounts: ",
        "Code: 400.",
        "cannot reload plugin on \"b/\": ",
        "checksums did not match",
        "; the mount goes on with what it ran; reloaded: a/",
    ] {
        assert!(ran.stderr.contains(part), "{} should say {part:?}", ran.stderr);
    }
    assert_eq!(versions(&server, "b/"), ["v2.0.0", "v1.0.0", &one]);
    assert_eq!(world.succeed(&server, &["read", "-field=y", "b/x"]), "z");
}

#[test]
fn several_versions_are_side_by_side_and_the_newest_is_frozen() {
    let world = World::new();
    let server = world.dev_server();
    let (two, ten) = (register(&world, &server, "2.0", 2), register(&world, &server, "10.0.0", 10));
    world.succeed(&server, &["secrets", "enable", "-path=newest", "kv"]);
    world.succeed(&server, &["secrets", "enable", "-path=asked", "-plugin-version=2.0.0", "kv"]);
    register(&world, &server, "11.0.0", 11);
    world.succeed(&server, &["plugin", "reload", "-plugin=kv"]);
    assert_eq!(versions(&server, "newest/"), ["v10.0.0", "v10.0.0", &ten], "a newer one changes no mount");
    assert_eq!(versions(&server, "asked/"), ["v2.0.0", "v2.0.0", &two]);
    let info = world.succeed(&server, &["plugin", "info", "-version=2.0.0", "-field=sha256", "secret", "kv"]);
    assert_eq!(info, two);

    // Back to what has no version, which goes before all others for whoever asks for none.
    world.succeed(&server, &["plugin", "register", &format!("-sha256={two}"), "-command=kv-2.0", "secret", "kv"]);
    world.succeed(&server, &["secrets", "enable", "-path=plain", "kv"]);
    assert_eq!(versions(&server, "plain/"), ["", "", &two]);
    world.succeed(&server, &["secrets", "tune", "-plugin-version=unversioned", "asked"]);
    world.succeed(&server, &["plugin", "reload", "-mounts=asked"]);
    assert_eq!(versions(&server, "asked/"), ["", "", &two]);
}

#[test]
fn an_entry_that_a_mount_uses_stays() {
    let world = World::new();
    let server = world.dev_server();
    for number in [1, 2, 3] {
        register(&world, &server, &format!("{number}.0.0"), number);
    }
    world.succeed(&server, &["secrets", "enable", "-path=a", "-plugin-version=1.0.0", "kv"]);
    world.succeed(&server, &["secrets", "enable", "-path=b", "-plugin-version=1.0.0", "kv"]);
    world.succeed(&server, &["secrets", "tune", "-plugin-version=2.0.0", "b"]);
    let deregister = |version: &str| {
        let flag = format!("-version={version}");
        let ran = world.run(&server, &["plugin", "deregister", &flag, "secret", "kv"]);
        (ran.exit, ran.stderr)
    };
    for (version, users) in [("1.0.0", "it is used by a/, b/;"), ("2.0.0", "it is used by b/;")] {
        let (exit, said) = deregister(version);
        assert!(exit == 2 && said.contains("Code: 400.") && said.contains(users), "{version}: {exit} {said}");
    }
    assert_eq!(deregister("3.0.0").0, 0, "nobody uses it");
    world.succeed(&server, &["plugin", "reload", "-plugin=kv"]);
    assert!(deregister("1.0.0").1.contains("it is used by a/;"), "the other has left it");
    world.succeed(&server, &["secrets", "disable", "a"]);
    assert_eq!(deregister("1.0.0").0, 0);
    assert_eq!(deregister("1.0.0").0, 0, "what is not there is gone already");
}

#[test]
fn a_pin_decides_from_the_next_start_on() {
    let world = World::new();
    let server = world.first_server();
    let token = server.token.clone();
    let (one, two) = (register(&world, &server, "1.0.0", 1), register(&world, &server, "2.0.0", 2));
    world.succeed(&server, &["secrets", "enable", "-path=a", "-plugin-version=1.0.0", "kv"]);
    assert_eq!(
        world.succeed(&server, &["plugin", "pin", "-version=2.0.0", "secret", "kv"]),
        "Success! Pinned secret plugin kv to version: v2.0.0\n"
    );
    assert_eq!(
        world.succeed(&server, &["plugin", "pins"]),
        "Name    Type      Version\n----    ----      -------\nkv      secret    v2.0.0\n"
    );
    assert_eq!(server.ask("GET", "sys/plugins/pins/secret/kv", "").json()["data"]["version"], "v2.0.0");
    let detailed = server.ask("GET", "sys/plugins/catalog", "").json()["data"]["detailed"].clone();
    let pinned: Vec<_> = detailed.as_array().unwrap().iter().filter(|row| row["pinned"] == json!(true)).collect();
    assert_eq!((pinned.len(), &pinned[0]["version"]), (1, &json!("v2.0.0")));

    // Not before: neither at once, nor with a change of how the instances are kept.
    assert_eq!(versions(&server, "a/"), ["v1.0.0", "v1.0.0", &one]);
    world.succeed(&server, &["secrets", "tune", "-instances=per-request", "a"]);
    assert_eq!(versions(&server, "a/"), ["v1.0.0", "v1.0.0", &one]);

    let refused = |typed: &[&str], because: &str| {
        let ran = world.run(&server, typed);
        assert!(ran.exit == 2 && ran.stderr.contains(because), "{typed:?}: {}", ran.stderr);
    };
    let elsewhere = "cannot use version v1.0.0 of plugin \"kv\": it is pinned to v2.0.0";
    refused(&["secrets", "enable", "-path=b", "-plugin-version=1.0.0", "kv"], elsewhere);
    refused(&["secrets", "tune", "-plugin-version=1.0.0", "a"], elsewhere);
    refused(&["plugin", "deregister", "-version=2.0.0", "secret", "kv"], "cannot delete a pinned version");
    refused(&["plugin", "pin", "-version=3.0.0", "secret", "kv"], "secret plugin \"kv\" version v3.0.0 does not exist");
    world.succeed(&server, &["secrets", "enable", "-path=b", "kv"]);
    assert_eq!(versions(&server, "b/"), ["v2.0.0", "v2.0.0", &two]);
    server.stop();

    let server = world.next_server(&token);
    assert_eq!(server.ask("GET", "a/x", "").status, 404, "it answers");
    assert_eq!(versions(&server, "a/"), ["v1.0.0", "v2.0.0", &two], "a start is one, and the pin was stored");
    assert_eq!(
        world.succeed(&server, &["plugin", "unpin", "secret", "kv"]),
        "Success! Unpinned secret plugin (if it was pinned): kv\n"
    );
    world.succeed(&server, &["plugin", "unpin", "secret", "kv"]);
    assert_eq!(server.ask("GET", "sys/plugins/pins/secret/kv", "").status, 404);
    assert_eq!(versions(&server, "a/"), ["v1.0.0", "v2.0.0", &two]);
    world.succeed(&server, &["plugin", "reload", "-plugin=kv"]);
    assert_eq!(versions(&server, "a/"), ["v1.0.0", "v1.0.0", &one]);
}

#[test]
fn an_upgrade_is_one_command_that_leaves_all_as_it_was_when_it_fails() {
    let world = World::new();
    let server = world.dev_server();
    let one = register(&world, &server, "1.0.0", 1);
    for mount in ["a", "b"] {
        world.succeed(&server, &["secrets", "enable", &format!("-path={mount}"), "kv"]);
        world.succeed(&server, &["write", &format!("{mount}/x"), "y=z"]);
    }
    let two = add_build(&world, "kv-2", 2);
    let upgrade = |version: &str, digest: &str, command: &str, more: &[&str]| {
        let flags = [format!("-version={version}"), format!("-sha256={digest}"), format!("-command={command}")];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        world.run(&server, &[&["plugin", "upgrade"], &flags[..], more, &["kv"]].concat())
    };
    let ran = upgrade("2.0.0", &two, "kv-2", &["-mounts=a"]);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    assert!(
        ran.stdout.ends_with("Success! Upgraded secret plugin kv to version v2.0.0 at 1 mount\n"),
        "{}",
        ran.stdout
    );
    assert_eq!(versions(&server, "a/"), ["v2.0.0", "v2.0.0", &two]);
    assert_eq!(versions(&server, "b/"), ["v1.0.0", "v1.0.0", &one]);

    let ran = upgrade("2.0.0", &two, "kv-2", &[]);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("secret plugin kv version v2.0.0 is registered already\n"), "{}", ran.stdout);
    assert_eq!(versions(&server, "b/"), ["v2.0.0", "v2.0.0", &two]);

    // A pin forbids the tune, after the registration.
    let three = add_build(&world, "kv-3", 3);
    world.succeed(&server, &["plugin", "pin", "-version=2.0.0", "secret", "kv"]);
    let ran = upgrade("3.0.0", &three, "kv-3", &[]);
    assert_eq!(ran.exit, 2);
    for part in ["it is pinned to v2.0.0", "Backing out: deregistered secret plugin kv version v3.0.0\n"] {
        assert!(ran.stderr.contains(part), "{} should say {part:?}", ran.stderr);
    }
    assert_eq!(server.ask("GET", "sys/plugins/catalog/secret/kv?version=3.0.0", "").status, 404);
    assert_eq!(versions(&server, "a/"), ["v2.0.0", "v2.0.0", &two]);
    assert_eq!(upgrade("3.0.0", &two, "kv-3", &[]).exit, 2, "a wrong digest");
    assert_eq!(world.succeed(&server, &["read", "-field=y", "b/x"]), "z");
}

/// Returns a block that declares a build.
fn block(version: &str, command: &str, digest: &str) -> String {
    format!(
        "plugin \"secret\" \"kv\" {{\n  version = {version:?}\n  command = {command:?}\n  sha256sum = {digest:?}\n}}\n"
    )
}

#[test]
fn declared_plugins_are_registered_and_changed_by_the_configuration_alone() {
    let world = World::new();
    let (one, two) = (add_build(&world, "kv-1", 1), add_build(&world, "kv-2", 2));
    let wrong = format!("plugin \"auth\" \"bad\" {{\n  command = \"kv-1\"\n  sha256sum = \"{}\"\n}}\n", "0".repeat(64));
    let configuration = world.configuration(&format!("{}{wrong}", block("1.0.0", "kv-1", &one)));
    let server = Server::start(world.server_command(&configuration));
    let token = server.line("Initial Root Token: ").rsplit(' ').next().unwrap().to_owned();
    let server = server.with_token(&token);
    server.logs("the plugins that the configuration declares were looked at", 1);

    let entry = |server: &Server, version: &str| {
        server.ask("GET", &format!("sys/plugins/catalog/secret/kv?version={version}"), "")
    };
    let shown = entry(&server, "1.0.0").json()["data"].clone();
    assert_eq!((&shown["declarative"], &shown["sha256"]), (&json!(true), &json!(one)));
    let listed = server.ask("GET", "sys/plugins/catalog", "").json();
    let detailed = listed["data"]["detailed"].as_array().expect("there are some").clone();
    let declared: Vec<_> = detailed.iter().filter(|entry| entry["declarative"] == json!(true)).collect();
    assert_eq!(declared.len(), 1, "{detailed:?}");
    assert_eq!((&declared[0]["name"], &declared[0]["version"]), (&json!("kv"), &json!("v1.0.0")));
    for part in
        ["the declared plugin is left out: plugin \"auth\" \"bad\" at ", "server.hcl:", "checksums did not match"]
    {
        server.logs(part, 1);
    }
    world.succeed(&server, &["secrets", "enable", "-path=a", "kv"]);

    // By no other way.
    let refused = |server: &Server, typed: &[&str], because: &str| {
        let ran = world.run(server, typed);
        assert!(ran.exit == 2 && ran.stderr.contains(because), "{typed:?}: {}", ran.stderr);
    };
    let (digest, declared) =
        (format!("-sha256={two}"), "secret plugin \"kv\" version v1.0.0 is declared in the server's configuration");
    refused(&server, &["plugin", "register", &digest, "-version=1.0.0", "-command=kv-2", "secret", "kv"], declared);
    world.succeed(&server, &["secrets", "disable", "a"]);
    refused(&server, &["plugin", "deregister", "-version=1.0.0", "secret", "kv"], declared);
    world.succeed(&server, &["secrets", "enable", "-path=a", "kv"]);

    // A configuration that is not good changes nothing.
    world.configuration("plugin \"secret\" \"kv\" {}");
    server.signal("HUP");
    server.logs("has problems; nothing was changed", 1);
    assert_eq!(entry(&server, "1.0.0").status, 200);

    // What is declared no more stays as long as it is used.
    world.configuration(&block("2.0.0", "kv-2", &two));
    server.signal("HUP");
    server.logs("its plugins were taken over", 1);
    assert!(
        server.log().contains("secret plugin \"kv\" version v1.0.0 is declared no more and stays for now: "),
        "{}",
        server.log()
    );
    assert_eq!((entry(&server, "1.0.0").status, entry(&server, "2.0.0").status), (200, 200));
    world.succeed(&server, &["secrets", "tune", "-plugin-version=2.0.0", "a"]);
    world.succeed(&server, &["plugin", "reload", "-plugin=kv"]);
    assert_eq!(versions(&server, "a/"), ["v2.0.0", "v2.0.0", &two]);
    assert_eq!(server.stop().0.code(), Some(0));

    let server = Server::start(world.server_command(&configuration)).with_token(&token);
    server.logs("the plugins that the configuration declares were looked at", 1);
    assert_eq!((entry(&server, "1.0.0").status, entry(&server, "2.0.0").status), (404, 200), "the start takes it away");
    assert_eq!(server.ask("GET", "a/x", "").status, 404, "the mount answers");
    // Registered by somebody, it is nobody else's.
    world.succeed(
        &server,
        &["plugin", "register", &format!("-sha256={one}"), "-version=1.0.0", "-command=kv-1", "secret", "kv"],
    );
    world.configuration(&format!("{}{}", block("1.0.0", "kv-1", &one), block("2.0.0", "kv-2", &two)));
    server.signal("HUP");
    server.logs("is registered already, and not by the configuration; deregister it first", 1);
    assert_eq!(entry(&server, "1.0.0").json()["data"].get("declarative"), None);
}
