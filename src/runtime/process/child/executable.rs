//! A plugin's checked bytes as something that can be executed: a sealed file in memory, which has no name that could
//! lead elsewhere and which nobody can change, not even this process.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use object::elf::{ET_DYN, ET_EXEC, ET_REL, FileHeader64};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{Endianness, elf};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;

use super::SpawnError;
use crate::artifact::foreign_machine;

/// A program in sealed memory. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Executable {
    name: Arc<str>,
    file: Arc<OwnedFd>,
    interpretation: Interpretation,
}

/// How the kernel makes a process of the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Interpretation {
    /// An ELF binary, with the loader that it names, if it is not static.
    Binary { loader: Option<Arc<Path>> },
    /// A script: its interpreter opens the file again, after exec.
    Script { interpreter: Arc<Path> },
}

impl Executable {
    /// Seals the checked bytes. The name becomes `argv[0]`. An error says why they can never run here, or what the
    /// system lacks.
    pub(crate) fn seal(name: &str, bytes: &[u8]) -> Result<Self, SpawnError> {
        if let Some(why) = unrunnable(bytes) {
            return Err(SpawnError::Unfit(why));
        }
        let interpretation = if bytes.starts_with(b"#!") {
            Interpretation::Script { interpreter: interpreter(bytes).map_err(SpawnError::Unfit)? }
        } else if bytes.starts_with(&elf::ELFMAG) {
            Interpretation::Binary { loader: loader(bytes).map(|path| Path::new(&path).into()) }
        } else {
            let why = "the file is neither a binary nor a script that names its interpreter";
            return Err(SpawnError::Unfit(why.to_owned()));
        };
        let file = sealed(name, bytes).map_err(SpawnError::System)?;
        Ok(Self { name: name.into(), file: Arc::new(file), interpretation })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&*self.file)
    }

    /// Returns the path that leads to the bytes in any process that has the same descriptor.
    pub(super) fn path(&self) -> String {
        descriptor_path(self.file.as_raw_fd())
    }

    pub(super) fn interpretation(&self) -> &Interpretation {
        &self.interpretation
    }
}

fn descriptor_path(descriptor: i32) -> String {
    format!("/proc/self/fd/{descriptor}")
}

fn sealed(name: &str, bytes: &[u8]) -> Result<OwnedFd, String> {
    let failed = |what: &str, error: io::Error| format!("cannot {what}: {error}");
    let mut file = File::from(create(name)?);
    file.write_all(bytes).map_err(|error| failed("keep the plugin's bytes in memory", error))?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
        .map_err(|error| failed("seal the plugin's bytes in memory", error.into()))?;
    // A file that is open for writing anywhere cannot be executed (ETXTBSY), sealed or not.
    let path = descriptor_path(file.as_raw_fd());
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| failed("open the plugin's bytes in memory again; is /proc mounted?", error.into()))
}

fn create(name: &str) -> Result<OwnedFd, String> {
    /// What the kernel takes as a name, less its own prefix and the terminator.
    const NAME_BYTES_MAX: usize = 240;
    let shown: String = name.chars().filter(|c| *c != '\0').take(NAME_BYTES_MAX / 4).collect();
    let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
    let created = match rustix::fs::memfd_create(shown.as_str(), flags | MemfdFlags::EXEC) {
        // Before Linux 6.3 there is no such flag, and every such file can be executed.
        Err(Errno::INVAL) => rustix::fs::memfd_create(shown.as_str(), flags),
        other => other,
    };
    created.map_err(|error| match error {
        Errno::ACCESS => {
            "this system forbids executing files in memory, which is how a plugin's checked bytes are run: the \
                          setting vm.memfd_noexec is 2; set it to 0 or 1 (sysctl -w vm.memfd_noexec=1)"
                .to_owned()
        }
        other => format!("cannot create a file in memory for the plugin: {}", io::Error::from(other)),
    })
}

/// Says why an ELF file cannot run on this machine: what it is for, what it is, or what it needs and is not there.
/// Other files it does not judge.
pub(super) fn unrunnable(bytes: &[u8]) -> Option<String> {
    /// Where the header says 32 or 64 bit, and the order of bytes.
    const CLASS: usize = 4;
    const ORDER: usize = 5;
    if !bytes.starts_with(&elf::ELFMAG) {
        return None;
    }
    let own_order = if cfg!(target_endian = "little") { elf::ELFDATA2LSB } else { elf::ELFDATA2MSB };
    if bytes.get(ORDER).is_some_and(|order| *order != own_order) {
        return Some(
            "the file is a Linux binary for machines with another byte order; build the plugin for this machine".into(),
        );
    }
    if let Some(why) = foreign_machine(bytes) {
        return Some(why);
    }
    if bytes.get(CLASS).is_some_and(|class| *class != elf::ELFCLASS64) {
        return Some(
            "the file is a 32-bit Linux binary, and this host runs 64-bit ones; build the plugin for this machine"
                .into(),
        );
    }
    let cut_off =
        || Some("the file is a damaged Linux binary: its headers are cut off; copy the plugin's file again".to_owned());
    let Ok(header) = FileHeader64::<Endianness>::parse(bytes) else { return cut_off() };
    let Ok(order) = header.endian() else { return cut_off() };
    if header.program_headers(order, bytes).is_err() {
        return cut_off();
    }
    let loader = loader(bytes);
    let kind = header.e_type(order);
    match kind {
        ET_EXEC => {}
        ET_DYN if loader.is_some() || header.e_entry(order) != 0 => {}
        ET_DYN => {
            return Some("the file is a shared library, not a program; build the plugin as an executable".to_owned());
        }
        ET_REL => return Some("the file is an object file, not a program; link it into an executable".to_owned()),
        _ => {
            return Some("the file is a Linux binary, but not a program; build the plugin as an executable".to_owned());
        }
    }
    let loader = loader?;
    (!Path::new(&loader).exists()).then(|| {
        format!(
            "the file needs the loader {loader}, which this machine does not have; build it statically (CGO_ENABLED=0 for Go), \
             or for this system's C library"
        )
    })
}

/// Returns the loader that an ELF file names.
fn loader(bytes: &[u8]) -> Option<String> {
    let header = FileHeader64::<Endianness>::parse(bytes).ok()?;
    let order = header.endian().ok()?;
    let segments = header.program_headers(order, bytes).ok()?;
    let path = segments.iter().find_map(|segment| segment.interpreter(order, bytes).ok()?)?;
    Some(String::from_utf8_lossy(path).into_owned())
}

/// Returns the interpreter that a script names, if it is there.
fn interpreter(bytes: &[u8]) -> Result<Arc<Path>, String> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
    let line = String::from_utf8_lossy(line.strip_prefix(b"#!").unwrap_or(line));
    if line.ends_with('\r') {
        return Err(
            "the script's lines end as on Windows, so that no interpreter is found; convert it (dos2unix)".to_owned()
        );
    }
    let path = line.split_ascii_whitespace().next().unwrap_or_default();
    if !path.starts_with('/') {
        return Err(format!("the script names the interpreter {path:?}, which is not a whole path, as in #!/bin/sh"));
    }
    if !Path::new(path).exists() {
        return Err(format!("the script needs the interpreter {path}, which this machine does not have; install it"));
    }
    Ok(Path::new(path).into())
}
