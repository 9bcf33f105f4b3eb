//! What a new process does to itself between fork and exec.
//!
//! The host has threads, so that the child of a fork may do only what is safe in a signal handler: system calls, and no
//! allocation. [`Setup::new`] prepares everything before the fork; [`Setup::run`] only makes calls. It also executes
//! the program itself: the C library's `execvp`, which the standard library would use, hands what the kernel refuses
//! (ENOEXEC) to a shell.
//!
//! No process of the plugin outlives the host, however the host ends:
//!
//! * `PR_SET_PDEATHSIG` kills the plugin's first process when the thread that forked it ends. It is not inherited.
//! * The *guard* kills the whole group. It is a pipe whose write end only the host has, and whose read end all
//!   processes of the plugin inherit. The read end has `O_ASYNC`, the group as its owner (`F_SETOWN_EX`) and SIGKILL as
//!   its signal (`F_SETSIG`): when the host dies the kernel closes the write end, which is an event on the read end, of
//!   which the kernel tells the owner by that signal. No process has to watch for it. A process that leaves the group
//!   (`setsid`) escapes, as does a group in which every process has closed the descriptor.
//!
//! Both hold what is careless, and what is confined: that may not leave its group (`syscalls`). Another plugin that
//! means to outlive the host can, by leaving the group.
//!
//! The guard's owner is a kernel object, not a number: a later group with the same number is not meant.

use std::ffi::{CString, OsString, c_char};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::sync::atomic::AtomicPtr;

use rustix::fs::OFlags;
use rustix::io::FdFlags;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use seccompiler::BpfProgram;

use super::confine::Confined;
use super::executable::{Executable, Interpretation};
use super::{ChildSettings, SpawnError};

/// Everything that [`Setup::run`] needs.
pub(super) struct Setup {
    host: Pid,
    guard: OwnedFd,
    executable: Executable,
    limits: Vec<(Step, Resource, Rlimit)>,
    ruleset: Option<OwnedFd>,
    filters: Vec<BpfProgram>,
    image: Image,
}

/// The end of the guard that the host holds: when it is closed, what is left of the group is killed.
pub(super) struct Guard {
    _write: OwnedFd,
}

/// The step that failed, for the error's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Forking, or what the standard library does afterwards.
    Fork = 0,
    Execute,
    ParentDeath,
    GuardOwner,
    Descriptors,
    Inherit,
    CoreLimit,
    MemoryLimit,
    FilesLimit,
    CpuLimit,
    TasksLimit,
    Privileges,
    Landlock,
    Seccomp,
}

impl Setup {
    pub(super) fn new(
        executable: &Executable,
        settings: &ChildSettings,
        confined: Confined,
    ) -> Result<(Self, Guard), SpawnError> {
        let image = Image::new(executable, settings)?;
        let (read, write) =
            guard().map_err(|error| SpawnError::of_system("make the pipe that guards the plugin", error))?;
        let setup = Self {
            host: rustix::process::getpid(),
            guard: read,
            executable: executable.clone(),
            limits: limits(settings),
            ruleset: confined.ruleset,
            filters: confined.filters,
            image,
        };
        Ok((setup, Guard { _write: write }))
    }

    /// Sets this process up and executes the program. Returns only what went wrong; see [`Step::of`].
    pub(super) fn run(&self) -> io::Error {
        match self.prepare() {
            Ok(()) => Step::Execute.failed(self.image.execute()),
            Err(error) => error,
        }
    }

    fn prepare(&self) -> Result<(), io::Error> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|error| Step::ParentDeath.failed(error))?;
        // The host may have died before.
        if rustix::process::getppid() != Some(self.host) {
            return Err(Step::ParentDeath.failed(rustix::io::Errno::SRCH));
        }
        // What this process inherited or a library opened is nobody else's. First of all, so that each that is to stay
        // is said below.
        close_on_exec_from(FIRST_DESCRIPTOR).map_err(|error| Step::Descriptors.failed(error))?;
        // Before any confinement, which would count as the sender's.
        own_guard(&self.guard).map_err(|error| Step::GuardOwner.failed_with(&error))?;
        let inherit =
            |file| rustix::io::fcntl_setfd(file, FdFlags::empty()).map_err(|error| Step::Inherit.failed(error));
        inherit(std::os::fd::AsFd::as_fd(&self.guard))?;
        if let Interpretation::Script { .. } = self.executable.interpretation() {
            inherit(self.executable.file())?;
        }
        for (step, resource, limit) in &self.limits {
            rustix::process::setrlimit(*resource, *limit).map_err(|error| step.failed(error))?;
        }
        // Confined or not: a program with a set-user-id bit could neither be killed by a host that is not root, nor
        // would the parent-death signal stay. The plugin's own file has no such bits, being in memory.
        forbid_new_privileges().map_err(|error| Step::Privileges.failed(error))?;
        if let Some(ruleset) = &self.ruleset {
            restrict(ruleset).map_err(|error| Step::Landlock.failed_with(&error))?;
        }
        for filter in &self.filters {
            seccompiler::apply_filter(filter).map_err(|error| match error {
                seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => {
                    Step::Seccomp.failed_with(&error)
                }
                _ => Step::Seccomp.failed(rustix::io::Errno::INVAL),
            })?;
        }
        Ok(())
    }
}

