//! HTTP through a socket file, for `unix:///path` as the server's address.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport, time::Duration,
};
use ureq::{Error, Timeout};

/// Opens one socket, whatever the URL says.
#[derive(Debug)]
pub(super) struct UnixConnector(pub(super) PathBuf);

/// Looks nothing up: the URL's host stands for the socket.
#[derive(Debug)]
pub(super) struct NoResolver;

/// A connection through a socket file.
#[derive(Debug)]
pub(super) struct UnixTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl Connector for UnixConnector {
    type Out = UnixTransport;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<UnixTransport>, Error> {
        let stream = UnixStream::connect(&self.0)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(UnixTransport { stream, buffers }))
    }
}

impl Resolver for NoResolver {
    fn resolve(&self, _: &Uri, _: &ureq::config::Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        addresses.push(([127, 0, 0, 1], 0).into());
        Ok(addresses)
    }
}

impl Transport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        self.stream.set_write_timeout(bound(timeout.not_zero()))?;
        let output = self.buffers.output();
        self.stream.write_all(output.get(..amount).unwrap_or(output)).map_err(|reason| ended(reason, timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        self.stream.set_read_timeout(bound(timeout.not_zero()))?;
        let amount = loop {
            match self.stream.read(self.buffers.input_append_buf()) {
                Err(reason) if reason.kind() == io::ErrorKind::Interrupted => {}
                amount => break amount.map_err(|reason| ended(reason, timeout.reason))?,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// A command makes few requests, so that a connection is used for one alone.
    fn is_open(&mut self) -> bool {
        false
    }
}

fn bound(timeout: Option<Duration>) -> Option<std::time::Duration> {
    timeout.map(|timeout| *timeout)
}

fn ended(reason: io::Error, timeout: Timeout) -> Error {
    match reason.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(timeout),
        _ => Error::Io(reason),
    }
}
