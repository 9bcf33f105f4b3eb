//! How many sandboxes fit: into the memory mappings that the system gives a process, and into its address space.
//!
//! Where either ends, it is not the sandbox alone that fails: any allocation of the process may. So a host grants no
//! more instances than fit with room to spare, and says at its start what an operator can do about it.

use crate::limits::Limits;

/// Sandboxes beyond the limit on instances that the engine has room for: those that only answer `describe`.
pub(super) const DESCRIBE_SLOTS: u32 = 16;

/// Linear memories in one component: one for each part that it is composed of. The engine reserves this many for each
/// instance, so that no component takes another's place; and each is 4 GiB of address space, of which there are 128
/// TiB.
pub(super) const MEMORIES_PER_COMPONENT_MAX: u32 = 2;

/// Stacks for one instance that serves many calls. A call that waits needs none; one that blocks the whole instance
/// keeps its own until it goes on, and composed components could do so in more than one part.
pub(super) const STACKS_PER_CONCURRENT_INSTANCE: u32 = 2;

/// Where Linux says how many memory mappings a process may have.
const MAX_MAP_COUNT: &str = "/proc/sys/vm/max_map_count";

/// What Linux gives unless it was told otherwise. Assumed where it doesn't say.
const MAX_MAP_COUNT_DEFAULT: u64 = 65_530;

/// Engines that a host may have: one for each world. Each reserves stacks and address space for all instances, since
/// any may come to hold all of them.
const ENGINES: u64 = 2;

/// Stacks that all engines together have for one instance.
const STACKS_PER_INSTANCE: u64 = 1 + STACKS_PER_CONCURRENT_INSTANCE as u64;

/// Mappings of an instance that lives: its memory and its tables, each cut in what may be touched and what may not.
const MAPPINGS_PER_INSTANCE: u64 = 4;

/// Mappings of a stack and its guard. They are there from the start, whether or not an instance lives.
const MAPPINGS_PER_STACK: u64 = 2;

/// Mappings of a compiled component: code, data, and what is between them.
const MAPPINGS_PER_COMPONENT: u64 = 3;

/// Components that are loaded at a time, where a host has very many plugins.
const COMPONENTS: u64 = 1_000;

/// Mappings for the rest of the process: the program and its libraries, threads with their stacks and heaps, large
/// allocations, and whatever else the embedder does. A busy server has some hundreds.
const MAPPINGS_RESERVED: u64 = 5_000;

/// Address space that a memory takes, in bytes: all that 32 bits reach, and the guard behind it that spares the code
/// its checks.
const BYTES_PER_MEMORY: u64 = (4 << 30) + (32 << 20);

/// Address space for memories, in bytes. A process has 47 bits, or 128 TiB; all memories of an engine must lie in one
/// piece, and a program lies at two thirds, with 85 TiB in one piece below it. The tables and stacks find room above
/// it.
const ADDRESS_SPACE_BYTES: u64 = 80 << 40;

/// Address space that one instance takes in all engines, in bytes: its memories, and for its tables and stacks a
/// fraction of one.
const BYTES_PER_SLOT: u64 = ENGINES * (BYTES_PER_MEMORY * MEMORIES_PER_COMPONENT_MAX as u64 + (64 << 20));

/// Address space for the rest of a process whose address space is limited: threads with their stacks and heaps, code,
/// data.
const BYTES_RESERVED: u64 = 16 << 30;

/// A page of memory, as `/proc` counts them on the machines that sandboxes run on.
const PAGE_BYTES: u64 = 4096;

/// What a host grants, and why no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    granted: u32,
    bound: Bound,
}

/// What decides how many instances there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// All that was asked for.
    Limit,
    /// The system's limit on mappings, which would have to be this.
    Mappings { needed: u64 },
    /// The address space.
    AddressSpace,
    /// The limit on the process's address space, which would have to be this many bytes.
    AddressLimit { needed: u64 },
}

/// What the system gives a process.
#[derive(Debug, Clone, Copy)]
struct System {
    max_map_count: u64,
    /// Bytes of address space that are left to it; `None` without a limit.
    address_bytes: Option<u64>,
}

