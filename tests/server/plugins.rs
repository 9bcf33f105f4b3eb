//! Registration tells the truth at once: what was found, what was expected, and what to do.

use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::json;

use crate::program::{Server, World, passthrough, sha256};

const COMPONENT_PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";

/// Registers a file under the digest that it has, and returns the refusal.
#[track_caller]
fn refused(world: &World, server: &Server, command: &str, because: &[&str]) {
    let path = world.path("plugins").join(command);
    let digest = if path.is_file() { sha256(&path) } else { "0".repeat(64) };
    refused_with(server, &json!({"sha256": digest, "command": command}), because);
}

#[track_caller]
fn refused_with(server: &Server, fields: &serde_json::Value, because: &[&str]) {
    let answer = server.ask("PUT", "sys/plugins/catalog/secret/bad", &fields.to_string());
    assert_eq!(answer.status, 400, "{fields}: {answer:?}");
    let errors = answer.errors();
    for part in because {
        assert!(errors.contains(part), "{fields}: {errors:?} should say {part:?}");
    }
    let listed = server.ask("GET", "sys/plugins/catalog/secret/bad", "");
    assert_eq!(listed.status, 404, "{fields} is in the catalog all the same");
}

#[test]
fn a_wrong_digest_names_both() {
    let world = World::new();
    let server = world.dev_server();
    let (found, expected) = (sha256(&world.path("plugins/passthrough-plugin")), "ab".repeat(32));
    let typed = ["plugin", "register", &*format!("-sha256={expected}"), "secret", "passthrough-plugin"];
    let ran = world.run(&server, &typed);
    assert_eq!((ran.exit, ran.stdout.as_str()), (2, ""));
    for part in ["Error registering plugin passthrough-plugin: ", "checksums did not match", &found, &expected] {
        assert!(ran.stderr.contains(part), "{} should say {part:?}", ran.stderr);
    }
    for (digest, because) in [("", "missing SHA-256 value"), ("abc", "Could not decode SHA-256"), ("zz", "Could not")] {
        refused_with(&server, &json!({"sha256": digest, "command": "passthrough-plugin"}), &[because]);
    }
}

#[test]
fn only_regular_files_in_the_plugin_directory_are_plugins() {
    let world = World::new();
    let server = world.dev_server();
    let plugins = world.path("plugins");
    world.write("outside", "a file elsewhere");
    world.add_plugin("empty", b"");
    std::fs::create_dir(plugins.join("directory")).unwrap();
    symlink(world.path("outside"), plugins.join("link-out")).unwrap();
    symlink("../outside", plugins.join("link-up")).unwrap();
    symlink("nowhere", plugins.join("link-to-nothing")).unwrap();
    assert!(Command::new("mkfifo").arg(plugins.join("fifo")).status().unwrap().success());
    std::fs::File::create(plugins.join("huge")).unwrap().set_len((64 << 20) + 1).unwrap();

    for (command, because) in [
        ("missing", "there is no file \"missing\" in the plugin directory"),
        ("link-to-nothing", "there is no file \"link-to-nothing\""),
        ("empty", "\"empty\" is empty"),
        ("directory", "is a directory; a plugin is a regular file"),
        ("fifo", "a device, a socket or a fifo"),
        ("link-out", "leads out of the plugin directory"),
        ("link-up", "leads out of the plugin directory"),
        ("../outside", "path cannot contain parent references"),
        ("..", "path cannot contain parent references"),
        ("/etc/passwd", "directly inside the plugin directory"),
        ("directory/x", "directly inside the plugin directory"),
        ("huge", "has 67108865 bytes, and a plugin may have 67108864"),
    ] {
        refused_with(&server, &json!({"sha256": "00".repeat(32), "command": command}), &[because]);
    }
}

