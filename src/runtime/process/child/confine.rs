//! Confinement: Landlock for files and signals, seccomp for system calls that no plugin needs.
//!
//! Both are asked for as far as the kernel has them; what is left off is said. Neither restricts the network.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, PathBeneath, PathFd, PathFdError, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, Scope, path_beneath_rules,
};
use seccompiler::BpfProgram;

use super::SpawnError;
use super::executable::{Executable, Interpretation};
use super::syscalls;
use crate::confinement::Confinement;

/// The accesses that are restricted: all that this Landlock version knows. Later ones restrict connecting to sockets.
const FILES: ABI = ABI::V5;

/// Programs, libraries, and what goes with them.
const PROGRAMS: [&str; 6] = ["/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin"];

/// What programs and libraries read at start: the loader, name resolution, certificates, the time zone, the machine's
/// size. Single entries, as other files beside them hold secrets: `/etc/shadow`, `/etc/ssl/private`, `/proc/kcore`.
///
/// A file that is replaced later, as `/etc/resolv.conf` may be, is another file, which the plugin may read once it is
/// started again; in a directory it may read it at once.
const READ: [&str; 38] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/ld-musl-x86_64.path",
    "/etc/ld-musl-aarch64.path",
    "/etc/resolv.conf",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/passwd",
    "/etc/group",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/ca-certificates",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/openssl.cnf",
    "/var/lib/ca-certificates",
    "/proc/meminfo",
    "/proc/cpuinfo",
    "/proc/stat",
    "/proc/sys",
    "/sys/kernel/mm/transparent_hugepage",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/dev/zero",
];

const READ_DEVICES: [&str; 2] = ["/dev/random", "/dev/urandom"];
const WRITE_DEVICES: [&str; 2] = ["/dev/null", "/dev/full"];

/// What a new process confines itself with. The default does not confine.
#[derive(Default)]
pub(super) struct Confined {
    pub(super) ruleset: Option<OwnedFd>,
    pub(super) filters: Vec<BpfProgram>,
    /// What the kernel lacks.
    pub(super) left_off: Option<String>,
}

impl Confined {
    pub(super) fn new(
        confinement: &Confinement,
        socket_directory: &Path,
        executable: &Executable,
    ) -> Result<Self, SpawnError> {
        let support = confinement_support();
        let created = ruleset().map_err(failed)?;
        let ruleset = grant(created, confinement, socket_directory, executable)?;
        let filters = if support.seccomp { syscalls::filters().map_err(failed)? } else { Vec::new() };
        Ok(Self { ruleset: ruleset.into(), filters, left_off: support.lacks() })
    }
}

fn failed(error: impl fmt::Display) -> SpawnError {
    SpawnError::System(format!("cannot prepare the plugin's confinement: {error}"))
}

/// A ruleset that allows nothing. Where the kernel knows no Landlock it stays empty.
fn ruleset() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(FILES))?
        // It may run as the host's user, whom the kernel would let signal the host.
        .scope(Scope::Signal | Scope::AbstractUnixSocket)?
        .create()
}

fn grant(
    ruleset: RulesetCreated,
    confinement: &Confinement,
    socket_directory: &Path,
    executable: &Executable,
) -> Result<RulesetCreated, SpawnError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let execute = read | AccessFs::Execute;
    let change = AccessFs::from_all(FILES)
        & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev | AccessFs::Execute);
    // What the system does not have is passed over; what an operator or the host names must be there.
    let ruleset = ruleset
        .add_rules(path_beneath_rules(PROGRAMS.iter().map(Path::new).chain(interpreter(executable)), execute))
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(READ.iter().chain(&READ_DEVICES), read)))
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(WRITE_DEVICES, read | AccessFs::WriteFile)))
        .map_err(failed)?;
    let named = |paths: &[PathBuf], access| {
        paths.iter().map(move |path| named_rule(path, access)).collect::<Result<Vec<_>, _>>()
    };
    let rules = [
        named(&[socket_directory.to_owned()], change)?,
        named(&confinement.read, execute)?,
        named(&confinement.write, change)?,
    ];
    ruleset.add_rules(rules.into_iter().flatten().map(Ok::<_, RulesetError>)).map_err(failed)
}

/// The program that the kernel loads to run the executable, and for a loader what lies beside it: the C library.
fn interpreter(executable: &Executable) -> Vec<&Path> {
    match executable.interpretation() {
        Interpretation::Binary { loader: Some(loader) } => {
            [Some(&**loader), loader.parent()].into_iter().flatten().collect()
        }
        Interpretation::Binary { loader: None } => Vec::new(),
        Interpretation::Script { interpreter } => vec![interpreter],
    }
}

fn named_rule(path: &Path, access: BitFlags<AccessFs>) -> Result<PathBeneath<PathFd>, SpawnError> {
    let missing = |error: String| {
        SpawnError::Unfit(format!(
            "the plugin's confinement grants {}, which cannot be opened: {error}",
            path.display()
        ))
    };
    let metadata = std::fs::metadata(path).map_err(|error| missing(error.to_string()))?;
    let file = PathFd::new(path).map_err(|error: PathFdError| missing(error.to_string()))?;
    let access = if metadata.is_dir() { access } else { access & AccessFs::from_file(FILES) };
    Ok(PathBeneath::new(file, access))
}

/// What this kernel offers to confine plugins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConfinementSupport {
    /// Landlock's version; 0 where there is none.
    pub(crate) landlock_abi: i64,
    pub(crate) seccomp: bool,
}

/// Asks the kernel what it offers.
pub(crate) fn confinement_support() -> ConfinementSupport {
    const LANDLOCK_CREATE_RULESET_VERSION: libc::c_int = 1;
    // SAFETY: with this flag the call takes no structure and only returns a number.
    #[allow(unsafe_code, reason = "the crate keeps its own question to itself")]
    let version = unsafe {
        let nothing: *const libc::c_void = std::ptr::null();
        libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, LANDLOCK_CREATE_RULESET_VERSION)
    };
    ConfinementSupport {
        landlock_abi: version.max(0),
        seccomp: Path::new("/proc/sys/kernel/seccomp/actions_avail").exists(),
    }
}

impl ConfinementSupport {
    /// Says what confinement lacks on this kernel.
    pub(crate) fn lacks(self) -> Option<String> {
        // What each version of Landlock added that is asked for.
        let landlock = match self.landlock_abi {
            0 => Some(
                "files and signals are not confined: this kernel has no Landlock, or it is not enabled (lsm=landlock)",
            ),
            1 | 2 => Some("truncating files, devices and signals are not confined: this kernel's Landlock is older"),
            3 | 4 => Some("devices and signals are not confined: this kernel's Landlock is older"),
            5 => Some("signals are not confined: this kernel's Landlock is older"),
            _ => None,
        };
        let seccomp = (!self.seccomp).then_some("system calls are not confined: this kernel has no seccomp");
        let lacks: Vec<_> = landlock.into_iter().chain(seccomp).collect();
        (!lacks.is_empty()).then(|| lacks.join("; "))
    }
}

impl fmt::Display for ConfinementSupport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.landlock_abi {
            0 => write!(formatter, "no Landlock")?,
            version => write!(formatter, "Landlock version {version}")?,
        }
        write!(formatter, ", {}", if self.seccomp { "seccomp" } else { "no seccomp" })
    }
}
