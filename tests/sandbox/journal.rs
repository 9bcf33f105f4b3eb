//! What a host logs, as a test sees it: each event's fields, unescaped and uncut.

use std::fmt::{Debug, Write};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::Notify;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Metadata, Subscriber};

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) level: String,
    pub(crate) target: String,
    pub(crate) message: String,
    /// The plugin and the mount that it names.
    pub(crate) plugin: String,
    pub(crate) mount: String,
    /// All that would be printed of it.
    pub(crate) whole: String,
}

/// Keeps what this thread logs. A test's host runs on the test's own thread, so each test reads its own journal.
pub(crate) struct Journal {
    kept: Arc<Kept>,
    _guard: DefaultGuard,
}

#[derive(Default)]
struct Kept {
    lines: Mutex<Vec<Line>>,
    news: Notify,
}

/// Two that nobody reads. While there is a single subscriber, tracing asks whichever thread comes first to an event,
/// and if that is not the subscriber's own, the event is of no interest from then on, to anybody. To be deleted when
/// tokio-rs/tracing#3611 is fixed.
static BYSTANDERS: LazyLock<[Dispatch; 2]> =
    LazyLock::new(|| std::array::from_fn(|_| Dispatch::new(Keeper(Arc::default()))));

impl Journal {
    pub(crate) fn begin() -> Self {
        LazyLock::force(&BYSTANDERS);
        let kept = Arc::<Kept>::default();
        let guard = tracing::subscriber::set_default(Keeper(Arc::clone(&kept)));
        Self { kept, _guard: guard }
    }

    /// Returns all lines so far.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.kept.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets all lines so far.
    #[allow(dead_code, reason = "only some tests begin anew")]
    pub(crate) fn forget(&self) {
        self.kept.lines.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns the lines that plugins wrote themselves.
    pub(crate) fn of_plugins(&self) -> Vec<Line> {
        self.lines().into_iter().filter(|line| line.target == "cofferdam::plugin").collect()
    }

    /// Returns once so many lines say exactly this.
    pub(crate) async fn says(&self, message: &str, times: usize) {
        loop {
            let news = self.kept.news.notified();
            if self.lines().iter().filter(|line| line.message == message).count() >= times {
                return;
            }
            news.await;
        }
    }
}

struct Keeper(Arc<Kept>);

impl Subscriber for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("cofferdam")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line =
            Line { level: metadata.level().to_string(), target: metadata.target().to_owned(), ..Line::default() };
        event.record(&mut line);
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        self.0.news.notify_waiters();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        write!(self.whole, " {}={text}", field.name()).expect("writing to a string succeeds");
        match field.name() {
            "message" => self.message = text,
            "plugin" => self.plugin = text.trim_matches('"').to_owned(),
            "mount" => self.mount = text.trim_matches('"').to_owned(),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}
