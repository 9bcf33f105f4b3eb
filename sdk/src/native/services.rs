//! go-plugin's and the SDK's own services, which say nothing of any mount.

use cofferdam_proto::messages::logical;
use cofferdam_proto::messages::logical::VersionReply;
use cofferdam_proto::messages::logical::plugin_version_server::PluginVersion;
use cofferdam_proto::messages::multiplexing::plugin_multiplexing_server::PluginMultiplexing;
use cofferdam_proto::messages::multiplexing::{MultiplexingSupportRequest, MultiplexingSupportResponse};
use cofferdam_proto::messages::plugin::grpc_controller_server::GrpcController;
use cofferdam_proto::messages::plugin::grpc_stdio_server::GrpcStdio;
use cofferdam_proto::messages::plugin::{Empty, StdioData};
use tokio::sync::watch;
use tokio_stream::Pending;
use tonic::{Request, Response, Status};

/// Says which version the plugin is.
pub(super) struct Version(pub(super) String);

#[tonic::async_trait]
impl PluginVersion for Version {
    async fn version(&self, _request: Request<logical::Empty>) -> Result<Response<VersionReply>, Status> {
        Ok(Response::new(VersionReply { plugin_version: canonical(&self.0) }))
    }
}

/// Hosts compare with the version that was registered, to which they give a `v`.
fn canonical(version: &str) -> String {
    let bare = version.starts_with(|c: char| c.is_ascii_digit());
    if bare { format!("v{version}") } else { version.to_owned() }
}

/// Says that one process serves many mounts. A host may still start several: which plugins opt out is the operator's
/// list, with names that only the host knows.
pub(super) struct Multiplexing;

#[tonic::async_trait]
impl PluginMultiplexing for Multiplexing {
    async fn multiplexing_support(
        &self,
        _request: Request<MultiplexingSupportRequest>,
    ) -> Result<Response<MultiplexingSupportResponse>, Status> {
        Ok(Response::new(MultiplexingSupportResponse { supported: true }))
    }
}

/// Ends the process when the host says so.
pub(super) struct Controller(pub(super) watch::Sender<bool>);

#[tonic::async_trait]
impl GrpcController for Controller {
    async fn shutdown(&self, _request: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.0.send_replace(true);
        Ok(Response::new(Empty {}))
    }
}

/// Has nothing to pass on: what a plugin prints goes to the process's own standard output, and the host has that.
pub(super) struct Stdio;

#[tonic::async_trait]
impl GrpcStdio for Stdio {
    type StreamStdioStream = Pending<Result<StdioData, Status>>;

    async fn stream_stdio(&self, _request: Request<()>) -> Result<Response<Self::StreamStdioStream>, Status> {
        Ok(Response::new(tokio_stream::pending()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_gets_the_v_that_hosts_compare_with() {
        for (given, expected) in [("1.2.3", "v1.2.3"), ("v1.2.3", "v1.2.3"), ("", "")] {
            assert_eq!(canonical(given), expected);
        }
    }
}
