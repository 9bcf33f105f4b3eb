//! A request's way through the host, and what its outcome means to whoever asked.

use super::{Error, ErrorKind, Inner};
use crate::ident::{MountPath, PluginKind};
use crate::json::{self, JsonLimits};
use crate::meter::Outcome;
use crate::mount::{Answered, MountError, MountRecord, Reply, StartError};
use crate::request::{BackendError, Body, Request, Response};
use crate::runtime::{Failure, LoadError};

impl Inner {
    pub(super) async fn answer(&self, mut request: Request) -> Result<Response, Error> {
        let Some(route) = self.mounts.routes.find(&request.path) else {
            let text = format!("no handler for route {:?}. route entry not found.", request.path.as_str());
            return Err(Error::new(ErrorKind::NotFound, text));
        };
        request.path = request.path.below(route.prefix_length);
        let operation = request.operation;
        let granted = self.limits.request_deadline;
        let deadline = request.deadline.map_or(granted, |deadline| deadline.min(granted));
        let counted = route.mount.meter().begin();
        // In a box, since every future on its way would hold it twice: where it came in, and where it goes on.
        let Answered { now, outcome: answer } = route.mount.handle(Box::new(request), deadline).await;
        let record = &now.record;
        let outcome = answer.as_ref().err().map(MountError::outcome);
        let in_its_own_words = matches!(&answer, Err(MountError::Failed(Failure::Backend(_))));
        let answer = match answer {
            Ok(reply) => checked(reply, record).and_then(|reply| self.settle(reply, operation, record)),
            Err(error) => Err(meaning(error, record)),
        };
        counted.end(match (outcome, &answer) {
            (Some(outcome), _) => outcome,
            (None, Ok(_)) => Outcome::Answered,
            // It answered, and the answer was refused.
            (None, Err(_)) => Outcome::Unusable,
        });
        answer.inspect_err(|error| {
            if is_for_the_operator(error.kind()) {
                // A plugin's own words may repeat what was asked, secrets included: they are for whoever asked.
                let text = if in_its_own_words { "it answered with an internal error" } else { error.message() };
                now.scope.log_fault(text);
            }
        })
    }
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

/// Refuses what no plugin may answer, and leaves out the headers that the mount does not pass on. The instance lives
/// on: it did end its call.
fn checked(mut reply: Reply, record: &MountRecord) -> Result<Reply, Error> {
    let response = &mut reply.response;
    let fault = |why: &str| {
        let (path, plugin) = (&record.path, &record.plugin);
        let text = format!("the plugin {plugin} at {path} answered what it may not: {why}");
        Err(Error::new(ErrorKind::PluginFault, text))
    };
    if response.login.is_some() && record.kind != PluginKind::Auth {
        return fault("a login, which only an auth method may");
    }
    if response.login.is_some() && response.secret.is_some() {
        return fault("a login and a secret at once");
    }
    if matches!(response.body, Body::Redirect(_)) && record.kind != PluginKind::Auth {
        // Whoever follows it takes token and body along, to another mount or to another server.
        return fault("a redirect, which only an auth method may");
    }
    if let Body::Raw { status, .. } = &response.body {
        if !(200..600).contains(status) {
            return fault("a status that HTTP does not have");
        }
        if response.login.is_some() || response.secret.is_some() {
            return fault("raw responses cannot contain secrets or auth");
        }
    }
    if let Some(document) = document_in(&response.body)
        && let Err(why) = json::check(document, &JsonLimits::of_answers())
    {
        return fault(&format!("JSON that clients may choke on: {why}"));
    }
    if !response.headers.is_empty() {
        let allowed = &record.config.allowed_response_headers;
        response.headers.retain(|(name, _)| allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)));
    }
    Ok(reply)
}

/// Returns the JSON in a body, if it is any or says that it is.
fn document_in(body: &Body) -> Option<&[u8]> {
    match body {
        Body::Data(json) => Some(json),
        Body::Raw { content_type, bytes, .. } if content_type.to_ascii_lowercase().contains("json") => Some(bytes),
        Body::Raw { .. } | Body::Redirect(_) | Body::Empty => None,
    }
}

/// Gives an outcome its kind, and names the mount where the fault is not the caller's.
fn meaning(error: MountError, record: &MountRecord) -> Error {
    let path = &record.path;
    match error {
        MountError::Denied => Error::new(ErrorKind::Denied, "permission denied"),
        MountError::NotStarted(reason) => {
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
    let (path, plugin) = (&record.path, &record.plugin);
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
    use crate::host::stage::host_with;
    use crate::request::{Headers, Operation};
    use crate::runtime::Residence;
    use crate::runtime::double::Double;

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
}
