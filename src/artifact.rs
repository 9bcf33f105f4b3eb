//! A plugin's file: opened once, inside the plugin directory, read whole and hashed. From here on only those bytes
//! exist; no path is ever looked at again, so what was hashed is what runs.
//!
//! The directory itself is looked up for each file, so that one that is replaced while the host runs (a volume that is
//! mounted over it, a deployment by rename) is the one that is read.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use cap_std::fs::{Dir, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};

use crate::ident::{Command, Digest};

/// Opens without waiting for a writer, should the file be a fifo. Has no effect on regular files.
const O_NONBLOCK: i32 = 0o4000;

/// The directory that plugins' files lie in: whichever its path leads to when a file is read. While the path leads
/// nowhere, as in the middle of a deployment, it is the one that it led to last.
#[derive(Debug)]
pub struct PluginDirectory {
    path: PathBuf,
    last: ArcSwap<Dir>,
    shown: String,
}

/// What lies in a plugin directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The names of what can be a plugin, sorted.
    pub(crate) files: Vec<String>,
    /// The names of links that lead to no file inside the directory, and why each is none, sorted.
    pub(crate) left_out: Vec<(String, String)>,
}

/// The bytes of a plugin's file, and their digest.
pub(crate) struct Artifact {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) format: Format,
    /// Why the operator's own settings keep this native file from being executed, if they do. It would run all the
    /// same, as its bytes are executed and not the file; so whoever runs it asks first.
    pub(crate) not_executable: Option<String>,
}

/// What a file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A WebAssembly component.
    Component,
    /// A WebAssembly core module, which is not a plugin.
    CoreModule,
    /// A Linux binary.
    Elf,
    /// A script that names its interpreter.
    Script,
    /// Anything else.
    Unknown,
}

/// Why a plugin's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArtifactError {
    #[error(
        "there is no file {command:?} in the plugin directory {directory}; put the plugin's file there, or name it with -command"
    )]
    Missing { command: Command, directory: String },
    #[error("{command:?} in the plugin directory is {what}; a plugin is a regular file")]
    NotRegular { command: Command, what: &'static str },
    #[error(
        "{command:?} leads out of the plugin directory {directory}; a plugin's file lies inside it, not behind a link"
    )]
    Outside { command: Command, directory: String },
    #[error("{command:?} is empty; copy the plugin's file again")]
    Empty { command: Command },
    #[error(
        "{command:?} has {found} bytes, and a plugin may have {limit}; if it is right, raise the limit: `limits {{ artifact = … }}`, or Limits::artifact_bytes_max"
    )]
    TooLarge { command: Command, found: u64, limit: u64 },
    #[error(
        "checksums did not match: {command:?} has the SHA-256 digest {found}, expected {expected}. If the file is the right \
         one, register it with the digest found"
    )]
    WrongDigest { command: Command, found: Digest, expected: Digest },
    #[error("cannot read {command:?} in the plugin directory {directory}: {source}")]
    Unreadable {
        command: Command,
        directory: String,
        #[source]
        source: std::io::Error,
    },
}

