//! What the server does about signals. None ends it without a shutdown but SIGKILL, and those that tell of a fault of
//! its own.
//!
//! | signal | what |
//! |---|---|
//! | TERM, INT, QUIT, XCPU, PWR | a shutdown: what is under way ends first |
//! | HUP | certificates, configuration and log file are read again (`declared`) |
//! | USR1, USR2, ALRM, VTALRM, PROF, IO, the real-time ones | a line in the log |
//! | XFSZ | a line in the log; the write that was too long fails, as on a full disk |
//!
//! They are caught and not ignored, since what is ignored stays so in the programs that the server starts.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What shuts the server down.
const STOPPING: [(SignalKind, &str); 5] = [
    (SignalKind::terminate(), "SIGTERM"),
    (SignalKind::interrupt(), "SIGINT"),
    (SignalKind::quit(), "SIGQUIT"),
    // The processor time that the server may take is used up; more than a little beyond it ends in SIGKILL.
    (SignalKind::from_raw(libc::SIGXCPU), "SIGXCPU"),
    (SignalKind::from_raw(libc::SIGPWR), "SIGPWR"),
];

/// What would end a process, and does nothing here. Vault prints stacks at SIGUSR2.
const PASSED_OVER: [(SignalKind, &str); 7] = [
    (SignalKind::user_defined1(), "SIGUSR1"),
    (SignalKind::user_defined2(), "SIGUSR2"),
    (SignalKind::alarm(), "SIGALRM"),
    (SignalKind::io(), "SIGIO"),
    (SignalKind::from_raw(libc::SIGVTALRM), "SIGVTALRM"),
    (SignalKind::from_raw(libc::SIGPROF), "SIGPROF"),
    (SignalKind::from_raw(libc::SIGXFSZ), "SIGXFSZ"),
];

/// Several signals, with their names.
struct Signals(Vec<(Signal, String)>);

impl Signals {
    /// Takes them from now on.
    fn of(kinds: impl IntoIterator<Item = (SignalKind, String)>) -> io::Result<Self> {
        let taken = kinds.into_iter().map(|(kind, name)| Ok((signal(kind)?, name)));
        taken.collect::<io::Result<_>>().map(Self)
    }

    /// Waits for one of them, and returns its name.
    async fn next(&mut self) -> String {
        poll_fn(|context| {
            let mut came = self.0.iter_mut().filter_map(|(signal, name)| {
                let is_ready = signal.poll_recv(context).is_ready();
                is_ready.then(|| name.clone())
            });
            came.next().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

fn named(signals: &[(SignalKind, &str)]) -> Vec<(SignalKind, String)> {
    signals.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect()
}

/// Takes the signals that mean nothing to the server from now on. Needs a runtime, on which they are waited for.
pub(super) fn pass_over() {
    let real_time = libc::SIGRTMIN()..=libc::SIGRTMAX();
    let real_time = real_time.map(|number| (SignalKind::from_raw(number), format!("real-time signal {number}")));
    match Signals::of(named(&PASSED_OVER).into_iter().chain(real_time)) {
        Ok(mut signals) => drop(tokio::spawn(async move {
            loop {
                let name = signals.next().await;
                tracing::info!(
                    "{name} came, and nothing is done about it; SIGTERM stops the server, SIGHUP reloads it"
                );
            }
        })),
        Err(error) => tracing::warn!(%error, "some signals cannot be caught: SIGUSR1 and its like end the server"),
    }
}

/// Takes the signals that stop the server from now on, and returns when one came.
pub(super) fn stop() -> impl Future<Output = ()> {
    let signals = Signals::of(named(&STOPPING));
    async move {
        let Ok(mut signals) = signals else {
            // Without signal handlers the system ends the process itself.
            return std::future::pending().await;
        };
        let name = signals.next().await;
        tracing::info!("{name} came: the server stops");
    }
}
