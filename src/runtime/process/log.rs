//! What a native plugin prints: lines in the host's log, at the level that they name, with plugin, mount and process;
//! the last of them kept, for whoever asks why it ended.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::ident::MountPath;
use crate::runtime::text::{clean, one_entry};
use crate::runtime::{LogBudget, LogPermit};

/// Lines that are kept of what a process printed last. A Go panic's first goroutine fits.
const TAIL_LINES_MAX: usize = 40;

/// Bytes of a line that are kept.
const TAIL_LINE_BYTES_MAX: usize = 400;

/// Bytes of a panic that one process may log, beside its budget per second: all goroutines of a busy plugin.
const PANIC_BYTES_MAX: usize = 256 << 10;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 16 << 10;

/// One process's output.
pub(super) struct PluginLog {
    /// The plugin's name and version.
    plugin: Arc<str>,
    pid: u32,
    line_bytes_max: usize,
    budget: LogBudget,
    /// Where the process is mounted, by mount id.
    mounts: Mutex<BTreeMap<Arc<str>, MountPath>>,
    tail: Mutex<VecDeque<String>>,
    /// The streams that are followed.
    streams: TaskTracker,
}

/// Where a line stands in what was printed.
#[derive(Default)]
struct Panic {
    /// Bytes left to log of it, once it has begun.
    left: Option<usize>,
}

impl PluginLog {
    pub(super) fn new(plugin: Arc<str>, pid: u32, line_bytes_max: usize, bytes_per_second: u64) -> Arc<Self> {
        let budget = LogBudget::new(bytes_per_second);
        let (mounts, tail, streams) = (Mutex::default(), Mutex::default(), TaskTracker::new());
        streams.close();
        Arc::new(Self { plugin, pid, line_bytes_max, budget, mounts, tail, streams })
    }

    /// The process serves this mount from now on.
    pub(super) fn enter(&self, id: &Arc<str>, path: &MountPath) {
        let mut mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        if mounts.get(id) != Some(path) {
            mounts.insert(Arc::clone(id), path.clone());
        }
    }