impl PluginDirectory {
    /// Opens a directory by its path, links on the way to it included.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let last = ArcSwap::from_pointee(open(path)?);
        Ok(Self { path: path.to_owned(), last, shown: path.display().to_string() })
    }

    /// Returns the names of the regular files in the directory, sorted, with those that links inside the directory lead
    /// to.
    pub fn files(&self) -> std::io::Result<Vec<String>> {
        Ok(self.look()?.files)
    }

    /// Looks through the directory.
    pub(crate) fn look(&self) -> std::io::Result<Found> {
        let directory = self.current();
        let mut found = Found::default();
        for entry in directory.entries()? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if kind.is_file() {
                found.files.push(name);
            } else if kind.is_symlink() {
                // Followed as far as it stays inside, as reading the file does.
                match directory.metadata(&name) {
                    Ok(metadata) if metadata.is_file() => found.files.push(name),
                    // A link to a directory is as little a plugin as the directory.
                    Ok(_) => {}
                    Err(cause) if cause.kind() == ErrorKind::PermissionDenied => {
                        found.left_out.push((name, format!("it is a link that leads out of {}", self.shown)));
                    }
                    Err(cause) => found.left_out.push((name, format!("it is a link that leads to no file: {cause}"))),
                }
            }
        }
        found.files.sort();
        found.left_out.sort();
        Ok(found)
    }

    /// Returns the directory that the path leads to now.
    fn current(&self) -> Arc<Dir> {
        match open(&self.path) {
            Ok(directory) => {
                let directory = Arc::new(directory);
                self.last.store(Arc::clone(&directory));
                directory
            }
            Err(cause) => {
                tracing::warn!(directory = self.shown, %cause, "the plugin directory is not there: the last one is used");
                self.last.load_full()
            }
        }
    }

    /// Reads a file whole, at most `bytes_max`, and hashes it. Takes as long as the disk does: call it off the serving
    /// threads.
    pub(crate) fn read(&self, command: &Command, bytes_max: u64) -> Result<Artifact, ArtifactError> {
        let (file, metadata) = self.open_regular(command, &self.current())?;
        let length = metadata.len();
        if length > bytes_max {
            return Err(too_large(command, length, bytes_max));
        }
        let noexec = is_on_noexec_mount(&file);
        let mut bytes = Vec::with_capacity(length as usize);
        file.take(bytes_max.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|source| self.unreadable(command, source))?;
        // The size was checked when the file was opened; it may have grown since.
        if bytes.len() as u64 > bytes_max {
            return Err(too_large(command, bytes.len() as u64, bytes_max));
        }
        if bytes.is_empty() {
            return Err(ArtifactError::Empty { command: command.clone() });
        }
        let format = Format::of(&bytes);
        let not_executable = match format {
            Format::Elf | Format::Script => self.not_executable(command, &metadata, noexec),
            Format::Component | Format::CoreModule | Format::Unknown => None,
        };
        Ok(Artifact { digest: Digest::of(&bytes), format, bytes, not_executable })
    }

    /// Reads a file as [`PluginDirectory::read`] does and refuses it if it has another digest.
    pub(crate) fn read_verified(
        &self,
        command: &Command,
        expected: Digest,
        bytes_max: u64,
    ) -> Result<Artifact, ArtifactError> {
        let artifact = self.read(command, bytes_max)?;
        if artifact.digest != expected {
            return Err(ArtifactError::WrongDigest { command: command.clone(), found: artifact.digest, expected });
        }
        Ok(artifact)
    }

    fn open_regular(&self, command: &Command, directory: &Dir) -> Result<(cap_std::fs::File, Metadata), ArtifactError> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(O_NONBLOCK);
        let file = directory.open_with(command.as_str(), &options).map_err(|source| match source.kind() {
            ErrorKind::NotFound => ArtifactError::Missing { command: command.clone(), directory: self.shown.clone() },
            // cap-std's answer to a link that leads out of the directory.
            ErrorKind::PermissionDenied if is_link(directory, command) => {
                ArtifactError::Outside { command: command.clone(), directory: self.shown.clone() }
            }
            _ => self.unreadable(command, source),
        })?;
        let metadata = file.metadata().map_err(|source| self.unreadable(command, source))?;
        let what = if metadata.is_dir() {
            "a directory"
        } else if metadata.is_file() {
            return Ok((file, metadata));
        } else {
            "a device, a socket or a fifo"
        };
        Err(ArtifactError::NotRegular { command: command.clone(), what })
    }

    fn not_executable(&self, command: &Command, metadata: &Metadata, noexec: bool) -> Option<String> {
        /// The execute bits of the owner, the group and the others.
        const EXECUTE: u32 = 0o111;
        let directory = &self.shown;
        if noexec {
            return Some(format!(
                "the plugin directory {directory} is on a file system that is mounted noexec, so nothing in it may be \
                 executed; mount it without noexec, or use another plugin directory"
            ));
        }
        (metadata.mode() & EXECUTE == 0).then(|| {
            format!("{command:?} in the plugin directory {directory} is not executable; if it is a plugin: chmod +x {command}")
        })
    }

    fn unreadable(&self, command: &Command, source: std::io::Error) -> ArtifactError {
        ArtifactError::Unreadable { command: command.clone(), directory: self.shown.clone(), source }
    }
}

fn open(path: &Path) -> std::io::Result<Dir> {
    Dir::open_ambient_dir(path, cap_std::ambient_authority())
}

