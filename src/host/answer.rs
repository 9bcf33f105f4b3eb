//! A request's way through the host: where it leads, whether the caller may, what is told of it, and what its outcome
//! means to whoever asked.

use std::sync::Arc;

use bytes::Bytes;
use cofferdam_contract::AnswerFacts;
use cofferdam_contract::answer::NO_OBJECT;

use super::access::Asked;
use super::backend::{Admission, SystemBackend, own_prefix};
use super::types::{Answer, AnsweredBy};
use super::{Error, ErrorKind, Host, Inner};
use crate::ident::{MountPath, PluginKind, RequestPath};
use crate::json::{self, JsonLimits};
use crate::meter::Outcome;
use crate::mount::{Closed, Mount, MountError, MountRecord, Now, StartError};
use crate::request::{BackendError, Body, Caller, Operation, Request, Response};
use crate::runtime::{Failure, LoadError};

/// What a mount's request came to.
struct Ended {
    now: Arc<Now>,
    /// Whether the path is open to everybody.
    is_open: bool,
    outcome: Result<Response, Unanswered>,
}

/// Why a plugin did not answer.
enum Unanswered {
    /// The mount or its plugin failed.
    Failed(MountError),
    /// The caller may not, or the audit could not be told. The plugin was not asked.
    Refused(Error),
}

impl Unanswered {
    fn outcome(&self) -> Outcome {
        match self {
            Unanswered::Failed(error) => error.outcome(),
            Unanswered::Refused(error) if error.kind() == ErrorKind::Denied => Outcome::Denied,
            Unanswered::Refused(_) => Outcome::HostFault,
        }
    }
}

impl Inner {
    pub(super) async fn answer(&self, host: &Host, request: Request) -> Result<Answer, Error> {
        match self.own_backend(&request.path) {
            Some((prefix, backend)) => self.answer_by_itself(host, backend, prefix, request).await,
            None => self.answer_by_mount(request).await,
        }
    }

    /// Returns what answers at a path of the host's own, and how many bytes of the path name the place; `None` for
    /// every other path.
    pub(super) fn own_backend(&self, path: &RequestPath) -> Option<(usize, &dyn SystemBackend)> {
        Some((own_prefix(path)?, &**self.backend.as_ref()?))
    }

    /// Answers at a path of the host's own.
    async fn answer_by_itself(
        &self,
        host: &Host,
        system: &dyn SystemBackend,
        prefix: usize,
        request: Request,
    ) -> Result<Answer, Error> {
        let mount: MountPath = request.path.as_str()[..prefix].parse().map_err(internal)?;
        let below = request.path.as_str()[prefix..].trim_start_matches('/');
        let is_open = system.admission(&request.path) != Admission::Closed;
        let asked = Asked { path: below, ..asked(&request, Some(&mount), is_open) };
        let answer = match self.admit(&asked).await {
            Ok(()) => system.handle(host, &request).await,
            Err(refused) => Err(refused),
        };
        self.told(&asked, answer).await
    }

    async fn answer_by_mount(&self, mut request: Request) -> Result<Answer, Error> {
        let Some(route) = self.mounts.routes.find(&request.path) else {
            let text = format!("no handler for route {:?}. route entry not found.", request.path.as_str());
            let error = Error::new(ErrorKind::NotFound, text);
            let asked = asked(&request, None, false);
            self.tell(&asked, Some(&error)).await?;
            return self.told(&asked, Err(error)).await;
        };
        request.path = request.path.below(route.prefix_length);
        // The plugin takes the request; what is told of it afterwards is told of a copy.
        let told = self.audit.is_some().then(|| request.clone());
        let counted = route.mount.meter().begin();
        let operation = request.operation;
        // Known callers may see what the plugin printed as it failed to start; it is none of a stranger's business.
        let is_known = matches!(request.caller, Caller::Known(_));
        let Ended { now, is_open, outcome } = self.ask(&route.mount, Box::new(request)).await;
        let failed = outcome.as_ref().err().map(Unanswered::outcome);
        let in_its_own_words = matches!(&outcome, Err(Unanswered::Failed(MountError::Failed(Failure::Backend(_)))));
        let answer = match outcome {
            Ok(response) => self.settle(response, operation, is_open, &now.record),
            Err(Unanswered::Failed(error)) => Err(meaning(error, &now.record, is_known)),
            Err(Unanswered::Refused(error)) => Err(error),
        };
        counted.end(match (failed, &answer) {
            (Some(outcome), _) => outcome,
            (None, Ok(_)) => Outcome::Answered,
            // It answered, and the answer was refused.
            (None, Err(_)) => Outcome::Unusable,
        });
        if let Err(error) = &answer
            && is_for_the_operator(error.kind())
        {
            // A plugin's own words may repeat what was asked, secrets included: they are for whoever asked.
            now.scope.log_fault(if in_its_own_words { "it answered with an internal error" } else { error.message() });
        }
        match told {
            Some(request) => self.told(&asked(&request, Some(&now.record.path), is_open), answer).await,
            None => answer,
        }
    }

