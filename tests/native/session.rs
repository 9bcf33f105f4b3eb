//! The operator's session of Vault's plugin pages with a native plugin, and a directory with plugins of both kinds.

use crate::plugins;
use crate::program::sha256;
use crate::servers;

#[test]
fn the_session_of_vaults_plugin_pages_with_a_native_plugin() {
    let Some(engine) = plugins::go("engine", "the operator's session") else { return };
    let world = servers::world(&[("engine-linux", &engine)]);
    let server = world.native_server(&[], &["-dev-no-plugin-init"]);
    let check = |typed: &str, stdout: &str| {
        let words: Vec<&str> = typed.split(' ').collect();
        assert_eq!(world.succeed(&server, &words), stdout, "{typed}");
    };
    let digest = sha256(&world.path("plugins/engine-linux"));
    check(
        &format!("plugin register -sha256={digest} -command=engine-linux -args=-log=1 -env=WHO=ada secret engine"),
        "Success! Registered plugin: engine\n",
    );
    check("secrets enable -path=mine engine", "Success! Enabled the engine secrets engine at: mine/\n");
    check("write mine/items/a value=b", "Key          Value\n---          -----\noperation    create\n");
    check("read mine/items/a", "Key      Value\n---      -----\nvalue    b\n");
    check("read -field=value mine/env/WHO", "ada");
    check(
        "plugin list secret",
        "Name      Version\n----      -------\nengine    v2.0.1\nkv        v0.1.0+builtin.cofferdam\n",
    );
    check("plugin info -field=runtime -version=v2.0.1 secret engine", "native");
    check(
        "plugin info -version=v2.0.1 secret engine",
        &format!(
            "Key                   Value\n\
             ---                   -----\n\
             args                  [-log=1]\n\
             builtin               false\n\
             capabilities          [everything that the server's user may do (not sandboxed)]\n\
             command               engine-linux\n\
             deprecation_status    n/a\n\
             imports               []\n\
             instances             per-mount\n\
             name                  engine\n\
             runtime               native\n\
             sha256                {digest}\n\
             version               v2.0.1\n"
        ),
    );
    check("secrets disable mine", "Success! Disabled the secrets engine (if it existed) at: mine/\n");
    check(
        "plugin deregister -version=v2.0.1 secret engine",
        "Success! Deregistered plugin (if it was registered): engine\n",
    );
    assert!(!world.succeed(&server, &["plugin", "list"]).contains("engine"));
    assert!(server.stop().0.success());
}

#[test]
fn a_directory_may_hold_native_plugins_beside_components() {
    let Some(engine) = plugins::go("engine", "native plugins in -dev-plugin-dir") else { return };
    let world = servers::world(&[("engine", &engine)]);
    let server = world.native_server(&[], &[]);
    let listed = world.succeed(&server, &["plugin", "list"]);
    assert_eq!(
        listed,
        "Name                  Type      Version\n\
         ----                  ----      -------\n\
         userpass              auth      v0.1.0+builtin.cofferdam\n\
         engine                secret    v2.0.1\n\
         kv                    secret    v0.1.0+builtin.cofferdam\n\
         passthrough-plugin    secret    n/a\n"
    );
    for (plugin, path) in [("engine", "items/a"), ("passthrough-plugin", "a")] {
        world.succeed(&server, &["secrets", "enable", plugin]);
        world.succeed(&server, &["write", &format!("{plugin}/{path}"), "value=b"]);
        assert_eq!(world.succeed(&server, &["read", "-field=value", &format!("{plugin}/{path}")]), "b");
    }
}
