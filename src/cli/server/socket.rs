//! The sockets that a server listens on: made before anything else is opened, and files among them removed when it
//! ends.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use tokio::net::TcpSocket;

use super::config::{ListenAddress, SocketFileConfig};
use crate::http::ListenerSocket;

/// Connections that the system accepts before the server does. With fewer, a burst of them makes others wait a second
/// for their next attempt.
const BACKLOG: u32 = 1_024;

/// Where names of users and groups are looked up.
const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// A socket's file, gone when the server is.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A file that is gone already has served its purpose.
        drop(fs::remove_file(&self.0));
    }
}

/// Makes a listener's socket. Called within the runtime.
pub(super) fn bind(address: &ListenAddress) -> Result<(ListenerSocket, Option<SocketFile>), String> {
    match address {
        ListenAddress::Tcp(address) => {
            let socket = bind_tcp(*address).map_err(|cause| format!("failed to listen on {address}: {cause}"))?;
            Ok((socket, None))
        }
        ListenAddress::Unix(file) => {
            let failed =
                |cause: &dyn std::fmt::Display| format!("failed to listen on {}: {cause}", file.path.display());
            free(&file.path).map_err(|cause| failed(&cause))?;
            let socket = UnixListener::bind(&file.path).map_err(|cause| failed(&cause))?;
            let owned = SocketFile(file.path.clone());
            grant(file).map_err(|cause| failed(&cause))?;
            Ok((ListenerSocket::Unix(socket), Some(owned)))
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<ListenerSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that starts again takes its port back at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std().map(ListenerSocket::Tcp)
}

/// Takes away the file of a server that was killed. One that is served, or that is no socket, stays.
fn free(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err("there is a file that is no socket".to_owned()),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err("another process listens there".to_owned()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Gives the file to whom the configuration names. Without that, it is this process's user's, as the umask has it.
fn grant(file: &SocketFileConfig) -> Result<(), String> {
    let find = |named: &Option<String>, table| named.as_deref().map(|named| number_of(named, table)).transpose();
    let (user, group) = (find(&file.user, USERS)?, find(&file.group, GROUPS)?);
    if user.is_some() || group.is_some() {
        chown(&file.path, user, group).map_err(|error| format!("failed to give it to its owner: {error}"))?;
    }
    if let Some(mode) = file.mode {
        let set = fs::set_permissions(&file.path, Permissions::from_mode(mode));
        set.map_err(|error| format!("failed to set its mode: {error}"))?;
    }
    Ok(())
}

/// Returns the number of a user or group, which may be given as one.
fn number_of(named: &str, table: &str) -> Result<u32, String> {
    if let Ok(number) = named.parse() {
        return Ok(number);
    }
    let text = fs::read_to_string(table).map_err(|error| format!("failed to look {named:?} up in {table}: {error}"))?;
    let number = text.lines().find_map(|line| {
        // name:password:number:…
        let mut fields = line.split(':');
        (fields.next() == Some(named)).then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    number.ok_or_else(|| format!("{named:?} is not in {table}: give its number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: PathBuf) -> ListenAddress {
        ListenAddress::Unix(SocketFileConfig { path, mode: Some(0o620), user: None, group: None })
    }

    #[test]
    fn a_file_that_nobody_serves_is_replaced_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("api.sock");
        let (socket, file) = bind(&at(path.clone())).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o620);
        let refused = bind(&at(path.clone())).unwrap_err();
        assert!(refused.contains("api.sock") && refused.ends_with("another process listens there"), "{refused}");
        // As a server that is killed leaves it.
        drop(socket);
        std::mem::forget(file);
        let (_socket, file) = bind(&at(path.clone())).unwrap();
        drop(file);
        assert!(!path.exists());

        fs::write(&path, "precious").unwrap();
        let refused = bind(&at(path.clone())).unwrap_err();
        assert!(refused.ends_with("there is a file that is no socket"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        let refused = bind(&at(directory.path().join("none/api.sock"))).unwrap_err();
        assert!(refused.contains("none/api.sock"), "{refused}");
    }

    #[test]
    fn users_are_found_by_name_or_number() {
        assert_eq!(number_of("root", USERS), Ok(0));
        assert_eq!(number_of("17", GROUPS), Ok(17));
        let refused = number_of("nobody-at-all", GROUPS).unwrap_err();
        assert_eq!(refused, "\"nobody-at-all\" is not in /etc/group: give its number");
    }
}
