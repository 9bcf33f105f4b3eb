//! Plugins from before automatic mutual TLS, and those from before gRPC.

use cofferdam::ErrorKind;
use serde_json::json;

use crate::plugins;
use crate::servers;
use crate::stage::Stage;

#[test]
fn a_plugin_that_unwraps_its_certificate_finds_it_at_the_servers_address() {
    let Some(legacy) = plugins::go("legacy", "a plugin that unwraps its certificate") else { return };
    let world = servers::world(&[("legacy", &legacy)]);
    let server = world.native_server(&[], &["-dev-no-plugin-init"]);
    server.mount(&world, "legacy", "legacy", &json!({}));
    server.mount(&world, "again", "legacy", &json!({}));
    for mount in ["legacy", "again"] {
        for reads in [1, 2] {
            assert_eq!(server.read(&format!("{mount}/memory")), json!({"reads": reads}), "{mount}");
        }
        assert_eq!(server.ask("PUT", &format!("{mount}/kv/a"), r#"{"b":"c"}"#).status, 200);
    }
    let (status, _, log) = server.stop();
    assert!(status.success(), "{log}");
    assert_eq!(world.sockets(), [""; 0]);
}

#[tokio::test]
async fn without_an_address_to_unwrap_from_it_is_refused_with_the_way_out() {
    let Some(legacy) = plugins::go("legacy", "the refusal without api_addr") else { return };
    let stage = Stage::new().await;
    stage.register("legacy", &legacy).await;
    let error = stage.try_enable("l", "legacy").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PluginFault);
    for part in ["cannot enable l/: ", "before automatic mutual TLS", "set api_addr", "rebuild the plugin"] {
        assert!(error.message().contains(part), "{error}");
    }
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn a_plugin_that_speaks_no_grpc_is_refused_by_name() {
    let Some(netrpc) = plugins::go("netrpc", "a plugin that speaks net/rpc") else { return };
    let stage = Stage::new().await;
    let error = stage.register_with("netrpc", &netrpc, |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(error.message().contains("unsupported plugin protocol \"netrpc\". Supported: [grpc]"), "{error}");
    assert_eq!(stage.end().await, [""; 0]);
}