    /// The process serves this mount no more.
    pub(super) fn leave(&self, id: &str) {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Returns the last lines, as one text; `None` where there are none.
    pub(super) fn tail(&self) -> Option<String> {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = tail.iter().map(String::as_str).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// Logs what the host has to say of the process.
    pub(super) fn fault(&self, text: &str) {
        let (plugin, mount, pid) = (&*self.plugin, self.mount(), self.pid);
        tracing::error!(plugin, mount, pid, "{}", one_entry(text));
    }

    /// Waits at most so long until all streams that are followed have been read to their end.
    pub(super) async fn read_to_the_end(&self, limit: Duration) {
        drop(timeout(limit, self.streams.wait()).await);
    }

    /// Logs everything that a stream gives, until it ends.
    pub(super) async fn follow(self: Arc<Self>, stream: impl AsyncRead + Unpin) {
        let _followed = self.streams.token();
        let mut lines = Lines::new(stream, self.line_bytes_max);
        let mut panic = Panic::default();
        while let Some(line) = lines.next().await {
            self.line(&line, &mut panic);
        }
    }

    /// Keeps a line that is not logged, such as one that should have been a handshake.
    pub(super) fn keep(&self, line: &str) {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL_LINES_MAX {
            tail.pop_front();
        }
        tail.push_back(clean(&line[..line.floor_char_boundary(TAIL_LINE_BYTES_MAX)]));
    }

    fn line(&self, line: &str, panic: &mut Panic) {
        if line.trim().is_empty() {
            return;
        }
        self.keep(line);
        if panic.left.is_none() && (line.starts_with("panic: ") || line.starts_with("fatal error: ")) {
            panic.left = Some(PANIC_BYTES_MAX);
        }
        if let Some(left) = panic.left {
            panic.left = Some(left.saturating_sub(line.len()));
            if left > 0 {
                self.emit(tracing::Level::ERROR, line);
            }
            return;
        }
        let LogPermit::Granted { dropped_before } = self.budget.admit(&self.plugin, &self.mount(), line) else {
            return;
        };
        if dropped_before > 0 {
            self.emit(tracing::Level::WARN, &format!("{dropped_before} log lines were dropped: too many"));
        }
        match structured(line) {
            Some((level, text)) => self.emit(level, &text),
            None => {
                let (level, text) = leveled(line);
                self.emit(level, text);
            }
        }
    }

    fn emit(&self, level: tracing::Level, line: &str) {
        let (plugin, mount, pid) = (&*self.plugin, self.mount(), self.pid);
        let line = clean(line);
        match level {
            tracing::Level::ERROR => tracing::error!(target: "cofferdam::plugin", plugin, mount, pid, "{line}"),
            tracing::Level::WARN => tracing::warn!(target: "cofferdam::plugin", plugin, mount, pid, "{line}"),
            tracing::Level::INFO => tracing::info!(target: "cofferdam::plugin", plugin, mount, pid, "{line}"),
            tracing::Level::DEBUG => tracing::debug!(target: "cofferdam::plugin", plugin, mount, pid, "{line}"),
            tracing::Level::TRACE => tracing::trace!(target: "cofferdam::plugin", plugin, mount, pid, "{line}"),
        }
    }

    /// The mount that a line belongs to, as far as can be told: nothing on the line says it.
    fn mount(&self) -> String {
        let mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        match mounts.len() {
            0 => String::new(),
            1 => mounts.values().map(MountPath::to_string).collect(),
            many => format!("one of {many}"),
        }
    }
}

/// Reads a line as hclog writes them in JSON: level, then message, then the fields in the order of their names.
fn structured(line: &str) -> Option<(tracing::Level, String)> {
    if !line.starts_with('{') {
        return None;
    }
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else { return None };
    let level = level_named(fields.get("@level")?.as_str()?)?;
    let mut text = fields.get("@message")?.as_str()?.to_owned();
    for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with('@')) {
        text.push_str(&format!(" {name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    }
    Some((level, text))
}

/// Reads a line as Go's standard log writes them by convention: `[LEVEL] text`. Anything else is debug, as in Vault.
fn leveled(line: &str) -> (tracing::Level, &str) {
    let bracketed = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let named = bracketed.and_then(|(name, text)| Some((level_named(&name.to_ascii_lowercase())?, text.trim_start())));
    named.unwrap_or((tracing::Level::DEBUG, line))
}

fn level_named(name: &str) -> Option<tracing::Level> {
    Some(match name {
        "trace" => tracing::Level::TRACE,
        "debug" => tracing::Level::DEBUG,
        "info" => tracing::Level::INFO,
        "warn" => tracing::Level::WARN,
        "error" => tracing::Level::ERROR,
        _ => return None,
    })
}

// --------------------------------------------------------------------------------------------------------------------
// Lines

/// A stream cut into lines, of which only the beginning is kept: a line may be endless.
pub(super) struct Lines<S> {
    stream: BufReader<S>,
    line_bytes_max: usize,
    /// The line that is being read, as far as it is kept; `None` between two. Here, so that nothing is lost with a wait
    /// that is given up.
    line: Option<Vec<u8>>,
}

impl<S: AsyncRead + Unpin> Lines<S> {
    pub(super) fn new(stream: S, line_bytes_max: usize) -> Self {
        Self { stream: BufReader::with_capacity(CHUNK_BYTES, stream), line_bytes_max, line: None }
    }

    /// Returns the next line without its break; `None` at the end, or when the stream cannot be read any more.
    pub(super) async fn next(&mut self) -> Option<String> {
        while !self.reads_on().await {}
        self.taken()
    }

    /// Returns the next line, or its beginning once that is longer than a line may be: who waits for a line need not
    /// wait for the end of an endless one.
    pub(super) async fn beginning(&mut self) -> Option<String> {
        while !self.reads_on().await && !self.is_full() {}
        self.taken()
    }

    /// Reads a piece, and returns whether the line ends with it.
    async fn reads_on(&mut self) -> bool {
        let Ok(chunk) = self.stream.fill_buf().await else { return true };
        if chunk.is_empty() {
            return true;
        }
        // Searching for the place is slow, where it is not optimised, and most of a flood has none.
        let end = if chunk.contains(&b'\n') { chunk.iter().position(|byte| *byte == b'\n') } else { None };
        let piece = &chunk[..end.unwrap_or(chunk.len())];
        let line = self.line.get_or_insert_default();
        let room = self.line_bytes_max.saturating_sub(line.len());
        line.extend_from_slice(&piece[..piece.len().min(room)]);
        let consumed = end.map_or(chunk.len(), |end| end + 1);
        self.stream.consume(consumed);
        end.is_some()
    }

    fn is_full(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.len() >= self.line_bytes_max)
    }

    fn taken(&mut self) -> Option<String> {
        self.line.take().map(|line| String::from_utf8_lossy(&line).into_owned())
    }

    /// Reads and forgets the rest.
    pub(super) async fn drain(mut self) {
        let mut buffer = [0; 4 << 10];
        while self.stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_level_that_they_name() {
        use tracing::Level;
        let text = |line: &str| match structured(line) {
            Some(found) => found,
            None => {
                let (level, text) = leveled(line);
                (level, text.to_owned())
            }
        };
        for (line, level, expected) in [
            (
                r#"{"@level":"warn","@message":"low","@timestamp":"x","@module":"m","left":3}"#,
                Level::WARN,
                "low left=3",
            ),
            (r#"{"@level":"error","@message":"no","why":"text"}"#, Level::ERROR, "no why=text"),
            (r#"{"@level":7,"@message":"no"}"#, Level::DEBUG, r#"{"@level":7,"@message":"no"}"#),
            (r#"{"@level":"info","@message":{}}"#, Level::DEBUG, r#"{"@level":"info","@message":{}}"#),
            ("{not json", Level::DEBUG, "{not json"),
            ("[INFO]  ready", Level::INFO, "ready"),
            ("[ERROR] failed", Level::ERROR, "failed"),
            ("[OTHER] thing", Level::DEBUG, "[OTHER] thing"),
            ("plain", Level::DEBUG, "plain"),
        ] {
            assert_eq!(text(line), (level, expected.to_owned()), "{line}");
        }
    }

    #[tokio::test]
    async fn an_endless_line_is_cut_and_the_next_one_is_whole() {
        let text = [&b"x".repeat(100_000)[..], b"\nshort\n\nlast"].concat();
        let mut lines = Lines::new(&text[..], 10);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await {
            found.push(line);
        }
        assert_eq!(found, ["xxxxxxxxxx", "short", "", "last"]);
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_loses_nothing() {
        let (stream, mut writer) = tokio::io::simplex(64);
        let mut lines = Lines::new(stream, 10);
        tokio::io::AsyncWriteExt::write_all(&mut writer, b"half ").await.unwrap();
        let soon = std::time::Duration::from_millis(1);
        assert!(tokio::time::timeout(soon, lines.next()).await.is_err(), "the line goes on");
        tokio::io::AsyncWriteExt::write_all(&mut writer, b"a line\nendless").await.unwrap();
        assert_eq!(lines.next().await.as_deref(), Some("half a lin"));
        tokio::io::AsyncWriteExt::write_all(&mut writer, b"endless").await.unwrap();
        assert_eq!(lines.beginning().await.as_deref(), Some("endlessend"));
    }

    #[tokio::test]
    async fn the_last_lines_are_kept() {
        let log = PluginLog::new("p".into(), 1, 100, 1_000);
        assert_eq!(log.tail(), None);
        let text: String = (0..100).map(|line| format!("line {line}\n")).collect();
        Arc::clone(&log).follow(text.as_bytes()).await;
        let tail = log.tail().expect("there are lines");
        assert!(tail.starts_with("line 60\n") && tail.ends_with("line 99"), "{tail}");
    }
}
