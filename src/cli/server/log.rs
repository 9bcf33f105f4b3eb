//! The server's log: to standard error, in lines for people or as JSON.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::ServerArgs;
use super::config::{LogFormat, ServerConfig};
use crate::cli::console::Ended;
use crate::cli::environment::Environment;

/// How much to log, and how.
pub(super) struct Settings {
    pub(super) level: Level,
    pub(super) format: LogFormat,
}

impl Settings {
    /// Returns the settings: a flag before the environment before the configuration.
    pub(super) fn gather(
        arguments: &ServerArgs,
        environment: &Environment,
        config: &ServerConfig,
    ) -> Result<Self, Ended> {
        let level = match arguments.log_level.as_ref().or(environment.log_level.as_ref()) {
            Some(typed) => level(typed)?,
            None => config.log_level.unwrap_or(Level::INFO),
        };
        let format = match arguments.log_format.as_ref().or(environment.log_format.as_ref()) {
            Some(typed) => format(typed)?,
            None => config.log_format.unwrap_or(LogFormat::Standard),
        };
        Ok(Self { level, format })
    }
}

/// Begins to log. Libraries are heard from warn on: what they say below that can hold what requests hold.
pub(super) fn start(settings: &Settings) {
    let ours = LevelFilter::from_level(settings.level);
    let filter = Targets::new().with_default(LevelFilter::WARN.min(ours)).with_target("cofferdam", ours);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let registry = tracing_subscriber::registry().with(filter);
    // A subscriber that is set already belongs to whoever runs this as part of something larger.
    drop(match settings.format {
        LogFormat::Standard => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    });
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