#[test]
fn what_is_no_plugin_is_told_by_what_it_is() {
    let world = World::new();
    let server = world.dev_server();
    let whole = passthrough();
    let noise: Vec<u8> = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for (command, bytes, because) in [
        (
            "core",
            b"\0asm\x01\0\0\0".to_vec(),
            &["a core WebAssembly module, and a plugin is a component", "wasm32-wasip2"][..],
        ),
        ("noise", noise, &["neither a WebAssembly component nor a binary", "compare its digest"]),
        ("truncated", whole[..whole.len() / 2].to_vec(), &["not a valid WebAssembly component"]),
        (
            "nothing",
            COMPONENT_PREAMBLE.to_vec(),
            &["it exports nothing", "cofferdam:plugin/backend@0.1.0", "cofferdam-sdk"],
        ),
        ("greedy", importing("evil:keys/steal@1.0.0"), &["evil:keys/steal@1.0.0"]),
        ("foreign", elf(foreign_machine()), &["is a Linux binary for", "build the plugin for this machine"]),
    ] {
        world.add_plugin(command, &bytes);
        refused(&world, &server, command, because);
    }
}

#[test]
fn a_component_cannot_lie_about_itself() {
    let world = World::new();
    let server = world.dev_server();
    world.add_plugin("counter-plugin", &crate::program::example("counter_plugin"));
    let digest = sha256(&world.path("plugins/counter-plugin"));
    let fields = json!({"sha256": digest, "command": "counter-plugin", "version": "9.9.9"});
    refused_with(&server, &fields, &["plugin version mismatch", "v0.1.0", "v9.9.9"]);

    let fields = json!({"sha256": digest, "command": "counter-plugin"});
    let answer = server.ask("PUT", "sys/plugins/catalog/auth/counter", &fields.to_string());
    assert_eq!(answer.status, 400);
    assert!(answer.errors().contains("was registered as type auth, and says that it is of type secret"), "{answer:?}");

    let answer = server.ask("PUT", "sys/plugins/catalog/secret/counter", &fields.to_string());
    assert_eq!(answer.json()["data"]["version"], "v0.1.0", "its own version is taken");
    assert_eq!(server.ask("GET", "sys/plugins/catalog/secret/counter?version=0.1.0", "").status, 200);
}

#[test]
fn a_native_file_that_is_no_plugin_is_refused_with_the_reason() {
    let world = World::new();
    let server = world.dev_server();
    world.add_plugin("native", &elf(own_machine()));
    let digest = sha256(&world.path("plugins/native"));
    let ran = world.run(&server, &["plugin", "register", &format!("-sha256={digest}"), "secret", "native"]);
    assert_eq!(ran.exit, 2);
    assert!(ran.stderr.contains("Error registering plugin native"), "{}", ran.stderr);
    assert!(!world.succeed(&server, &["plugin", "list"]).contains("native"));
}

#[test]
fn a_component_of_45_mb_passes() {
    let world = World::new();
    let server = world.dev_server();
    world.add_plugin("large", &padded(passthrough(), 45_000_000));
    let digest = sha256(&world.path("plugins/large"));
    world.succeed(&server, &["plugin", "register", &format!("-sha256={digest}"), "secret", "large"]);
    world.succeed(&server, &["secrets", "enable", "large"]);
    world.succeed(&server, &["write", "large/a", "b=c"]);
    assert_eq!(world.succeed(&server, &["read", "-field=b", "large/a"]), "c");
}

#[test]
fn a_development_server_registers_what_it_finds() {
    let world = World::new();
    world.add_plugin("notes.txt", b"not a plugin");
    let mut command = world.program();
    command.args([
        "server",
        "-dev",
        "-dev-root-token-id=root",
        "-dev-listen-address=127.0.0.1:0",
        "-dev-no-store-token",
    ]);
    command.arg(format!("-dev-plugin-dir={}", world.text("plugins")));
    let server = Server::start(command).with_token("root");
    server.line("The following dev plugins FAILED to be registered in the catalog:");
    let failed = server.line("    - notes.txt: ");
    assert!(failed.contains("neither a WebAssembly component nor a binary"), "{failed}");
    assert!(world.succeed(&server, &["plugin", "list"]).contains("passthrough-plugin    secret"));
    assert_eq!(
        server.ask("GET", "sys/plugins/catalog", "").json()["data"]["secret"],
        json!(["kv", "passthrough-plugin"])
    );
    world.succeed(&server, &["secrets", "enable", "passthrough-plugin"]);
}

// ----------------------------------------------------------------------------------------------------------- files, by
// hand

