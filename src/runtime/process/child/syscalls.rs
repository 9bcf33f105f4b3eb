//! The system calls that a confined plugin is refused, and why.
//!
//! All others are allowed: plugins are in any language, and a list of what they may call would be wrong somewhere. The
//! list is of what reaches past the plugin's own process, or has a history of holes in the kernel. The answer is EPERM,
//! which programs know to handle.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Each group with its reason.
const REFUSED: [&[i64]; 12] = [
    // Reads and changes the memory and files of other processes: the host's hold everybody's secrets.
    &[
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
    ],
    // Leaves the process group, by which a plugin is ended with all that it started.
    &[libc::SYS_setsid, libc::SYS_setpgid],
    // Opens files by number, past every rule on paths.
    &[libc::SYS_open_by_handle_at],
    // Changes the kernel, or ends it.
    &[
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_kexec_file_load,
        libc::SYS_reboot,
    ],
    // Rearranges the file system, past every rule on paths.
    &[
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_mount_setattr,
    ],
    // Namespaces: in a new one anybody is root, which opens most of the kernel.
    &[libc::SYS_setns, libc::SYS_unshare],
    // Large, privileged parts of the kernel that watch all processes.
    &[libc::SYS_bpf, libc::SYS_perf_event_open, libc::SYS_fanotify_init, libc::SYS_syslog],
    // Keyrings, which the host's user shares with its processes.
    &[libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key],
    // Stops the kernel at a page fault of one's choice, which holes in the kernel need.
    &[libc::SYS_userfaultfd],
    // Makes calls that seccomp does not see.
    &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register],
    // The clock: leases and certificates rest on it.
    &[libc::SYS_settimeofday, libc::SYS_clock_settime, libc::SYS_clock_adjtime, libc::SYS_adjtimex],
    // The machine's settings.
    &[
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_acct,
        libc::SYS_quotactl,
        libc::SYS_quotactl_fd,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_vhangup,
    ],
];

/// Access to the machine's ports, and the numbers that calls refused above have in the x32 form only.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: [i64; 7] = [libc::SYS_ioperm, libc::SYS_iopl, 521, 528, 539, 540, 546];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: [i64; 0] = [];

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: TargetArch = TargetArch::aarch64;
#[cfg(target_arch = "riscv64")]
const ARCHITECTURE: TargetArch = TargetArch::riscv64;

/// Marks a call of x86-64's x32 form, which takes the same calls under other numbers.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

/// The flags of `clone` that make namespaces, but for that of time, whose bit has another meaning there.
const NEW_NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// Returns the filters to install, in this order.
pub(super) fn filters() -> Result<Vec<BpfProgram>, BackendError> {
    let mut refused = BTreeMap::new();
    for call in REFUSED.into_iter().flatten().chain(&REFUSED_HERE) {
        insert(&mut refused, *call, Vec::new());
    }
    insert(&mut refused, libc::SYS_clone, new_namespaces()?);
    // The flags of clone3 are in memory, where a filter cannot see them. The C libraries and Go take ENOSYS as an old
    // kernel's answer and use clone.
    let mut unknown = BTreeMap::new();
    insert(&mut unknown, libc::SYS_clone3, Vec::new());
    Ok(vec![compile(refused, libc::EPERM)?, compile(unknown, libc::ENOSYS)?])
}

fn insert(calls: &mut BTreeMap<i64, Vec<SeccompRule>>, call: i64, rules: Vec<SeccompRule>) {
    #[cfg(target_arch = "x86_64")]
    calls.insert(call | X32, rules.clone());
    calls.insert(call, rules);
}

/// Matches a `clone` with any of the flags.
fn new_namespaces() -> Result<Vec<SeccompRule>, BackendError> {
    let flag = |flag: i32| {
        let flag = u64::from(flag.cast_unsigned());
        let set = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)?;
        SeccompRule::new(vec![set])
    };
    NEW_NAMESPACES.into_iter().map(flag).collect()
}

fn compile(calls: BTreeMap<i64, Vec<SeccompRule>>, answer: i32) -> Result<BpfProgram, BackendError> {
    let refuse = SeccompAction::Errno(answer.cast_unsigned());
    SeccompFilter::new(calls, SeccompAction::Allow, refuse, ARCHITECTURE)?.try_into()
}