fn is_link(directory: &Dir, command: &Command) -> bool {
    directory.symlink_metadata(command.as_str()).is_ok_and(|metadata| metadata.is_symlink())
}

#[cfg(feature = "process")]
fn is_on_noexec_mount(file: &cap_std::fs::File) -> bool {
    use rustix::fs::StatVfsMountFlags;
    rustix::fs::fstatvfs(file).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// Without the feature no native plugin is executed.
#[cfg(not(feature = "process"))]
fn is_on_noexec_mount(_: &cap_std::fs::File) -> bool {
    false
}

fn too_large(command: &Command, found: u64, limit: u64) -> ArtifactError {
    ArtifactError::TooLarge { command: command.clone(), found, limit }
}

impl Format {
    fn of(bytes: &[u8]) -> Self {
        // WebAssembly's preamble: the magic number, a version, and a layer that tells modules (0) from components (1).
        match bytes {
            [0, b'a', b's', b'm', _, _, 1, 0, ..] => Format::Component,
            [0, b'a', b's', b'm', _, _, 0, 0, ..] => Format::CoreModule,
            [0x7f, b'E', b'L', b'F', ..] => Format::Elf,
            [b'#', b'!', ..] => Format::Script,
            _ => Format::Unknown,
        }
    }
}

/// Returns the machine that an ELF file is for, if it is not this one, as a refusal.
pub(crate) fn foreign_machine(bytes: &[u8]) -> Option<String> {
    const MACHINE_OFFSET: usize = 18;
    let machine = u16::from_le_bytes(bytes.get(MACHINE_OFFSET..MACHINE_OFFSET + 2)?.try_into().ok()?);
    let name = |machine| match machine {
        3 => "x86 (32 bit)".to_owned(),
        40 => "ARM (32 bit)".to_owned(),
        62 => "x86-64".to_owned(),
        183 => "AArch64".to_owned(),
        243 => "RISC-V".to_owned(),
        other => format!("machine number {other}"),
    };
    let own = if cfg!(target_arch = "x86_64") {
        62
    } else if cfg!(target_arch = "aarch64") {
        183
    } else {
        return None;
    };
    (machine != own).then(|| {
        format!(
            "the file is a Linux binary for {}, and this machine is {}; build the plugin for this machine, or as a \
             component, which runs on any",
            name(machine),
            name(own)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1 << 20;

    fn directory() -> (tempfile::TempDir, PluginDirectory) {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let directory = PluginDirectory::open(temporary.path()).expect("the directory opens");
        (temporary, directory)
    }

    #[track_caller]
    fn refused(directory: &PluginDirectory, command: &str, because: &str) {
        let command: Command = command.parse().expect("the command is well formed");
        let error = directory.read(&command, LIMIT).err().expect("the file should be refused").to_string();
        assert!(error.contains(because), "{error:?} does not say {because:?}");
    }

    #[test]
    fn only_regular_files_inside_the_directory_are_read() {
        let (temporary, directory) = directory();
        let outside = tempfile::NamedTempFile::new().expect("a file elsewhere");
        std::fs::write(outside.path(), b"\0asm").expect("it can be written");
        let path = |name: &str| temporary.path().join(name);
        std::fs::create_dir(path("directory")).unwrap();
        std::fs::write(path("empty"), b"").unwrap();
        std::fs::write(path("large"), vec![0; LIMIT as usize + 1]).unwrap();
        std::os::unix::fs::symlink(outside.path(), path("link-out")).unwrap();
        std::os::unix::fs::symlink("../elsewhere", path("link-up")).unwrap();
        let fifo = std::process::Command::new("mkfifo").arg(path("fifo")).status().unwrap();
        assert!(fifo.success());

        refused(&directory, "missing", "there is no file \"missing\"");
        refused(&directory, "directory", "is a directory");
        refused(&directory, "fifo", "a device, a socket or a fifo");
        refused(&directory, "empty", "is empty");
        refused(&directory, "large", "a plugin may have 1048576");
        refused(&directory, "link-out", "leads out of the plugin directory");
        refused(&directory, "link-up", "leads out of the plugin directory");
    }

    #[test]
    fn a_directory_that_is_replaced_is_the_one_that_is_read() {
        let temporary = tempfile::tempdir().unwrap();
        let path = |name: &str| temporary.path().join(name);
        let make = |name: &str, bytes: &[u8]| {
            std::fs::create_dir(path(name)).unwrap();
            std::fs::write(path(name).join("a"), bytes).unwrap();
        };
        make("plugins", b"one");
        let directory = PluginDirectory::open(&path("plugins")).unwrap();
        let read = || directory.read(&"a".parse().unwrap(), LIMIT).map(|artifact| artifact.bytes).ok();
        assert_eq!(read().as_deref(), Some(&b"one"[..]));
        // While it is on its way, the last one answers.
        std::fs::rename(path("plugins"), path("old")).unwrap();
        assert_eq!(read().as_deref(), Some(&b"one"[..]));
        make("plugins", b"two");
        assert_eq!(read().as_deref(), Some(&b"two"[..]));
        std::fs::remove_dir_all(path("plugins")).unwrap();
        std::os::unix::fs::symlink(path("old"), path("plugins")).unwrap();
        assert_eq!(read().as_deref(), Some(&b"one"[..]));
    }

    #[test]
    fn links_that_stay_inside_are_files_and_the_others_are_named() {
        use std::os::unix::fs::symlink;
        let (temporary, directory) = directory();
        let path = |name: &str| temporary.path().join(name);
        // As Kubernetes mounts what it projects.
        std::fs::create_dir(path("..2026_01_01")).unwrap();
        std::fs::write(path("..2026_01_01/inside"), b"one").unwrap();
        symlink("..2026_01_01", path("..data")).unwrap();
        symlink("..data/inside", path("inside")).unwrap();
        symlink("/etc/passwd", path("outside")).unwrap();
        symlink("nothing", path("dangling")).unwrap();
        std::fs::write(path("plain"), b"two").unwrap();

        let found = directory.look().unwrap();
        assert_eq!(found.files, ["inside", "plain"]);
        let left_out: Vec<_> = found.left_out.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(left_out, ["dangling", "outside"]);
        assert!(found.left_out[1].1.contains("leads out of"), "{found:?}");
        assert_eq!(directory.read(&"inside".parse().unwrap(), LIMIT).unwrap().bytes, b"one");
    }

    #[test]
    fn a_digest_that_differs_is_named_beside_the_expected_one() {
        let (temporary, directory) = directory();
        std::fs::write(temporary.path().join("a"), b"one").unwrap();
        let expected = Digest::of(b"two");
        let error = directory.read_verified(&"a".parse().unwrap(), expected, LIMIT).err().unwrap().to_string();
        assert!(error.contains(&Digest::of(b"one").to_string()) && error.contains(&expected.to_string()), "{error}");
    }

    #[test]
    fn a_native_file_without_an_execute_bit_is_remembered() {
        use std::os::unix::fs::PermissionsExt as _;
        let (temporary, directory) = directory();
        let check = |name: &str, bytes: &[u8], mode: u32, expected: Option<&str>| {
            let path = temporary.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let not_executable = directory.read(&name.parse().unwrap(), LIMIT).unwrap().not_executable;
            match (&not_executable, expected) {
                (None, None) => {}
                (Some(text), Some(expected)) if text.contains(expected) => {}
                _ => panic!("{name} with mode {mode:o}: {not_executable:?}"),
            }
        };
        check("script", b"#!/bin/sh\n", 0o644, Some("chmod +x script"));
        check("elf", b"\x7fELF", 0o600, Some("chmod +x elf"));
        check("script", b"#!/bin/sh\n", 0o755, None);
        check("for-the-owner", b"#!/bin/sh\n", 0o700, None);
        check("component", b"\0asm\x0d\0\x01\0", 0o644, None);
    }

    #[test]
    fn formats_are_told_by_the_first_bytes() {
        assert_eq!(Format::of(b"\0asm\x0d\0\x01\0"), Format::Component);
        assert_eq!(Format::of(b"\0asm\x01\0\0\0"), Format::CoreModule);
        assert_eq!(Format::of(b"\x7fELF"), Format::Elf);
        assert_eq!(Format::of(b"#!/bin/sh"), Format::Script);
        assert_eq!(Format::of(b"\0as"), Format::Unknown);
    }
}