/// Returns a component that is so many bytes longer: with a custom section, which means nothing to anybody.
pub(crate) fn padded(mut component: Vec<u8>, bytes: usize) -> Vec<u8> {
    let name = b"padding";
    component.push(0);
    append_leb128(&mut component, 1 + name.len() + bytes);
    append_leb128(&mut component, name.len());
    component.extend_from_slice(name);
    component.resize(component.len() + bytes, 0);
    component
}

fn append_leb128(to: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// Returns a component that imports an instance of this name, an empty one.
fn importing(name: &str) -> Vec<u8> {
    let empty_instance_type = [7, 3, 1, 0x42, 0];
    let import = [&[1, 0, name.len() as u8], name.as_bytes(), &[5, 0]].concat();
    [COMPONENT_PREAMBLE, &empty_instance_type, &[10, import.len() as u8], &import].concat()
}

/// Returns the header of a 64-bit Linux binary for a machine.
fn elf(machine: u16) -> Vec<u8> {
    let mut header = vec![0; 64];
    header[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    // An executable.
    header[16] = 2;
    header[18..20].copy_from_slice(&machine.to_le_bytes());
    header
}

const X86_64: u16 = 62;
const AARCH64: u16 = 183;

fn own_machine() -> u16 {
    if cfg!(target_arch = "aarch64") { AARCH64 } else { X86_64 }
}

fn foreign_machine() -> u16 {
    if cfg!(target_arch = "aarch64") { X86_64 } else { AARCH64 }
}

#[test]
fn a_plugin_directory_that_is_replaced_is_looked_up_again() {
    let world = World::new();
    let server = world.dev_server();
    let digest = sha256(&world.path("plugins/passthrough-plugin"));
    // A deployment by rename: the new directory has what the old one had not.
    std::fs::rename(world.path("plugins"), world.path("old")).unwrap();
    std::fs::create_dir(world.path("plugins")).unwrap();
    world.add_plugin("deployed", &passthrough());
    let register = format!("-sha256={digest}");
    world.succeed(&server, &["plugin", "register", &register, "secret", "deployed"]);
    world.succeed(&server, &["secrets", "enable", "-path=a", "deployed"]);
    world.succeed(&server, &["write", "a/x", "b=c"]);
    // By a link that is pointed elsewhere.
    std::fs::remove_dir_all(world.path("plugins")).unwrap();
    symlink(world.path("old"), world.path("plugins")).unwrap();
    world.succeed(&server, &["plugin", "register", &register, "secret", "passthrough-plugin"]);
}

#[test]
fn the_development_server_follows_links_inside_its_directory_and_names_the_others() {
    let world = World::new();
    let plugins = world.path("plugins");
    std::fs::create_dir(plugins.join("..2026")).unwrap();
    std::fs::rename(plugins.join("passthrough-plugin"), plugins.join("..2026/projected")).unwrap();
    symlink("..2026", plugins.join("..data")).unwrap();
    symlink("..data/projected", plugins.join("projected")).unwrap();
    symlink("/etc/hostname", plugins.join("elsewhere")).unwrap();
    let server = world.dev_server_with(&["-dev-no-kv"]);
    world.succeed(&server, &["secrets", "enable", "-path=a", "projected"]);
    server.logs("elsewhere in -dev-plugin-dir is left out: it is a link that leads out of", 1);
    assert!(!server.log().contains("..data in"), "{}", server.log());
}

#[test]
fn a_server_without_a_plugin_directory_has_its_built_in_plugins() {
    let world = World::new();
    let configuration = world.configuration("");
    let text = std::fs::read_to_string(&configuration).unwrap();
    std::fs::write(&configuration, text.split_once('\n').unwrap().1).unwrap();
    let server = Server::start(world.server_command(&configuration));
    let token = server.line("Initial Root Token: ").rsplit(' ').next().unwrap().to_owned();
    let server = server.with_token(&token);
    world.succeed(&server, &["secrets", "enable", "-path=a", "kv"]);
    world.succeed(&server, &["write", "a/x", "b=c"]);
    let fields = json!({"sha256": "0".repeat(64), "command": "some"});
    let answer = server.ask("PUT", "sys/plugins/catalog/secret/some", &fields.to_string());
    assert!(answer.status == 400 && answer.errors().contains("set plugin_directory"), "{answer:?}");
}
