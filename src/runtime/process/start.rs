//! From sealed bytes to a process that answered its handshake, or to the reason why not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_contract::GoDuration;
use cofferdam_proto::handshake::{Handshake, HandshakeError, LINE_BYTES_MAX};
use cofferdam_proto::names;
use cofferdam_proto::tls::{Identity, LOCALHOST, Tls};
use cofferdam_proto::transport;
use tokio::process::{ChildStderr, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::child::{Child, ChildSettings, Executable, Exit, SpawnError};
use super::environment::{Trust, environment};
use super::log::{Lines, PluginLog};
use super::process::{Parts, Process};
use super::{Shared, wrapping};
use crate::runtime::Launch;
use crate::runtime::text::brief;
use crate::storage::Room;

/// How long a plugin that said where it listens may take to accept.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// How long the last lines of a process that ended may take to be read.
pub(super) const LAST_LINES: Duration = Duration::from_secs(1);

/// How long the news that a process ended may be behind what comes of it.
const EXIT_SEEN_WITHIN: Duration = Duration::from_millis(200);

/// How long a plugin has to fetch its certificate: Vault's 60 s.
const UNWRAP_WITHIN: Duration = Duration::from_secs(60);

/// The longest path of a directory for sockets: a socket's has at most 107 bytes, and go-plugin's name for one has up
/// to 17.
const DIRECTORY_BYTES_MAX: usize = 107 - "/".len() - 17;

/// What comes before the lines that a plugin printed.
const PRINTED: &str = ". The last lines that it printed:\n";

/// What go-plugin prints when the cookie is not the one it looks for.
const NOT_MEANT_FOR_PEOPLE: &str = "This binary is a plugin";

/// What go-plugin says when a plugin's own way to its certificate fails.
const NO_CERTIFICATE: &str = "plugin tls init";

/// What the dynamic loader prints when it misses a library.
const LIBRARY_MISSING: &str = "error while loading shared libraries";

/// How a process is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Automatic mutual TLS, for all plugins of the last years.
    AutoMtls,
    /// The plugin unwraps its certificate.
    Unwrap,
    /// No TLS; it is only asked what it is.
    Metadata,
}

/// Why there is no process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum StartError {
    /// The plugin does not know automatic mutual TLS, and speaks this version of the protocol.
    #[error("incompatible API version with plugin. Plugin version: {0}, Client versions: [5]")]
    Older(u32),
    /// As many run as may.
    #[error("{0}")]
    Full(String),
    /// The plugin does not know automatic mutual TLS, and ended because it was given no token to unwrap its certificate
    /// with.
    #[error("{0}")]
    Unwraps(String),
    /// It cannot run here, or is no plugin.
    #[error("{0}")]
    Unfit(String),
    /// It might run another time.
    #[error("{0}")]
    Failed(String),
}

