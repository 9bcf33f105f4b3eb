//! Compiled components on disk, so that a restart needs no compiler.
//!
//! Code that is loaded from here runs outside any sandbox, so nothing in the directory is trusted: a file counts only
//! if it carries a MAC under the host's own key, over the code and over what the code is for. That is the component's
//! digest, and the engine's compatibility hash (settings, processor features, version). Whoever can write here but does
//! not know the key can make a host compile again, and nothing else. What does not match is compiled anew and replaced.
//!
//! ```text
//! name:  <SHA-256 of the component>-<16 bytes of a MAC of the engine>.code
//! bytes  0..8    8..40   40..
//!        format  MAC     compiled code
//! ```
//!
//! A file is written under another name, synced and renamed, so hosts that share a directory see whole files; those
//! with different keys or engines use different names. One is never changed: a use sets its time, and those unused the
//! longest go when the directory has grown too large. A crash may lose the last file, or leave one that ends early: its
//! MAC does not match.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::hash::Hash;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cap_std::fs::{Dir, File, Metadata, MetadataExt as _, OpenOptions, OpenOptionsExt as _};
use cap_std::time::SystemTime;
use hmac::{Hmac, Mac as _};
use rustix::fs::{OFlags, Timespec, Timestamps, UTIME_NOW};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::ident::Digest;

/// The first bytes of a file: whose it is, and the version of the format.
const FORMAT: [u8; 8] = *b"cofcode\x01";

const MAC_BYTES: usize = 32;
const HEADER_BYTES: usize = FORMAT.len() + MAC_BYTES;

/// What a MAC is of comes first in it, so that none can stand for another.
const CODE: &[u8] = b"cofferdam compiled code\0";
const NAME: &[u8] = b"cofferdam file name\0";

/// The end of the names of compiled components.
const CODE_ENDING: &str = ".code";

/// The beginning of the names of files that are being written.
const UNFINISHED: &str = "unfinished-";

/// Code that one byte of a component becomes, at most. Measured is 3; reading stops here, whatever a file's size is.
const CODE_PER_COMPONENT_BYTE_MAX: u64 = 8;

/// Code of a component that is nearly empty, at most, in bytes.
const CODE_BYTES_BASE: u64 = 1 << 20;

/// Files that are looked at to make room. So many components fit in no directory of a sensible size: somebody else
/// fills it.
const ENTRIES_MAX: usize = 100_000;

/// When a file that is being written was given up: no write takes that long, but one that its process did not survive.
const UNFINISHED_FOR_MAX: Duration = Duration::from_secs(3600);

/// Reading and writing, for nobody but the owner.
const DIRECTORY_MODE: u32 = 0o700;

/// Reading, for nobody but the owner.
const FILE_MODE: u32 = 0o400;

/// The write bits of the group and of the others.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// What authenticates compiled code. It lies in the host's storage and never beside the code. Not `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct CacheKey([u8; 32]);

impl CacheKey {
    /// Returns a key that nobody knows. Fails only where the system has no random bytes.
    pub(crate) fn random() -> std::io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|cause| std::io::Error::other(cause.to_string()))?;
        Ok(Self(key))
    }

    fn mac(&self, subject: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(subject);
        mac
    }
}

/// A directory of compiled components. A handle: renaming or replacing the directory later changes nothing.
pub(crate) struct CompileCache {
    directory: Dir,
    shown: String,
    key: CacheKey,
    bytes_max: u64,
    /// Whether the operator knows that nothing can be written.
    told_of_failed_write: AtomicBool,
}

/// Why a directory cannot be a cache.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheRefused {
    #[error("the compile cache {path} cannot be opened: {source}")]
    Unusable {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "the compile cache {path} belongs to the user with the id {owner}, and this process runs as {user}; give it a directory of \
         its own"
    )]
    Foreign { path: String, owner: u32, user: u32 },
    #[error("the compile cache {path} can be written by others (mode {mode:04o}); run chmod 700 {path}")]
    WritableByOthers { path: String, mode: u32 },
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
enum Rejected {
    #[error("it is not a regular file")]
    NotRegular,
    #[error("it has {found} bytes, and code of this component has at most {limit}")]
    TooLarge { found: u64, limit: u64 },
    #[error("it is no compiled code of this format")]
    Format,
    #[error("it is not authentic: damaged, or not written by this host")]
    Mac,
    #[error("the engine refuses it: {0:#}")]
    Engine(wasmtime::Error),
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
enum NotKept {
    #[error("it would take {found} bytes, and the limit is {limit}: 8 times the component, or all of the cache")]
    TooLarge { found: u64, limit: u64 },
    #[error("the directory holds more than {ENTRIES_MAX} files")]
    Crowded,
    #[error("{0:#}")]
    Engine(wasmtime::Error),
    #[error(transparent)]
    Failed(#[from] std::io::Error),
}

/// The place of one component's code for one engine, and what its MAC covers beside the code.
struct Slot {
    name: String,
    subject: Vec<u8>,
    /// How large the file may be.
    bytes_max: u64,
}

// ---------------------------------------------------------------------------------------------------------------
// CompileCache

impl CompileCache {
    /// Opens a directory, which is made if it is not there. It will hold at most so many bytes, and for a moment one
    /// more file for each host that writes. Blocks.
    pub(crate) fn open(path: &Path, key: CacheKey, bytes_max: u64) -> Result<Self, CacheRefused> {
        let shown = path.display().to_string();
        let unusable = |source| CacheRefused::Unusable { path: shown.clone(), source };
        let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path);
        let directory = match Dir::open_ambient_dir(path, cap_std::ambient_authority()) {
            Ok(directory) => directory,
            // Why it could not be made says more than that it is not there.
            Err(missing) if missing.kind() == ErrorKind::NotFound => {
                return Err(unusable(made.err().unwrap_or(missing)));
            }
            Err(cause) => return Err(unusable(cause)),
        };
        let metadata = directory.dir_metadata().map_err(unusable)?;
        let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
        if owner != user {
            return Err(CacheRefused::Foreign { path: shown, owner, user });
        }
        if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
            return Err(CacheRefused::WritableByOthers { path: shown, mode: metadata.mode() & 0o7777 });
        }
        Ok(Self { directory, shown, key, bytes_max, told_of_failed_write: AtomicBool::new(false) })
    }