    /// Asks a mount's plugin, once the mount has started and the caller may.
    async fn ask(&self, mount: &Mount, mut request: Box<Request>) -> Ended {
        let granted = self.limits.request_deadline;
        let limit = request.deadline.map_or(granted, |deadline| deadline.min(granted));
        let entered = match mount.enter_started(limit).await {
            Ok(entered) => entered,
            Err(Closed { now, error }) => {
                let told = self.tell(&asked(&request, Some(&now.record.path), false), None).await;
                let outcome = Err(told.err().map_or(Unanswered::Failed(error), Unanswered::Refused));
                return Ended { now, is_open: false, outcome };
            }
        };
        let is_open = entered.now().is_open(&request.path);
        let outcome = match self.admit(&asked(&request, Some(&entered.now().record.path), is_open)).await {
            Ok(()) => {
                if is_open {
                    // Nobody is asked there who they are, so what somebody said of themselves is not passed on.
                    request.caller = Caller::Anonymous;
                }
                entered.handle(request).await.map_err(Unanswered::Failed)
            }
            Err(refused) => Err(Unanswered::Refused(refused)),
        };
        Ended { now: Arc::clone(entered.now()), is_open, outcome }
    }

    /// Asks whether the caller may, and tells the audit: the one place where either is done.
    async fn admit(&self, asked: &Asked<'_>) -> Result<(), Error> {
        let allowed = self.access.authorize(asked).await;
        self.tell(asked, allowed.as_ref().err()).await?;
        allowed
    }

    /// Tells the audit of a request.
    async fn tell(&self, asked: &Asked<'_>, refused: Option<&Error>) -> Result<(), Error> {
        match &self.audit {
            Some(audit) => audit.request(asked, refused).await,
            None => Ok(()),
        }
    }

    /// Tells the audit what a request came to, and returns that.
    async fn told(&self, asked: &Asked<'_>, answer: Result<Answer, Error>) -> Result<Answer, Error> {
        if let Some(audit) = &self.audit {
            audit.response(asked, answer.as_ref()).await?;
        }
        answer
    }
}

/// Returns what a request asks, of which the path may have been cut to the part below its mount.
fn asked<'a>(request: &'a Request, mount: Option<&'a MountPath>, is_open: bool) -> Asked<'a> {
    Asked {
        id: &request.id,
        operation: request.operation,
        mount,
        path: request.path.as_str(),
        data: &request.data,
        caller: &request.caller,
        remote_address: request.remote_address,
        is_open,
    }
}

fn internal(error: crate::ident::IdentError) -> Error {
    Error::new(ErrorKind::Internal, error.to_string())
}

impl Inner {
    pub(super) async fn invalidate(&self, path: &MountPath, key: &str) -> Result<(), Error> {
        let mount = self
            .mounts
            .routes
            .get(path)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no mount at {path}")))?;
        let told = mount.invalidate(key, self.limits.lifecycle_deadline).await;
        told.map_err(|failure| failed(failure, &mount.record()))
    }
}

/// Tells whether an error says more of the plugin than of the request.
fn is_for_the_operator(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::PluginFault | ErrorKind::DeadlineExceeded | ErrorKind::Internal)
}

/// Refuses what no plugin may answer, leaves out the headers that the mount does not pass on, and the white space
/// around a JSON object. The instance lives on: it did end its call.
pub(super) fn checked(
    mut response: Response,
    operation: Operation,
    is_open: bool,
    record: &MountRecord,
) -> Result<Response, Error> {
    let fault = |why: &str| Err(unusable(record, why));
    let facts = AnswerFacts {
        is_auth: record.settings.kind == PluginKind::Auth,
        // A caller that has a token already gets no other one by asking, unless it renews the one that it has.
        may_log_in: is_open || operation == Operation::Renew,
        is_login: response.login.is_some(),
        is_secret: response.secret.is_some(),
        is_redirect: matches!(response.body, Body::Redirect(_)),
        raw_status: match &response.body {
            Body::Raw { status, .. } => Some(*status),
            Body::Data(_) | Body::Redirect(_) | Body::Empty => None,
        },
    };
    if let Some(why) = facts.refusal() {
        return fault(why);
    }
    match &response.body {
        // In the contract "no data" is an empty list.
        Body::Data(data) if data.is_empty() => response.body = Body::Empty,
        Body::Data(data) => match object_in(data) {
            Ok(object) => response.body = Body::Data(object),
            Err(why) => return fault(&why),
        },
        Body::Raw { content_type, bytes, .. } if content_type.to_ascii_lowercase().contains("json") => {
            // Whether it is JSON is between the plugin and the client. Clients choke on the depth of what is.
            json::check(bytes, &JsonLimits::of_answers()).map_err(|why| unusable(record, &choking(&why)))?;
        }
        Body::Raw { .. } | Body::Redirect(_) | Body::Empty => {}
    }
    if !response.headers.is_empty() {
        let allowed = &record.settings.config.allowed_response_headers;
        response.headers.retain(|(name, _)| allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)));
    }
    Ok(response)
}