/// Starts a plugin and reads its handshake.
pub(super) async fn start(
    shared: &Shared,
    executable: &Executable,
    launch: &Launch,
    mode: Mode,
) -> Result<Process, StartError> {
    let limits = &shared.limits;
    let permit = Arc::clone(&shared.places).try_acquire_owned().map_err(|_| {
        StartError::Full(format!(
            "{} native plugins' processes are running, and no more may; raise the limit: `limits {{ processes = … }}`, or \
             Limits::processes_max",
            limits.processes_max
        ))
    })?;
    let system = |what: &str, error: std::io::Error| StartError::Failed(format!("cannot {what}: {error}"));
    make_again(&shared.settings.socket_directory);
    let directory = tempfile::Builder::new()
        .prefix("cofferdam-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .tempdir_in(&shared.settings.socket_directory)
        .map_err(|error| {
            system(
                &format!("make a directory for its sockets in {}", shared.settings.socket_directory.display()),
                error,
            )
        })?;
    let length = directory.path().as_os_str().len();
    if length > DIRECTORY_BYTES_MAX {
        return Err(StartError::Failed(format!(
            "{} is no place for sockets: what lies below it has a path longer than a socket's may be, by {} bytes",
            shared.settings.socket_directory.display(),
            length - DIRECTORY_BYTES_MAX
        )));
    }

    let identity = identity(shared, mode)?;
    let trust = match (&identity.token, mode) {
        (Some(token), _) => Trust::Unwrap { token },
        (None, Mode::Metadata) => Trust::Metadata,
        (None, _) => Trust::AutoMtls { certificate_pem: identity.own.certificate_pem() },
    };
    let settings = ChildSettings {
        args: launch.launchable.args.clone(),
        env: environment(&shared.settings, &launch.launchable.env, &trust, directory.path()),
        memory_bytes_max: Some(limits.process_memory_bytes_max),
        open_files_max: Some(limits.process_files_max),
        cpu_seconds_max: limits.process_cpu_seconds_max,
        tasks_max: limits.process_tasks_max,
        confinement: launch.launchable.confinement.clone(),
        socket_directory: directory.path().to_owned(),
    };
    let mut child = shared.spawner.spawn(executable, settings).await.map_err(|error| match error {
        SpawnError::Unfit(why) => StartError::Unfit(why),
        SpawnError::System(why) => StartError::Failed(why),
    })?;
    let log = PluginLog::new(
        Arc::clone(&launch.label),
        child.pid,
        limits.log_line_bytes_max,
        limits.log_bytes_per_second_max,
    );
    if let Some(missing) = &child.unconfined {
        log.fault(&format!("the plugin runs with less confinement than was asked for: {missing}"));
    }
    let output = (child.stdout.take(), child.stderr.take());
    let child = Arc::new(child);
    let (handshake, errors) = greet(shared, &child, output, &log, mode).await?;
    let tls = tls_of(&identity.own, &handshake, mode)?;

    let limit = CONNECT_DEADLINE.min(limits.process_start_deadline);
    let channel = match timeout(limit, transport::channel(&handshake.address, tls.as_ref())).await {
        Ok(Ok(channel)) => channel,
        Ok(Err(error)) => return Err(unreachable(&handshake, &error.to_string(), &child, errors, &log).await),
        Err(_) => {
            let why = format!("no answer within {}", GoDuration::from_std(limit));
            return Err(unreachable(&handshake, &why, &child, errors, &log).await);
        }
    };
    let (grace, patience, tracker) = (limits.process_stop_grace, limits.lifecycle_deadline, shared.tracker.clone());
    let room = Room::new(limits.process_host_bytes_max, "process_host_bytes_max");
    let parts = Parts { child, channel, tls, log, directory, permit, room, grace, patience, tracker };
    Process::open(parts).await.map_err(StartError::Unfit)
}

/// Makes the directory that sockets' directories lie in, should it have been removed. Where that fails, the next step
/// says why.
fn make_again(directory: &Path) {
    use std::os::unix::fs::DirBuilderExt as _;
    if directory.exists() {
        return;
    }
    if std::fs::DirBuilder::new().mode(0o700).create(directory).is_ok() {
        tracing::warn!(directory = %directory.display(), "the directory for plugins' sockets was gone, and was made again");
    }
}

/// The host's side of what a launch needs to be trusted.
struct LaunchIdentity {
    own: Identity,
    /// With [`Mode::Unwrap`].
    token: Option<String>,
}

fn identity(shared: &Shared, mode: Mode) -> Result<LaunchIdentity, StartError> {
    let failed = |error: String| StartError::Failed(error);
    if mode != Mode::Unwrap {
        let own = Identity::generate(LOCALHOST).map_err(|error| failed(error.to_string()))?;
        return Ok(LaunchIdentity { own, token: None });
    }
    let Some(address) = &shared.settings.api_address else {
        return Err(StartError::Unfit(
            "the plugin was built before automatic mutual TLS, and unwraps its certificate from this server, whose address is \
             not configured: set api_addr, or rebuild the plugin with a current SDK"
                .to_owned(),
        ));
    };
    let own = wrapping::legacy_identity().map_err(|error| failed(error.to_string()))?;
    let data = wrapping::legacy_data(&own).map_err(failed)?;
    let token = shared.wrapping.wrap(data, address, UNWRAP_WITHIN).map_err(failed)?;
    Ok(LaunchIdentity { own, token: Some(token) })
}

fn tls_of(own: &Identity, handshake: &Handshake, mode: Mode) -> Result<Option<Tls>, StartError> {
    let peer = match mode {
        Mode::Metadata => return Ok(None),
        // Both sides hold the same key.
        Mode::Unwrap => own.certificate().clone(),
        Mode::AutoMtls => handshake.certificate.clone().ok_or_else(|| {
            StartError::Unfit(
                "the plugin's handshake has no certificate, though it was asked for mutual TLS".to_owned(),
            )
        })?,
    };
    Tls::new(own, peer).map(Some).map_err(|error| StartError::Unfit(error.to_string()))
}

/// Reads the first line of a process, and follows the rest of what it prints: on its standard error until what is
/// returned ends.
async fn greet(
    shared: &Shared,
    child: &Child,
    output: (Option<ChildStdout>, Option<ChildStderr>),
    log: &Arc<PluginLog>,
    mode: Mode,
) -> Result<(Handshake, JoinHandle<()>), StartError> {
    let limit = shared.limits.process_start_deadline;
    let until = Instant::now() + limit;
    let (Some(stdout), Some(stderr)) = output else {
        return Err(StartError::Failed("its output cannot be read".to_owned()));
    };
    let errors = tokio::spawn(Arc::clone(log).follow(stderr));
    let mut output = Lines::new(stdout, LINE_BYTES_MAX);
    let first = tokio::select! {
        // What it printed counts, though it may have ended since.
        biased;
        line = timeout_at(until, output.beginning()) => line,
        // A process that exits closes its output, but what it forked may keep it open.
        exit = child.exited() => match timeout(LAST_LINES, output.beginning()).await {
            Ok(Some(line)) => Ok(Some(line)),
            Ok(None) | Err(_) => return Err(ended(errors, log, exit, mode).await),
        }
    };
    let line = match first {
        Ok(Some(line)) => line,
        Ok(None) => {
            // Mostly because it is about to end.
            return Err(match timeout(shared.limits.process_stop_grace, child.exited()).await {
                Ok(exit) => ended(errors, log, exit, mode).await,
                Err(_) => StartError::Unfit(with_tail(
                    "the plugin closed its output without a handshake, and went on running".to_owned(),
                    log,
                )),
            });
        }
        Err(_) => {
            let text = format!(
                "timeout while waiting for plugin to start: no handshake within {}",
                GoDuration::from_std(limit)
            );
            return Err(StartError::Unfit(with_tail(text, log)));
        }
    };
    let handshake = match Handshake::parse(&line) {
        Ok(handshake) => handshake,
        Err(HandshakeError::Unrecognized(_)) => return Err(not_a_handshake(child, errors, log, &line).await),
        Err(error) => return Err(StartError::Unfit(error.to_string())),
    };
    tokio::spawn(output.drain());
    match (mode, handshake.version) {
        (Mode::AutoMtls, names::PROTOCOL_AUTO_MTLS) => Ok((handshake, errors)),
        (Mode::AutoMtls, older) if names::PROTOCOLS_LEGACY.contains(&older) => Err(StartError::Older(older)),
        (Mode::Unwrap | Mode::Metadata, older) if names::PROTOCOLS_LEGACY.contains(&older) => Ok((handshake, errors)),
        (_, other) => Err(StartError::Unfit(format!(
            "incompatible API version with plugin. Plugin version: {other}, Client versions: [3 4 5]; build it with an SDK that \
             this host knows"
        ))),
    }
}

/// Says that a process printed something before its handshake, or instead.
async fn not_a_handshake(child: &Child, errors: JoinHandle<()>, log: &PluginLog, line: &str) -> StartError {
    let error = HandshakeError::Unrecognized(brief(line));
    match timeout(EXIT_SEEN_WITHIN, child.exited()).await {
        Ok(exit) => {
            last_lines(errors).await;
            StartError::Unfit(with_tail(format!("{error}. Then its process {exit}"), log))
        }
        Err(_) => StartError::Unfit(with_tail(error.to_string(), log)),
    }
}

/// Says that there is nobody where a process says that it listens, or the wrong one.
async fn unreachable(
    handshake: &Handshake,
    why: &str,
    child: &Child,
    errors: JoinHandle<()>,
    log: &PluginLog,
) -> StartError {
    let text =
        format!("the plugin says that it listens at {:?}, and cannot be reached there: {why}", handshake.address);
    match timeout(EXIT_SEEN_WITHIN, child.exited()).await {
        Ok(exit) => {
            last_lines(errors).await;
            StartError::Unfit(with_tail(format!("{text}; its process {exit}"), log))
        }
        Err(_) => StartError::Unfit(with_tail(text, log)),
    }
}

/// Waits for what a process that ended printed last. Something that it forked may keep the stream open; nobody listens
/// to that.
async fn last_lines(mut errors: JoinHandle<()>) {
    if timeout(LAST_LINES, &mut errors).await.is_err() {
        errors.abort();
    }
}

/// Says that a process ended before its handshake.
async fn ended(errors: JoinHandle<()>, log: &PluginLog, exit: Exit, mode: Mode) -> StartError {
    // What it printed last is the reason, mostly.
    last_lines(errors).await;
    let tail = log.tail().unwrap_or_default();
    let hint = if tail.contains(NOT_MEANT_FOR_PEOPLE) {
        ". It is a plugin of another kind, such as a database: this host runs secrets engines and auth methods"
    } else if tail.contains(LIBRARY_MISSING) {
        ". Install the library, or build the plugin statically (CGO_ENABLED=0)"
    } else {
        ""
    };
    let text = with_tail(format!("plugin exited before we could connect: its process {exit}{hint}"), log);
    // With automatic mutual TLS a plugin that knows it does not look for any other certificate.
    if mode == Mode::AutoMtls && tail.contains(NO_CERTIFICATE) {
        return StartError::Unwraps(text);
    }
    StartError::Unfit(text)
}

fn with_tail(text: String, log: &PluginLog) -> String {
    match log.tail() {
        Some(tail) => format!("{text}{PRINTED}{tail}"),
        None => format!("{text}. It printed nothing"),
    }
}

/// Returns a reason without what the plugin printed.
pub(super) fn without_output(text: &str) -> &str {
    text.split_once(PRINTED).map_or(text, |(why, _)| why)
}
