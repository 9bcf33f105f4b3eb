//! A listener with TLS, and clients that trust its authority or do not.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::program::{Server, World};

/// Writes an authority's certificate, and a certificate of it for 127.0.0.1 with its key. A server's own certificate
/// must not be an authority's.
fn certify(world: &World) {
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    world.write("ca.pem", &authority.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    world.write("cert.pem", &leaf.pem());
    world.write("key.pem", &key.serialize_pem());
}

fn configuration(world: &World) -> String {
    let (plugins, cert, key) = (world.text("plugins"), world.text("cert.pem"), world.text("key.pem"));
    let hcl = format!(
        "plugin_directory = {plugins:?}\nstorage \"inmem\" {{}}\nlistener \"tcp\" {{\n  address = \"127.0.0.1:0\"\n  \
         tls_cert_file = {cert:?}\n  tls_key_file = {key:?}\n}}\n"
    );
    world.write("tls.hcl", &hcl)
}

#[test]
fn clients_talk_tls_to_whom_they_trust() {
    let world = World::new();
    certify(&world);
    let server = Server::start(world.server_command(&configuration(&world)));
    let token = server.line("Initial Root Token: ").rsplit(' ').next().unwrap().to_owned();
    let server = server.with_token(&token);
    assert!(server.address.starts_with("https://127.0.0.1:"), "{}", server.address);

    let authority = world.text("ca.pem");
    let trusting = format!("-ca-cert={authority}");
    let listed = world.succeed(&server, &["secrets", "list", &trusting]);
    assert!(listed.contains("sys/"), "{listed}");
    let environment = [("VAULT_ADDR", &*server.address), ("VAULT_TOKEN", &*token), ("VAULT_CACERT", &*authority)];
    assert_eq!(world.run_in(&environment, &["secrets", "list"], "").stdout, listed);
    assert_eq!(world.succeed(&server, &["secrets", "list", "-tls-skip-verify"]), listed);
    let authority = std::fs::read_to_string(&authority).unwrap();
    let environment = [
        ("VAULT_ADDR", "http://127.0.0.1:1"),
        ("VAULT_AGENT_ADDR", &*server.address),
        ("VAULT_TOKEN", &*token),
        ("VAULT_CACERT_BYTES", &*authority),
    ];
    assert_eq!(world.run_in(&environment, &["secrets", "list"], "").stdout, listed, "as an agent's address");

    let ran = world.run(&server, &["secrets", "list"]);
    assert_eq!((ran.exit, ran.stdout.as_str()), (2, ""), "a stranger's certificate is refused");
    assert!(ran.stderr.to_lowercase().contains("certificate"), "{}", ran.stderr);
    let plain = server.address.replace("https:", "http:");
    let ran = world.run_in(&[("VAULT_ADDR", &*plain), ("VAULT_TOKEN", &*token)], &["secrets", "list"], "");
    assert_eq!((ran.exit, ran.stdout.as_str()), (2, ""), "nothing is answered in the clear");
    assert_eq!(server.stop().0.code(), Some(0));
}

#[test]
fn certificates_are_checked_before_anything_opens() {
    let world = World::new();
    certify(&world);
    let configuration = configuration(&world);
    let swapped = KeyPair::generate().unwrap().serialize_pem();
    for (file, text, because) in [
        ("key.pem", swapped.as_str(), "is not the key of"),
        ("key.pem", "nonsense", "holds no unencrypted private key"),
        ("cert.pem", "nonsense", "holds no certificate"),
    ] {
        certify(&world);
        world.write(file, text);
        let (exit, log) = Server::refused(world.server_command(&configuration));
        assert_eq!(exit, 1, "{log}");
        assert!(log.contains("tls.hcl:") && log.contains(because), "{log} should say {because:?}");
    }
}

#[test]
fn certificates_are_read_again_at_a_hang_up() {
    let world = World::new();
    certify(&world);
    let server = Server::start(world.server_command(&configuration(&world)));
    let token = server.line("Initial Root Token: ").rsplit(' ').next().unwrap().to_owned();
    let server = server.with_token(&token);
    let trusts = |authority: &str| {
        let listed = world.run(&server, &["secrets", "list", &format!("-ca-cert={}", world.text(authority))]);
        listed.exit == 0
    };
    std::fs::copy(world.path("ca.pem"), world.path("old-ca.pem")).unwrap();
    // Another authority's certificate with another key, and nothing happens by itself.
    certify(&world);
    assert!(trusts("old-ca.pem") && !trusts("ca.pem"));
    server.signal("HUP");
    server.logs("were taken over", 1);
    assert!(trusts("ca.pem") && !trusts("old-ca.pem"));

    // What cannot be used changes nothing.
    let key = std::fs::read_to_string(world.path("key.pem")).unwrap();
    for text in [KeyPair::generate().unwrap().serialize_pem().as_str(), "nonsense"] {
        world.write("key.pem", text);
        let before = server.log().matches("was not read again, the old one stays").count();
        server.signal("HUP");
        server.logs("was not read again, the old one stays", before + 1);
        assert!(trusts("ca.pem"));
    }
    world.write("key.pem", &key);
    server.signal("HUP");
    server.logs("were taken over", 2);
    assert!(trusts("ca.pem"));
    assert_eq!(server.stop().0.code(), Some(0));
}
