//! Clients that leave: a native plugin hears that nobody waits any more, and its process goes on.

use serde_json::json;

use crate::http::Request;
use crate::http2::Connection;
use crate::{plugins, servers};

const WAITS: &str = "a request waits at its gate";
const GIVEN_UP: &str = "a request was given up: context canceled";

#[test]
fn a_plugin_hears_that_a_client_has_left() {
    let Some(engine) = plugins::go("engine", "clients that leave") else { return };
    let world = servers::world(&[("engine", &engine)]);
    let server = world.native_server(&[], &["-dev-no-plugin-init"]);
    server.mount(&world, "e", "engine", &json!({}));
    let pid = server.read("e/pid");

    let stream = Request::new("GET", "e/wait/one").token(&server.token).begin(&server.address);
    server.logs(WAITS, 1);
    drop(stream);
    server.logs(GIVEN_UP, 1);

    let mut connection = Connection::open(&server.address, &server.token);
    connection.begin(1, "e/wait/two");
    server.logs(WAITS, 2);
    connection.cancel(1);
    server.logs(GIVEN_UP, 2);

    connection.begin(3, "e/wait/three");
    connection.begin(5, "e/wait/four");
    server.logs(WAITS, 4);
    drop(connection);
    server.logs(GIVEN_UP, 4);

    assert_eq!(server.read("e/pid"), pid, "the process lives on");
    assert_eq!(server.stop().0.code(), Some(0));
}