/// Returns the JSON object in an answer without white space around it. Texts in it are for nobody but the client, so an
/// error does not repeat them.
fn object_in(data: &Bytes) -> Result<Bytes, String> {
    let object = json::object(data).map_err(|_| NO_OBJECT.to_owned())?;
    json::check(object.as_bytes(), &JsonLimits::of_answers()).map_err(|why| choking(&why))?;
    Ok(data.slice_ref(object.as_bytes()))
}

fn choking(why: &str) -> String {
    format!("JSON that clients may choke on: {why}")
}

/// Returns the error for what a plugin may not answer.
pub(super) fn unusable(record: &MountRecord, why: &str) -> Error {
    let (path, plugin) = (&record.path, &record.settings.plugin);
    Error::new(ErrorKind::PluginFault, format!("the plugin {plugin} at {path} answered what it may not: {why}"))
}

/// Returns what answers for a mount with this record.
pub(super) fn answered_by(record: &MountRecord) -> AnsweredBy {
    let token_type = record.settings.config.token_type.unwrap_or_default();
    AnsweredBy { path: record.path.clone(), kind: record.settings.kind, token_type }
}

/// Gives an outcome its kind, and names the mount where the fault is not the caller's.
fn meaning(error: MountError, record: &MountRecord, is_known: bool) -> Error {
    let path = &record.path;
    match error {
        MountError::NotStarted(error) => {
            let reason = if is_known { error.to_string() } else { "the server's log says why".to_owned() };
            Error::new(ErrorKind::Unavailable, format!("the mount {path} is disabled: {reason}"))
        }
        MountError::Closing => Error::new(ErrorKind::Unavailable, format!("the mount {path} is being disabled")),
        MountError::Replaced => Error::new(
            ErrorKind::Unavailable,
            format!("the plugin at {path} was reloaded while this request was running; nothing says how far it got"),
        ),
        MountError::Failed(failure) => failed(failure, record),
    }
}

fn failed(failure: Failure, record: &MountRecord) -> Error {
    let (path, plugin) = (&record.path, &record.settings.plugin);
    let kind = kind_of(&failure);
    let text = match failure {
        Failure::Backend(error) => return declined(error),
        Failure::Trap(report) => {
            format!("the plugin {plugin} at {path} crashed: {report}. The next request gets a fresh instance")
        }
        Failure::Unusable(what) => format!("the plugin {plugin} at {path} answered what it may not: {what}"),
        Failure::Deadline(_) => format!("the plugin {plugin} at {path} was given up: {failure}"),
        Failure::Lost(reason) => format!(
            "the plugin {plugin} at {path} lost this request: {reason}. Nothing says how far it got; it may be tried again"
        ),
        Failure::Busy(reason) => format!("the mount {path} is busy: {reason}"),
        Failure::TooLarge(reason) => format!("the plugin {plugin} at {path} cannot take this request: {reason}"),
        Failure::Failing(reason) => format!("the plugin {plugin} at {path} is failing: {reason}"),
        Failure::Host(reason) => format!("the mount {path} could not answer: {reason}"),
    };
    Error::new(kind, text)
}

/// Returns what sort of failure a call ended with. Nowhere else does a failure become a kind.
fn kind_of(failure: &Failure) -> ErrorKind {
    match failure {
        Failure::Backend(error) => kind_of_decline(error),
        Failure::Trap(_) | Failure::Unusable(_) => ErrorKind::PluginFault,
        Failure::Deadline(_) => ErrorKind::DeadlineExceeded,
        Failure::Busy(_) => ErrorKind::Busy,
        Failure::Lost(_) | Failure::Failing(_) => ErrorKind::Unavailable,
        Failure::TooLarge(_) => ErrorKind::TooLarge,
        Failure::Host(_) => ErrorKind::Internal,
    }
}

