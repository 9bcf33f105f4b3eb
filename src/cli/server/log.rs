//! The server's log: to standard error, and to a file if there is to be one, in lines for people or as JSON.
//!
//! How much is logged and where can change while the server runs: the file is opened again at SIGHUP, so that another
//! program can move it away.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{MAIN_SEPARATOR_STR, Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tracing::Level;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::ServerArgs;
use super::config::{LogFormat, ServerConfig};
use crate::cli::console::Ended;
use crate::cli::environment::Environment;

/// The file's name where only a directory is given.
const FILE: &str = "cofferdam.log";

/// The end of the file's name where it has none.
const EXTENSION: &str = "log";

/// How much to log, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) level: Level,
    pub(super) format: LogFormat,
    /// Where to log besides standard error.
    pub(super) file: Option<PathBuf>,
}

/// What was typed, which goes before the configuration whenever that is read.
#[derive(Debug, Clone, Default)]
pub(super) struct Typed {
    level: Option<Level>,
    format: Option<LogFormat>,
    file: Option<PathBuf>,
}

impl Typed {
    /// Returns what flags say, else the environment.
    pub(super) fn gather(arguments: &ServerArgs, environment: &Environment) -> Result<Self, Ended> {
        let level_typed = arguments.log_level.as_ref().or(environment.log_level.as_ref());
        let format_typed = arguments.log_format.as_ref().or(environment.log_format.as_ref());
        Ok(Self {
            level: level_typed.map(|typed| level(typed)).transpose()?,
            format: format_typed.map(|typed| format(typed)).transpose()?,
            file: arguments.log_file.clone().or_else(|| environment.log_file.clone()),
        })
    }

    /// Returns the settings that are in force with a configuration.
    pub(super) fn with(&self, config: &ServerConfig) -> Settings {
        let file = self.file.as_ref().or(config.log_file.as_ref());
        Settings {
            level: self.level.or(config.log_level).unwrap_or(Level::INFO),
            format: self.format.or(config.log_format).unwrap_or(LogFormat::Standard),
            file: file.map(|path| named(path)),
        }
    }
}

/// The log as it runs.
pub(super) struct Log {
    filter: reload::Handle<Targets, Registry>,
    file: Arc<ArcSwapOption<File>>,
    settings: Settings,
}

impl Log {
    /// Begins to log. Libraries are heard from warn on: what they say below that can hold what requests hold.
    pub(super) fn start(settings: &Settings) -> Result<Self, Ended> {
        let opened = settings.file.as_deref().map(open).transpose().map_err(Ended::local)?;
        let file = Arc::new(ArcSwapOption::from(opened.map(Arc::new)));
        let (filter, handle) = reload::Layer::new(filter(settings.level));
        let lines = tracing_subscriber::fmt::layer().with_writer(Output(Arc::clone(&file))).with_ansi(false);
        let registry = tracing_subscriber::registry().with(filter);
        // A subscriber that is set already belongs to whoever runs this as part of something larger.
        drop(match settings.format {
            LogFormat::Standard => registry.with(lines).try_init(),
            LogFormat::Json => registry.with(lines.json()).try_init(),
        });
        Ok(Self { filter: handle, file, settings: settings.clone() })
    }

    /// Opens the file again under its name: whoever keeps old logs has moved away what was there. Lines go on to the
    /// old one if that fails.
    pub(super) fn reopen(&self) {
        self.move_to(self.settings.file.as_deref());
    }

    /// Logs as the settings say from now on. The format stays until the next start.
    pub(super) fn change(&mut self, settings: Settings) {
        if settings.level != self.settings.level {
            if let Err(error) = self.filter.reload(filter(settings.level)) {
                tracing::error!(%error, "the log level could not be changed");
            }
            tracing::info!("the log level is {} now", settings.level.to_string().to_lowercase());
        }
        if settings.file != self.settings.file {
            self.move_to(settings.file.as_deref());
        }
        self.settings = Settings { format: self.settings.format, ..settings };
    }

    fn move_to(&self, path: Option<&Path>) {
        match path.map(open).transpose() {
            Ok(file) => {
                self.file.store(file.map(Arc::new));
                if let Some(path) = path {
                    tracing::info!("the log goes to {} from here on", path.display());
                }
            }
            Err(why) => tracing::error!("the log stays where it was: {why}"),
        }
    }
}

/// Where lines go.
#[derive(Clone)]
struct Output(Arc<ArcSwapOption<File>>);

/// Where one line goes.
struct Line(Option<Arc<File>>);

impl<'writer> MakeWriter<'writer> for Output {
    type Writer = Line;

    fn make_writer(&'writer self) -> Line {
        Line(self.0.load_full())
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // In one piece, at the end of the file, so that no line is torn. One that is lost on one of the two ways is not
        // lost.
        let filed = self.0.as_ref().map(|file| (&**file).write_all(line));
        let shown = io::stderr().write_all(line);
        match filed {
            Some(filed) => filed.or(shown)?,
            None => shown?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn filter(level: Level) -> Targets {
    let ours = LevelFilter::from_level(level);
    Targets::new().with_default(LevelFilter::WARN.min(ours)).with_target("cofferdam", ours)
}

/// Returns the file that is meant: Vault adds what is missing of its name.
fn named(path: &Path) -> PathBuf {
    if path.as_os_str().to_string_lossy().ends_with(MAIN_SEPARATOR_STR) {
        return path.join(FILE);
    }
    if path.extension().is_none() { path.with_extension(EXTENSION) } else { path.to_owned() }
}

/// Opens a log file. A new one is this user's only.
fn open(path: &Path) -> Result<File, String> {
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    opened.map_err(|cause| format!("Error opening the log file {}: {cause}", path.display()))
}

fn level(typed: &str) -> Result<Level, Ended> {
    match typed.to_ascii_lowercase().as_str() {
        "trace" => Ok(Level::TRACE),
        "debug" => Ok(Level::DEBUG),
        "info" | "notice" => Ok(Level::INFO),
        "warn" | "warning" => Ok(Level::WARN),
        "err" | "error" => Ok(Level::ERROR),
        _ => Err(Ended::local(format!("unknown log level {typed:?}: use trace, debug, info, warn or error"))),
    }
}

fn format(typed: &str) -> Result<LogFormat, Ended> {
    match typed.to_ascii_lowercase().as_str() {
        "standard" | "" => Ok(LogFormat::Standard),
        "json" => Ok(LogFormat::Json),
        _ => Err(Ended::local(format!("unknown log format {typed:?}: use standard or json"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_file_has_the_name_that_vault_gives_it() {
        for (typed, meant) in [
            ("/var/log/", "/var/log/cofferdam.log"),
            ("/var/log/vault", "/var/log/vault.log"),
            ("/var/log/vault.txt", "/var/log/vault.txt"),
            ("vault", "vault.log"),
        ] {
            assert_eq!(named(Path::new(typed)), Path::new(meant), "{typed}");
        }
    }

    #[test]
    fn lines_go_on_to_the_file_that_has_the_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let file = Arc::new(ArcSwapOption::from(Some(Arc::new(open(&path).unwrap()))));
        let output = Output(Arc::clone(&file));
        output.make_writer().write_all(b"one\n").unwrap();
        let moved = directory.path().join("a.log.1");
        std::fs::rename(&path, &moved).unwrap();
        output.make_writer().write_all(b"two\n").unwrap();
        file.store(Some(Arc::new(open(&path).unwrap())));
        output.make_writer().write_all(b"three\n").unwrap();
        assert_eq!(std::fs::read_to_string(moved).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