/// Returns how many instances a host grants under these limits on this system: [`Limits::instances_max`], or as many as
/// fit. Logs what was asked and what is granted.
pub(crate) fn grant_instances(limits: &Limits) -> u32 {
    let max_map_count = max_map_count(std::fs::read_to_string(MAX_MAP_COUNT));
    let asked = limits.instances_max;
    let Plan { granted, bound } = plan(asked, System { max_map_count, address_bytes: address_bytes_left() });
    match bound {
        Bound::Limit => {
            tracing::info!(asked, granted, max_map_count, "there is room for all sandboxes that are asked for")
        }
        Bound::Mappings { needed } => tracing::warn!(
            asked,
            granted,
            max_map_count,
            "fewer sandboxes are granted than are asked for, because of the system's limit on memory mappings; to grant all, run: \
             sysctl -w vm.max_map_count={needed}"
        ),
        Bound::AddressSpace => tracing::warn!(
            asked,
            granted,
            max_map_count,
            "fewer sandboxes are granted than are asked for: no more fit into the address space of one process"
        ),
        Bound::AddressLimit { needed } => tracing::warn!(
            asked,
            granted,
            "fewer sandboxes are granted than are asked for, because of the limit on this process's address space (RLIMIT_AS); to \
             grant all, raise it by {} GiB or take it away: ulimit -v unlimited, or LimitAS=infinity in a systemd unit",
            needed.div_ceil(1 << 30)
        ),
    }
    granted
}

/// Returns the limit on mappings by what its file says.
fn max_map_count(file: std::io::Result<String>) -> u64 {
    let unknown = |why: String| {
        tracing::warn!("{MAX_MAP_COUNT} {why}; the usual {MAX_MAP_COUNT_DEFAULT} memory mappings are assumed");
        MAX_MAP_COUNT_DEFAULT
    };
    match file {
        Ok(text) => text.trim().parse().unwrap_or_else(|_| unknown("holds no number".to_owned())),
        Err(cause) => unknown(format!("cannot be read: {cause}")),
    }
}

/// Returns how much address space this process may still take; `None` where nothing limits it.
fn address_bytes_left() -> Option<u64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current?;
    // The first number is of pages; where it cannot be read, nothing is taken to be in use.
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0_u64);
    Some(limit.saturating_sub(pages.saturating_mul(PAGE_BYTES)))
}

/// Says what to do where address space cannot be had, if a limit on it is the reason.
pub(super) fn advice() -> &'static str {
    match rustix::process::getrlimit(rustix::process::Resource::As).current {
        None => "",
        Some(_) => {
            ". This process's address space is limited (RLIMIT_AS), and sandboxes reserve 16 GiB each, of which they use little: \
             raise the limit or take it away (ulimit -v unlimited, or LimitAS=infinity in a systemd unit); limits { instances = … } \
             asks for fewer sandboxes"
        }
    }
}

/// Returns what is granted of so many instances. One at least: a host without any would serve nothing.
fn plan(asked: u32, system: System) -> Plan {
    let (asked_for, by_mappings, by_space) =
        (u64::from(asked), instances_in(system.max_map_count), instances_in_address_space());
    let by_limit = system.address_bytes.map_or(u64::MAX, instances_in_bytes);
    if by_limit < asked_for && by_limit <= by_mappings.min(by_space) {
        let granted = u32::try_from(by_limit).unwrap_or(asked).max(1);
        let missing = bytes_of(asked_for.min(by_space)).saturating_sub(system.address_bytes.unwrap_or(0));
        return Plan { granted, bound: Bound::AddressLimit { needed: missing } };
    }
    let fitting = by_mappings.min(by_space);
    // What fits and is no more than was asked for is no more than 32 bits hold.
    let granted = u32::try_from(asked_for.min(fitting)).unwrap_or(asked).max(1);
    let bound = if asked_for <= fitting {
        Bound::Limit
    } else if by_space < asked_for && by_space <= by_mappings {
        Bound::AddressSpace
    } else {
        Bound::Mappings { needed: mappings_of(asked_for.min(by_space)) }
    };
    Plan { granted, bound }
}

/// Returns how many mappings a process with so many instances may come to have.
fn mappings_of(instances: u64) -> u64 {
    mappings_besides() + instances * mappings_per_instance()
}

/// Returns how many instances fit into so many mappings.
fn instances_in(mappings: u64) -> u64 {
    mappings.saturating_sub(mappings_besides()) / mappings_per_instance()
}

/// Returns how many instances fit into so much address space.
fn instances_in_bytes(bytes: u64) -> u64 {
    let slots = bytes.saturating_sub(BYTES_RESERVED) / BYTES_PER_SLOT;
    slots.saturating_sub(u64::from(DESCRIBE_SLOTS))
}

/// Returns how much address space so many instances take.
fn bytes_of(instances: u64) -> u64 {
    BYTES_RESERVED.saturating_add((instances + u64::from(DESCRIBE_SLOTS)).saturating_mul(BYTES_PER_SLOT))
}