// Only a number comes back from the child of a fork, so that the step shares it with the kernel's error.
impl Step {
    /// Error numbers are below 4,096.
    const SHIFT: i32 = 16;
    const ALL: [Step; 14] = [
        Step::Fork,
        Step::Execute,
        Step::ParentDeath,
        Step::GuardOwner,
        Step::Descriptors,
        Step::Inherit,
        Step::CoreLimit,
        Step::MemoryLimit,
        Step::FilesLimit,
        Step::CpuLimit,
        Step::TasksLimit,
        Step::Privileges,
        Step::Landlock,
        Step::Seccomp,
    ];

    fn failed(self, error: rustix::io::Errno) -> io::Error {
        io::Error::from_raw_os_error((self as i32) << Self::SHIFT | error.raw_os_error())
    }

    fn failed_with(self, error: &io::Error) -> io::Error {
        self.failed(rustix::io::Errno::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EINVAL)))
    }

    /// Returns the step that failed, and the kernel's error.
    pub(super) fn of(error: &io::Error) -> (Step, io::Error) {
        let Some(number) = error.raw_os_error() else { return (Step::Fork, io::Error::other(error.to_string())) };
        let step = Self::ALL.into_iter().find(|step| *step as i32 == number >> Self::SHIFT).unwrap_or(Step::Fork);
        (step, io::Error::from_raw_os_error(number & ((1 << Self::SHIFT) - 1)))
    }
}

impl Step {
    /// Completes "cannot …".
    pub(super) fn what(self) -> &'static str {
        match self {
            Step::Fork => "start a process for the plugin",
            Step::Execute => "execute the plugin",
            Step::ParentDeath => "tie the plugin's life to the host's (PR_SET_PDEATHSIG)",
            Step::GuardOwner => "tie the plugin's process group to the host's life (F_SETOWN_EX)",
            Step::Descriptors => "keep the host's descriptors from the plugin (close_range, of Linux 5.11)",
            Step::Inherit => "hand descriptors to the plugin",
            Step::CoreLimit => "forbid core dumps (RLIMIT_CORE)",
            Step::MemoryLimit => "limit the plugin's memory (RLIMIT_DATA)",
            Step::FilesLimit => "limit the plugin's open files (RLIMIT_NOFILE)",
            Step::CpuLimit => "limit the plugin's processor time (RLIMIT_CPU)",
            Step::TasksLimit => "limit the processes and threads that the plugin may start (RLIMIT_NPROC)",
            Step::Privileges => "keep the plugin from gaining privileges (PR_SET_NO_NEW_PRIVS)",
            Step::Landlock => "confine the plugin's files (Landlock)",
            Step::Seccomp => "confine the plugin's system calls (seccomp)",
        }
    }
}

fn limits(settings: &ChildSettings) -> Vec<(Step, Resource, Rlimit)> {
    /// Between the signal that a program can notice and the one that ends it.
    const CPU_GRACE_SECONDS: u64 = 5;
    let mut limits = Vec::new();
    let mut limit = |step, resource, current: u64, maximum: u64| {
        // Only root may raise what the host was given.
        let host = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
        limits.push((step, resource, Rlimit { current: Some(current.min(host)), maximum: Some(maximum.min(host)) }));
    };
    // A core dump would hold the plugin's secrets.
    limit(Step::CoreLimit, Resource::Core, 0, 0);
    if let Some(bytes) = settings.memory_bytes_max {
        // Not RLIMIT_AS: Go and others reserve far more addresses than they use.
        limit(Step::MemoryLimit, Resource::Data, bytes, bytes);
    }
    if let Some(files) = settings.open_files_max {
        limit(Step::FilesLimit, Resource::Nofile, files, files);
    }
    if let Some(seconds) = settings.cpu_seconds_max {
        limit(Step::CpuLimit, Resource::Cpu, seconds, seconds.saturating_add(CPU_GRACE_SECONDS));
    }
    if settings.confinement.is_some() {
        // What the host itself is held to is not given away by the plugin.
        let host = rustix::process::getrlimit(Resource::Nproc).current.unwrap_or(u64::MAX);
        let tasks = settings.tasks_max.min(host);
        limit(Step::TasksLimit, Resource::Nproc, tasks, tasks);
    }
    limits
}

/// What `execve` takes, made before the fork.
struct Image {
    path: CString,
    arguments: Pointers,
    environment: Pointers,
}