    /// Returns a component of so many bytes as this engine compiled it before; `None` where it did not, or where what
    /// lies there is not certainly that. Blocks.
    pub(super) fn load(&self, engine: &Engine, digest: Digest, component_bytes: usize) -> Option<Component> {
        let slot = self.slot(engine, digest, component_bytes);
        match self.read(engine, &slot) {
            Ok(found) => found,
            Err(why) => {
                tracing::warn!(
                    directory = self.shown,
                    file = slot.name,
                    "a file in the compile cache is not used, and the plugin is compiled again: {why}"
                );
                None
            }
        }
    }

    /// Keeps a component of so many bytes as this engine compiled it. That this fails is logged, once until it succeeds
    /// again, and has no other consequence. Blocks.
    pub(super) fn store(&self, engine: &Engine, digest: Digest, component_bytes: usize, component: &Component) {
        let slot = self.slot(engine, digest, component_bytes);
        match self.write(&slot, component) {
            Ok(()) => self.told_of_failed_write.store(false, Ordering::Relaxed),
            Err(why) => self.tell_of_failed_write(&why.to_string()),
        }
    }

    /// Says why code is not kept, unless that was said since it last was.
    pub(super) fn tell_of_failed_write(&self, why: &str) {
        let directory = &self.shown;
        if self.told_of_failed_write.swap(true, Ordering::Relaxed) {
            tracing::debug!(directory, "a compiled plugin is not kept: {why}");
        } else {
            tracing::warn!(directory, "a compiled plugin is not kept, and compiled again after a restart: {why}");
        }
    }

    fn slot(&self, engine: &Engine, digest: Digest, component_bytes: usize) -> Slot {
        let identity = identity(engine);
        let mac = self.key.mac(NAME).chain_update(identity).finalize().into_bytes();
        Slot {
            name: format!("{digest}-{}{CODE_ENDING}", hex::encode(&mac[..16])),
            // All of fixed length, so that no two subjects read the same.
            subject: [CODE, &FORMAT, digest.as_bytes(), &identity].concat(),
            bytes_max: code_bytes_max(component_bytes).min(self.bytes_max),
        }
    }

    fn read(&self, engine: &Engine, slot: &Slot) -> Result<Option<Component>, Rejected> {
        let Some((file, bytes)) = self.read_bytes(slot)? else { return Ok(None) };
        let (header, code) = bytes.split_at_checked(HEADER_BYTES).ok_or(Rejected::Format)?;
        let mac = header.strip_prefix(&FORMAT).ok_or(Rejected::Format)?;
        self.key.mac(&slot.subject).chain_update(code).verify_slice(mac).map_err(|_| Rejected::Mac)?;
        // Only who knows the key makes a MAC that matches, which is this host, and it makes one of nothing but what
        // `write` got from the engine. `code` is memory of this process that nobody else can write, so what was
        // verified is what is loaded. The MAC covers the engine's compatibility hash too.
        let component = admit(engine, code).map_err(Rejected::Engine)?;
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        // At worst the file goes too early.
        let _ = rustix::fs::futimens(&file, &Timestamps { last_access: now, last_modification: now });
        Ok(Some(component))
    }

