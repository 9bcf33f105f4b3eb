//! Tells the service manager how the server is getting on: the protocol of systemd's `sd_notify`, for units of
//! `Type=notify` and `Type=notify-reload`.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long a manager may leave its queue full before the server goes on without having told it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The service manager, if one asked to be told.
#[derive(Clone)]
pub(super) struct Manager(Option<SocketAddr>);

impl Manager {
    /// Returns the manager that listens at a socket, as `NOTIFY_SOCKET` names it: a path, or `@` and the name of an
    /// abstract socket.
    pub(super) fn at(socket: Option<&OsStr>) -> Self {
        Self(socket.and_then(|socket| {
            let address = address(socket);
            address
                .inspect_err(
                    |error| tracing::warn!(?socket, %error, "the service manager's NOTIFY_SOCKET is not usable"),
                )
                .ok()
        }))
    }

    /// Requests are answered from now on.
    pub(super) fn ready(&self) {
        self.tell("READY=1\nSTATUS=Serving requests");
    }

    /// The configuration is read again; [`Manager::ready`] says when that is done.
    pub(super) fn reloading(&self) {
        // By this clock the manager knows a reload that began after it asked for one.
        let now = clock_gettime(ClockId::Monotonic);
        let now = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0));
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=Reading the configuration again", now.as_micros()));
    }

    /// The server is shutting down.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Shutting down");
    }

    fn tell(&self, state: &str) {
        let Some(address) = &self.0 else { return };
        if let Err(error) = send(address, state) {
            tracing::warn!(%error, "the service manager could not be told: {}", state.replace('\n', ", "));
        }
    }
}

fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    match socket.as_bytes() {
        [b'@', name @ ..] if !name.is_empty() => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(socket),
        _ => {
            Err(io::Error::new(io::ErrorKind::Unsupported, "it is neither an absolute path nor an abstract name (@…)"))
        }
    }
}

fn send(address: &SocketAddr, state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.send_to_addr(state.as_bytes(), address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(manager: &UnixDatagram) -> String {
        let mut datagram = [0; 512];
        manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let length = manager.recv(&mut datagram).unwrap();
        String::from_utf8(datagram[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_manager_is_told_by_a_path_and_by_an_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let name = format!("cofferdam-{}", std::process::id());
        let listening = [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(),
                format!("@{name}").into(),
            ),
        ];
        for (socket, named) in listening {
            let manager = Manager::at(Some(&named));
            manager.ready();
            assert!(told(&socket).starts_with("READY=1\n"), "{named:?}");
            manager.reloading();
            let reloading = told(&socket);
            let at = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
            assert!(reloading.starts_with("RELOADING=1\n") && at.unwrap().parse::<u64>().unwrap() > 0, "{reloading}");
            manager.stopping();
            assert!(told(&socket).starts_with("STOPPING=1\n"));
        }
    }

    #[test]
    fn what_is_no_socket_is_passed_over() {
        for socket in ["", "@", "relative", "vsock:2:1234", "/nobody/listens/here"] {
            Manager::at(Some(OsStr::new(socket))).ready();
        }
        Manager::at(None).ready();
    }
}