fn instances_in_address_space() -> u64 {
    let slots = ADDRESS_SPACE_BYTES / ENGINES / (BYTES_PER_MEMORY * u64::from(MEMORIES_PER_COMPONENT_MAX));
    slots.saturating_sub(u64::from(DESCRIBE_SLOTS))
}

/// An instance lives in one engine, and has stacks in each.
const fn mappings_per_instance() -> u64 {
    MAPPINGS_PER_INSTANCE + STACKS_PER_INSTANCE * MAPPINGS_PER_STACK
}

/// What there is beside instances that answer requests: components, those that are asked what they are, and the rest.
const fn mappings_besides() -> u64 {
    let describing = DESCRIBE_SLOTS as u64 * mappings_per_instance();
    MAPPINGS_RESERVED + COMPONENTS * MAPPINGS_PER_COMPONENT + describing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mappings(max_map_count: u64) -> System {
        System { max_map_count, address_bytes: None }
    }

    #[test]
    fn a_limit_on_the_address_space_grants_what_fits() {
        let plan = |asked, gib: u64| {
            plan(asked, System { max_map_count: MAX_MAP_COUNT_DEFAULT, address_bytes: Some(gib << 30) })
        };
        // 16 that are only asked what they are, and as many as are left of some 16 GiB each.
        let Plan { granted, bound } = plan(1_000, 400);
        assert!((5..=8).contains(&granted), "{granted}");
        let Bound::AddressLimit { needed } = bound else { panic!("{bound:?}") };
        assert_eq!(plan(1_000, 400 + needed.div_ceil(1 << 30)), Plan { granted: 1_000, bound: Bound::Limit });
        assert_eq!(plan(granted, 400).bound, Bound::Limit);
        // One is tried where there is no room at all.
        assert_eq!(plan(4, 8).granted, 1);
    }

    #[test]
    fn the_default_limit_fits_the_default_system() {
        let asked = Limits::default().instances_max;
        assert_eq!(plan(asked, mappings(MAX_MAP_COUNT_DEFAULT)), Plan { granted: asked, bound: Bound::Limit });
    }

    #[test]
    fn no_more_is_granted_than_fits() {
        let space = instances_in_address_space() as u32;
        let low = 20_000;
        let few = (low - 5_000 - 3_000 - 16 * 10) as u32 / 10;
        for (asked, max_map_count, granted, bound) in [
            (few, low, few, Bound::Limit),
            (few + 1, low, few, Bound::Mappings { needed: 8_160 + 10 * (u64::from(few) + 1) }),
            // It is of no use to raise the one limit beyond the other.
            (1_000_000, low, few, Bound::Mappings { needed: 8_160 + 10 * u64::from(space) }),
            (space, 1 << 20, space, Bound::Limit),
            (space + 1, 1 << 20, space, Bound::AddressSpace),
            (u32::MAX, u64::MAX, space, Bound::AddressSpace),
            // A host that has no room at all tries with one.
            (100, 0, 1, Bound::Mappings { needed: 8_160 + 10 * 100 }),
            (1, 8_159, 1, Bound::Mappings { needed: 8_170 }),
        ] {
            let found = plan(asked, mappings(max_map_count));
            assert_eq!(found, Plan { granted, bound }, "{asked} asked, {max_map_count} mappings");
        }
    }

    #[test]
    fn what_is_needed_is_enough() {
        for asked in [1, 100, 5_000, instances_in_address_space() as u32] {
            let needed = mappings_of(u64::from(asked));
            assert_eq!(plan(asked, mappings(needed)).granted, asked);
            assert_eq!(plan(asked, mappings(needed)).bound, Bound::Limit);
            assert_ne!(plan(asked, mappings(needed - 1)).bound, Bound::Limit, "{asked}");
        }
    }

    #[test]
    fn all_memories_fit_below_the_program() {
        let slots = ENGINES * (instances_in_address_space() + u64::from(DESCRIBE_SLOTS));
        let bytes = slots * u64::from(MEMORIES_PER_COMPONENT_MAX) * BYTES_PER_MEMORY;
        let below_program = (1_u64 << 47) / 3 * 2;
        assert!(bytes < below_program, "{} TiB", bytes >> 40);
    }

    #[test]
    fn a_system_that_does_not_say_is_taken_for_a_usual_one() {
        assert_eq!(max_map_count(Ok("1048576\n".to_owned())), 1 << 20);
        for unknown in ["", "many\n", "-1\n"] {
            assert_eq!(max_map_count(Ok(unknown.to_owned())), 65_530, "{unknown:?}");
        }
        assert_eq!(max_map_count(Err(std::io::ErrorKind::PermissionDenied.into())), 65_530);
    }
}
