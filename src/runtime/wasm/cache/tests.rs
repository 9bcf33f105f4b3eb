//! The cache against those who can write to its directory, with a real engine and real code.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::limits::Limits;
use crate::runtime::wasm::engine::WasmEngine;
use crate::runtime::wasm::world::World;

/// A component of one core module whose one function returns 42.
const COMPONENT: &[u8] = &[
    0x00, b'a', b's', b'm', 0x0d, 0x00, 0x01, 0x00, // a component
    0x01, 0x22, // a core module of 34 bytes
    0x00, b'a', b's', b'm', 0x01, 0x00, 0x00, 0x00, //
    0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7f, // () -> i32
    0x03, 0x02, 0x01, 0x00, //
    0x07, 0x05, 0x01, 0x01, b'f', 0x00, 0x00, //
    0x0a, 0x06, 0x01, 0x04, 0x00, 0x41, 0x2a, 0x0b, //
    0x02, 0x04, 0x01, 0x00, 0x00, 0x00, // instantiated once
];

/// No test's cache is full but for those that are about it.
const ROOM: u64 = 1 << 30;

struct Bench {
    directory: TempDir,
    engine: Arc<WasmEngine>,
    component: Component,
    key: CacheKey,
}

impl Bench {
    async fn set() -> Self {
        let limits = Arc::new(Limits { instances_max: 1, ..Limits::default() });
        let engine = Arc::new(WasmEngine::new(World::Plain, limits).unwrap());
        let component = Component::new(&engine.engine, COMPONENT).unwrap();
        Self { directory: tempfile::tempdir().unwrap(), engine, component, key: CacheKey::random().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    fn cache(&self) -> CompileCache {
        self.cache_of(ROOM)
    }

    fn cache_of(&self, bytes_max: u64) -> CompileCache {
        CompileCache::open(&self.path(), self.key.clone(), bytes_max).unwrap()
    }

    fn store(&self, cache: &CompileCache, digest: Digest) {
        cache.store(&self.engine.engine, digest, COMPONENT.len(), &self.component);
    }

    fn load(&self, cache: &CompileCache, digest: Digest) -> Option<Component> {
        cache.load(&self.engine.engine, digest, COMPONENT.len())
    }

    /// The path of a component's file.
    fn file(&self, cache: &CompileCache, digest: Digest) -> PathBuf {
        self.path().join(cache.slot(&self.engine.engine, digest, COMPONENT.len()).name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn own() -> Digest {
    Digest::of(COMPONENT)
}

/// Puts other bytes in a file's place.
fn replace(file: &Path, bytes: &[u8]) {
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
}

fn set_age(file: &Path, hours: u64) {
    let then = std::time::SystemTime::now() - Duration::from_secs(hours * 3600);
    File::open(file).unwrap().set_modified(then).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[tokio::test]
async fn what_is_kept_is_what_is_loaded() {
    let bench = Bench::set().await;
    let cache = bench.cache();
    assert!(bench.load(&cache, own()).is_none());
    bench.store(&cache, own());
    let loaded = bench.load(&cache, own()).expect("it was kept");
    assert_eq!(loaded.serialize().unwrap(), bench.component.serialize().unwrap());
    assert_eq!(bench.names().len(), 1, "{:?}", bench.names());
    assert_eq!((mode(&bench.path()), mode(&bench.file(&cache, own()))), (DIRECTORY_MODE, FILE_MODE));
    assert!(bench.load(&bench.cache(), own()).is_some(), "another start finds it");
    assert!(bench.load(&cache, Digest::of(b"another")).is_none());
}

#[tokio::test]
async fn nothing_that_was_changed_is_loaded() {
    let bench = Bench::set().await;
    let cache = bench.cache();
    bench.store(&cache, own());
    let file = bench.file(&cache, own());
    let good = fs::read(&file).unwrap();
    let text = bench.component.text();
    assert!(!text.is_empty());
    let text_at = good.windows(text.len()).position(|window| window == text).expect("the code is in the file");

    let code_at = HEADER_BYTES;
    let ends = [0, 7, 8, HEADER_BYTES - 1, code_at, code_at + 16, good.len() - 1];
    for at in ends.into_iter().chain([text_at, text_at + text.len() / 2, text_at + text.len() - 1]) {
        for bit in 0..8 {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << bit;
            replace(&file, &flipped);
            assert!(bench.load(&cache, own()).is_none(), "bit {bit} of byte {at}");
        }
    }
    for length in [0, 1, 8, HEADER_BYTES - 1, HEADER_BYTES, good.len() / 2, good.len() - 1] {
        replace(&file, &good[..length]);
        assert!(bench.load(&cache, own()).is_none(), "{length} bytes");
    }
    replace(&file, &[&good[..], &[0]].concat());
    assert!(bench.load(&cache, own()).is_none(), "a byte too many");
    // What the compiler makes, without authentication, is exactly what must not be believed.
    replace(&file, &bench.component.serialize().unwrap());
    assert!(bench.load(&cache, own()).is_none(), "bare code");

    bench.store(&cache, own());
    assert_eq!(fs::read(&file).unwrap(), good, "it is replaced");
    assert!(bench.load(&cache, own()).is_some());
}

#[tokio::test]
async fn code_is_for_one_key_one_component_and_one_engine() {
    let bench = Bench::set().await;
    let cache = bench.cache();
    bench.store(&cache, own());
    let good = fs::read(bench.file(&cache, own())).unwrap();

    let stranger = CompileCache::open(&bench.path(), CacheKey::random().unwrap(), ROOM).unwrap();
    assert!(bench.load(&stranger, own()).is_none(), "it looks for another name");
    fs::write(bench.file(&stranger, own()), &good).unwrap();
    assert!(bench.load(&stranger, own()).is_none(), "another host's key");

    let other = Digest::of(b"another component");
    fs::write(bench.file(&cache, other), &good).unwrap();
    assert!(bench.load(&cache, other).is_none(), "another component's code");

    let unlike = Engine::new(wasmtime::Config::new().epoch_interruption(false)).unwrap();
    assert_ne!(identity(&unlike), identity(&bench.engine.engine));
    assert!(cache.load(&unlike, own(), COMPONENT.len()).is_none());
    let slot = cache.slot(&unlike, own(), COMPONENT.len());
    fs::write(bench.path().join(&slot.name), &good).unwrap();
    let refused = cache.read(&unlike, &slot).map(|found| found.is_some());
    assert!(matches!(refused, Err(Rejected::Mac)), "another engine's code never reaches the engine: {refused:?}");

    bench.store(&stranger, own());
    assert!(
        bench.load(&stranger, own()).is_some() && bench.load(&cache, own()).is_some(),
        "hosts may share a directory"
    );
}

#[tokio::test]
async fn what_is_no_file_is_not_opened() {
    let bench = Bench::set().await;
    let cache = bench.cache();
    let file = bench.file(&cache, own());
    bench.store(&cache, own());
    let good = fs::read(&file).unwrap();

    // A link is refused even where it leads to what would pass.
    let elsewhere = bench.directory.path().join("elsewhere");
    fs::write(&elsewhere, &good).unwrap();
    fs::write(bench.path().join("inside"), &good).unwrap();
    for target in [elsewhere.as_path(), Path::new("inside"), Path::new("/dev/zero"), Path::new("missing")] {
        fs::remove_file(&file).unwrap();
        symlink(target, &file).unwrap();
        let slot = cache.slot(&bench.engine.engine, own(), COMPONENT.len());
        let refused = cache.read(&bench.engine.engine, &slot).map(|found| found.is_some());
        assert!(matches!(refused, Err(Rejected::NotRegular)), "{}: {refused:?}", target.display());
        bench.store(&cache, own());
        assert!(bench.load(&cache, own()).is_some(), "the link is replaced");
    }
    assert_eq!(fs::read(&elsewhere).unwrap(), good, "what it led to is not");

    fs::remove_file(&file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    assert!(bench.load(&cache, own()).is_none(), "a fifo");

    fs::remove_file(&file).unwrap();
    File::create(&file).unwrap().set_len(1 << 40).unwrap();
    assert!(bench.load(&cache, own()).is_none(), "a file of 1 TiB");
    bench.store(&cache, own());
    assert!(bench.load(&cache, own()).is_some());

    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(bench.load(&cache, own()).is_none(), "a directory");
    bench.store(&cache, own());
    assert!(cache.told_of_failed_write.load(Ordering::Relaxed), "nothing can take its place");
    assert!(!bench.names().iter().any(|name| name.starts_with(UNFINISHED)), "{:?}", bench.names());
    fs::remove_dir(&file).unwrap();
    bench.store(&cache, own());
    assert!(!cache.told_of_failed_write.load(Ordering::Relaxed));
    assert!(bench.load(&cache, own()).is_some());
}

#[tokio::test]
async fn a_directory_that_others_control_is_refused() {
    let bench = Bench::set().await;
    let refused = |path: &Path| CompileCache::open(path, bench.key.clone(), ROOM).err().map(|why| why.to_string());

    for others in [0o770, 0o702, 0o777, 0o1777] {
        let path = bench.directory.path().join(format!("{others:o}"));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(others)).unwrap();
        let why = refused(&path).expect("others may write");
        assert!(why.contains(&format!("mode {others:04o}")) && why.contains("chmod 700"), "{why}");
    }
    let readable = bench.directory.path().join("readable");
    fs::create_dir(&readable).unwrap();
    fs::set_permissions(&readable, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(refused(&readable), None);

    let foreign = bench.directory.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    // Only root can give a directory away, and to everybody else the root directory is somebody's.
    let given = std::os::unix::fs::chown(&foreign, Some(1), None).is_ok();
    let why = refused(if given { &foreign } else { Path::new("/") }).expect("it is somebody else's");
    assert!(why.contains("belongs to the user with the id"), "{why}");

    let file = bench.directory.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refused(&file).expect("no directory").contains("Not a directory"));
    assert!(refused(&file.join("below")).is_some());
}

#[tokio::test]
async fn where_nothing_can_be_written_nothing_else_happens() {
    let bench = Bench::set().await;
    let cache = bench.cache();
    fs::remove_dir(bench.path()).unwrap();
    for _ in 0..2 {
        bench.store(&cache, own());
        assert!(cache.told_of_failed_write.load(Ordering::Relaxed));
        assert!(bench.load(&cache, own()).is_none());
    }
}

#[tokio::test]
async fn the_least_recently_used_make_room() {
    let bench = Bench::set().await;
    let [first, second, third] = ["1", "2", "3"].map(|text| Digest::of(text.as_bytes()));
    bench.store(&bench.cache(), first);
    let size = fs::metadata(bench.file(&bench.cache(), first)).unwrap().len();
    let cache = bench.cache_of(2 * size + size / 2);
    bench.store(&cache, second);
    set_age(&bench.file(&cache, first), 3);
    set_age(&bench.file(&cache, second), 2);
    assert!(bench.load(&cache, first).is_some(), "that counts as a use");
    for (name, age) in [("unfinished-crashed", 2), ("unfinished-begun", 0), ("notes.txt", 9)] {
        fs::write(bench.path().join(name), "some text").unwrap();
        set_age(&bench.path().join(name), age);
    }

    bench.store(&cache, third);
    assert!(bench.load(&cache, second).is_none());
    assert!(bench.load(&cache, first).is_some() && bench.load(&cache, third).is_some());
    let names = bench.names();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names.contains(&"notes.txt".to_owned()), "what is not ours stays: {names:?}");
    assert!(names.contains(&"unfinished-begun".to_owned()), "another host is at it: {names:?}");

    bench.store(&cache, third);
    assert!(bench.load(&cache, first).is_some(), "a file makes room for itself");
    let small = bench.cache_of(size - 1);
    bench.store(&small, second);
    assert!(small.told_of_failed_write.load(Ordering::Relaxed), "it would not fit alone");
    assert!(bench.load(&cache, first).is_some(), "and nothing went for it");
}

#[tokio::test]
async fn hosts_that_share_a_directory_do_not_break_each_other() {
    let bench = Bench::set().await;
    bench.store(&bench.cache(), own());
    let size = fs::metadata(bench.file(&bench.cache(), own())).unwrap().len();
    let wanted = bench.component.serialize().unwrap();
    let digests = ["1", "2", "3"].map(|text| Digest::of(text.as_bytes()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            // Each finds room for two, and removes what the others need.
            let cache = bench.cache_of(2 * size + size / 2);
            let (bench, wanted) = (&bench, &wanted);
            scope.spawn(move || {
                for round in 0..20 {
                    let digest = digests[round % digests.len()];
                    bench.store(&cache, digest);
                    assert!(!cache.told_of_failed_write.load(Ordering::Relaxed), "round {round}");
                    let slot = cache.slot(&bench.engine.engine, digest, COMPONENT.len());
                    // What is there is whole, whoever wrote it; and it may be gone.
                    let found = cache.read(&bench.engine.engine, &slot).unwrap();
                    assert!(found.is_none_or(|found| found.serialize().unwrap() == *wanted));
                }
            });
        }
    });
    let total: u64 = bench.names().iter().map(|name| fs::metadata(bench.path().join(name)).unwrap().len()).sum();
    assert!(total <= (2 + 4) * size + size / 2, "{total} bytes in files of {size}");
    assert!(!bench.names().iter().any(|name| name.starts_with(UNFINISHED)), "{:?}", bench.names());
}