fn kind_of_decline(error: &BackendError) -> ErrorKind {
    match error {
        BackendError::Denied(_) => ErrorKind::Denied,
        BackendError::InvalidRequest(_) => ErrorKind::InvalidRequest,
        BackendError::UnsupportedOperation => ErrorKind::UnsupportedOperation,
        BackendError::UnsupportedPath | BackendError::NotFound(_) => ErrorKind::NotFound,
        BackendError::Conflict(_) => ErrorKind::Conflict,
        BackendError::Unavailable(_) => ErrorKind::Unavailable,
        BackendError::Internal(_) => ErrorKind::Internal,
        BackendError::Status(status, _) => ErrorKind::Status(*status),
    }
}

fn declined(error: BackendError) -> Error {
    Error::new(kind_of_decline(&error), error.to_string())
}

/// Returns what an operation is told whose mount could not be started; `what` says what it could not do.
pub(super) fn not_started(error: &StartError, what: &str) -> Error {
    let kind = match error {
        StartError::NotInCatalog(_) => ErrorKind::InvalidRequest,
        StartError::Load(error) => kind_of_load(error),
        StartError::Setup(error) => kind_of_setup(error.failure()),
        StartError::Ended => ErrorKind::Unavailable,
        StartError::Host(_) => ErrorKind::Internal,
    };
    Error::new(kind, format!("{what}: {error}"))
}

fn kind_of_load(error: &LoadError) -> ErrorKind {
    match error {
        LoadError::Unfit(_) | LoadError::File(_) => ErrorKind::InvalidRequest,
        LoadError::Deadline(_) => ErrorKind::DeadlineExceeded,
        LoadError::Host(_) => ErrorKind::Internal,
    }
}

