//! Where the program finds a server and a token: flags, our variables, Vault's variables, files, in this order.

use crate::program::{Server, World};

#[test]
fn our_variables_win_over_vaults_and_flags_over_both() {
    let world = World::new();
    let server = world.dev_server();
    let address = server.address.as_str();
    let nobody = "http://127.0.0.1:1";
    for (environment, flags, exit) in [
        (&[("VAULT_ADDR", address), ("VAULT_TOKEN", "root")][..], &[][..], 0),
        (&[("COFFERDAM_ADDR", address), ("COFFERDAM_TOKEN", "root")], &[], 0),
        (&[("VAULT_ADDR", nobody), ("COFFERDAM_ADDR", address), ("VAULT_TOKEN", "root")], &[], 0),
        (&[("VAULT_ADDR", address), ("COFFERDAM_ADDR", nobody), ("VAULT_TOKEN", "root")], &[], 2),
        (&[("VAULT_ADDR", address), ("VAULT_TOKEN", "wrong"), ("COFFERDAM_TOKEN", "root")], &[], 0),
        (&[("VAULT_ADDR", address), ("VAULT_TOKEN", "root"), ("COFFERDAM_TOKEN", "wrong")], &[], 2),
        (&[("VAULT_ADDR", address), ("VAULT_TOKEN", "root"), ("COFFERDAM_TOKEN", "")], &[], 0),
        (&[("COFFERDAM_ADDR", nobody), ("VAULT_TOKEN", "root")], &["-address", address], 0),
        (&[("COFFERDAM_ADDR", address), ("VAULT_TOKEN", "root")], &["-address", nobody], 2),
        (&[("VAULT_ADDR", address)], &[], 2),
    ] {
        let ran = world.run_in(environment, &[&["secrets", "list"], flags].concat(), "");
        assert_eq!(ran.exit, exit, "{environment:?} {flags:?}: {}", ran.stderr);
        let refused = ran.stderr.contains("permission denied") || ran.stderr.contains("There is no talking");
        assert_eq!(refused, exit == 2, "{environment:?} {flags:?}: {}", ran.stderr);
    }
}

#[test]
fn a_development_server_leaves_its_token_where_clients_look() {
    let world = World::new();
    let mut command = world.program();
    command.args(["server", "-dev", "-dev-listen-address=127.0.0.1:0"]);
    let server = Server::start(command);
    let printed = server.line("Root Token: ").rsplit(' ').next().unwrap().to_owned();
    server.line("Development mode should NOT");
    let path = world.path("home/.cofferdam-token");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), printed);
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let ran = world.run_in(&[("VAULT_ADDR", &server.address)], &["secrets", "list"], "");
    assert_eq!(ran.exit, 0, "{}", ran.stderr);

    // A token that `vault login` left is found as well, but ours goes before it.
    std::fs::write(world.path("home/.vault-token"), "wrong").unwrap();
    assert_eq!(world.run_in(&[("VAULT_ADDR", &server.address)], &["secrets", "list"], "").exit, 0);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(world.run_in(&[("VAULT_ADDR", &server.address)], &["secrets", "list"], "").exit, 2);
}

/// Whoever made the file before chose who may read it, or where it lies.
#[test]
fn the_token_file_is_a_new_one() {
    use std::os::unix::fs::PermissionsExt as _;
    for is_link in [false, true] {
        let world = World::new();
        let (path, other) = (world.path("home/.cofferdam-token"), world.path("other"));
        std::fs::write(&other, "untouched").unwrap();
        if is_link {
            std::os::unix::fs::symlink(&other, &path).unwrap();
        } else {
            std::fs::write(&path, "old").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        }
        let mut command = world.program();
        command.args(["server", "-dev", "-dev-listen-address=127.0.0.1:0"]);
        let server = Server::start(command);
        server.line("Development mode should NOT");
        let found = std::fs::symlink_metadata(&path).unwrap();
        assert!(found.is_file() && found.permissions().mode() & 0o777 == 0o600, "{found:?}");
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "untouched");
    }
}

#[test]
fn the_server_takes_its_settings_from_the_environment_too() {
    for prefix in ["VAULT", "COFFERDAM"] {
        let world = World::new();
        let mut command = world.program();
        command.env(format!("{prefix}_DEV_ROOT_TOKEN_ID"), "sesame");
        command.env(format!("{prefix}_DEV_LISTEN_ADDRESS"), "127.0.0.1:0").env(format!("{prefix}_LOG_LEVEL"), "debug");
        command.args(["server", "-dev", "-dev-no-store-token"]);
        let server = Server::start(command).with_token("sesame");
        assert_eq!(server.ask("GET", "sys/mounts", "").status, 200, "{prefix}");
        assert!(!world.path("home/.cofferdam-token").exists());
        assert_eq!(server.stop().0.code(), Some(0));
    }
}
