//! Starting a host again that has many plugins and many mounts, from its stored state and a compile cache that holds
//! all of them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cofferdam::storage::DurableStorage;
use cofferdam::{Host, InstancePolicy, PluginDirectory};
use futures_util::StreamExt;

use crate::support::table::{Figure, Row};
use crate::support::{Bench, host};

const PLUGINS: usize = 100;
const MOUNTS: usize = 10_000;

/// Mounts that are enabled at a time: each waits for the disk.
const AT_A_TIME: usize = 64;

/// The mount that is asked.
const MOUNT: &str = "mounts/7";

pub fn measure(bench: &mut Bench) {
    if !bench.wants("restart") {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder can be made");
    let plugins = write_plugins(folder.path(), &bench.component.path());
    let (first, all) = bench.runtime.block_on(async {
        let host = start(folder.path()).await;
        for (number, file) in plugins.iter().enumerate() {
            host::register_as(&host, &plugin(number), file, InstancePolicy::PerMount).await;
        }
        let mounts = futures_util::stream::iter(0..MOUNTS);
        let enable =
            async |number| host::enable_as(&host, &plugin(number % PLUGINS), &format!("mounts/{number}")).await;
        mounts.for_each_concurrent(AT_A_TIME, enable).await;
        host::store_secret(&host, MOUNT).await;
        host.shutdown().await;
        drop(host);

        let begun = Instant::now();
        let host = start(folder.path()).await;
        host::answer(&host, host::read(MOUNT)).await;
        let first = begun.elapsed();
        host.started().await;
        let all = begun.elapsed();
        host.shutdown().await;
        (first, all)
    });
    let row = Row::new("10,000 mounts of 100 plugins, compiled before: restart to first answer", Figure::Time(first));
    bench.row(row.at_most(Figure::Time(Duration::from_secs(1))));
    let what = "10,000 mounts of 100 plugins, compiled before: restart until all have started";
    bench.row(Row::new(what, Figure::Time(all)));
}

async fn start(folder: &Path) -> Host {
    let storage = DurableStorage::open(folder.join("store")).expect("the store opens");
    let plugins = PluginDirectory::open(folder).expect("the folder opens");
    let builder = Host::builder().storage(storage).plugin_directory(plugins).compile_cache(folder.join("cache"));
    builder.build().await.expect("the host starts")
}

fn plugin(number: usize) -> String {
    format!("plugin-{number}")
}

/// Writes components that do the same and differ in a custom section, so that none is taken for another.
fn write_plugins(folder: &Path, component: &Path) -> Vec<PathBuf> {
    let bytes = std::fs::read(component).expect("the plugin's file is there");
    (0..PLUGINS)
        .map(|number| {
            let name = plugin(number);
            let length = u8::try_from(name.len()).ok().filter(|length| *length < 127).expect("the name is short");
            let mut bytes = bytes.clone();
            // A custom section: its number, its length, and a name, whose length comes first, with nothing behind it.
            // Lengths below 128 are one byte.
            bytes.extend([0, length + 1, length]);
            bytes.extend(name.as_bytes());
            let file = folder.join(&name);
            std::fs::write(&file, bytes).expect("the plugin's file can be written");
            file
        })
        .collect()
}