    /// Returns a file and all that it holds.
    fn read_bytes(&self, slot: &Slot) -> Result<Option<(File, Vec<u8>)>, Rejected> {
        let mut options = OpenOptions::new();
        // A fifo would keep who opens it waiting.
        options.read(true).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
        let file = match self.directory.open_with(&slot.name, &options) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(_) if self.is_link(&slot.name) => return Err(Rejected::NotRegular),
            Err(cause) => return Err(cause.into()),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Rejected::NotRegular);
        }
        let limit = slot.bytes_max;
        if metadata.len() > limit {
            return Err(Rejected::TooLarge { found: metadata.len(), limit });
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(metadata.len() as usize).map_err(std::io::Error::other)?;
        // It may have grown since: one byte more than is taken says so.
        (&file).take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(Rejected::TooLarge { found: bytes.len() as u64, limit });
        }
        Ok(Some((file, bytes)))
    }

    fn is_link(&self, name: &str) -> bool {
        self.directory.symlink_metadata(name).is_ok_and(|metadata| metadata.is_symlink())
    }

    fn write(&self, slot: &Slot, component: &Component) -> Result<(), NotKept> {
        let code = component.serialize().map_err(NotKept::Engine)?;
        let found = (HEADER_BYTES + code.len()) as u64;
        if found > slot.bytes_max {
            return Err(NotKept::TooLarge { found, limit: slot.bytes_max });
        }
        let mac = self.key.mac(&slot.subject).chain_update(&code).finalize().into_bytes();
        let unfinished = format!("{UNFINISHED}{}", uuid::Uuid::new_v4().simple());
        let written = self.write_as(&unfinished, &[&FORMAT, &mac, &code], &slot.name);
        if written.is_err() {
            // It may not even be there.
            drop(self.directory.remove_file(&unfinished));
        }
        written
    }

    /// Writes a file under one name, makes room for it, and gives it another.
    fn write_as(&self, unfinished: &str, parts: &[&[u8]], name: &str) -> Result<(), NotKept> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(FILE_MODE);
        let mut file = self.directory.open_with(unfinished, &options)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        self.make_room(&file.metadata()?, unfinished, name)?;
        Ok(self.directory.rename(unfinished, &self.directory, name)?)
    }

    /// Removes the files that were unused the longest until a new one fits, and what crashed hosts left unfinished.
    /// What is not the cache's own is left alone.
    fn make_room(&self, new: &Metadata, unfinished: &str, name: &str) -> Result<(), NotKept> {
        // The file system's clock: it has just set this time.
        let now = new.modified()?;
        let mut kept = Vec::new();
        for (seen, entry) in self.directory.entries()?.enumerate() {
            if seen == ENTRIES_MAX {
                return Err(NotKept::Crowded);
            }
            let file_name = entry?.file_name();
            let Some(own) = Own::of(&file_name) else { continue };
            // The one is counted already, the other is about to be replaced.
            if file_name == unfinished || file_name == name {
                continue;
            }
            // Another host may have removed it meanwhile.
            let Ok(metadata) = self.directory.symlink_metadata(&file_name) else { continue };
            let (true, Ok(used)) = (metadata.is_file(), metadata.modified()) else { continue };
            match own {
                Own::Unfinished if is_given_up(used, now) => self.remove(&file_name)?,
                // It is somebody's, and takes room all the same.
                Own::Unfinished => kept.push((now, metadata.len(), None)),
                Own::Code => kept.push((used, metadata.len(), Some(file_name))),
            }
        }
        let mut total = kept.iter().map(|(_, bytes, _)| bytes).sum::<u64>().saturating_add(new.len());
        kept.sort_by_key(|(used, _, _)| *used);
        for (_, bytes, file_name) in kept {
            if total <= self.bytes_max {
                break;
            }
            if let Some(file_name) = file_name {
                self.remove(&file_name)?;
                total = total.saturating_sub(bytes);
            }
        }
        Ok(())
    }

    fn remove(&self, name: &OsString) -> std::io::Result<()> {
        match self.directory.remove_file(name) {
            // Another host did it.
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// Loads code that is known to come from an engine of ours: authentic under the host's key, or from a compiler that the
/// host itself started. Nobody else may call this.
pub(super) fn admit(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes must come from `Component::serialize`, or what precompiles to the same, unchanged. That is what
    // both callers have made sure of; whether it was an engine with the same settings is checked by the engine.
    #[allow(unsafe_code, reason = "compiled code cannot be checked, only its origin can; the callers did")]
    unsafe {
        Component::deserialize(engine, code)
    }
}

/// Returns how much code a component of so many bytes may become.
pub(super) fn code_bytes_max(component_bytes: usize) -> u64 {
    (component_bytes as u64).saturating_mul(CODE_PER_COMPONENT_BYTE_MAX).saturating_add(CODE_BYTES_BASE)
}

// -------------------------------------------------------------------------------------------------------------------
// directory

/// What kind of file of the cache's own it is.
enum Own {
    Code,
    Unfinished,
}

impl Own {
    fn of(name: &OsString) -> Option<Self> {
        let name = name.to_str()?;
        if name.ends_with(CODE_ENDING) {
            Some(Self::Code)
        } else {
            name.starts_with(UNFINISHED).then_some(Self::Unfinished)
        }
    }
}

fn is_given_up(written: SystemTime, now: SystemTime) -> bool {
    // What is from the future was written just now, by another clock.
    now.duration_since(written).is_ok_and(|age| age > UNFINISHED_FOR_MAX)
}

// --------------------------------------------------------------------------------------------------------------------
// identity

/// Returns a digest of all that decides whether an engine can run compiled code: settings, processor features, version.
fn identity(engine: &Engine) -> [u8; 32] {
    let mut hasher = Sha256Hasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().into()
}

/// Collects what a [`Hash`] says of itself in a digest that does not collide.
struct Sha256Hasher(Sha256);

impl std::hash::Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests;