/// A plugin that declines to be set up declines what it was mounted with, unless it says that something failed.
fn kind_of_setup(failure: &Failure) -> ErrorKind {
    match kind_of(failure) {
        ErrorKind::Denied
        | ErrorKind::NotFound
        | ErrorKind::UnsupportedOperation
        | ErrorKind::Conflict
        | ErrorKind::TooLarge
        | ErrorKind::Status(..500) => ErrorKind::InvalidRequest,
        ErrorKind::Internal | ErrorKind::Status(_) if matches!(failure, Failure::Backend(_)) => ErrorKind::PluginFault,
        kind => kind,
    }
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        Error::new(kind_of_load(&error), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::host::stage::{build_with, host_with};
    use crate::host::{Access, Audit};
    use crate::request::{ClientToken, Headers, Identity, Operation};
    use crate::runtime::double::Double;
    use crate::runtime::{Description, Residence};

    async fn host() -> crate::host::Host {
        host_with(&Arc::new(Double::new(Residence::Evictable))).await
    }

    fn read(path: &str) -> Request {
        Request::new(Operation::Read, path.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_kept_to_and_named_and_never_longer_than_the_hosts() {
        let host = host().await;
        for (asked, kept, named) in [
            (Some(Duration::from_secs(2)), Duration::from_secs(2), "did not answer within 2s"),
            (Some(Duration::from_secs(1_000)), Duration::from_secs(90), "did not answer within 1m30s"),
            (None, Duration::from_secs(90), "did not answer within 1m30s"),
        ] {
            let begun = Instant::now();
            let request = Request { deadline: asked, ..read("t/hang") };
            let error = host.handle(request).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
            assert!(error.message().contains(named), "{error}");
            assert_eq!(begun.elapsed().as_secs(), kept.as_secs());
        }
    }

    #[tokio::test]
    async fn a_plugin_is_lent_the_address_and_the_headers_of_a_request() {
        let host = host().await;
        let headers: Arc<dyn Headers> = Arc::new(vec![
            ("X-A".to_owned(), "1".to_owned()),
            ("x-b".to_owned(), "2".to_owned()),
            ("x-a".to_owned(), "3".to_owned()),
        ]);
        let request = Request { headers: Some(headers), remote_address: "192.0.2.1:7".parse().ok(), ..read("t/echo") };
        assert_eq!(host.handle(request).await.unwrap().warnings, ["192.0.2.1:7", "1", "3"]);
        assert!(host.handle(read("t/echo")).await.unwrap().warnings.is_empty());
    }

    /// Lets nobody write, and tells what it was told in one line each.
    #[derive(Default)]
    struct Watch {
        told: std::sync::Mutex<Vec<String>>,
        /// Which of what it is told it fails at, if any.
        fails_at: Option<&'static str>,
    }

    impl Watch {
        fn tell(&self, what: &str, text: String) -> Result<(), Error> {
            self.told.lock().unwrap().push(format!("{what} {text}"));
            match self.fails_at {
                Some(at) if at == what => Err(Error::new(ErrorKind::Unavailable, "no device took the record")),
                _ => Ok(()),
            }
        }
    }

    /// What both traits are implemented on, so that a test keeps what it hands to the host.
    #[derive(Clone, Default)]
    struct Watched(Arc<Watch>);

    #[async_trait::async_trait]
    impl Access for Watched {
        async fn identify(&self, token: &ClientToken) -> Result<Option<Arc<Identity>>, Error> {
            Ok((token.expose() == "ours").then(|| Arc::new(Identity::named("ada"))))
        }

        async fn authorize(&self, asked: &Asked<'_>) -> Result<(), Error> {
            match asked.operation {
                Operation::Update => Err(Error::new(ErrorKind::Denied, "permission denied")),
                _ => Ok(()),
            }
        }
    }

    #[async_trait::async_trait]
    impl Audit for Watched {
        async fn request(&self, asked: &Asked<'_>, refused: Option<&Error>) -> Result<(), Error> {
            let mount = asked.mount.map_or("nowhere", MountPath::as_str);
            self.0.tell("request", format!("{mount} {:?} {refused:?}", asked.path))
        }

        async fn response(&self, asked: &Asked<'_>, outcome: Result<&Answer, &Error>) -> Result<(), Error> {
            self.0.tell("response", format!("{:?} {:?}", asked.path, outcome.map(|answer| answer.by.path.as_str())))
        }
    }

    async fn watched(fails_at: Option<&'static str>) -> (crate::host::Host, Arc<Double>, Watched) {
        let double = Arc::new(Double::new(Residence::Evictable));
        let watched = Watched(Arc::new(Watch { fails_at, ..Watch::default() }));
        let builder = crate::host::Host::builder().access(watched.clone()).audit(watched.clone());
        let host = build_with(builder, &double).await;
        host.handle(read("t/first")).await.ok();
        double.take_asked();
        watched.0.told.lock().unwrap().clear();
        (host, double, watched)
    }

    #[tokio::test]
    async fn who_may_is_asked_once_and_everything_is_told() {
        let (host, double, watched) = watched(None).await;
        let write = Request { operation: Operation::Update, ..read("t/a") };
        for (request, kind, told) in [
            (read("t/a"), None, ["request t/ \"a\" None", "response \"a\" Ok(\"t/\")"]),
            (
                write,
                Some(ErrorKind::Denied),
                ["request t/ \"a\" Some(Denied: permission denied)", "response \"a\" Err(Denied: permission denied)"],
            ),
            (
                read("u/a"),
                Some(ErrorKind::NotFound),
                [
                    "request nowhere \"u/a\" Some(NotFound: no handler for route \"u/a\". route entry not found.)",
                    "response \"u/a\" Err(NotFound: no handler for route \"u/a\". route entry not found.)",
                ],
            ),
        ] {
            let asked = format!("{request:?}");
            assert_eq!(host.handle(request).await.err().map(|error| error.kind()), kind, "{asked}");
            assert_eq!(std::mem::take(&mut *watched.0.told.lock().unwrap()), told, "{asked}");
        }
        assert_eq!(double.take_asked(), ["Read \"a\""], "what was refused never came to the plugin");
        assert!(host.identify(&"ours".into()).await.unwrap().is_some());
        assert!(host.identify(&"theirs".into()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_cannot_be_told_is_not_done_and_not_answered() {
        for (fails_at, asked) in [("request", &[][..]), ("response", &["Read \"a\""])] {
            let (host, double, _watched) = watched(Some(fails_at)).await;
            let error = host.handle(read("t/a")).await.unwrap_err();
            assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "no device took the record"));
            assert_eq!(double.take_asked(), asked, "{fails_at}");
        }
    }

    #[tokio::test]
    async fn a_plugin_that_tells_no_create_is_asked_once_for_a_write() {
        for (tells_create, asked) in [(true, &["exists \"a\"", "Update \"a\""][..]), (false, &["Update \"a\""])] {
            let double = Double::new(Residence::Evictable);
            let description = Description { tells_create, ..double.description.clone() };
            let double = Arc::new(Double { description, ..double });
            let host = host_with(&double).await;
            host.handle(read("t/first")).await.unwrap();
            double.take_asked();
            host.handle(Request { operation: Operation::Update, ..read("t/a") }).await.unwrap();
            assert_eq!(double.take_asked(), asked, "{tells_create}");
        }
    }
}
