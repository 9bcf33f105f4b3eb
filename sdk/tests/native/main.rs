//! A native plugin and a host, over real sockets: this program is both. The host's side starts it once more as the
//! plugin.

mod cases;
mod host;
mod plugin;
mod storage;

use std::process::ExitCode;

/// Says that this process is the plugin.
const BE_THE_PLUGIN: &str = "COFFERDAM_SDK_TEST_PLUGIN";

fn main() -> ExitCode {
    if std::env::var_os(BE_THE_PLUGIN).is_some() {
        return cofferdam_sdk::serve::<plugin::Tested>();
    }
    // What a test harness understands of arguments: parts of names. Everything else is for other harnesses.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let mut failed = 0;
    for (name, case) in cases::all() {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| name.contains(wanted.as_str())) {
            continue;
        }
        // The panic has been printed when it is seen here.
        let passed = runtime.block_on(runtime.spawn(case)).is_ok();
        println!("{}: {name}", if passed { "ok" } else { "FAILED" });
        failed += u32::from(!passed);
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