impl Image {
    fn new(executable: &Executable, settings: &ChildSettings) -> Result<Self, SpawnError> {
        let text = |bytes: Vec<u8>| {
            CString::new(bytes)
                .map_err(|_| SpawnError::Unfit("an argument or variable of the plugin has a NUL byte".to_owned()))
        };
        let name = std::iter::once(executable.name()).chain(settings.args.iter().map(String::as_str));
        let arguments = name.map(|argument| text(argument.as_bytes().to_vec())).collect::<Result<Vec<_>, _>>()?;
        let variable = |(name, value): &(OsString, OsString)| {
            text([name.clone().into_vec(), b"=".to_vec(), value.clone().into_vec()].concat())
        };
        let environment = settings.env.iter().map(variable).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            path: text(executable.path().into_bytes())?,
            arguments: Pointers::new(arguments),
            environment: Pointers::new(environment),
        })
    }

    /// Replaces the process with the program. Returns only if that failed.
    fn execute(&self) -> rustix::io::Errno {
        // SAFETY: the path is a C string, and both lists are NULL-terminated arrays of pointers to C strings that
        // `self` owns.
        #[allow(unsafe_code, reason = "no safe crate executes with lists that were made before the fork")]
        unsafe {
            libc::execve(self.path.as_ptr(), self.arguments.as_ptr(), self.environment.as_ptr());
        }
        last_error()
    }
}

/// A NULL-terminated list of pointers to C strings, with the strings.
struct Pointers {
    /// Laid out like pointers, and may be sent to another thread.
    pointers: Vec<AtomicPtr<c_char>>,
    _strings: Vec<CString>,
}

impl Pointers {
    fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|string| AtomicPtr::new(string.as_ptr().cast_mut()));
        let pointers = pointers.chain([AtomicPtr::new(std::ptr::null_mut())]).collect();
        Self { pointers, _strings: strings }
    }

    fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr().cast()
    }
}

/// Makes the guard's pipe, its read end ready but for its owner.
fn guard() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    // SAFETY: the call takes a descriptor that is open and a number.
    #[allow(unsafe_code, reason = "rustix has no F_SETSIG")]
    let set = unsafe { libc::fcntl(read.as_raw_fd(), F_SETSIG, libc::SIGKILL) };
    if set == -1 {
        return Err(io::Error::last_os_error());
    }
    let flags = rustix::fs::fcntl_getfl(&read)?;
    rustix::fs::fcntl_setfl(&read, flags | OFlags::from_bits_retain(libc::O_ASYNC.cast_unsigned()))?;
    Ok((read, write))
}

/// Makes the caller's process group, of which it is the leader, the owner of the guard.
fn own_guard(guard: &OwnedFd) -> io::Result<()> {
    let owner = OwnerEx { kind: F_OWNER_PGRP, id: rustix::process::getpid().as_raw_nonzero().get() };
    // SAFETY: the call reads a structure of the kernel's layout, which lives until it returns.
    #[allow(unsafe_code, reason = "rustix has no F_SETOWN_EX")]
    let set = unsafe { libc::fcntl(guard.as_raw_fd(), F_SETOWN_EX, &raw const owner) };
    if set == -1 { Err(last_error().into()) } else { Ok(()) }
}

/// `struct f_owner_ex` of Linux.
#[repr(C)]
struct OwnerEx {
    kind: libc::c_int,
    id: libc::pid_t,
}

// The same on all of Linux's architectures that this runs on; the libc crate lacks them.
const F_SETSIG: libc::c_int = 10;
const F_SETOWN_EX: libc::c_int = 15;
const F_OWNER_PGRP: libc::c_int = 2;

/// Behind standard input, output and error.
const FIRST_DESCRIPTOR: libc::c_uint = 3;

/// Has every descriptor from this one on closed when the program is executed.
fn close_on_exec_from(first: libc::c_uint) -> Result<(), rustix::io::Errno> {
    // SAFETY: the call takes numbers only; nothing is closed before this process executes another program.
    #[allow(unsafe_code, reason = "rustix has no close_range")]
    let set = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if set == -1 { Err(last_error()) } else { Ok(()) }
}

/// Closes every descriptor but standard input, output and error. Only for a program that has opened nothing yet, whose
/// descriptors nobody has but who started it.
#[cfg(feature = "cli")]
pub(crate) fn close_inherited() -> io::Result<()> {
    // SAFETY: the call takes numbers only. No object of this process owns a descriptor that it closes, as said above.
    #[allow(unsafe_code, reason = "rustix has no close_range")]
    let closed = unsafe { libc::syscall(libc::SYS_close_range, FIRST_DESCRIPTOR, libc::c_uint::MAX, 0) };
    if closed == -1 { Err(last_error().into()) } else { Ok(()) }
}

fn forbid_new_privileges() -> Result<(), rustix::io::Errno> {
    // SAFETY: the call takes numbers only.
    #[allow(unsafe_code, reason = "one number is not worth rustix's feature for threads")]
    let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if set == -1 { Err(last_error()) } else { Ok(()) }
}

/// Puts the calling thread under a Landlock ruleset.
fn restrict(ruleset: &OwnedFd) -> io::Result<()> {
    // SAFETY: the call takes a descriptor that is open and flags.
    #[allow(unsafe_code, reason = "the crate's own call may allocate, which the child of a fork must not")]
    let restricted = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    if restricted == -1 { Err(last_error().into()) } else { Ok(()) }
}

fn last_error() -> rustix::io::Errno {
    // Does not allocate: the number is all that such an error holds.
    rustix::io::Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(rustix::io::Errno::INVAL)
}
