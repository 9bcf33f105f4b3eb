//! What a confined plugin cannot reach, from the registration to the kernel.

use serde_json::json;

use crate::plugins;
use crate::servers::{self, Line};

#[test]
fn a_confined_plugin_reads_what_it_is_granted_and_no_other_file() {
    let Some(engine) = plugins::go("engine", "a confined plugin") else { return };
    let world = servers::world(&[("engine", &engine)]);
    let secret = world.write("secret.txt", "hush");
    let server = world.native_server(&[], &["-dev-no-plugin-init"]);
    for (name, fields) in
        [("open", json!({})), ("confined", json!({"confine": true})), ("granted", json!({"confine_read": [secret]}))]
    {
        server.mount(&world, name, "engine", &fields);
    }
    let read = |name: &str| server.ask("GET", &format!("{name}/file{secret}"), "");
    let (open, confined, granted) = (read("open"), read("confined"), read("granted"));

    // The server has said what this kernel can do.
    let log = Line::all(&server.log());
    let said = log.iter().find(|line| line.text() == "native plugins run as processes").expect("the server says so");
    let support = said.field("confinement").as_str().expect("it says what the kernel offers");
    for answer in [&open, &granted] {
        assert_eq!(answer.json()["data"]["text"], "hush", "{support}: {answer:?}");
    }
    if support.starts_with("no Landlock") {
        println!("{}", crate::go::required::left_out("landlock", "a confined plugin cannot read other files"));
        assert!(
            log.iter().any(|line| line.level() == "WARN" && line.text().contains("files and signals are not confined"))
        );
        return;
    }
    assert!(support.starts_with("Landlock version "), "{support}");
    assert!(confined.body.contains("permission denied"), "{confined:?}");
    assert!(!confined.body.contains("hush"), "{confined:?}");
}
